//! The network of Fang et al. (2021) for DVS128 Gesture, from frames to firing rates.
//!
//! ```text
//! {conv 3x3 - batch norm - LIF - max pool 2} x 5, flatten,
//! dropout, linear 4C, LIF, dropout, linear 10K, LIF, voting by tens
//! ```
//!
//! K is the number of classes of the cache.
//!
//! In multi-step mode each layer takes all time steps at once: stateless layers see `[T * B, ...]`,
//! neurons see `[T, B, ...]`. In single-step mode T is 1 and neurons keep their membrane potentials
//! from step to step.

use std::fmt;

use anyhow::{Context, Result};
use burn::module::{Module, ModuleVisitor, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Distribution, FloatDType, Tensor};
use burn_snn::batch_norm::BatchNorm;
use burn_snn::convolution::{ConvolutionBackend, convolve};
use burn_snn::fused_block::{BlockBackend, norm_fire_pool, norm_fire_pool_count, pool};
use burn_snn::neuron::layer::Potentials;
use burn_snn::neuron::{Neuron, Neurons};
use dvs_shared::event::POLARITIES;
use serde::{Deserialize, Serialize};

use crate::data::augment::backend::AugmentBackend;
use crate::nn::spike_stats::Observer;

/// Order of computation over the T time steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepMode {
    /// Multi-step: each layer takes all T time steps at once. Fast
    M,
    /// Single-step: each time step goes through all layers, and neurons keep their membrane
    /// potentials. In training, as in SpikingJelly, batch norm normalises each step by its own
    /// statistics and updates the running statistics T times per batch. With the same statistics
    /// both modes give the same spikes and gradients
    S,
}

impl fmt::Display for StepMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::M => "m",
            Self::S => "s",
        })
    }
}

/// Number of blocks; each halves height and width.
pub const BLOCKS: usize = 5;
/// Short names of the layers of neurons, in order.
pub const LAYERS: [&str; BLOCKS + 2] = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc1", "fc2"];
/// Output neurons that vote for one class.
pub const VOTERS: usize = 10;

/// A backend with all custom operations of this program.
pub trait SnnBackend: BlockBackend + ConvolutionBackend + AugmentBackend {}

impl<B: BlockBackend + ConvolutionBackend + AugmentBackend> SnnBackend for B {}

/// Shape and behaviour of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetworkConfig {
    /// Channels C of every convolution.
    pub channels: usize,
    /// Whether the two linear layers have a bias, as in SpikingJelly's example.
    pub linear_bias: bool,
    /// Neurons of the hidden linear layer; 4C if `None`.
    pub hidden: Option<usize>,
    /// Number of classes K.
    pub classes: usize,
    /// Height and width of a frame, multiples of 32.
    pub size: [usize; 2],
    /// Neuron model.
    pub neuron: Neuron,
    /// Multi-step or single-step.
    pub step_mode: StepMode,
    /// Probability that dropout zeroes a feature.
    pub dropout: f64,
    /// The 16-bit type that convolutions and linear layers compute in during training; 32 bits if
    /// `None`. Weights, batch norm's statistics, membrane potentials and votes always have 32 bits.
    pub half: Option<FloatDType>,
}

impl NetworkConfig {
    /// Returns the number of neurons of the hidden linear layer.
    pub fn hidden(&self) -> usize {
        self.hidden.unwrap_or(4 * self.channels)
    }
}

/// The network of the module's description.
#[derive(Module, Debug)]
pub struct Network<B: Backend> {
    /// Convolution blocks.
    pub blocks: Vec<ConvBlock<B>>,
    /// Linear layer from the flattened features to the hidden layer.
    pub hidden: Linear<B>,
    /// Linear layer from the hidden layer to 10K outputs.
    pub output: Linear<B>,
    /// Neurons of the hidden layer.
    pub hidden_neurons: Neurons<B>,
    /// Neurons of the output.
    pub output_neurons: Neurons<B>,
    #[module(skip)]
    step_mode: StepMode,
    dropout: f64,
    #[module(skip)]
    half: Option<FloatDType>,
}

