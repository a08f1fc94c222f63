//! Finds the inputs of a block of the tape that are not zero.

use pulp::{Simd, WithSimd, bytemuck};

use super::padded_rows::{Block, Planes};

/// Inputs whose places are written together.
const RUN: usize = 8;
/// Positions of the one bits of each number, from the lowest on.
const ONES: [[u32; RUN]; 1 << RUN] = {
    let mut ones = [[0; RUN]; 1 << RUN];
    let mut number = 0;
    while number < ones.len() {
        let (mut bit, mut found) = (0, 0);
        while bit < RUN {
            if number >> bit & 1 == 1 {
                ones[number][found] = bit as u32;
                found += 1;
            }
            bit += 1;
        }
        number += 1;
    }
    ones
};

/// Places of nonzero inputs in their planes, in order, channel by channel.
#[derive(Debug, Default)]
pub struct Spikes {
    places: Vec<u32>,
    bounds: Vec<Bounds>,
}

/// Indices into `places` for one channel. Rows are counted from the one above the block. The
/// indices are the starts of rows 0, 1 and 2 and the ends of the last three rows.
type Bounds = [u32; 6];

impl Spikes {
    /// Returns the places in a channel that the block's outputs read with row `ky` of the weights.
    #[inline(always)]
    pub fn met(&self, channel: usize, ky: usize) -> &[u32] {
        let bounds = &self.bounds[channel];
        &self.places[bounds[ky] as usize..bounds[ky + 3] as usize]
    }

    /// Returns the places in a channel's rows of the block itself.
    #[inline(always)]
    pub fn own(&self, channel: usize) -> &[u32] {
        self.met(channel, 1)
    }
}

/// Finds the places of nonzero inputs.
pub struct Find<'a> {
    pub block: &'a Block,
    pub inputs: &'a Planes,
    pub spikes: &'a mut Spikes,
}

impl WithSimd for Find<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.block.rows;
        let mut ends = [0, 1, 2, rows, rows + 1, rows + 2].map(|row| 1 + row * self.inputs.stride);
        // If the block has one row, the first end comes before the start of row 2.
        ends.sort_unstable();
        let Spikes { places, bounds } = self.spikes;
        // Room for one more run, because whole runs are written.
        places.resize(self.inputs.values.len() + RUN, 0);
        bounds.clear();
        let mut found = 0;
        for plane in self.inputs.iter() {
            let (mut from, mut bound) = (0, [0; 6]);
            for (bound, end) in bound.iter_mut().zip(ends) {
                found = append(simd, &plane[from..end], from, places, found);
                (from, *bound) = (end, found as u32);
            }
            if rows == 1 {
                bound.swap(2, 3);
            }
            bounds.push(bound);
        }
    }
}

/// Writes the places of the nonzero `cells` to `places` from index `found` on. `first` is the place
/// of the first cell. Returns the new end.
#[inline(always)]
fn append<S: Simd>(
    simd: S,
    cells: &[f32],
    first: usize,
    places: &mut [u32],
    mut found: usize,
) -> usize {
    let (vectors, rest) = S::as_simd_f32s(cells);
    for at in 0..=vectors.len() {
        let vector = match vectors.get(at) {
            Some(vector) => *vector,
            None => simd.partial_load_f32s(rest),
        };
        let zeros = bits::<S>(simd.equal_f32s(vector, simd.splat_f32s(0.0)));
        for part in (0..S::F32_LANES).step_by(RUN) {
            let ones = !zeros >> part & ((1 << RUN.min(S::F32_LANES)) - 1);
            let first = (first + at * S::F32_LANES + part) as u32;
            if let Some(places) = places[found..].first_chunk_mut() {
                *places = ONES[ones as usize].map(|one| first + one);
            }
            found += ones.count_ones() as usize;
        }
    }
    found
}

/// Returns one bit for each lane of a mask.
#[inline(always)]
fn bits<S: Simd>(mask: S::m32s) -> u32 {
    match *bytemuck::bytes_of(&mask) {
        // Some processors have masks of bits, others masks of whole lanes.
        [low] => u32::from(low),
        [low, high] => u32::from(u16::from_le_bytes([low, high])),
        ref lanes => {
            let firsts = lanes.iter().step_by(lanes.len() / S::F32_LANES);
            firsts
                .rev()
                .fold(0, |bits, &lane| bits << 1 | u32::from(lane & 1))
        }
    }
}
