//! The convolution on the CPU.
//!
//! Spikes are mostly zeros, and so are frames: inputs few of which are not zero go to kernels that pass over the zeros,
//! any others to kernels that keep the arithmetic units busy. The choice depends on the data alone, and so do the
//! results, whatever the number of threads.

use pulp::{Arch, Simd, WithSimd};

use super::direct::{Direct, Filters};
use super::outputs::by_blocks;
use super::padded_rows::{Images, PaddedRows, share};
use super::weights::Weights;
use super::winograd::{self, Winograd};

/// Share of inputs that are not zero from which on Winograd's convolution is faster than passing over the others.
const DENSE: f64 = 0.13;
/// Inputs that are looked at together for that share.
const PIECE: usize = 1024;
/// Of how many such pieces one is looked at: an odd number, so that they come from all parts of the images.
const SAMPLED: usize = 17;

/// Outputs `[N, C_out, H, W]` of inputs `[N, C_in, H, W]`, with the vectors of a processor `arch`.
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

/// Values in a vector.
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
