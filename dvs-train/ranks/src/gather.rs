//! The bytes of all ranks.

use crate::error::RankError;
use crate::exchange::{Data, Header, Operation};

/// The most bytes that a rank gives to a gather.
pub const GATHER_LIMIT: usize = 1 << 30;

/// Refuses more bytes than [`GATHER_LIMIT`].
pub(crate) fn check_length(bytes: &[u8]) -> Result<(), RankError> {
    if bytes.len() > GATHER_LIMIT {
        return Err(RankError::TooLong {
            bytes: bytes.len(),
            limit: GATHER_LIMIT,
        });
    }
    Ok(())
}

/// Everyone sends the same bytes to everyone.
pub(crate) struct Gather<'a> {
    header: Header,
    bytes: &'a [u8],
    /// By rank; this rank's own are there from the start.
    pub(crate) parts: Vec<Vec<u8>>,
}

impl<'a> Gather<'a> {
    pub(crate) fn new(bytes: &'a [u8], own: usize, size: usize, header: Header) -> Self {
        let mut parts = vec![Vec::new(); size];
        parts[own] = bytes.to_vec();
        Self {
            header,
            bytes,
            parts,
        }
    }
}

impl Data for Gather<'_> {
    fn accept(&mut self, rank: usize, theirs: Header) -> Option<usize> {
        let bytes = match self.header.operation {
            Operation::Gather if theirs.operation == Operation::Gather => theirs.length,
            _ if theirs == self.header => self.bytes.len(),
            _ => return None,
        };
        if bytes > GATHER_LIMIT {
            return None;
        }
        self.parts[rank] = vec![0; bytes];
        Some(bytes)
    }

    fn total(&self, _: usize) -> usize {
        self.bytes.len()
    }

    fn outgoing(&self, _: usize, sent: usize) -> &[u8] {
        &self.bytes[sent..]
    }

    fn incoming(&mut self, rank: usize, received: usize) -> &mut [u8] {
        &mut self.parts[rank][received..]
    }

    fn received(&mut self, _: usize, _: usize) {}

    fn work(&mut self) -> bool {
        false
    }
}
