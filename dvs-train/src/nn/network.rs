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
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Distribution, FloatDType, Tensor, TensorMetadata};
use burn_snn::backend::primitive::{primitive, tensor};
use burn_snn::batch_norm::ranks::BatchRanks;
use burn_snn::batch_norm::{BatchNorm, Moments};
use burn_snn::cast::CastBackend;
use burn_snn::convolution::{ConvolutionBackend, convolve, convolve_half};
use burn_snn::fused_block::{BlockBackend, MOST_STEPS, norm_fire_pool, norm_fire_pool_count, pool};
use burn_snn::linear::{Dropout, LinearBackend, linear};
use burn_snn::loss::LossBackend;
use burn_snn::neuron::layer::Potentials;
use burn_snn::neuron::{Neuron, Neurons};
use burn_snn::voting::{VotingBackend, firing_rate};
use dvs_ranks::Ranks;
use dvs_shared::event::POLARITIES;
use serde::{Deserialize, Serialize};

use crate::data::augment::backend::AugmentBackend;
use crate::data::batch_share::BatchShare;
use crate::metrics::rank_sums::sum_over_ranks;
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
pub trait SnnBackend:
    BlockBackend
    + ConvolutionBackend
    + CastBackend
    + LinearBackend
    + VotingBackend
    + LossBackend
    + AugmentBackend
{
}

