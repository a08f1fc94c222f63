//! The inputs of a block of the tape.

use pulp::Arch;

use super::padded_rows::{Block, PaddedRows, Planes, share};
use super::spikes::{Find, Spikes};

/// All channels of a block's inputs.
pub struct Inputs {
    /// The inputs, including the rows above and below the block.
    pub planes: Planes,
    /// Whether few inputs are nonzero.
    pub sparse: bool,
    /// Places of the nonzero inputs, if there are few.
    pub spikes: Spikes,
    channels: usize,
}

impl Inputs {
    /// Allocates room for `channels` channels.
    pub fn new(tape: &PaddedRows, channels: usize) -> Self {
        Self {
            planes: Planes::new(tape, channels),
            sparse: false,
            spikes: Spikes::default(),
            channels,
        }
    }

    /// Loads a block's inputs from a tensor. Zeros are skipped if the density is below `dense`.
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
