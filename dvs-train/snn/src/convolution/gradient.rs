//! The gradient of the weights, summed over a block of the tape.

use pulp::{Simd, WithSimd};

use super::inputs::Inputs;
use super::padded_rows::Planes;
use super::weights::TAPS;

/// One vector of output channels, for sparse inputs.
pub struct Sparse<'a> {
    /// Input channels.
    pub inputs: &'a Inputs,
    /// Gradient of the outputs, one vector per cell, in the layout of a plane.
    pub grad: &'a [f32],
    /// Sums that this adds to, `[C_in, TAPS, lanes]`.
    pub out: &'a mut [f32],
}

impl WithSimd for Sparse<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let grad = S::as_simd_f32s(self.grad).0;
        let out = S::as_mut_simd_f32s(self.out).0.as_chunks_mut::<TAPS>().0;
        let planes = self.inputs.planes.iter();
        for (channel, (out, plane)) in out.iter_mut().zip(planes).enumerate() {
            let mut sums = *out;
            for &place in self.inputs.spikes.own(channel) {
                let place = place as usize;
                let spike = simd.splat_f32s(plane[place]);
                // The first of the outputs around this input is to its upper left.
                let first = place - self.inputs.planes.stride - 1;
                for (below, sums) in sums.as_chunks_mut::<3>().0.iter_mut().rev().enumerate() {
                    let Some([a, b, c]) =
                        grad[first + below * self.inputs.planes.stride..].first_chunk()
                    else {
                        continue;
                    };
                    let [left, middle, right] = sums;
                    *right = simd.mul_add_e_f32s(*a, spike, *right);
                    *middle = simd.mul_add_e_f32s(*b, spike, *middle);
                    *left = simd.mul_add_e_f32s(*c, spike, *left);
                }
            }
            *out = sums;
        }
    }
}

/// One or two vectors of output channels, for dense inputs: every input times every gradient.
pub struct Dense<'a> {
    /// Input channels.
    pub inputs: &'a Planes,
    /// Cells of the block.
    pub cells: usize,
    /// Gradient of the outputs, one vector per cell, in the layout of a plane. The vectors of
    /// channels follow one another.
    pub grad: &'a [f32],
    /// Sums that this adds to, `[.., C_in, TAPS, lanes]`.
    pub out: &'a mut [f32],
}

impl WithSimd for Dense<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let two = self.grad.len() > self.inputs.length * S::F32_LANES;
        // Use as many accumulators as fit the registers.
        let together = if S::REGISTER_COUNT > 16 { 4 } else { 2 };
        let channels = self.inputs.values.len() / self.inputs.length;
        for first in (0..channels).step_by(together) {
            for ky in 0..3 {
                match (two, together.min(channels - first)) {
                    (true, 1) => self.tile::<S, 2, 1>(simd, first, ky),
                    (true, 2) => self.tile::<S, 2, 2>(simd, first, ky),
                    (true, 3) => self.tile::<S, 2, 3>(simd, first, ky),
                    (true, _) => self.tile::<S, 2, 4>(simd, first, ky),
                    (false, 1) => self.tile::<S, 1, 1>(simd, first, ky),
                    (false, 2) => self.tile::<S, 1, 2>(simd, first, ky),
                    (false, 3) => self.tile::<S, 1, 3>(simd, first, ky),
                    (false, _) => self.tile::<S, 1, 4>(simd, first, ky),
                }
            }
        }
    }
}

impl Dense<'_> {
    /// Adds one row of the weights between `INPUTS` channels from `first` on and all output
    /// channels.
    #[inline(always)]
    fn tile<S: Simd, const OUTPUTS: usize, const INPUTS: usize>(
        &mut self,
        simd: S,
        first: usize,
        ky: usize,
    ) {
        // Both kernels sum over the block's own inputs, because the next block may use the sparse
        // kernel.
        let grad = S::as_simd_f32s(self.grad).0;
        let grads: [_; OUTPUTS] = std::array::from_fn(|output| {
            &grad[output * self.inputs.length + 1 + (2 - ky) * self.inputs.stride..][..self.cells]
        });
        let inputs: [_; INPUTS] = std::array::from_fn(|input| {
            let plane = &self.inputs.values[(first + input) * self.inputs.length..];
            &plane[self.inputs.stride..][..self.cells + 2]
        });
        let mut sums = [[[simd.splat_f32s(0.0); OUTPUTS]; 3]; INPUTS];
        for i in 0..self.cells {
            let grads = grads.map(|grad| grad[i]);
            for (sums, input) in sums.iter_mut().zip(inputs) {
                for (kx, sums) in sums.iter_mut().enumerate() {
                    let input = simd.splat_f32s(input[i + kx]);
                    for (sum, grad) in sums.iter_mut().zip(grads) {
                        *sum = simd.mul_add_e_f32s(grad, input, *sum);
                    }
                }
            }
        }
        let out = S::as_mut_simd_f32s(self.out).0;
        let channels = self.inputs.values.len() / self.inputs.length;
        for (input, sums) in sums.iter().enumerate() {
            for (kx, sums) in sums.iter().enumerate() {
                for (output, &sum) in sums.iter().enumerate() {
                    let at = (output * channels + first + input) * TAPS + ky * 3 + kx;
                    out[at] = simd.add_f32s(out[at], sum);
                }
            }
        }
    }
}
