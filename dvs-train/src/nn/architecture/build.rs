//! Builds the form of a network from its notation, and checks every layer against the one before it.

use std::ops::Range;

use dvs_shared::event::POLARITIES;

use super::{Architecture, BlockForm, LinearForm};
use crate::nn::notation::{NeuronName, NotationError, Placed, PoolKind, WrittenLayer, parse};

/// Most weights of a network. With an optimizer's state, a checkpoint has three times as many numbers.
const MAX_WEIGHTS: usize = 1 << 31;
/// Largest window and stride of a pooling.
const MAX_WINDOW: usize = 7;

impl Architecture {
    /// Builds the form of the network in `notation` for frames of `size` (height and width). If
    /// `classes` is given, the network has to have as many.
    ///
    /// # Errors
    /// Returns an error that points at the first layer that is unknown, out of place, or of a shape
    /// that does not fit.
    pub fn build(
        notation: &str,
        size: [usize; 2],
        classes: Option<usize>,
        linear_bias: bool,
    ) -> Result<Self, NotationError> {
        let mut builder = Builder {
            notation,
            layers: parse(notation)?,
            at: 0,
            weights: 0,
            last_linear: 0..0,
            frame: size,
            shape: Features::Image {
                channels: POLARITIES as usize,
                size,
            },
        };
        let (blocks, linears) = (builder.blocks()?, builder.linears()?);
        let voters = builder.voters(linears.last())?;
        let Some(last) = linears.last() else {
            let end = notation.len();
            return Err(builder.error(
                end..end,
                "a linear layer with neurons is expected at the end, as in FC110-LIF-APk10s10",
            ));
        };
        let found = last.outputs / voters;
        if let Some(classes) = classes.filter(|classes| *classes != found) {
            let why = format!(
                "{} outputs, {voters} for each class, are for {found} classes, and the data has {classes}; FC{} is for \
                 {classes}",
                last.outputs,
                classes * voters
            );
            return Err(builder.error(builder.last_linear.clone(), why));
        }
        Ok(Self {
            size,
            classes: found,
            voters,
            linear_bias,
            blocks,
            linears,
        })
    }
}

/// Reads the blocks of a notation in order.
struct Builder<'a> {
    notation: &'a str,
    layers: Vec<Placed>,
    /// Number of layers that have been read.
    at: usize,
    /// Number of weights so far.
    weights: usize,
    /// The bytes of the last linear layer in the notation.
    last_linear: Range<usize>,
    /// Height and width of a frame.
    frame: [usize; 2],
    /// What the layers so far give.
    shape: Features,
}

#[derive(Clone, Copy)]
enum Features {
    Image { channels: usize, size: [usize; 2] },
    Flat(usize),
}

impl Features {
    fn count(self) -> usize {
        match self {
            Self::Image {
                channels,
                size: [height, width],
            } => channels * height * width,
            Self::Flat(count) => count,
        }
    }
}

