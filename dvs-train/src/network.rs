//! The network of Fang et al. (2021) for DVS128 Gesture: from frames to firing rates.
//!
//! ```text
//! {conv 3x3 - batch norm - LIF - max pool 2} x 5, flatten,
//! dropout, linear 4C, LIF, dropout, linear 110, LIF, voting by tens
//! ```
//!
//! It works layer by layer: each layer takes all time steps at once. Those without a memory see `[T * B, ...]`,
//! neurons see `[T, B, ...]`.

use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::backend::Backend;
use burn::tensor::module::max_pool2d;
use burn::tensor::{Distribution, Tensor};
use dvs_shared::event::POLARITIES;
use dvs_shared::labels::CLASSES;

use crate::batch_norm::{BatchNorm, BatchNormBackend};
use crate::neuron::{Lif, LifBackend};

/// Number of convolutions; each halves height and width.
pub const BLOCKS: usize = 5;
/// Output neurons that vote for one class.
pub const VOTERS: usize = 10;

/// A backend that has all the network's own operations.
pub trait SnnBackend: LifBackend + BatchNormBackend {}

impl<B: LifBackend + BatchNormBackend> SnnBackend for B {}

/// What decides a network's shape and behaviour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Channels C of every convolution.
    pub channels: usize,
    /// Height and width of a frame, multiples of 32.
    pub size: [usize; 2],
    /// The neurons.
    pub lif: Lif,
    /// Probability that dropout silences a feature.
    pub dropout: f64,
}

/// The network.
#[derive(Module, Debug)]
pub struct Network<B: Backend> {
    /// Convolutions.
    pub blocks: Vec<ConvBlock<B>>,
    /// From the flattened features to 4C.
    pub hidden: Linear<B>,
    /// From 4C to 110.
    pub output: Linear<B>,
    #[module(skip)]
    lif: Lif,
    dropout: f64,
}

/// Convolution, batch norm, LIF and max pooling.
#[derive(Module, Debug)]
pub struct ConvBlock<B: Backend> {
    /// 3x3, padding 1, no bias.
    pub conv: Conv2d<B>,
    /// Its normalisation.
    pub norm: BatchNorm<B>,
    #[module(skip)]
    lif: Lif,
}

impl<B: SnnBackend> ConvBlock<B> {
    fn new(inputs: usize, config: &NetworkConfig, device: &B::Device) -> Self {
        let conv = Conv2dConfig::new([inputs, config.channels], [3, 3])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_bias(false);
        Self {
            conv: conv.init(device),
            norm: BatchNorm::new(config.channels, device),
            lif: config.lif,
        }
    }

    fn forward(&self, x: Tensor<B, 5>) -> Tensor<B, 5> {
        let [t, b, inputs, height, width] = x.dims();
        let x = x.reshape([t * b, inputs, height, width]);
        let x = self.norm.forward(self.conv.forward(x)); // [T * B, C, H, W]
        let [_, c, ..] = x.dims();
        let x = self.lif.forward(x.reshape([t, b, c, height, width]));
        let x = x.reshape([t * b, c, height, width]);
        // All four cells of a window often spike: the gradient goes to the first of them, as in PyTorch.
        let x = max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], false);
        x.reshape([t, b, c, height / 2, width / 2])
    }
}

impl<B: SnnBackend> Network<B> {
    /// A network with initial weights from the backend's random numbers, distributed as PyTorch's: uniform
    /// within 1 / sqrt(fan in).
    pub fn new(config: &NetworkConfig, device: &B::Device) -> Self {
        let c = config.channels;
        let [height, width] = config.size.map(|length| length >> BLOCKS);
        let inputs = std::iter::once(POLARITIES as usize).chain(std::iter::repeat(c));
        let linear = |inputs, outputs| LinearConfig::new(inputs, outputs).with_bias(false);
        let network = Self {
            blocks: inputs
                .take(BLOCKS)
                .map(|inputs| ConvBlock::new(inputs, config, device))
                .collect(),
            hidden: linear(c * height * width, 4 * c).init(device),
            output: linear(4 * c, CLASSES * VOTERS).init(device),
            lif: config.lif,
            dropout: config.dropout,
        };
        // burn draws weights where they are first used, after whatever was drawn by then; draw them here.
        network.visit(&mut Draw);
        network
    }

    /// Firing rate of each class, `[B, 11]`, from frames `[T, B, 2, H, W]`.
    pub fn forward(&self, frames: Tensor<B, 5>) -> Tensor<B, 2> {
        let x = self.blocks.iter().fold(frames, |x, block| block.forward(x)); // [T, B, C, H/32, W/32]
        let x = x.flatten::<3>(2, 4); // [T, B, C * H/32 * W/32]
        let x = self.dropout(x);
        let x = self.lif.forward(linear(&self.hidden, x)); // [T, B, 4C]
        let x = self.dropout(x);
        let x = self.lif.forward(linear(&self.output, x)); // [T, B, 110]
        let [t, b, _] = x.dims();
        let votes = x.reshape([t, b, CLASSES, VOTERS]).mean_dim(3); // [T, B, 11, 1]
        votes.mean_dim(0).reshape([b, CLASSES])
    }

    /// Silences features in training: one mask a sample, the same at every time step.
    fn dropout(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let device = x.device();
        if self.dropout == 0.0 || !B::ad_enabled(&device) {
            return x;
        }
        let [_, b, features] = x.dims();
        let kept = 1.0 - self.dropout;
        let mask = Tensor::random([1, b, features], Distribution::Bernoulli(kept), &device);
        x * mask.div_scalar(kept) // [T, B, F]
    }

    /// The layers with a weight, in order, each with the shape of its output for one sample and step.
    pub fn layers(&self, size: [usize; 2]) -> Vec<Layer> {
        let mut layers = Vec::new();
        let [mut height, mut width] = size;
        for block in &self.blocks {
            let [outputs, inputs, ..] = block.conv.weight.dims();
            (height, width) = (height / 2, width / 2);
            layers.push(Layer {
                name: format!("conv 3x3 {inputs} -> {outputs}, batch norm, LIF, max pool 2"),
                shape: vec![outputs, height, width],
                parameters: block.conv.weight.shape().num_elements() + 2 * outputs,
            });
        }
        let dropout = self.dropout;
        for (linear, end) in [(&self.hidden, ""), (&self.output, ", voting by tens")] {
            let [inputs, outputs] = linear.weight.dims();
            let voters = if end.is_empty() { 1 } else { VOTERS };
            layers.push(Layer {
                name: format!("dropout {dropout}, linear {inputs} -> {outputs}, LIF{end}"),
                shape: vec![outputs / voters],
                parameters: inputs * outputs,
            });
        }
        layers
    }
}

/// One line of the description of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it does.
    pub name: String,
    /// Its output for one sample and step.
    pub shape: Vec<usize>,
    /// Weights that are learnt.
    pub parameters: usize,
}

/// A linear layer over every step and sample.
fn linear<B: Backend>(layer: &Linear<B>, x: Tensor<B, 3>) -> Tensor<B, 3> {
    let [t, b, features] = x.dims();
    let y = layer.forward(x.reshape([t * b, features])); // [T * B, F]
    let outputs = y.dims()[1];
    y.reshape([t, b, outputs])
}

/// Makes every weight have its initial value.
struct Draw;

impl<B: Backend> ModuleVisitor<B> for Draw {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        param.val();
    }
}

#[cfg(test)]
mod tests;
