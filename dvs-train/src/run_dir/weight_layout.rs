//! A network's weights in PyTorch's layout, which all other formats are made from.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use crate::nn::architecture::Architecture;
use crate::nn::notation::NeuronName;
use crate::run_dir::weights::{Array, Tensors};

/// One weight of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// A convolution's kernel `[C, inputs, K, K]`.
    Kernel(usize),
    /// Batch norm's scale `[C]`.
    Gamma(usize),
    /// Batch norm's shift `[C]`.
    Beta(usize),
    /// Batch norm's running mean `[C]`.
    Mean(usize),
    /// Batch norm's running variance `[C]`.
    Variance(usize),
    /// A linear layer's matrix `[outputs, inputs]`.
    Matrix(usize),
    /// A linear layer's bias `[outputs]`.
    Bias(usize),
    /// PLIF's weight of a layer of neurons, a scalar: 1 / tau = sigmoid(w).
    Tau(usize),
}

/// The layer of neurons that a weight is of, and its position among the convolution blocks or among
/// the linear layers.
enum Place {
    Block(usize),
    Linear(usize),
}

impl Architecture {
    /// Checks that a checkpoint has all weights. This must precede the allocation of a network,
    /// because the settings may claim any size.
    ///
    /// # Errors
    /// Returns an error with the name of the weight that is missing or has a different shape.
    pub fn check(&self, tensors: &Tensors) -> Result<()> {
        for part in self.parts() {
            part.find(tensors, self)?;
        }
        Ok(())
    }

    /// Returns the network's weights, in the order of the layers.
    pub fn parts(&self) -> Vec<Weight> {
        let mut parts = Vec::new();
        let tau = |neuron, layer| (neuron == NeuronName::Plif).then_some(Weight::Tau(layer));
        for (at, block) in self.blocks.iter().enumerate() {
            parts.push(Weight::Kernel(at));
            if block.norm {
                parts.extend([
                    Weight::Gamma(at),
                    Weight::Beta(at),
                    Weight::Mean(at),
                    Weight::Variance(at),
                ]);
            }
            parts.extend(tau(block.neuron, at));
        }
        for (at, linear) in self.linears.iter().enumerate() {
            parts.push(Weight::Matrix(at));
            parts.extend(self.linear_bias.then_some(Weight::Bias(at)));
            parts.extend(tau(linear.neuron, self.blocks.len() + at));
        }
        parts
    }

    /// Whether the weight is of the last layer, whose outputs are in the order of the labels.
    pub fn is_of_output(&self, weight: Weight) -> bool {
        match weight {
            Weight::Matrix(at) | Weight::Bias(at) => at + 1 == self.linears.len(),
            _ => false,
        }
    }

    fn place(&self, layer: usize) -> Place {
        match layer.checked_sub(self.blocks.len()) {
            None => Place::Block(layer),
            Some(at) => Place::Linear(at),
        }
    }
}

impl Weight {
    /// Returns the shape in PyTorch. The weight is one of [`Architecture::parts`].
    pub fn shape(self, architecture: &Architecture) -> Vec<usize> {
        let (blocks, linears) = (&architecture.blocks, &architecture.linears);
        match self {
            Self::Kernel(at) => {
                let block = &blocks[at];
                vec![block.channels, block.inputs, block.kernel, block.kernel]
            }
            Self::Gamma(at) | Self::Beta(at) | Self::Mean(at) | Self::Variance(at) => {
                vec![blocks[at].channels]
            }
            Self::Matrix(at) => vec![linears[at].outputs, linears[at].inputs],
            Self::Bias(at) => vec![linears[at].outputs],
            Self::Tau(_) => Vec::new(),
        }
    }

    /// Returns the name in a checkpoint.
    fn name(self, architecture: &Architecture) -> String {
        let block = |at, rest| format!("network.blocks.{at}.{rest}");
        let linear = |at, rest| format!("network.linears.{at}.{rest}");
        match self {
            Self::Kernel(at) => block(at, "conv.weight"),
            Self::Gamma(at) => block(at, "norm.gamma"),
            Self::Beta(at) => block(at, "norm.beta"),
            Self::Mean(at) => block(at, "norm.running_mean"),
            Self::Variance(at) => block(at, "norm.running_var"),
            Self::Matrix(at) => linear(at, "linear.weight"),
            Self::Bias(at) => linear(at, "linear.bias"),
            Self::Tau(layer) => match architecture.place(layer) {
                Place::Block(at) => block(at, "neurons.w"),
                Place::Linear(at) => linear(at, "neurons.w"),
            },
        }
    }