/// Convolution, batch norm, LIF and max pooling.
#[derive(Module, Debug)]
pub struct ConvBlock<B: Backend> {
    /// Convolution, 3x3, padding 1, no bias.
    pub conv: Conv2d<B>,
    /// Batch norm.
    pub norm: BatchNorm<B>,
    /// Neurons of the block.
    pub neurons: Neurons<B>,
}

impl<B: SnnBackend> ConvBlock<B> {
    fn new(inputs: usize, config: &NetworkConfig, device: &B::Device) -> Self {
        let conv = Conv2dConfig::new([inputs, config.channels], [3, 3])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_bias(false);
        Self {
            conv: conv.init(device),
            norm: BatchNorm::new(config.channels, device),
            neurons: Neurons::new(config.neuron, device),
        }
    }

    /// Returns the pooled spikes `[T * B, C, H / 2, W / 2]`. T is `steps`. `observer` sees the
    /// spikes before pooling. The convolution computes in `half`, if given.
    ///
    /// Time and batch stay in one dimension: a convolution on a GPU leaves its channels last in
    /// memory, so merging the two again would cost a copy.
    fn forward(
        &self,
        x: Tensor<B, 4>,
        steps: usize,
        half: Option<FloatDType>,
        layer: usize,
        memory: Option<&mut Potentials<B>>,
        observer: &mut impl Observer<B>,
    ) -> Tensor<B, 4> {
        observer.inputs(layer, &x);
        let w = self.conv.weight.val();
        let x = match half {
            None => convolve(x, w),
            Some(half) => convolve(x.cast(half), w.cast(half)),
        }; // [T * B, C, H, W]
        let [n, c, height, width] = x.dims();
        if memory.is_none() && !observer.looks() {
            return norm_fire_pool(x, &self.norm, &self.neurons, steps);
        }
        if memory.is_none() && !B::ad_enabled(&x.device()) {
            let (pooled, counts) = norm_fire_pool_count(x, &self.norm, &self.neurons, steps);
            observer.counts(layer, counts, n);
            return pooled;
        }
        // Membrane potentials carried between steps have 32 bits, because the currents have.
        let x = self.norm.forward(x.cast(DType::F32));
        let x = x.reshape([steps, n / steps.max(1), c, height, width]); // [T, B, C, H, W]
        let spikes = fire(&self.neurons, x, memory);
        observer.spikes(layer, &spikes);
        pool(spikes.reshape([n, c, height, width]))
    }
}

impl<B: SnnBackend> Network<B> {
    /// Makes a network with random initial weights, distributed as PyTorch's: uniform within
    /// 1 / sqrt(fan in).
    pub fn new(config: &NetworkConfig, device: &B::Device) -> Self {
        let c = config.channels;
        let [height, width] = config.size.map(|length| length >> BLOCKS);
        let inputs = std::iter::once(POLARITIES as usize).chain(std::iter::repeat(c));
        let linear =
            |inputs, outputs| LinearConfig::new(inputs, outputs).with_bias(config.linear_bias);
        let network = Self {
            blocks: inputs
                .take(BLOCKS)
                .map(|inputs| ConvBlock::new(inputs, config, device))
                .collect(),
            hidden: linear(c * height * width, config.hidden()).init(device),
            output: linear(config.hidden(), config.classes * VOTERS).init(device),
            hidden_neurons: Neurons::new(config.neuron, device),
            output_neurons: Neurons::new(config.neuron, device),
            step_mode: config.step_mode,
            dropout: config.dropout,
            half: config.half,
        };
        // burn draws a weight when it is first used. Draw all now, so that their values do not
        // depend on draws in between.
        network.visit(&mut Draw);
        network
    }

    /// Returns the number of classes K.
    pub fn classes(&self) -> usize {
        let [_, outputs] = self.output.weight.dims();
        outputs / VOTERS
    }

