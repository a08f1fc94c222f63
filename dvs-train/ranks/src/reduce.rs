//! Sums over all ranks, in the order of the ranks.
//!
//! The values are divided into one slice for each rank. Every rank gets all others' values of its
//! slice, sums them, and sends the sums to everyone: each rank sends 2 (N - 1) / N of the bytes.
//! Sums go out while later values still come in.

use std::ops::{AddAssign, Range};

use bytemuck::{Pod, cast_slice, cast_slice_mut};

use crate::exchange::{Data, Header, Operation};

/// Values that are summed at a time, which stay in the first-level cache.
const BLOCK: usize = 2048;

/// A number that can be reduced.
pub(crate) trait Value: Pod + AddAssign {
    const OPERATION: Operation;
}

impl Value for f32 {
    const OPERATION: Operation = Operation::AllReduce;
}

impl Value for f64 {
    const OPERATION: Operation = Operation::AllReduceF64;
}

/// An all-reduce by slices.
pub(crate) struct Reduce<'a, V> {
    values: &'a mut [V],
    own: usize,
    size: usize,
    header: Header,
    /// What the other ranks have at this rank's slice, one after the other.
    contributions: &'a mut [V],
    /// Bytes that came from each rank.
    received: Vec<usize>,
    /// Values of this rank's slice that are summed.
    summed: usize,
}

/// The values that a rank sums.
pub(crate) fn slice_of(rank: usize, size: usize, length: usize) -> Range<usize> {
    // In 128 bits, where the product cannot overflow.
    let start = |rank: usize| (length as u128 * rank as u128 / size as u128) as usize;
    start(rank)..start(rank + 1)
}

/// Values that the other ranks send for this rank's slice.
pub(crate) fn contributed(own: usize, size: usize, length: usize) -> usize {
    slice_of(own, size, length).len() * (size - 1)
}

impl<'a, V: Value> Reduce<'a, V> {
    /// `contributions` has the length that [`contributed`] says.
    pub(crate) fn new(
        values: &'a mut [V],
        contributions: &'a mut [V],
        own: usize,
        size: usize,
        header: Header,
    ) -> Self {
        Self {
            values,
            own,
            size,
            header,
            contributions,
            received: vec![0; size],
            summed: 0,
        }
    }

    fn slice(&self, rank: usize) -> Range<usize> {
        slice_of(rank, self.size, self.values.len())
    }

    /// Bytes of a rank's slice.
    fn bytes(&self, rank: usize) -> usize {
        self.slice(rank).len() * size_of::<V>()
    }

    /// Range of the rank's values among the contributions.
    fn contribution(&self, rank: usize) -> Range<usize> {
        let length = self.slice(self.own).len();
        let index = rank - usize::from(rank > self.own);
        index * length..(index + 1) * length
    }

    fn sum(&mut self, range: Range<usize>) {
        let mut sums = [V::zeroed(); BLOCK];
        let start = self.slice(self.own).start;
        let own = start + range.start..start + range.end;
        let sums = &mut sums[..range.len()];
        for rank in 0..self.size {
            let terms = if rank == self.own {
                &self.values[own.clone()]
            } else {
                let first = self.contribution(rank).start;
                &self.contributions[first + range.start..first + range.end]
            };
            match rank {
                0 => sums.copy_from_slice(terms),
                _ => sums
                    .iter_mut()
                    .zip(terms)
                    .for_each(|(sum, term)| *sum += *term),
            }
        }
        self.values[own].copy_from_slice(sums);
    }
}

impl<V: Value> Data for Reduce<'_, V> {
    fn accept(&mut self, rank: usize, theirs: Header) -> Option<usize> {
        (theirs == self.header).then(|| self.bytes(self.own) + self.bytes(rank))
    }

    fn total(&self, rank: usize) -> usize {
        self.bytes(rank) + self.bytes(self.own)
    }

    fn outgoing(&self, rank: usize, sent: usize) -> &[u8] {
        let theirs = self.bytes(rank);
        match sent.checked_sub(theirs) {
            None => &cast_slice(&self.values[self.slice(rank)])[sent..],
            Some(sent) => {
                let start = self.slice(self.own).start;
                &cast_slice(&self.values[start..start + self.summed])[sent..]
            }
        }
    }

    fn incoming(&mut self, rank: usize, received: usize) -> &mut [u8] {
        match received.checked_sub(self.bytes(self.own)) {
            None => {
                let range = self.contribution(rank);
                &mut cast_slice_mut(&mut self.contributions[range])[received..]
            }
            // The rank has summed only values that this one has sent it: they are not needed here.
            Some(received) => {
                let range = self.slice(rank);
                &mut cast_slice_mut(&mut self.values[range])[received..]
            }
        }
    }

    fn received(&mut self, rank: usize, bytes: usize) {
        self.received[rank] = bytes;
    }

    fn work(&mut self) -> bool {
        let others = (0..self.size).filter(|rank| *rank != self.own);
        let least = others.map(|rank| self.received[rank]).min().unwrap_or(0);
        let complete = (least / size_of::<V>()).min(self.slice(self.own).len());
        let before = self.summed;
        while self.summed < complete {
            let end = complete.min(self.summed + BLOCK);
            self.sum(self.summed..end);
            self.summed = end;
        }
        self.summed > before
    }
}

/// The sums of whole vectors, one from each rank.
pub(crate) fn sum_all<V: Value>(parts: &[Vec<u8>], sums: &mut [V]) {
    for (rank, part) in parts.iter().enumerate() {
        let terms = part.chunks_exact(size_of::<V>());
        for (sum, term) in sums.iter_mut().zip(terms) {
            let term = bytemuck::pod_read_unaligned(term);
            match rank {
                0 => *sum = term,
                _ => *sum += term,
            }
        }
    }
}

/// Sums vectors of one length that lie one after the other, one from each rank, into the first.
#[cfg(feature = "mpi")]
pub(crate) fn sum_in_place<V: Value>(vectors: &mut [V], length: usize) {
    let (sums, others) = vectors.split_at_mut(length);
    for start in (0..length).step_by(BLOCK) {
        let block = start..length.min(start + BLOCK);
        for terms in others.chunks_exact(length) {
            let sums = &mut sums[block.clone()];
            sums.iter_mut()
                .zip(&terms[block.clone()])
                .for_each(|(sum, term)| *sum += *term);
        }
    }
}
