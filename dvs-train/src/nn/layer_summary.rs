//! Describes the layers of a network, for people.

use crate::nn::architecture::{Architecture, BlockForm};
use crate::nn::notation::{NeuronName, Pool, PoolKind, WrittenLayer};

/// Description of a layer with its neurons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSummary {
    /// Operations in words.
    pub name: String,
    /// Shape of the output for one sample and step.
    pub shape: Vec<usize>,
    /// Number of learnt weights.
    pub parameters: usize,
}

impl LayerSummary {
    /// Describes the layers of a network in order.
    pub fn all(architecture: &Architecture) -> Vec<Self> {
        let Architecture {
            voters,
            linear_bias,
            blocks,
            linears,
            ..
        } = architecture;
        let tau = |neuron| usize::from(neuron == NeuronName::Plif);
        let mut layers: Vec<Self> = blocks
            .iter()
            .map(|block| {
                let kernel = block.channels * block.inputs * block.kernel * block.kernel;
                let norm = if block.norm { 2 * block.channels } else { 0 };
                let [height, width] = block.pooled();
                Self {
                    name: in_words(block),
                    shape: vec![block.channels, height, width],
                    parameters: kernel + norm + tau(block.neuron),
                }
            })
            .collect();
        for (at, layer) in linears.iter().enumerate() {
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            let votes = (at + 1 == linears.len() && *voters > 1).then_some(voters);
            let voting = match votes {
                Some(10) => ", voting by tens".to_owned(),
                Some(voters) => format!(", voting by groups of {voters}"),
                None => String::new(),
            };
            layers.push(Self {
                name: format!(
                    "{}linear {inputs} -> {outputs}, {}{voting}",
                    dropout(layer.dropout),
                    WrittenLayer::Neurons(layer.neuron)
                ),
                shape: vec![outputs / votes.unwrap_or(&1)],
                parameters: (inputs + usize::from(*linear_bias)) * outputs + tau(layer.neuron),
            });
        }
        layers
    }
}

fn in_words(block: &BlockForm) -> String {
    let BlockForm {
        kernel,
        inputs,
        channels,
        ..
    } = block;
    let mut text = format!(
        "{}conv {kernel}x{kernel} {inputs} -> {channels}",
        dropout(block.dropout)
    );
    if block.stride > 1 {
        text += &format!(" stride {}", block.stride);
    }
    if block.padding != (kernel - 1) / 2 {
        text += &format!(" padding {}", block.padding);
    }
    if block.norm {
        text += ", batch norm";
    }
    text += &format!(", {}", WrittenLayer::Neurons(block.neuron));
    for Pool {
        kind,
        kernel,
        stride,
    } in &block.pools
    {
        let kind = match kind {
            PoolKind::Max => "max",
            PoolKind::Average => "average",
        };
        text += &format!(", {kind} pool {kernel}");
        if stride != kernel {
            text += &format!(" stride {stride}");
        }
    }
    text
}

fn dropout(probability: f64) -> String {
    match probability {
        0.0 => String::new(),
        _ => format!("dropout {probability}, "),
    }
}
