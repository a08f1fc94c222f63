//! Weights in the order in which the kernels read them.

/// Weights of one pair of channels, 3 x 3.
pub const TAPS: usize = 9;

/// The weights of a convolution, `[C_out, C_in, 3, 3]`, or of the one that leads back from its gradient.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    values: &'a [f32],
    /// Of what they are applied to.
    pub inputs: usize,
    /// Of what comes of it.
    pub outputs: usize,
    back: bool,
}

impl<'a> Weights<'a> {
    /// Of the convolution.
    pub fn forth(values: &'a [f32], outputs: usize, inputs: usize) -> Self {
        Self {
            values,
            inputs,
            outputs,
            back: false,
        }
    }

    /// Of the gradient of its input, which is a convolution of that of its output: mirrored, channels exchanged.
    pub fn back(values: &'a [f32], outputs: usize, inputs: usize) -> Self {
        Self {
            values,
            inputs: outputs,
            outputs: inputs,
            back: true,
        }
    }

    /// One of them.
    pub fn at(&self, output: usize, input: usize, tap: usize) -> f32 {
        match self.back {
            false => self.values[(output * self.inputs + input) * TAPS + tap],
            true => self.values[(input * self.outputs + output) * TAPS + TAPS - 1 - tap],
        }
    }

    /// Those of `tile` outputs at a time.
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

/// Weights of some outputs at a time, `[C_out / tile, C_in, TAPS, tile]`, filled up with zeros.
#[derive(Debug)]
pub struct Packed {
    values: Vec<f32>,
    /// Outputs of a tile.
    pub tile: usize,
    inputs: usize,
}

impl Packed {
    /// Each tile's weights.
    pub fn tiles(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks((self.inputs * TAPS * self.tile).max(1))
    }
}
