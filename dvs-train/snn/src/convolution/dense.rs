//! Dense convolution of a block of the tape: every input times every weight.

use pulp::{Simd, WithSimd};

use super::padded_rows::Planes;
use super::weights::TAPS;

/// Output channels that are computed together.
pub const TILE: usize = 8;

/// Output channels of one tile, over all cells of a block.
pub struct Dense<'a> {
    /// The tile's weights, `[C_in, TAPS, TILE]`.
    pub weights: &'a [f32],
    /// Input channels.
    pub inputs: &'a Planes,
    /// Output channels, each `row` long. The cells at its end are not outputs.
    pub out: &'a mut [f32],
    /// Length of an output channel, a multiple of the vector length.
    pub row: usize,
}

impl WithSimd for Dense<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        // Use as many accumulators as fit the registers.
        for from in (0..self.row).step_by(3 * S::F32_LANES) {
            match (S::REGISTER_COUNT > 16, (self.row - from) / S::F32_LANES) {
                (true, 1) => self.tile::<S, 8, 1>(simd, from),
                (true, 2) => self.tile::<S, 8, 2>(simd, from),
                (true, _) => self.tile::<S, 8, 3>(simd, from),
                (false, 1) => self.tile::<S, 4, 1>(simd, from),
                (false, 2) => self.tile::<S, 4, 2>(simd, from),
                (false, _) => self.tile::<S, 4, 3>(simd, from),
            }
        }
    }
}

impl Dense<'_> {
    /// Computes `VECTORS` vectors of cells from `from` on, of all output channels, `OUTPUTS` at a
    /// time.
    #[inline(always)]
    fn tile<S: Simd, const OUTPUTS: usize, const VECTORS: usize>(&mut self, simd: S, from: usize) {
        for first in (0..TILE).step_by(OUTPUTS) {
            let mut sums = [[simd.splat_f32s(0.0); VECTORS]; OUTPUTS];
            let weights = self.weights.as_chunks::<{ TAPS * TILE }>().0;
            for (weights, plane) in weights.iter().zip(self.inputs.iter()) {
                for (tap, weights) in weights.as_chunks::<TILE>().0.iter().enumerate() {
                    let at = from + tap / 3 * self.inputs.stride + tap % 3;
                    let cells = S::as_simd_f32s(&plane[at..at + VECTORS * S::F32_LANES]).0;
                    let cells = &cells[..VECTORS];
                    for (sums, &weight) in sums.iter_mut().zip(&weights[first..]) {
                        let weight = simd.splat_f32s(weight);
                        for (sum, &cell) in sums.iter_mut().zip(cells) {
                            *sum = simd.mul_add_e_f32s(cell, weight, *sum);
                        }
                    }
                }
            }
            for (output, sums) in sums.iter().enumerate() {
                let at = (first + output) * self.row + from;
                let out = &mut self.out[at..at + VECTORS * S::F32_LANES];
                S::as_mut_simd_f32s(out).0.copy_from_slice(sums);
            }
        }
    }
}
