//! The inputs of a block of the tape.

use pulp::Arch;

use super::padded_rows::{Block, PaddedRows, Planes, share};
use super::spikes::{Find, Spikes};

/// All channels of a block's inputs.
pub struct Inputs {
    /// The inputs, with those of the rows above and below the block.
    pub planes: Planes,
    /// Whether few of them are not zero.
    pub sparse: bool,
    /// Where those are, if they are few.
    pub spikes: Spikes,
    channels: usize,
}

impl Inputs {
    /// Room for some channels.
    pub fn new(tape: &PaddedRows, channels: usize) -> Self {
        Self {
            planes: Planes::new(tape, channels),
            sparse: false,
            spikes: Spikes::default(),
            channels,
        }
    }

    /// Takes them from a tensor. They are few below the share `dense`.
    pub fn load(&mut self, arch: Arch, block: &Block, tensor: &[f32], dense: f64) {
        self.planes.load(block, tensor, self.channels, 0);
        self.sparse = share(self.planes.iter()) < dense;
        if self.sparse {
            arch.dispatch(Find {
                block,
                inputs: &self.planes,
                spikes: &mut self.spikes,
            });
        }
    }
}
