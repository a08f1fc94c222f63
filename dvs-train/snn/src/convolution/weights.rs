//! Weights in the order in which the kernels read them.

/// Weights of one pair of channels, 3 x 3.
pub const TAPS: usize = 9;

/// The weights `[C_out, C_in, 3, 3]` of a convolution, or of the one that computes its input
/// gradient.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    values: &'a [f32],
    /// Number of input channels.
    pub inputs: usize,
    /// Number of output channels.
    pub outputs: usize,
    back: bool,
}

impl<'a> Weights<'a> {
    /// Creates the weights of the convolution.
    pub fn forth(values: &'a [f32], outputs: usize, inputs: usize) -> Self {
        Self {
            values,
            inputs,
            outputs,
            back: false,
        }
    }

    /// Creates the weights for the gradient of the input. It is a convolution of the output's
    /// gradient with mirrored weights and exchanged channels.
    pub fn back(values: &'a [f32], outputs: usize, inputs: usize) -> Self {
        Self {
            values,
            inputs: outputs,
            outputs: inputs,
            back: true,
        }
    }

    /// Returns one weight.
    pub fn at(&self, output: usize, input: usize, tap: usize) -> f32 {
        match self.back {
            false => self.values[(output * self.inputs + input) * TAPS + tap],
            true => self.values[(input * self.outputs + output) * TAPS + TAPS - 1 - tap],
        }
    }

    /// Packs the weights for `tile` outputs at a time.
    pub fn pack(&self, tile: usize) -> Packed {
        let tiles = self.outputs.div_ceil(tile);
        let mut values = Vec::with_capacity(tiles * self.inputs * TAPS * tile);
        for first in (0..tiles).map(|at| at * tile) {
            for input in 0..self.inputs {
                for tap in 0..TAPS {
                    values.extend((first..first + tile).map(|output| {
                        match output < self.outputs {
                            true => self.at(output, input, tap),
                            false => 0.0,
                        }
                    }));
                }
            }
        }
        Packed {
            values,
            tile,
            inputs: self.inputs,
        }
    }
}

/// Weights by tiles of outputs, `[C_out / tile, C_in, TAPS, tile]`, padded with zeros.
#[derive(Debug)]
pub struct Packed {
    values: Vec<f32>,
    /// Outputs per tile.
    pub tile: usize,
    inputs: usize,
}

impl Packed {
    /// Returns each tile's weights.
    pub fn tiles(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks((self.inputs * TAPS * self.tile).max(1))
    }
}