impl<B> SnnBackend for B where
    B: BlockBackend
        + ConvolutionBackend
        + CastBackend
        + LinearBackend
        + VotingBackend
        + LossBackend
        + AugmentBackend
{
}

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

    /// Estimates the bytes of a GPU's memory that a training step on batches of `batch` samples with
    /// `steps` time steps needs, without the weights.
    ///
    /// Each block keeps its convolution's output and its pooled spikes. A gradient reuses the memory
    /// of its tensor. The separate operations for more time steps than the fused backward pass
    /// supports keep about four tensors more, in both types.
    pub fn training_bytes(&self, steps: usize, batch: usize) -> u64 {
        let (value, copy) = match self.half {
            Some(_) => (2, 2),
            None => (4, 0),
        };
        let output = match steps {
            0..=MOST_STEPS => self.output_cells() * value * 5 / 4,
            _ => self.output_cells() * (value + 1) * 17 / 4,
        };
        (steps * batch) as u64 * (self.frame_cells() * (4 + copy) + output)
    }

    /// Like [`training_bytes`](Self::training_bytes), for a test step, which computes in 32 bits.
    pub fn test_bytes(&self, steps: usize, batch: usize) -> u64 {
        (steps * batch) as u64 * (self.frame_cells() * 4 + self.output_cells() * 5)
    }

    /// Returns the number of cells of a frame, of both polarities.
    fn frame_cells(&self) -> u64 {
        u64::from(POLARITIES) * self.size.iter().product::<usize>() as u64
    }

    /// Returns the number of values that all convolutions compute for a frame.
    fn output_cells(&self) -> u64 {
        let [height, width] = self.size;
        let blocks = (0..BLOCKS).map(|block| (height >> block) * (width >> block) * self.channels);
        blocks.sum::<usize>() as u64
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
    #[module(skip)]
    share: BatchShare,
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
    /// spikes before pooling. The convolution computes in the type of `half`, its weights in 16
    /// bits, if given.
    ///
    /// Time and batch stay in one dimension: a convolution on a GPU leaves its channels last in
    /// memory, so merging the two again would cost a copy.
    fn forward(
        &self,
        x: Tensor<B, 4>,
        steps: usize,
        half: Option<FloatTensor<B>>,
        layer: usize,
        memory: Option<&mut Potentials<B>>,
        observer: &mut impl Observer<B>,
    ) -> Tensor<B, 4> {
        observer.inputs(layer, &x);
        let w = self.conv.weight.val();
        let x = match half {
            None => convolve(x, w),
            Some(half) => convolve_half(x.cast(half.dtype()), w, half),
        }; // [T * B, C, H, W]
        let [n, c, height, width] = x.dims();
        if memory.is_none() && !observer.looks() {
            return norm_fire_pool(x, &self.norm, &self.neurons, steps, true);
        }
        if memory.is_none() && !B::ad_enabled(&x.device()) {
            let (pooled, counts) = norm_fire_pool_count(x, &self.norm, &self.neurons, steps, true);
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
            share: BatchShare::ALONE,
        };
        // burn draws a weight when it is first used. Draw all now, so that their values do not
        // depend on draws in between.
        network.visit(&mut Draw);
        network
    }

    /// Makes this the network of one rank, which trains on its `share` of each batch. Batch
    /// norm shares its statistics with `batch_ranks`.
    pub fn on_rank(mut self, share: BatchShare, batch_ranks: &BatchRanks) -> Self {
        self.share = share;
        for block in &mut self.blocks {
            block.norm.ranks = batch_ranks.clone();
        }
        self
    }

    /// Replaces batch norm's running statistics by their means over the ranks, if each rank
    /// normalises by its own statistics.
    ///
    /// # Errors
    /// Returns an error if the device or another rank failed.
    pub fn average_running_statistics(&self, ranks: &dyn Ranks) -> Result<()> {
        if ranks.size() == 1 {
            return Ok(());
        }
        let running = |block: &ConvBlock<B>| block.norm.running().moments;
        let all = self.blocks.iter().map(running);
        let all = all.flat_map(|moments| [moments.mean, moments.variance]);
        let all = Tensor::cat(all.map(tensor::<B, 1>).collect(), 0);
        let device = all.device();
        let mut means = sum_over_ranks(all, &mut 0.0, ranks)?;
        for mean in &mut means {
            *mean /= ranks.size() as f32;
        }
        let mut rest = &*means;
        for block in &self.blocks {
            let mut next = || {
                let own;
                (own, rest) = rest.split_at(block.norm.gamma.dims()[0]);
                primitive(Tensor::<B, 1>::from_floats(own, &device))
            };
            block.norm.set_running(Moments {
                mean: next(),
                variance: next(),
            });
        }
        Ok(())
    }

    /// Returns the number of classes K.
    pub fn classes(&self) -> usize {
        let [_, outputs] = self.output.weight.dims();
        outputs / VOTERS
    }

    /// Returns the firing rate of each class, `[B, K]`, for frames `[T, B, 2, H, W]`.
    pub fn forward(&self, frames: Tensor<B, 5>) -> Tensor<B, 2> {
        self.rates(frames, &mut ())
    }

    /// Like [`forward`](Self::forward). `observer` sees all spikes.
    pub fn rates(&self, frames: Tensor<B, 5>, observer: &mut impl Observer<B>) -> Tensor<B, 2> {
        firing_rate(self.spikes(frames, observer), VOTERS)
    }

    /// Returns the share of each class's output neurons that spike at each step, `[T, B, K]`.
    /// `observer` sees all spikes.
    pub fn votes(&self, frames: Tensor<B, 5>, observer: &mut impl Observer<B>) -> Tensor<B, 3> {
        let spikes = self.spikes(frames, observer); // [T, B, 10K]
        let [t, b, outputs] = spikes.dims();
        let votes = spikes.reshape([t, b, outputs / VOTERS, VOTERS]);
        votes.mean_dim(3).flatten(2, 3) // [T, B, K]
    }

    /// Returns the spikes of the output neurons, `[T, B, 10K]`.
    fn spikes(&self, frames: Tensor<B, 5>, observer: &mut impl Observer<B>) -> Tensor<B, 3> {
        let [t, b, ..] = frames.dims();
        let device = frames.device();
        let weights = StepWeights {
            masks: self.masks(b, &device),
            half: self.half_weights(&device),
        };
        match self.step_mode {
            StepMode::M => self.steps(frames, &weights, &mut [], observer),
            StepMode::S => {
                let mut memory = [const { None }; LAYERS.len()];
                let steps = (0..t).map(|t| {
                    let frame = frames.clone().narrow(0, t, 1); // [1, B, 2, H, W]
                    self.steps(frame, &weights, &mut memory, observer)
                });
                Tensor::cat(steps.collect(), 0)
            }
        }
    }

    /// Returns the output's spikes of consecutive steps. `memory` has the membrane potentials of every layer.
    /// If it is empty, all neurons start at rest and their potentials are not kept.
    fn steps(
        &self,
        frames: Tensor<B, 5>,
        weights: &StepWeights<B>,
        memory: &mut [Potentials<B>],
        observer: &mut impl Observer<B>,
    ) -> Tensor<B, 3> {
        let [t, b, ..] = frames.dims();
        let half = |layer: usize| weights.half.get(layer).cloned();
        let mut x = frames.flatten::<4>(0, 1); // [T * B, 2, H, W]
        if let Some(half) = weights.half.first() {
            x = x.cast(half.dtype());
        }
        x = tensor(B::images(primitive(x)));
        for (layer, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, t, half(layer), layer, memory.get_mut(layer), observer);
        }
        let mut run = |end: usize, x: Tensor<B, 4>| {
            let layer = BLOCKS + end;
            let (linear_layer, neurons) = match end {
                0 => (&self.hidden, &self.hidden_neurons),
                _ => (&self.output, &self.output_neurons),
            };
            if observer.looks() {
                observer.inputs(layer, &x.clone().flatten::<2>(1, 3));
            }
            let dropout = weights.masks.as_ref().map(|masks| masks[end].clone());
            let y = linear(x, linear_layer.weight.val(), half(layer), dropout); // [T * B, O]
            let y = match &linear_layer.bias {
                Some(bias) => y + bias.val().unsqueeze(),
                None => y,
            };
            let outputs = y.dims()[1];
            let spikes = fire(neurons, y.reshape([t, b, outputs]), memory.get_mut(layer));
            observer.spikes(layer, &spikes);
            spikes // [T, B, O]
        };
        let hidden = run(0, x);
        let features = hidden.dims()[2];
        run(1, hidden.reshape([t * b, features, 1, 1]))
    }

    /// Returns the weights of every layer in 16 bits, if the network computes in 16 bits. Returns
    /// nothing outside training.
    fn half_weights(&self, device: &B::Device) -> Vec<FloatTensor<B>> {
        let Some(half) = self.half.filter(|_| B::ad_enabled(device)) else {
            return Vec::new();
        };
        let convolutions = self.blocks.iter();
        let convolutions = convolutions.map(|block| primitive(block.conv.weight.val()));
        let ends = [&self.hidden, &self.output].map(|layer| primitive(layer.weight.val()));
        B::cast_all(convolutions.chain(ends).collect(), half.into())
    }

    /// Draws the masks for both dropouts of a training batch. This rank has `b` samples of the batch.
    /// Returns `None` outside training.
    fn masks(&self, b: usize, device: &B::Device) -> Masks<B> {
        if self.dropout == 0.0 || !B::ad_enabled(device) {
            return None;
        }
        let kept = 1.0 - self.dropout;
        Some([&self.hidden, &self.output].map(|layer| {
            let features = layer.weight.dims()[0];
            // All ranks draw the masks of the whole batch, as one rank alone would.
            let whole = self.share.whole_batch(b);
            let keep = Distribution::Bernoulli(kept);
            let mut mask = Tensor::<B, 2>::random([whole, features], keep, device);
            if !self.share.is_alone() {
                mask = mask.slice([self.share.places(whole), 0..features]);
            }
            Dropout {
                mask: primitive(mask),
                kept,
            }
        }))
    }

    /// Draws and discards the dropout masks of `batches` batches, so that a resumed epoch goes on with
    /// the masks of the next batch. This rank has `b` samples of each batch.
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

/// Dropout before each linear layer: one mask per sample, the same at every time step.
type Masks<B> = Option<[Dropout<FloatTensor<B>>; 2]>;

/// What all time steps of a batch share.
struct StepWeights<B: Backend> {
    masks: Masks<B>,
    /// Weights of the layers in 16 bits; empty if the network computes in 32 bits.
    half: Vec<FloatTensor<B>>,
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

/// Draws the initial value of every weight.
struct Draw;

impl<B: Backend> ModuleVisitor<B> for Draw {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        param.val();
    }
}

#[cfg(test)]
mod tests;
