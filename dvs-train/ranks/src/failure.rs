//! The failure that ends a job, as ranks tell each other and the program.

use std::time::Duration;

use crate::error::{Peer, RankError, Seconds};
use crate::wire::{Fields, Message};

/// Characters of a text that are passed on.
const LONGEST_TEXT: usize = 4000;

/// What went wrong with a rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Closed,
    Silent,
    Stuck,
    Network(String),
    Aborted(String),
    /// The noticing rank's call, and the other rank's.
    Mismatch(String, String),
}

/// The failure that ended the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The rank it is about.
    pub(crate) rank: usize,
    /// The rank that noticed it.
    pub(crate) seen_by: usize,
    pub(crate) cause: Cause,
    /// The limit that was exceeded, if one was.
    pub(crate) limit: Duration,
}

impl Failure {
    /// Appends it to a message to another rank.
    pub(crate) fn write(&self, message: Message) -> Message {
        let (kind, texts) = match &self.cause {
            Cause::Closed => (0, ["", ""]),
            Cause::Silent => (1, ["", ""]),
            Cause::Stuck => (2, ["", ""]),
            Cause::Network(reason) => (3, [reason.as_str(), ""]),
            Cause::Aborted(reason) => (4, [reason.as_str(), ""]),
            Cause::Mismatch(ours, theirs) => (5, [ours.as_str(), theirs]),
        };
        message
            .number(kind)
            .number(self.rank as u64)
            .number(self.seen_by as u64)
            .number(u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX))
            .text(&shortened(texts[0]))
            .text(&shortened(texts[1]))
    }

    /// Reads what [`write`](Self::write) wrote, in a world of `size` ranks.
    pub(crate) fn read(fields: &mut Fields, size: usize) -> Option<Self> {
        let kind = fields.number()?;
        let rank = fields.index().filter(|rank| *rank < size)?;
        let seen_by = fields.index().filter(|rank| *rank < size)?;
        let limit = Duration::from_millis(fields.number()?);
        let (first, second) = (fields.text()?, fields.text()?);
        let cause = match kind {
            0 => Cause::Closed,
            1 => Cause::Silent,
            2 => Cause::Stuck,
            3 => Cause::Network(first),
            4 => Cause::Aborted(first),
            _ => Cause::Mismatch(first, second),
        };
        Some(Self {
            rank,
            seen_by,
            cause,
            limit,
        })
    }

    /// The error of it, with what this rank was doing.
    pub(crate) fn error(&self, peers: &[Peer], during: &str) -> RankError {
        let (peer, seen_by) = (peers[self.rank].clone(), peers[self.seen_by].clone());
        let (limit, during) = (Seconds(self.limit), during.to_owned());
        match self.cause.clone() {
            Cause::Closed => RankError::Closed { peer, during },
            Cause::Silent => RankError::Silent {
                peer,
                limit,
                during,
            },
            Cause::Stuck => RankError::Stuck {
                peer,
                waiting: seen_by,
                limit,
                during,
            },
            Cause::Network(reason) => RankError::Network {
                peer,
                seen_by,
                reason,
                during,
            },
            Cause::Aborted(reason) => RankError::Aborted { peer, reason },
            Cause::Mismatch(ours, theirs) => RankError::Mismatch { ours, theirs },
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_reaches_other_ranks_whole() {
        let text = |text: &str| text.to_owned();
        for cause in [
            Cause::Closed,
            Cause::Silent,
            Cause::Stuck,
            Cause::Network(text("no route")),
            Cause::Aborted(text("disk full")),
            Cause::Mismatch(text("a"), text("b")),
        ] {
            let failure = Failure {
                rank: 1,
                seen_by: 2,
                cause,
                limit: Duration::from_millis(1500),
            };
            let bytes = failure.write(Message::default()).framed();
            let read = |size| Failure::read(&mut Fields(&bytes[4..]), size);
            assert_eq!(read(3), Some(failure));
            // Nothing indexes beyond the world's ranks.
            assert_eq!(read(2), None);
        }
    }
}
