//! The convolution on the CPU.
//!
//! Spikes are mostly zeros, and so are frames: inputs few of which are not zero go to kernels that pass over the zeros,
//! any others to kernels that keep the arithmetic units busy. The choice depends on the data alone, and so do the
//! results, whatever the number of threads.

use std::mem::MaybeUninit;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::direct::{Direct, Filters};
use super::tape::{Block, Part, Tape, share};
use super::weights::Weights;
use super::winograd::{self, Winograd};

/// Share of inputs that are not zero from which on Winograd's convolution is faster than passing over the others.
const DENSE: f64 = 0.13;
/// Inputs that are looked at together for that share.
const PIECE: usize = 1024;
/// Of how many such pieces one is looked at: an odd number, so that they come from all parts of the images.
const SAMPLED: usize = 17;

/// Number and size of images, `[N, H, W]`.
pub type Images = [usize; 3];

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
    let tape = Tape::new(images);
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

/// The outputs of a block.
pub struct Outputs<'a> {
    parts: Vec<Part<'a, MaybeUninit<f32>>>,
    /// Channels that are still to come.
    channels: std::ops::Range<usize>,
}

impl Outputs<'_> {
    /// Writes the next channels, as many as there still are; each is `row` long and has cell (row, column) at
    /// `row * stride + column`.
    pub fn put(&mut self, block: &Block, values: &[f32], row: usize) {
        let channels = self.channels.end;
        for (values, channel) in values.chunks_exact(row).zip(&mut self.channels) {
            block.store(values, channel, channels, &mut self.parts);
        }
    }
}

/// Outputs that `run` puts, all channels of one block after those of another. Each thread has its own `scratch`.
fn by_blocks<S>(
    tape: &Tape,
    channels: usize,
    images: Images,
    scratch: impl Fn() -> S + Sync + Send,
    run: impl Fn(&mut S, &Block, &mut Outputs<'_>) + Sync + Send,
) -> Vec<f32> {
    let length = channels * images.iter().product::<usize>();
    let mut out = Vec::with_capacity(length);
    let whole = tape
        .split(&mut out.spare_capacity_mut()[..length], channels)
        .into_par_iter()
        .enumerate()
        .map_init(scratch, |scratch, (at, parts)| {
            let mut outputs = Outputs {
                parts,
                channels: 0..channels,
            };
            run(scratch, &tape.block(at), &mut outputs);
            outputs.channels.is_empty()
        })
        .all(|whole| whole);
    assert!(whole, "a block's outputs are not all there");
    // SAFETY: the blocks' parts are all of the first `length` values, and all of each was written.
    unsafe { out.set_len(length) };
    out
}