    /// Returns the firing rate of each class, `[B, K]`, for frames `[T, B, 2, H, W]`.
    pub fn forward(&self, frames: Tensor<B, 5>) -> Tensor<B, 2> {
        let votes = self.votes(frames, &mut ()); // [T, B, K]
        let [_, b, classes] = votes.dims();
        votes.mean_dim(0).reshape([b, classes])
    }

    /// Returns the share of each class's output neurons that spike at each step, `[T, B, K]`.
    /// `observer` sees all spikes.
    pub fn votes(&self, frames: Tensor<B, 5>, observer: &mut impl Observer<B>) -> Tensor<B, 3> {
        let [t, b, ..] = frames.dims();
        let masks = self.masks(b, &frames.device());
        match self.step_mode {
            StepMode::M => self.steps(frames, &masks, &mut [], observer),
            StepMode::S => {
                let mut memory = [const { None }; LAYERS.len()];
                let steps = (0..t).map(|t| {
                    let frame = frames.clone().narrow(0, t, 1); // [1, B, 2, H, W]
                    self.steps(frame, &masks, &mut memory, observer)
                });
                Tensor::cat(steps.collect(), 0)
            }
        }
    }

    /// Returns the votes of consecutive steps. `memory` has the membrane potentials of every layer.
    /// If it is empty, all neurons start at rest and their potentials are not kept.
    fn steps(
        &self,
        frames: Tensor<B, 5>,
        masks: &Masks<B>,
        memory: &mut [Potentials<B>],
        observer: &mut impl Observer<B>,
    ) -> Tensor<B, 3> {
        let [t, b, ..] = frames.dims();
        let half = self.half.filter(|_| B::ad_enabled(&frames.device()));
        let mut x = frames.flatten::<4>(0, 1); // [T * B, 2, H, W]
        for (layer, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, t, half, layer, memory.get_mut(layer), observer);
        }
        let x = x.flatten::<2>(1, 3); // [T * B, C * H/32 * W/32]
        let features = x.dims()[1];
        let mut x = x.cast(DType::F32).reshape([t, b, features]);
        let ends = [
            (&self.hidden, &self.hidden_neurons),
            (&self.output, &self.output_neurons),
        ];
        for (end, (weights, neurons)) in ends.into_iter().enumerate() {
            let layer = BLOCKS + end;
            x = drop_out(x, masks.as_ref().map(|masks| &masks[end]));
            observer.inputs(layer, &x.clone().flatten::<2>(0, 1));
            x = fire(neurons, linear(weights, x, half), memory.get_mut(layer)); // [T, B, outputs]
            observer.spikes(layer, &x);
        }
        let votes = x.reshape([t, b, self.classes(), VOTERS]).mean_dim(3); // [T, B, K, 1]
        votes.flatten(2, 3)
    }

    /// Draws the masks for both dropouts of a training batch. Returns `None` outside training.
    fn masks(&self, b: usize, device: &B::Device) -> Masks<B> {
        if self.dropout == 0.0 || !B::ad_enabled(device) {
            return None;
        }
        let kept = 1.0 - self.dropout;
        Some([&self.hidden, &self.output].map(|layer| {
            let features = layer.weight.dims()[0];
            let mask = Tensor::random([1, b, features], Distribution::Bernoulli(kept), device);
            mask.div_scalar(kept)
        }))
    }

    /// Draws and discards the dropout masks of `batches` batches of `b` samples, so that a resumed
    /// epoch goes on with the masks of the next batch.
    pub fn pass_over_masks(&self, batches: usize, b: usize, device: &B::Device) {
        for _ in 0..batches {
            self.masks(b, device);
        }
    }

    /// Returns the learnt tau of each of [`LAYERS`]. Empty if tau is not learnt.
    ///
    /// # Errors
    /// Returns an error if the device failed.
    pub fn learnt_taus(&self) -> Result<Vec<f64>> {
        let taus: Vec<_> = self.neurons().filter_map(Neurons::learnt_tau).collect();
        if taus.is_empty() {
            return Ok(Vec::new());
        }
        let taus = Tensor::cat(taus, 0).try_into_data();
        let taus = taus.context("the device failed while it computed")?;
        Ok(taus.iter::<f64>().collect())
    }

    /// Iterates over the neurons of each of [`LAYERS`].
    fn neurons(&self) -> impl Iterator<Item = &Neurons<B>> {
        let blocks = self.blocks.iter().map(|block| &block.neurons);
        blocks.chain([&self.hidden_neurons, &self.output_neurons])
    }

    /// Describes the layers with weights, in order, for frames of this size (height and width).
    pub fn layers(&self, size: [usize; 2]) -> Vec<Layer> {
        let mut layers = Vec::new();
        let [mut height, mut width] = size;
        let neuron = self.hidden_neurons.neuron().name();
        let tau = usize::from(self.hidden_neurons.w.is_some());
        for block in &self.blocks {
            let [outputs, inputs, ..] = block.conv.weight.dims();
            (height, width) = (height / 2, width / 2);
            layers.push(Layer {
                name: format!("conv 3x3 {inputs} -> {outputs}, batch norm, {neuron}, max pool 2"),
                shape: vec![outputs, height, width],
                parameters: block.conv.weight.shape().num_elements() + 2 * outputs + tau,
            });
        }
        let dropout = self.dropout;
        for (linear, end) in [(&self.hidden, ""), (&self.output, ", voting by tens")] {
            let [inputs, outputs] = linear.weight.dims();
            let bias = linear.bias.as_ref().map_or(0, |bias| bias.dims()[0]);
            let voters = if end.is_empty() { 1 } else { VOTERS };
            layers.push(Layer {
                name: format!("dropout {dropout}, linear {inputs} -> {outputs}, {neuron}{end}"),
                shape: vec![outputs / voters],
                parameters: inputs * outputs + bias + tau,
            });
        }
        layers
    }
}

