//! Draws random numbers from a seed, the same on every machine.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

/// A generator for one seed and purpose, independent of all others.
pub(super) fn generator(seed: u64, purpose: [u64; 3]) -> Pcg64 {
    // SplitMix64 that absorbs one word per round.
    let mut state = seed;
    let mut mix = |word: u64| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word;
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        state = z ^ (z >> 31);
        state
    };
    for word in purpose {
        mix(word);
    }
    let mut bytes = [0; 32];
    for part in bytes.chunks_exact_mut(8) {
        part.copy_from_slice(&mix(0).to_le_bytes());
    }
    Pcg64::from_seed(bytes)
}

/// Uniform in `[low, high)`.
pub(super) fn between(random: &mut Pcg64, low: f64, high: f64) -> f64 {
    // A double holds 53 bits.
    let unit = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    low + unit * (high - low)
}

/// True with probability `p`.
pub(super) fn chance(random: &mut Pcg64, p: f64) -> bool {
    between(random, 0.0, 1.0) < p
}

/// Puts `values` in random order.
pub(super) fn shuffle<T>(random: &mut Pcg64, values: &mut [T]) {
    for i in (1..values.len()).rev() {
        let j = between(random, 0.0, (i + 1) as f64) as usize;
        values.swap(i, j);
    }
}
