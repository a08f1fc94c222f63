//! The gradient of the weights on the CPU.

use pulp::Arch;
use rayon::prelude::*;

use super::cpu::lanes;
use super::gradient::{Dense, Sparse};
use super::inputs::Inputs;
use super::padded_rows::{Block, Images, PaddedRows, Planes};
use super::transpose::Transpose;
use super::weights::TAPS;

/// Density above which skipping zeros is slower than the dense kernel.
const DENSE: f64 = 0.45;
/// Most partial sums. Each is as large as the weights.
const PARTIAL: usize = 16;

/// Returns the gradient `[C_out, C_in, 3, 3]` of the weights from the inputs and the outputs'
/// gradient, computed with the vectors of the processor `arch`.
pub fn weight_gradient(
    arch: Arch,
    inputs: &[f32],
    grad: &[f32],
    [outputs, channels]: [usize; 2],
    images: Images,
) -> Vec<f32> {
    let lanes = lanes(arch);
    let tape = PaddedRows::new(images);
    let vector = channels * TAPS * lanes;
    let blocks: Vec<usize> = (0..tape.blocks()).collect();
    let partial: Vec<Vec<f32>> = blocks
        .par_chunks(blocks.len().div_ceil(PARTIAL).max(1))
        .map_init(
            || Gradient::new(&tape, [outputs, channels], lanes),
            |scratch, blocks| {
                let mut sums = vec![0.0; outputs.div_ceil(lanes) * vector];
                for block in blocks.iter().map(|&at| tape.block(at)) {
                    scratch.load(arch, &block, inputs, grad);
                    scratch.add(arch, &block, &mut sums);
                }
                sums
            },
        )
        .collect();
    let mut out = vec![0.0; outputs * channels * TAPS];
    out.par_chunks_mut((channels * TAPS).max(1))
        .enumerate()
        .for_each(|(output, out)| {
            let from = output / lanes * vector + output % lanes;
            for (i, out) in out.iter_mut().enumerate() {
                *out = partial.iter().map(|sums| sums[from + i * lanes]).sum();
            }
        });
    out
}

/// Buffers of a thread for the gradient over a block.
struct Gradient {
    inputs: Inputs,
    /// The outputs' gradient for one vector of channels.
    planes: Planes,
    /// The outputs' gradient for all channels, one vector after the other, with the channels of a
    /// vector innermost.
    grads: Vec<f32>,
    outputs: usize,
    lanes: usize,
}

impl Gradient {
    fn new(tape: &PaddedRows, [outputs, channels]: [usize; 2], lanes: usize) -> Self {
        let planes = Planes::new(tape, lanes);
        Self {
            inputs: Inputs::new(tape, channels),
            grads: vec![0.0; outputs.div_ceil(lanes) * planes.values.len()],
            planes,
            outputs,
            lanes,
        }
    }

    fn load(&mut self, arch: Arch, block: &Block, inputs: &[f32], grad: &[f32]) {
        self.inputs.load(arch, block, inputs, DENSE);
        let vectors = self.grads.chunks_exact_mut(self.planes.values.len());
        for (at, to) in vectors.enumerate() {
            self.planes.load(block, grad, self.outputs, at * self.lanes);
            arch.dispatch(Transpose {
                from: &self.planes.values,
                columns: self.planes.length,
                to,
                rows: self.lanes,
            });
        }
    }

    /// Adds the gradient over the loaded block to `sums`, one vector of output channels after the
    /// other.
    fn add(&self, arch: Arch, block: &Block, sums: &mut [f32]) {
        let inputs = &self.inputs;
        let together = if inputs.sparse { 1 } else { 2 };
        let length = together * self.planes.values.len();
        let vector = sums.len() / self.outputs.div_ceil(self.lanes).max(1);
        let sums = sums.chunks_mut((together * vector).max(1));
        for (grad, out) in self.grads.chunks(length).zip(sums) {
            match inputs.sparse {
                true => arch.dispatch(Sparse { inputs, grad, out }),
                false => arch.dispatch(Dense {
                    inputs: &inputs.planes,
                    cells: block.cells(),
                    grad,
                    out,
                }),
            }
        }
    }
}
