//! Every random number of a run comes from its one seed.
//!
//! Each purpose and epoch has a separate seed, so an epoch of a resumed run draws the same numbers
//! as in a run that was never stopped.

/// Purpose of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Initial weights.
    Weights,
    /// Order of the training samples.
    Order,
    /// Dropout masks.
    Dropout,
    /// Users or recordings held out for validation.
    Validation,
    /// Augmentation of training samples.
    Augmentation,
}

/// Returns the seed for one purpose in one epoch.
pub fn derive(seed: u64, purpose: Purpose, epoch: u32) -> u64 {
    mix(mix(seed) ^ ((purpose as u64 + 1) << 32 | u64::from(epoch)))
}

/// Returns the seed of item `number`, such as a sample, below `seed`.
pub fn derive_each(seed: u64, number: u64) -> u64 {
    mix(seed ^ mix(number))
}

/// Step of SplitMix64, which makes the seeds of neighbouring numbers unrelated.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn derived_seeds_differ_by_seed_purpose_and_epoch() {
        let mut seen = HashSet::new();
        for seed in [0, 1, 1 << 32, u64::MAX] {
            for purpose in [
                Purpose::Weights,
                Purpose::Order,
                Purpose::Dropout,
                Purpose::Validation,
                Purpose::Augmentation,
            ] {
                for epoch in 0..100 {
                    assert!(seen.insert(derive(seed, purpose, epoch)));
                }
            }
        }
    }
}
