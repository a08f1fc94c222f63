//! The convolution on the CPU.
//!
//! Spikes and frames are mostly zeros. Sparse inputs go to kernels that skip the zeros, other
//! inputs to kernels that keep the arithmetic units busy. The choice and the results depend only on
//! the data, not on the number of threads.

use pulp::{Arch, Simd, WithSimd};

use super::direct::{Direct, Filters};
use super::outputs::by_blocks;
use super::padded_rows::{Images, PaddedRows, share};
use super::weights::Weights;
use super::winograd::{self, Winograd};

/// Density above which Winograd's convolution is faster than skipping zeros.
const DENSE: f64 = 0.13;
/// Values of a piece when the density is estimated.
const PIECE: usize = 1024;
/// One in this many pieces is counted. The number is odd, so that the pieces come from all parts of
/// the images.
const SAMPLED: usize = 17;

/// Returns the outputs `[N, C_out, H, W]` of inputs `[N, C_in, H, W]`, computed with the vectors of
/// the processor `arch`.
pub fn convolve(arch: Arch, inputs: &[f32], weights: &Weights<'_>, images: Images) -> Vec<f32> {
    let lanes = lanes(arch);
    let sample = inputs.chunks(PIECE).step_by(SAMPLED);
    if winograd::serves(weights, images, lanes) && share(sample) > DENSE {
        let tape = winograd::tape(images, lanes);
        let filters = winograd::filters(weights);
        return by_blocks(
            &tape,
            weights.outputs,
            images,
            || Winograd::new(&tape, images, weights.inputs, lanes),
            |scratch, block, outputs| scratch.run(arch, block, inputs, &filters, outputs),
        );
    }
    let tape = PaddedRows::new(images);
    let filters = Filters::new(weights, lanes);
    by_blocks(
        &tape,
        weights.outputs,
        images,
        || Direct::new(&tape, weights.inputs, lanes),
        |scratch, block, outputs| scratch.run(arch, block, inputs, &filters, outputs),
    )
}

/// Returns the number of values in a vector.
pub fn lanes(arch: Arch) -> usize {
    struct Lanes;

    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }

    arch.dispatch(Lanes)
}
