//! A network's weights in PyTorch's layout, which all other formats are made from.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use burn_snn::neuron::model::Charge;
use dvs_shared::event::POLARITIES;

use crate::nn::network::{BLOCKS, NetworkConfig, VOTERS};
use crate::run_dir::weights::{Array, Tensors};

/// Configuration that decides the weights and their shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Channels C of every convolution.
    pub channels: usize,
    /// Neurons of the hidden linear layer.
    pub hidden: usize,
    /// Number of classes.
    pub classes: usize,
    /// Height and width of a frame.
    pub size: [usize; 2],
    /// Whether the linear layers have a bias.
    pub linear_bias: bool,
    /// Whether the neurons learn their time constant (PLIF).
    pub learnt_tau: bool,
}

/// One weight of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// A convolution's kernel `[C, inputs, 3, 3]`.
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

/// Names of the linear layers in a checkpoint.
const LINEAR: [&str; 2] = ["hidden", "output"];

impl Architecture {
    /// Returns the form of the network that `config` asks for.
    pub fn of(config: &NetworkConfig) -> Self {
        Self {
            channels: config.channels,
            hidden: config.hidden(),
            classes: config.classes,
            size: config.size,
            linear_bias: config.linear_bias,
            learnt_tau: matches!(config.neuron.charge, Charge::Learnt { .. }),
        }
    }

    /// Returns the number of inputs of the hidden layer.
    pub fn features(&self) -> usize {
        let [height, width] = self.size.map(|length| length >> BLOCKS);
        self.channels * height * width
    }

    /// Returns the numbers of inputs and outputs of a linear layer.
    pub fn linear(&self, layer: usize) -> [usize; 2] {
        match layer {
            0 => [self.features(), self.hidden],
            _ => [self.hidden, self.classes * VOTERS],
        }
    }

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
        let tau = |layer| self.learnt_tau.then_some(Weight::Tau(layer));
        for block in 0..BLOCKS {
            parts.extend([
                Weight::Kernel(block),
                Weight::Gamma(block),
                Weight::Beta(block),
                Weight::Mean(block),
                Weight::Variance(block),
            ]);
            parts.extend(tau(block));
        }
        for layer in 0..LINEAR.len() {
            parts.push(Weight::Matrix(layer));
            parts.extend(self.linear_bias.then_some(Weight::Bias(layer)));
            parts.extend(tau(BLOCKS + layer));
        }
        parts
    }
}

impl Weight {
    /// Returns the shape in PyTorch.
    pub fn shape(self, architecture: &Architecture) -> Vec<usize> {
        let c = architecture.channels;
        match self {
            Self::Kernel(0) => vec![c, POLARITIES as usize, 3, 3],
            Self::Kernel(_) => vec![c, c, 3, 3],
            Self::Gamma(_) | Self::Beta(_) | Self::Mean(_) | Self::Variance(_) => vec![c],
            Self::Matrix(layer) => {
                let [inputs, outputs] = architecture.linear(layer);
                vec![outputs, inputs]
            }
            Self::Bias(layer) => vec![architecture.linear(layer)[1]],
            Self::Tau(_) => Vec::new(),
        }
    }

    /// Whether the weight is of the output layer, whose outputs are in the order of the labels.
    pub fn is_of_output(self) -> bool {
        matches!(self, Self::Matrix(1) | Self::Bias(1))
    }

    /// Returns the name in a checkpoint.
    fn name(self) -> String {
        let block = |block, rest| format!("network.blocks.{block}.{rest}");
        match self {
            Self::Kernel(b) => block(b, "conv.weight"),
            Self::Gamma(b) => block(b, "norm.gamma"),
            Self::Beta(b) => block(b, "norm.beta"),
            Self::Mean(b) => block(b, "norm.running_mean"),
            Self::Variance(b) => block(b, "norm.running_var"),
            Self::Matrix(layer) => format!("network.{}.weight", LINEAR[layer]),
            Self::Bias(layer) => format!("network.{}.bias", LINEAR[layer]),
            Self::Tau(layer) if layer < BLOCKS => block(layer, "neurons.w"),
            Self::Tau(layer) => format!("network.{}_neurons.w", LINEAR[layer - BLOCKS]),
        }
    }

    /// Finds the weight in a checkpoint.
    fn find<'a>(self, tensors: &'a Tensors, architecture: &Architecture) -> Result<&'a Array> {
        let (name, shape) = (self.name(), self.shape_in_checkpoint(architecture));
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
            (part.name(), Array { shape, values })
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
        let architecture = Architecture {
            channels: 2,
            hidden: 3,
            classes: 11,
            size: [32, 64],
            linear_bias: true,
            learnt_tau: true,
        };
        let parts = architecture
            .parts()
            .into_iter()
            .enumerate()
            .map(|(i, part)| {
                let count: usize = part.shape(&architecture).iter().product();
                (part, (0..count).map(|k| (100 * i + k) as f32).collect())
            });
        let weights = Weights {
            architecture,
            parts: parts.collect(),
        };
        let mut tensors = weights.clone().into_checkpoint();
        assert_eq!(tensors.0["network.hidden.weight"].shape, [4, 3]);
        assert_eq!(
            tensors.0["network.hidden.weight"].values[1],
            weights.get(Weight::Matrix(0))[4]
        );
        assert_eq!(
            Weights::of_checkpoint(&tensors, architecture).unwrap(),
            weights
        );
        tensors.0.remove("network.output_neurons.w").unwrap();
        let error = Weights::of_checkpoint(&tensors, architecture).unwrap_err();
        assert_eq!(error.to_string(), "network.output_neurons.w is missing");
    }
}
