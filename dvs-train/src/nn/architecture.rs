//! The form of a network: its layers and their shapes, known before anything is allocated.
//!
//! ```text
//! {convolution - batch norm - neurons - pooling} x N, flatten, {linear - neurons} x M, voting
//! ```
//!
//! Batch norm, pooling and voting may be absent. Each convolution and each linear layer may have
//! dropout before it. Sizes that do not divide are floored, as in PyTorch.

mod build;

use std::fmt;

use burn_snn::convolution::Geometry;
use dvs_shared::event::POLARITIES;

use crate::nn::notation::{NeuronName, Pool, PoolKind, WrittenLayer};

/// The form of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// Height and width of a frame.
    pub size: [usize; 2],
    /// Number of classes K.
    pub classes: usize,
    /// Output neurons that vote for one class; 1 without voting.
    pub voters: usize,
    /// Whether the linear layers have a bias, as in SpikingJelly's example. Convolutions have none.
    pub linear_bias: bool,
    /// The convolution blocks, in order.
    pub blocks: Vec<BlockForm>,
    /// The linear layers, in order. There is at least one.
    pub linears: Vec<LinearForm>,
}

/// The form of a convolution block.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockForm {
    /// Probability that dropout zeroes an input; 0 without dropout.
    pub dropout: f64,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub channels: usize,
    /// Height and width of the kernel.
    pub kernel: usize,
    pub stride: usize,
    /// Zeros added at each border.
    pub padding: usize,
    /// Whether batch norm follows the convolution.
    pub norm: bool,
    pub neuron: NeuronName,
    /// The poolings after the neurons, in order.
    pub pools: Vec<Pool>,
    /// Height and width of the inputs.
    pub size: [usize; 2],
}

/// The form of a linear layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearForm {
    /// Probability that dropout zeroes an input; 0 without dropout.
    pub dropout: f64,
    pub inputs: usize,
    pub outputs: usize,
    pub neuron: NeuronName,
}

impl BlockForm {
    /// Height and width of the convolution's output.
    pub fn convolved(&self) -> [usize; 2] {
        self.size
            .map(|side| self.geometry().places(side, self.kernel))
    }

    /// Height and width of the block's output.
    pub fn pooled(&self) -> [usize; 2] {
        let pools = self.pools.iter();
        pools.fold(self.convolved(), |size, pool| pool.size(size))
    }
}

impl Pool {
    /// Max pooling over windows of 2 x 2.
    pub const HALVES: Self = Self {
        kind: PoolKind::Max,
        kernel: 2,
        stride: 2,
    };

    /// Height and width of the output for inputs of `size`.
    pub fn size(self, size: [usize; 2]) -> [usize; 2] {
        let windows = Geometry {
            stride: self.stride,
            padding: 0,
        };
        size.map(|side| windows.places(side, self.kernel))
    }
}

impl Architecture {
    /// The kind of the neurons of each layer, in order.
    pub fn neurons(&self) -> impl Iterator<Item = NeuronName> {
        let blocks = self.blocks.iter().map(|block| block.neuron);
        blocks.chain(self.linears.iter().map(|linear| linear.neuron))
    }

    /// Short names of the layers of neurons, in order: conv1, conv2, ..., fc1, fc2, ...
    pub fn layer_names(&self) -> Vec<String> {
        let blocks = (1..=self.blocks.len()).map(|number| format!("conv{number}"));
        let linears = (1..=self.linears.len()).map(|number| format!("fc{number}"));
        blocks.chain(linears).collect()
    }

    /// Names of the layers that learn tau, in order.
    pub fn learning_layers(&self) -> impl Iterator<Item = String> {
        let layers = self.layer_names().into_iter().zip(self.neurons());
        layers.filter_map(|(name, neuron)| (neuron == NeuronName::Plif).then_some(name))
    }

    /// Whether the inputs of a layer are spikes, 0 or 1. The first layer's are counts of events, and
    /// average pooling gives shares.
    pub fn takes_spikes(&self, layer: usize) -> bool {
        let averages = |pool: &Pool| pool.kind == PoolKind::Average;
        let before = layer.checked_sub(1).map(|before| self.blocks.get(before));
        match before {
            None => false,
            Some(block) => !block.is_some_and(|block| block.pools.iter().any(averages)),
        }
    }

    /// Number of cells of a frame, of both polarities.
    pub fn frame_cells(&self) -> usize {
        POLARITIES as usize * self.size.iter().product::<usize>()
    }
}

/// The notation of the network. Equal blocks in a row are written once, with their number.
impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks = self.blocks.iter().map(BlockForm::layers);
        let linears = self.linears.iter().map(LinearForm::layers);
        let parts = blocks.chain(linears).map(|layers| {
            let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
            layers.join("-")
        });
        let parts: Vec<String> = parts.collect();
        for (place, same) in parts.chunk_by(|a, b| a == b).enumerate() {
            let dash = if place > 0 { "-" } else { "" };
            match same {
                [part] => write!(f, "{dash}{part}")?,
                _ => write!(f, "{dash}{{{}}}*{}", same[0], same.len())?,
            }
        }
        match self.voters {
            1 => Ok(()),
            voters => write!(f, "-APk{voters}s{voters}"),
        }
    }
}

impl BlockForm {
    fn layers(&self) -> Vec<WrittenLayer> {
        let mut layers = dropout(self.dropout);
        layers.push(WrittenLayer::Convolution {
            channels: self.channels,
            kernel: self.kernel,
            stride: self.stride,
            padding: self.padding,
        });
        layers.extend(self.norm.then_some(WrittenLayer::BatchNorm));
        layers.push(WrittenLayer::Neurons(self.neuron));
        layers.extend(self.pools.iter().map(|pool| WrittenLayer::Pool(*pool)));
        layers
    }
}

impl LinearForm {
    fn layers(&self) -> Vec<WrittenLayer> {
        let mut layers = dropout(self.dropout);
        layers.push(WrittenLayer::Linear(self.outputs));
        layers.push(WrittenLayer::Neurons(self.neuron));
        layers
    }
}

fn dropout(probability: f64) -> Vec<WrittenLayer> {
    match probability {
        0.0 => Vec::new(),
        _ => vec![WrittenLayer::Dropout(probability)],
    }
}
