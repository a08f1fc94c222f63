//! What all encodings have in common while they are read: the packets, and what is left out.

use std::fmt;

use super::PropheseeError;
use crate::aedat::{EventCounts, too_many_unexplained};
use crate::event::SensorSize;
use crate::formats::packets::Packets;

/// Why the events of a word cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// The specification reserves the type of the word.
    Type(u8),
    /// The polarity is neither 0 nor 1.
    Polarity(u8),
    /// No word before has given the time.
    Time,
    /// No word before has given the row.
    Row,
    /// No word before has given the column at which the vector begins.
    Column,
}

impl fmt::Display for Unplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(kind) => write!(
                f,
                "its word has the type {kind:#03x}, which the format does not have"
            ),
            Self::Polarity(polarity) => write!(f, "its polarity is {polarity}, neither 0 nor 1"),
            Self::Time => f.write_str("no word before it says its time"),
            Self::Row => f.write_str("no word before it says its row"),
            Self::Column => f.write_str("no word before it says its column"),
        }
    }
}

/// A recording while it is read.
pub(super) struct Reading {
    packets: Packets,
    seen: EventCounts,
    /// Start of the first word whose events cannot be used, and the reason.
    first: Option<(usize, Unplaced)>,
    /// Microseconds to add to every time.
    t0: i64,
}

impl Reading {
    /// A recording of `events` events, of which at most `limit` may count.
    pub(super) fn new(sensor: SensorSize, limit: usize, events: usize, t0: i64) -> Self {
        Self {
            packets: Packets::new(sensor, limit, events),
            seen: EventCounts::default(),
            first: None,
            t0,
        }
    }

    /// Adds the event of the word at byte `offset`.
    #[inline]
    pub(super) fn event(
        &mut self,
        offset: usize,
        t: i64,
        place: (i64, i64),
        on: bool,
    ) -> Result<(), PropheseeError> {
        let t = t.saturating_add(self.t0);
        let pushed = self.packets.push(offset as u64, t, place, on);
        pushed.map_err(|reason| PropheseeError::Event {
            offset: offset as u64,
            reason,
        })
    }

    /// Adds the events of the vector at byte `offset`: bit i of `mask` is the pixel at `x` + i.
    #[inline]
    pub(super) fn vector(
        &mut self,
        offset: usize,
        t: i64,
        place: (i64, i64),
        on: bool,
        mask: u32,
    ) -> Result<(), PropheseeError> {
        let t = t.saturating_add(self.t0);
        let pushed = self.packets.push_vector(offset as u64, t, place, on, mask);
        pushed.map_err(|reason| PropheseeError::Event {
            offset: offset as u64,
            reason,
        })
    }

    /// Counts a word of the camera's other data.
    pub(super) fn other(&mut self) {
        self.seen.other_types += 1;
    }

    /// Leaves out `number` events of the word at byte `offset`.
    pub(super) fn unplaced(&mut self, offset: usize, number: u32, reason: Unplaced) {
        if number > 0 {
            self.seen.unexplained += u64::from(number);
            self.first.get_or_insert((offset, reason));
        }
    }

    /// The packets, and the numbers of events that are not in them.
    ///
    /// # Errors
    /// Returns an error if too many events cannot be used, or if events lie outside the sensor and
    /// `ignore_outside` is not set.
    pub(super) fn finish(
        self,
        ignore_outside: bool,
    ) -> Result<(Vec<u8>, EventCounts), PropheseeError> {
        let mut seen = self.seen;
        let of = self.packets.pushed() + seen.other_types + seen.unexplained;
        if let Some((offset, reason)) = self.first
            && too_many_unexplained(seen.unexplained, of)
        {
            return Err(PropheseeError::Unplaced {
                number: seen.unexplained,
                of,
                offset,
                reason,
            });
        }
        let packed = self
            .packets
            .finish(ignore_outside)
            .map_err(|(offset, reason)| PropheseeError::Event { offset, reason })?;
        seen.outside = packed.outside;
        Ok((packed.packets, seen))
    }
}
