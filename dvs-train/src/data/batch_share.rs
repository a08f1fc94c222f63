//! The division of batches between the ranks of data-parallel training.

use std::ops::Range;

/// The part of each batch, and of the test set, that one rank computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchShare {
    rank: usize,
    ranks: usize,
}

impl BatchShare {
    /// The share of a process without others: everything.
    pub const ALONE: Self = Self { rank: 0, ranks: 1 };

    /// The share of `rank`, which is below the number of `ranks`.
    pub fn new(rank: usize, ranks: usize) -> Self {
        Self { rank, ranks }
    }

    /// Whether there are no other ranks.
    pub fn is_alone(self) -> bool {
        self.ranks == 1
    }

    /// Returns the places of this rank's part among `length` items. The parts of the ranks follow
    /// each other, and their lengths differ by at most one.
    pub fn places(self, length: usize) -> Range<usize> {
        let begin = |rank: usize| rank * length / self.ranks;
        begin(self.rank)..begin(self.rank + 1)
    }

    /// Returns the length of the longest part of `length` items.
    pub fn longest(self, length: usize) -> usize {
        length.div_ceil(self.ranks)
    }

    /// Returns the length of a whole batch of which each rank has `part` samples.
    pub fn whole_batch(self, part: usize) -> usize {
        part * self.ranks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_in_one_part() {
        for ranks in 1..9 {
            for length in 0..50 {
                let parts = (0..ranks).map(|rank| BatchShare::new(rank, ranks));
                let places: Vec<_> = parts.clone().flat_map(|part| part.places(length)).collect();
                assert_eq!(places, (0..length).collect::<Vec<_>>());
                let longest = parts.clone().map(|part| part.places(length).len()).max();
                assert_eq!(longest, parts.map(|part| part.longest(length)).max());
            }
        }
    }

    #[test]
    fn parts_of_a_multiple_are_equal() {
        let share = BatchShare::new(2, 4);
        assert_eq!(share.places(16), 8..12);
        assert_eq!(share.whole_batch(4), 16);
        assert_eq!(BatchShare::ALONE.places(5), 0..5);
    }
}
