//! The convolution of a block of the tape whose inputs are mostly zero: each of the others adds its weights to the
//! outputs around it.

use pulp::{Simd, WithSimd};

use super::tape::{Block, Planes};
use super::weights::TAPS;

/// Where the inputs of a block are not zero, in each channel's order.
#[derive(Debug, Default)]
pub struct Spikes {
    places: Vec<u32>,
    /// For each channel, from which of its rows on they are where in `places`: 0, 1, 2, and the last three ends.
    bounds: Vec<[u32; 6]>,
}

impl Spikes {
    /// Finds them.
    pub fn find(&mut self, block: &Block, planes: &Planes) {
        self.places.clear();
        self.bounds.clear();
        let row = |row: usize| 1 + row * planes.stride;
        let ends = [0, 1, 2, block.rows, block.rows + 1, block.rows + 2].map(row);
        let mut found = 0;
        for plane in planes.iter() {
            self.places.resize(found + plane.len(), 0);
            let mut bounds = [found as u32; 6];
            // A block of one row has its second row before its first end.
            let order = match block.rows {
                1 => [0, 1, 3, 2, 4, 5],
                _ => [0, 1, 2, 3, 4, 5],
            };
            let mut from = 0;
            for bound in order {
                for (place, &cell) in plane.iter().enumerate().take(ends[bound]).skip(from) {
                    self.places[found] = place as u32;
                    found += usize::from(cell != 0.0);
                }
                (from, bounds[bound]) = (ends[bound].max(from), found as u32);
            }
            self.bounds.push(bounds);
        }
        self.places.truncate(found);
    }

    /// Those of a channel that the block's outputs meet in the row `ky` of the weights.
    #[inline(always)]
    fn met(&self, channel: usize, ky: usize) -> &[u32] {
        let bounds = &self.bounds[channel];
        &self.places[bounds[ky] as usize..bounds[ky + 3] as usize]
    }

    /// Those of a channel in the block's own rows.
    #[inline(always)]
    pub fn own(&self, channel: usize) -> &[u32] {
        self.met(channel, 1)
    }
}

/// One vector of output channels, over all cells of a block.
pub struct Scatter<'a> {
    /// Their weights, `[C_in, TAPS, lanes]`.
    pub weights: &'a [f32],
    /// Input channels.
    pub inputs: &'a Planes,
    /// Where the inputs are not zero.
    pub spikes: &'a Spikes,
    /// Outputs, one vector a cell, from two cells before the block's first.
    pub sums: &'a mut [f32],
    /// Output channels, each `row` long.
    pub out: &'a mut [f32],
    /// Length of an output channel.
    pub row: usize,
}

impl WithSimd for Scatter<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.sums.fill(0.0);
        let sums = S::as_mut_simd_f32s(self.sums).0;
        let weights = S::as_simd_f32s(self.weights).0.as_chunks::<TAPS>().0;
        let planes = self.inputs.iter();
        for (channel, (weights, plane)) in weights.iter().zip(planes).enumerate() {
            for (ky, weights) in weights.as_chunks::<3>().0.iter().enumerate() {
                let [left, middle, right] = *weights;
                let above = ky * self.inputs.stride;
                for &place in self.spikes.met(channel, ky) {
                    let place = place as usize;
                    let spike = simd.splat_f32s(plane[place]);
                    // Two before the first come the outputs for which this input is to the right.
                    let Some([a, b, c]) = sums[place - above..].first_chunk_mut::<3>() else {
                        continue;
                    };
                    *a = simd.mul_add_e_f32s(right, spike, *a);
                    *b = simd.mul_add_e_f32s(middle, spike, *b);
                    *c = simd.mul_add_e_f32s(left, spike, *c);
                }
            }
        }
        transpose(
            &self.sums[2 * S::F32_LANES..],
            S::F32_LANES,
            self.row,
            self.out,
        );
    }
}

/// `to[lane][i] = from[i][lane]`
#[inline(always)]
fn transpose(from: &[f32], lanes: usize, row: usize, to: &mut [f32]) {
    for (lane, to) in to.chunks_exact_mut(row).take(lanes).enumerate() {
        for (to, from) in to.iter_mut().zip(from.chunks_exact(lanes)) {
            *to = from[lane];
        }
    }
}