/// Description of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Operations in words.
    pub name: String,
    /// Shape of the output for one sample and step.
    pub shape: Vec<usize>,
    /// Number of learnt weights.
    pub parameters: usize,
}

/// Factors of dropout before each linear layer, `[1, B, F]`: one mask per sample, the same at every
/// time step.
type Masks<B> = Option<[Tensor<B, 3>; 2]>;

fn drop_out<B: Backend>(x: Tensor<B, 3>, mask: Option<&Tensor<B, 3>>) -> Tensor<B, 3> {
    match mask {
        // Repeat the mask because burn-flex is slow at broadcasts over the first dimension.
        Some(mask) => {
            let steps = x.dims()[0];
            x * mask.clone().repeat_dim(0, steps) // [T, B, F]
        }
        None => x,
    }
}

/// Returns the spikes of neurons that start from the potentials in `memory`, or at rest without it.
fn fire<B: SnnBackend, const D: usize>(
    neurons: &Neurons<B>,
    x: Tensor<B, D>,
    memory: Option<&mut Potentials<B>>,
) -> Tensor<B, D> {
    match memory {
        Some(potentials) => neurons.forward_from(x, potentials),
        None => neurons.forward(x),
    }
}

/// Applies a linear layer to every step and sample.
fn linear<B: Backend>(
    layer: &Linear<B>,
    x: Tensor<B, 3>,
    half: Option<FloatDType>,
) -> Tensor<B, 3> {
    let [t, b, features] = x.dims();
    let x = x.reshape([t * b, features]);
    let y = match half {
        None => layer.forward(x),
        Some(half) => {
            let y = x.cast(half).matmul(layer.weight.val().cast(half));
            let y = y.cast(DType::F32);
            match &layer.bias {
                Some(bias) => y + bias.val().unsqueeze(),
                None => y,
            }
        }
    }; // [T * B, F]
    let outputs = y.dims()[1];
    y.reshape([t, b, outputs])
}

/// Draws the initial value of every weight.
struct Draw;

impl<B: Backend> ModuleVisitor<B> for Draw {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        param.val();
    }
}

#[cfg(test)]
mod tests;
