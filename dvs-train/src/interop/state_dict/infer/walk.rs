//! Walks over the modules of a `Sequential` and finds out what stands between those with tensors.

use std::iter::Peekable;

use anyhow::{Context, Result, bail};
use dvs_shared::words::counted;

use super::Module;
use crate::interop::naming::SEQUENTIAL;
use crate::nn::notation::{NeuronName, Pool, WrittenLayer};

const DROPOUT: WrittenLayer = WrittenLayer::Dropout(0.5);
const HALVES: WrittenLayer = WrittenLayer::Pool(Pool::HALVES);

/// Walks over the modules and writes the layers down.
pub struct Walk<I: Iterator<Item = (usize, Module)>> {
    pub modules: Peekable<I>,
    /// The place of the module that follows.
    pub next: usize,
    /// Neurons without weights.
    pub others: NeuronName,
    pub layers: Vec<WrittenLayer>,
}

/// The layers that may stand before the first linear layer, and the place and inputs of that layer.
pub type Head = (Vec<Vec<WrittenLayer>>, (usize, usize));

impl<I: Iterator<Item = (usize, Module)>> Walk<I> {
    /// Takes the next module if it has the next place and is `wanted`.
    fn take(&mut self, wanted: Module) -> bool {
        let next = (self.next, wanted);
        let found = self.modules.next_if(|found| *found == next).is_some();
        self.next += usize::from(found);
        found
    }

    /// How many modules without tensors stand before the module at `at`.
    fn free(&self, at: usize, module: Module) -> Result<usize> {
        at.checked_sub(self.next).with_context(|| {
            format!(
                "{SEQUENTIAL}.{at} is {}, where neurons without weights are expected",
                module.words()
            )
        })
    }

    fn neurons(&mut self) {
        let neuron = match self.take(Module::Plif) {
            true => NeuronName::Plif,
            false => {
                self.next += 1;
                self.others
            }
        };
        self.layers.push(WrittenLayer::Neurons(neuron));
    }

    /// Reads the convolutions with what belongs to them.
    pub fn blocks(&mut self) -> Result<()> {
        let is_convolution =
            |(_, module): &(usize, Module)| matches!(module, Module::Convolution { .. });
        while let Some((at, module)) = self.modules.next_if(is_convolution) {
            let Module::Convolution { channels, kernel } = module else {
                break;
            };
            match (self.free(at, module)?, self.layers.is_empty()) {
                (0, _) => {}
                (1, false) => self.layers.push(HALVES),
                (free, _) => bail!(
                    "{}; expected is none, or max pooling of 2 x 2 after neurons",
                    unknown(free, at)
                ),
            }
            self.next = at + 1;
            self.layers.push(WrittenLayer::Convolution {
                channels,
                kernel,
                stride: 1,
                padding: (kernel - 1) / 2,
            });
            if self.take(Module::BatchNorm) {
                self.layers.push(WrittenLayer::BatchNorm);
            }
            self.neurons();
        }
        Ok(())
    }

    /// Reads what is between the last neurons and the first linear layer.
    pub fn head(&mut self) -> Result<Head> {
        let (at, inputs, module) = match self.modules.peek() {
            Some((at, module @ Module::Linear { inputs, .. })) => (*at, *inputs, *module),
            Some((at, module)) => bail!(
                "{SEQUENTIAL}.{at} is {}, where a convolution or a linear layer is expected",
                module.words()
            ),
            None => bail!("it has no linear layer"),
        };
        let free = self.free(at, module)?;
        self.next = at;
        let pools = !self.layers.is_empty();
        let heads = match free {
            1 => vec![Vec::new()],
            2 if pools => vec![vec![HALVES], vec![DROPOUT]],
            2 => vec![vec![DROPOUT]],
            3 if pools => vec![vec![HALVES, DROPOUT]],
            _ => bail!(
                "{}; expected are max pooling of 2 x 2 or none, flatten, and dropout or none",
                unknown(free, at)
            ),
        };
        Ok((heads, (at, inputs)))
    }

    /// Reads the linear layers, and returns the number of outputs and whether they have a bias.
    pub fn linears(&mut self) -> Result<(usize, bool)> {
        let (mut last, mut any_bias) = (0, false);
        let is_linear = |(_, module): &(usize, Module)| matches!(module, Module::Linear { .. });
        while let Some((at, module)) = self.modules.next_if(is_linear) {
            let Module::Linear {
                outputs, has_bias, ..
            } = module
            else {
                break;
            };
            match self.free(at, module)? {
                0 => {}
                1 => self.layers.push(DROPOUT),
                free => bail!("{}; expected is none, or dropout", unknown(free, at)),
            }
            self.next = at + 1;
            self.layers.push(WrittenLayer::Linear(outputs));
            self.neurons();
            (last, any_bias) = (outputs, any_bias || has_bias);
        }
        Ok((last, any_bias))
    }
}

fn unknown(free: usize, at: usize) -> String {
    format!(
        "it has {} without weights before {SEQUENTIAL}.{at}.weight, and does not say what they are",
        counted(free as u64, "module")
    )
}
