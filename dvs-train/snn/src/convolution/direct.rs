//! Direct convolution of a block of the tape, which skips zeros if the block has many.

use pulp::Arch;

use super::dense::{self, Dense};
use super::inputs::Inputs;
use super::outputs::Outputs;
use super::padded_rows::{Block, PaddedRows};
use super::sparse::Scatter;
use super::weights::{Packed, Weights};

/// Density above which skipping zeros is slower than the dense kernel.
const DENSE: f64 = 0.35;
/// Fewest input channels for which skipping zeros is faster, because it clears and transposes sums.
const CHANNELS: usize = 16;

/// Weights in the orders of both kernels.
pub struct Filters {
    dense: Packed,
    sparse: Packed,
}

impl Filters {
    /// Packs the weights for vectors of `lanes` values.
    pub fn new(weights: &Weights<'_>, lanes: usize) -> Self {
        Self {
            dense: weights.pack(dense::TILE),
            sparse: weights.pack(lanes),
        }
    }
}

/// Buffers of a thread for the convolution of a block.
pub struct Direct {
    inputs: Inputs,
    /// Outputs, one vector per cell.
    sums: Vec<f32>,
    /// Output channels of a tile.
    out: Vec<f32>,
    /// Length of an output channel.
    row: usize,
    /// Density above which zeros are not skipped; see [`DENSE`].
    dense: f64,
}

impl Direct {
    /// Creates buffers for vectors of `lanes` values.
    pub fn new(tape: &PaddedRows, channels: usize, lanes: usize) -> Self {
        let row = tape.cells().next_multiple_of(lanes);
        Self {
            inputs: Inputs::new(tape, channels),
            sums: vec![0.0; (row + 4) * lanes],
            out: vec![0.0; row * lanes.max(dense::TILE)],
            row,
            dense: if channels < CHANNELS { 0.0 } else { DENSE },
        }
    }

    /// Computes the outputs of a block.
    pub fn run(
        &mut self,
        arch: Arch,
        block: &Block,
        tensor: &[f32],
        filters: &Filters,
        outputs: &mut Outputs<'_>,
    ) {
        self.inputs.load(arch, block, tensor, self.dense);
        let (inputs, row) = (&self.inputs, self.row);
        let packed = match inputs.sparse {
            true => &filters.sparse,
            false => &filters.dense,
        };
        for weights in packed.tiles() {
            let out = &mut self.out[..packed.tile * row];
            match inputs.sparse {
                true => arch.dispatch(Scatter {
                    weights,
                    inputs,
                    sums: &mut self.sums,
                    out,
                    row,
                }),
                false => arch.dispatch(Dense {
                    weights,
                    inputs: &inputs.planes,
                    out,
                    row,
                }),
            }
            outputs.put(block, out, row);
        }
    }
}