    /// Finds the weight in a checkpoint.
    fn find<'a>(self, tensors: &'a Tensors, architecture: &Architecture) -> Result<&'a Array> {
        let (name, shape) = (
            self.name(architecture),
            self.shape_in_checkpoint(architecture),
        );
        let array = tensors
            .0
            .get(&name)
            .with_context(|| format!("{name} is missing"))?;
        ensure!(
            array.shape == shape,
            "{name} has the shape {:?} where its network's has {shape:?}",
            array.shape
        );
        Ok(array)
    }

    /// Returns the shape in a checkpoint.
    fn shape_in_checkpoint(self, architecture: &Architecture) -> Vec<usize> {
        let mut shape = self.shape(architecture);
        match self {
            Self::Matrix(_) => shape.reverse(),
            Self::Tau(_) => shape.push(1),
            _ => {}
        }
        shape
    }
}

/// All weights of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The form of the network.
    pub architecture: Architecture,
    /// Values of each part, row by row.
    pub parts: BTreeMap<Weight, Vec<f32>>,
}

impl Weights {
    /// Returns the values of a part, which exist for every part of the form.
    pub fn get(&self, part: Weight) -> &[f32] {
        self.parts.get(&part).map_or(&[], Vec::as_slice)
    }

    /// Takes the weights out of a checkpoint.
    ///
    /// # Errors
    /// Returns an error with the name of the weight that is missing or has a different shape.
    pub fn of_checkpoint(tensors: &Tensors, architecture: Architecture) -> Result<Self> {
        let mut parts = BTreeMap::new();
        for part in architecture.parts() {
            let array = part.find(tensors, &architecture)?;
            let values = match part {
                Weight::Matrix(_) => transposed(&array.values, array.shape[0]),
                _ => array.values.clone(),
            };
            parts.insert(part, values);
        }
        Ok(Self {
            architecture,
            parts,
        })
    }

    /// Converts the weights to those of a checkpoint.
    pub fn into_checkpoint(self) -> Tensors {
        let architecture = self.architecture;
        let arrays = self.parts.into_iter().map(|(part, values)| {
            let shape = part.shape_in_checkpoint(&architecture);
            let values = match part {
                Weight::Matrix(_) => transposed(&values, shape[1]),
                _ => values,
            };
            (part.name(&architecture), Array { shape, values })
        });
        Tensors(arrays.collect())
    }
}

/// Transposes a matrix with `rows` rows.
fn transposed(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows.max(1);
    let all = (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column));
    all.map(|at| values[at]).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn weights_round_trip_through_a_checkpoint() {
        let notation = "{c2k3s1-BN-PLIF-MPk2s2}*2-c3k5s2-PLIF-FC3-PLIF-FC11-PLIF";
        let architecture = Architecture::build(notation, [18, 32], None, true).unwrap();
        let parts = architecture
            .parts()
            .into_iter()
            .enumerate()
            .map(|(i, part)| {
                let count: usize = part.shape(&architecture).iter().product();
                (part, (0..count).map(|k| (100 * i + k) as f32).collect())
            });
        let weights = Weights {
            architecture: architecture.clone(),
            parts: parts.collect(),
        };
        let mut tensors = weights.clone().into_checkpoint();
        let first = &tensors.0["network.linears.0.linear.weight"];
        assert_eq!(first.shape, [24, 3]);
        assert_eq!(first.values[1], weights.get(Weight::Matrix(0))[24]);
        assert_eq!(
            Weights::of_checkpoint(&tensors, architecture.clone()).unwrap(),
            weights
        );
        tensors.0.remove("network.linears.1.neurons.w").unwrap();
        let error = Weights::of_checkpoint(&tensors, architecture).unwrap_err();
        assert_eq!(error.to_string(), "network.linears.1.neurons.w is missing");
    }
}