impl Builder<'_> {
    fn error(&self, at: Range<usize>, why: impl Into<String>) -> NotationError {
        NotationError::new(self.notation, at, why)
    }

    /// The next layer.
    fn peek(&self) -> Option<Placed> {
        self.layers.get(self.at).cloned()
    }

    /// Returns the bytes of the next layer in the notation, or the end of the notation.
    fn here(&self) -> Range<usize> {
        let end = self.notation.len();
        self.peek().map_or(end..end, |(_, place)| place)
    }

    /// Reads a dropout if it is next.
    fn dropout(&mut self) -> Option<f64> {
        match self.peek() {
            Some((WrittenLayer::Dropout(probability), _)) => {
                self.at += 1;
                Some(probability)
            }
            _ => None,
        }
    }

    fn neurons(&mut self, after: &str) -> Result<NeuronName, NotationError> {
        match self.peek() {
            Some((WrittenLayer::Neurons(neuron), _)) => {
                self.at += 1;
                Ok(neuron)
            }
            _ => Err(self.error(
                self.here(),
                format!("neurons are expected after {after}: LIF, PLIF or IF"),
            )),
        }
    }

    /// Reads all convolution blocks.
    fn blocks(&mut self) -> Result<Vec<BlockForm>, NotationError> {
        let mut blocks = Vec::new();
        loop {
            let start = self.at;
            let dropout = self.dropout();
            match self.peek() {
                Some((layer @ WrittenLayer::Convolution { .. }, place)) => {
                    self.at += 1;
                    blocks.push(self.block(dropout.unwrap_or(0.0), layer, place)?);
                }
                _ => {
                    self.at = start;
                    return Ok(blocks);
                }
            }
        }
    }

    /// Reads the rest of a block, behind its convolution.
    fn block(
        &mut self,
        dropout: f64,
        convolution: WrittenLayer,
        place: Range<usize>,
    ) -> Result<BlockForm, NotationError> {
        let (
            WrittenLayer::Convolution {
                channels,
                kernel,
                stride,
                padding,
            },
            Features::Image {
                channels: inputs,
                size,
            },
        ) = (convolution, self.shape)
        else {
            return Err(self.error(place, "a convolution is expected here"));
        };
        self.add_weights(place.clone(), &[channels, inputs, kernel, kernel])?;
        let norm = matches!(self.peek(), Some((WrittenLayer::BatchNorm, _)));
        self.at += usize::from(norm);
        let neuron = self.neurons(match norm {
            true => "batch norm",
            false => "a convolution, or batch norm and neurons",
        })?;
        let mut block = BlockForm {
            dropout,
            inputs,
            channels,
            kernel,
            stride,
            padding,
            norm,
            neuron,
            pools: Vec::new(),
            size,
        };
        let nothing_left = |size: [usize; 2]| size.contains(&0);
        if nothing_left(block.convolved()) {
            let [height, width] = size;
            let why = format!("its inputs of {height} x {width} are smaller than its kernel");
            return Err(self.error(place, why));
        }
        while let Some((WrittenLayer::Pool(pool), place)) = self.peek() {
            for (what, value) in [("window", pool.kernel), ("stride", pool.stride)] {
                if value > MAX_WINDOW {
                    let why = format!(
                        "the {what} of a pooling is {value}, and {MAX_WINDOW} is the largest"
                    );
                    return Err(self.error(place, why));
                }
            }
            let [height, width] = block.pooled();
            block.pools.push(pool);
            if nothing_left(block.pooled()) {
                let [frame_height, frame_width] = self.frame;
                let why = format!(
                    "pooling leaves nothing of its inputs of {height} x {width}; frames of {frame_height} x {frame_width} \
                     are too small for this network"
                );
                return Err(self.error(place, why));
            }
            self.at += 1;
        }
        self.shape = Features::Image {
            channels,
            size: block.pooled(),
        };
        Ok(block)
    }

    /// Reads all linear layers.
    fn linears(&mut self) -> Result<Vec<LinearForm>, NotationError> {
        let mut linears = Vec::new();
        loop {
            let dropout = self.dropout();
            let Some((WrittenLayer::Linear(outputs), place)) = self.peek() else {
                return match dropout {
                    Some(_) => Err(self.error(
                        self.here(),
                        "a convolution or a linear layer is expected after dropout",
                    )),
                    None => Ok(linears),
                };
            };
            let inputs = self.shape.count();
            self.add_weights(place.clone(), &[inputs, outputs])?;
            self.last_linear = place;
            self.at += 1;
            let neuron = self.neurons("a linear layer")?;
            self.shape = Features::Flat(outputs);
            linears.push(LinearForm {
                dropout: dropout.unwrap_or(0.0),
                inputs,
                outputs,
                neuron,
            });
        }
    }

    /// Reads the voting, if there is one, which has to be the last layer.
    fn voters(&mut self, last: Option<&LinearForm>) -> Result<usize, NotationError> {
        let Some((layer, place)) = self.peek() else {
            return Ok(1);
        };
        let (WrittenLayer::Pool(pool), Some(last)) = (layer, last) else {
            let expected = match last {
                None => "a block or a linear layer: c128k3s1-BN-LIF-MPk2s2 or FC512-LIF",
                Some(_) => "a linear layer, voting or the end",
            };
            return Err(self.error(
                place,
                format!("{layer} is out of place here; {expected} is expected"),
            ));
        };
        if pool.kind != PoolKind::Average || pool.kernel != pool.stride {
            let why = "the outputs of a linear layer take no pooling but voting, as in APk10s10";
            return Err(self.error(place, why));
        }
        self.at += 1;
        if let Some((_, place)) = self.peek() {
            return Err(self.error(place, "voting is the last layer, and this follows it"));
        }
        if !last.outputs.is_multiple_of(pool.kernel) {
            let why = format!(
                "{} outputs do not divide into groups of {}",
                last.outputs, pool.kernel
            );
            return Err(self.error(place, why));
        }
        Ok(pool.kernel)
    }

    /// Adds the weights of this shape to those of the network.
    fn add_weights(&mut self, place: Range<usize>, shape: &[usize]) -> Result<(), NotationError> {
        let own = shape
            .iter()
            .try_fold(1_usize, |all, side| all.checked_mul(*side));
        let all = own.and_then(|own| own.checked_add(self.weights));
        match all.filter(|all| *all <= MAX_WEIGHTS) {
            Some(all) => {
                self.weights = all;
                Ok(())
            }
            None => {
                let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
                let why = format!(
                    "with {} weights, the network has more than {MAX_WEIGHTS}",
                    sides.join(" x ")
                );
                Err(self.error(place, why))
            }
        }
    }
}

#[cfg(test)]
mod tests;
