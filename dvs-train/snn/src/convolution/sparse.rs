//! Sparse convolution of a block of the tape: each nonzero input adds its weights to the outputs
//! around it.

use pulp::{Simd, WithSimd};

use super::inputs::Inputs;
use super::transpose::Transpose;
use super::weights::TAPS;

/// One vector of output channels, over all cells of a block.
pub struct Scatter<'a> {
    /// Weights of these channels, `[C_in, TAPS, lanes]`.
    pub weights: &'a [f32],
    /// Input channels.
    pub inputs: &'a Inputs,
    /// Outputs, one vector per cell, from two cells before the block's first.
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
        let planes = self.inputs.planes.iter();
        for (channel, (weights, plane)) in weights.iter().zip(planes).enumerate() {
            for (ky, weights) in weights.as_chunks::<3>().0.iter().enumerate() {
                let [left, middle, right] = *weights;
                let above = ky * self.inputs.planes.stride;
                for &place in self.inputs.spikes.met(channel, ky) {
                    let place = place as usize;
                    let spike = simd.splat_f32s(plane[place]);
                    // The sums begin two cells early, so the first of these outputs has this input
                    // on its right.
                    let Some([a, b, c]) = sums[place - above..].first_chunk_mut::<3>() else {
                        continue;
                    };
                    *a = simd.mul_add_e_f32s(right, spike, *a);
                    *b = simd.mul_add_e_f32s(middle, spike, *b);
                    *c = simd.mul_add_e_f32s(left, spike, *c);
                }
            }
        }
        let transpose = Transpose {
            from: &self.sums[2 * S::F32_LANES..][..self.row * S::F32_LANES],
            columns: S::F32_LANES,
            to: self.out,
            rows: self.row,
        };
        transpose.with_simd(simd);
    }
}
