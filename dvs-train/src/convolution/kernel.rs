//! The convolution and its gradients on the CPU.
//!
//! Spikes are mostly zeros, and so are frames: a block of the tape with few other inputs goes to kernels that pass over
//! the zeros, any other to kernels that keep the arithmetic units busy. The choice depends on the data alone, and so
//! do the results, whatever the number of threads.

use std::mem::MaybeUninit;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::sparse::{Scatter, Spikes};
use super::tape::{Block, Part, Planes, Tape};
use super::weights::{Packed, TAPS, Weights};
use super::{dense, gradient};

/// Share of inputs that are not zero from which on passing over the others does not pay.
const DENSE: f64 = 0.35;
/// Partial sums of the weights' gradient, at most: each of them is as large as the weights.
const PARTIAL: usize = 16;

/// Number and size of images, `[N, H, W]`.
pub type Images = [usize; 3];

/// Outputs `[N, C_out, H, W]` of inputs `[N, C_in, H, W]`.
pub fn convolve(inputs: &[f32], weights: &Weights<'_>, images: Images) -> Vec<f32> {
    let arch = Arch::new();
    let lanes = arch.dispatch(Lanes);
    let tape = Tape::new(images);
    let dense = weights.pack(dense::TILE);
    let sparse = weights.pack(lanes);
    let length = weights.outputs * images.iter().product::<usize>();
    let mut out = Vec::with_capacity(length);
    tape.split(&mut out.spare_capacity_mut()[..length], weights.outputs)
        .into_par_iter()
        .enumerate()
        .for_each_init(
            || Convolution::new(&tape, weights.inputs, lanes),
            |scratch, (at, mut parts)| {
                let block = tape.block(at);
                scratch.inputs.load(&block, inputs, weights.inputs);
                match scratch.inputs.sparse {
                    true => scratch.run(arch, &block, &sparse, &mut parts),
                    false => scratch.run(arch, &block, &dense, &mut parts),
                }
            },
        );
    // SAFETY: the blocks' parts are all of the first `length` values, and each block has written all of its own.
    unsafe { out.set_len(length) };
    out
}

/// Gradient `[C_out, C_in, 3, 3]` of the weights, from the inputs and the outputs' gradient.
pub fn weight_gradient(
    inputs: &[f32],
    grad: &[f32],
    [outputs, channels]: [usize; 2],
    images: Images,
) -> Vec<f32> {
    let arch = Arch::new();
    let lanes = arch.dispatch(Lanes);
    let tape = Tape::new(images);
    let group = channels * TAPS * lanes;
    let blocks: Vec<usize> = (0..tape.blocks()).collect();
    let partial: Vec<Vec<f32>> = blocks
        .par_chunks(blocks.len().div_ceil(PARTIAL).max(1))
        .map_init(
            || Gradient::new(&tape, channels, outputs, lanes),
            |scratch, blocks| {
                let mut sums = vec![0.0; outputs.div_ceil(lanes) * group];
                for block in blocks.iter().map(|&at| tape.block(at)) {
                    scratch.inputs.load(&block, inputs, channels);
                    scratch.load(&block, grad, outputs);
                    scratch.add(arch, &block, &mut sums, group);
                }
                sums
            },
        )
        .collect();
    let mut out = vec![0.0; outputs * channels * TAPS];
    out.par_chunks_mut((channels * TAPS).max(1))
        .enumerate()
        .for_each(|(output, out)| {
            let from = output / lanes * group + output % lanes;
            for (i, out) in out.iter_mut().enumerate() {
                *out = partial.iter().map(|sums| sums[from + i * lanes]).sum();
            }
        });
    out
}

/// Asks how many values a vector has.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// The inputs of a block.
struct Inputs {
    planes: Planes,
    spikes: Spikes,
    sparse: bool,
}

impl Inputs {
    fn new(tape: &Tape, channels: usize) -> Self {
        Self {
            planes: Planes::new(tape, channels),
            spikes: Spikes::default(),
            sparse: false,
        }
    }

    fn load(&mut self, block: &Block, tensor: &[f32], channels: usize) {
        self.planes.load(block, tensor, channels, 0);
        self.sparse = self.planes.density() < DENSE;
        if self.sparse {
            self.spikes.find(block, &self.planes);
        }
    }
}

/// What a thread needs for the convolution of a block.
struct Convolution {
    inputs: Inputs,
    /// Outputs, one vector a cell.
    sums: Vec<f32>,
    /// Some output channels.
    out: Vec<f32>,
    /// Length of each.
    row: usize,
}

impl Convolution {
    fn new(tape: &Tape, channels: usize, lanes: usize) -> Self {
        let row = tape.cells().next_multiple_of(lanes);
        Self {
            inputs: Inputs::new(tape, channels),
            sums: vec![0.0; (row + 4) * lanes],
            out: vec![0.0; row * lanes.max(dense::TILE)],
            row,
        }
    }

    /// Writes the outputs of a block, whose inputs are loaded, to its `parts`.
    fn run(
        &mut self,
        arch: Arch,
        block: &Block,
        packed: &Packed,
        parts: &mut [Part<'_, MaybeUninit<f32>>],
    ) {
        let (inputs, row) = (&self.inputs, self.row);
        for (first, weights) in packed.tiles() {
            match inputs.sparse {
                true => arch.dispatch(Scatter {
                    weights,
                    inputs: &inputs.planes,
                    spikes: &inputs.spikes,
                    sums: &mut self.sums,
                    out: &mut self.out,
                    row,
                }),
                false => arch.dispatch(dense::Dense {
                    weights,
                    inputs: &inputs.planes,
                    out: &mut self.out,
                    row,
                }),
            }
            for (channel, out) in (first..packed.outputs).zip(self.out.chunks_exact(row)) {
                block.store(out, channel, packed.outputs, parts);
            }
        }
    }
}

/// What a thread needs for the weights' gradient over a block.
struct Gradient {
    inputs: Inputs,
    /// One vector of channels of the outputs' gradient.
    planes: Planes,
    /// All of them with the channels of a vector innermost, one vector after the other.
    interleaved: Vec<f32>,
}

impl Gradient {
    fn new(tape: &Tape, channels: usize, outputs: usize, lanes: usize) -> Self {
        let planes = Planes::new(tape, lanes);
        Self {
            inputs: Inputs::new(tape, channels),
            interleaved: vec![0.0; outputs.div_ceil(lanes) * planes.values.len()],
            planes,
        }
    }

    fn load(&mut self, block: &Block, grad: &[f32], outputs: usize) {
        let lanes = self.planes.values.len() / self.planes.length;
        let vectors = self.interleaved.chunks_exact_mut(self.planes.values.len());
        for (at, vector) in vectors.enumerate() {
            self.planes.load(block, grad, outputs, at * lanes);
            gradient::interleave(&self.planes, vector);
        }
    }

    /// Adds the gradient over a block, which is loaded, to `sums`; a vector of output channels has `group` of them.
    fn add(&mut self, arch: Arch, block: &Block, sums: &mut [f32], group: usize) {
        let vector = self.planes.values.len();
        let Inputs {
            planes,
            spikes,
            sparse,
        } = &self.inputs;
        let together = if *sparse { 1 } else { 2 };
        let grads = self.interleaved.chunks(together * vector);
        for (grad, out) in grads.zip(sums.chunks_mut(together * group)) {
            match sparse {
                true => arch.dispatch(gradient::Sparse {
                    inputs: planes,
                    spikes,
                    grad,
                    out,
                }),
                false => arch.dispatch(gradient::Dense {
                    inputs: planes,
                    cells: block.cells(),
                    grad,
                    out,
                }),
            }
        }
    }
}
