//! A spiking network, from frames to firing rates.
//!
//! ```text
//! {dropout - convolution - batch norm - neurons - pooling} x N, flatten,
//! {dropout - linear - neurons} x M, voting
//! ```
//!
//! The network of Fang et al. (2021) for DVS128 Gesture has N = 5 and M = 2; see
//! [`NetworkName`](crate::nn::network_name::NetworkName) for those of other datasets.
//!
//! In multi-step mode each layer takes all time steps at once: stateless layers see `[T * B, ...]`,
//! neurons see `[T, B, ...]`. In single-step mode T is 1 and neurons keep their membrane potentials
//! from step to step.

use std::fmt;

use anyhow::{Context, Result};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Distribution, FloatDType, Tensor, TensorMetadata};
use burn_snn::backend::primitive::{primitive, tensor};
use burn_snn::batch_norm::ranks::BatchRanks;
use burn_snn::batch_norm::{BatchNorm, Moments};
use burn_snn::cast::CastBackend;
use burn_snn::linear::{Dropout, LinearBackend};
use burn_snn::loss::LossBackend;
use burn_snn::neuron::Neurons;
use burn_snn::neuron::layer::Potentials;
use burn_snn::recomputed_block::RecomputedBlockBackend;
use burn_snn::voting::{VotingBackend, firing_rate};
use dvs_ranks::Ranks;
use serde::{Deserialize, Serialize};

use crate::data::augment::backend::AugmentBackend;
use crate::data::batch_share::BatchShare;
use crate::metrics::rank_sums::sum_over_ranks;
use crate::nn::architecture::Architecture;
use crate::nn::conv_block::{ConvBlock, LayerInputs, Memory};
use crate::nn::linear_block::LinearBlock;
use crate::nn::network_config::NetworkConfig;
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

/// A backend with all custom operations of this program.
pub trait SnnBackend:
    RecomputedBlockBackend + CastBackend + LinearBackend + VotingBackend + LossBackend + AugmentBackend
{
}

impl<B> SnnBackend for B where
    B: RecomputedBlockBackend
        + CastBackend
        + LinearBackend
        + VotingBackend
        + LossBackend
        + AugmentBackend
{
}

/// The network of the module's description.
#[derive(Module, Debug)]
pub struct Network<B: Backend> {
    /// Convolution blocks.
    pub blocks: Vec<ConvBlock<B>>,
    /// Linear layers.
    pub linears: Vec<LinearBlock<B>>,
    #[module(skip)]
    architecture: Architecture,
    #[module(skip)]
    step_mode: StepMode,
    #[module(skip)]
    chunk_steps: Option<usize>,
    #[module(skip)]
    half: Option<FloatDType>,
    #[module(skip)]
    share: BatchShare,
}

impl<B: SnnBackend> Network<B> {
    /// Makes a network with random initial weights, distributed as PyTorch's: uniform within
    /// 1 / sqrt(fan in).
    pub fn new(config: &NetworkConfig, device: &B::Device) -> Self {
        let architecture = &config.architecture;
        let number = architecture.blocks.len();
        let linears = architecture.linears.iter().zip(&config.neurons[number..]);
        let bias = architecture.linear_bias;
        let network = Self {
            blocks: (0..number)
                .map(|at| ConvBlock::new(config, at, device))
                .collect(),
            linears: linears
                .map(|(form, neuron)| LinearBlock::new(*form, *neuron, bias, device))
                .collect(),
            architecture: architecture.clone(),
            step_mode: config.step_mode,
            chunk_steps: config.chunk_steps,
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
        for norm in self
            .blocks
            .iter_mut()
            .filter_map(|block| block.norm.as_mut())
        {
            norm.ranks = batch_ranks.clone();
        }
        self
    }

    /// Replaces batch norm's running statistics by their means over the ranks, if each rank
    /// normalises by its own statistics.
    ///
    /// # Errors
    /// Returns an error if the device or another rank failed.
    pub fn average_running_statistics(&self, ranks: &dyn Ranks) -> Result<()> {
        if ranks.size() == 1 || self.norms().next().is_none() {
            return Ok(());
        }
        let running = |norm: &BatchNorm<B>| norm.running().moments;
        let all = self.norms().map(running);
        let all = all.flat_map(|moments| [moments.mean, moments.variance]);
        let all = Tensor::cat(all.map(tensor::<B, 1>).collect(), 0);
        let device = all.device();
        let mut means = sum_over_ranks(all, &mut 0.0, ranks)?;
        for mean in &mut means {
            *mean /= ranks.size() as f32;
        }
        let mut rest = &*means;
        for norm in self.norms() {
            let mut next = || {
                let own;
                (own, rest) = rest.split_at(norm.gamma.dims()[0]);
                primitive(Tensor::<B, 1>::from_floats(own, &device))
            };
            norm.set_running(Moments {
                mean: next(),
                variance: next(),
            });
        }
        Ok(())
    }

    /// Returns the form of the network.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Returns the firing rate of each class, `[B, K]`, for frames `[T, B, 2, H, W]`.
    pub fn forward(&self, frames: Tensor<B, 5>) -> Tensor<B, 2> {
        self.rates(frames, &mut ())
    }

    /// Like [`forward`](Self::forward). `observer` sees all spikes.
    pub fn rates(&self, frames: Tensor<B, 5>, observer: &mut impl Observer<B>) -> Tensor<B, 2> {
        firing_rate(self.spikes(frames, observer), self.architecture.voters)
    }

    /// Returns the share of each class's output neurons that spike at each step, `[T, B, K]`.
    /// `observer` sees all spikes.
    pub fn votes(&self, frames: Tensor<B, 5>, observer: &mut impl Observer<B>) -> Tensor<B, 3> {
        let spikes = self.spikes(frames, observer); // [T, B, K V]
        let [t, b, _] = spikes.dims();
        let Architecture {
            classes, voters, ..
        } = self.architecture;
        let votes = spikes.reshape([t, b, classes, voters]);
        votes.mean_dim(3).flatten(2, 3) // [T, B, K]
    }

    /// Returns the time steps of a chunk, if training goes through `steps` time steps in chunks.
    pub fn chunk_steps(&self, steps: usize) -> Option<usize> {
        self.chunk_steps.filter(|chunk| *chunk < steps)
    }

    /// Returns the batch norms of all blocks that have one.
    pub fn norms(&self) -> impl Iterator<Item = &BatchNorm<B>> {
        self.blocks.iter().filter_map(|block| block.norm.as_ref())
    }

    /// Returns the spikes of the output neurons, `[T, B, K V]`, if V neurons vote for each class.
    fn spikes(&self, frames: Tensor<B, 5>, observer: &mut impl Observer<B>) -> Tensor<B, 3> {
        let [_, b, ..] = frames.dims();
        let shared = self.shared_by_steps(b, &frames.device());
        match self.step_mode {
            StepMode::M => self.steps(frames, &shared, &mut [], observer),
            StepMode::S => self.spikes_from(frames, &shared, &mut self.at_rest(), observer),
        }
    }

    /// Returns the output's spikes `[T, B, K V]` of neurons that start from the potentials in
    /// `memory`, which become those after the last step. The potentials are linked in single-step
    /// mode, because the gradient flows from step to step through them. In multi-step mode they are
    /// constants.
    pub fn spikes_from(
        &self,
        frames: Tensor<B, 5>,
        shared: &SharedBySteps<B>,
        memory: &mut [Potentials<B>],
        observer: &mut impl Observer<B>,
    ) -> Tensor<B, 3> {
        match self.step_mode {
            StepMode::M => self.steps(frames, shared, memory, observer),
            StepMode::S => {
                let steps = (0..frames.dims()[0]).map(|t| {
                    let frame = frames.clone().narrow(0, t, 1); // [1, B, 2, H, W]
                    self.steps(frame, shared, memory, observer)
                });
                Tensor::cat(steps.collect(), 0)
            }
        }
    }

    /// Returns the membrane potentials of all layers before the first step.
    pub fn at_rest(&self) -> Vec<Potentials<B>> {
        vec![None; self.blocks.len() + self.linears.len()]
    }

    /// Draws and converts what all time steps of a batch share. This rank has `b` samples of the
    /// batch.
    pub fn shared_by_steps(&self, b: usize, device: &B::Device) -> SharedBySteps<B> {
        SharedBySteps {
            masks: self.masks(b, device),
            half: self.half_weights(device),
        }
    }

    /// Returns the output's spikes of consecutive steps, which each layer takes at once. `memory` has
    /// the membrane potentials of every layer. If it is empty, all neurons start at rest and their
    /// potentials are not kept.
    fn steps(
        &self,
        frames: Tensor<B, 5>,
        shared: &SharedBySteps<B>,
        memory: &mut [Potentials<B>],
        observer: &mut impl Observer<B>,
    ) -> Tensor<B, 3> {
        let [t, b, ..] = frames.dims();
        let mut x = frames.flatten::<4>(0, 1); // [T * B, 2, H, W]
        if let Some(half) = shared.half.first() {
            x = x.cast(half.dtype());
        }
        x = tensor(B::images(primitive(x)));
        let link = match self.step_mode {
            StepMode::M => Memory::Constant,
            StepMode::S => Memory::Linked,
        };
        let mut memory = memory.iter_mut();
        let mut inputs = |layer: usize| LayerInputs {
            steps: t,
            half: shared.half.get(layer).cloned(),
            dropout: shared.masks.get(layer).cloned().flatten(),
            memory: memory.next().map(link),
        };
        for (layer, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, inputs(layer), layer, observer);
        }
        for (layer, linear) in (self.blocks.len()..).zip(&self.linears) {
            x = linear.forward(x, inputs(layer), layer, observer);
        }
        let outputs = x.dims()[1];
        x.reshape([t, b, outputs])
    }

    /// Returns the weights of every layer in 16 bits, if the network computes in 16 bits. Returns
    /// nothing outside training.
    fn half_weights(&self, device: &B::Device) -> Vec<FloatTensor<B>> {
        let Some(half) = self.half.filter(|_| B::ad_enabled(device)) else {
            return Vec::new();
        };
        let blocks = self.blocks.iter();
        let convolutions = blocks.map(|block| primitive(block.conv.weight.val()));
        let linears = self.linears.iter();
        let matrices = linears.map(|layer| primitive(layer.linear.weight.val()));
        B::cast_all(convolutions.chain(matrices).collect(), half.into())
    }

    /// Draws the dropout masks of each layer for a training batch. This rank has `b` samples of the
    /// batch. Returns nothing outside training.
    fn masks(&self, b: usize, device: &B::Device) -> Vec<Option<Mask<B>>> {
        if !B::ad_enabled(device) {
            return Vec::new();
        }
        let Architecture {
            blocks, linears, ..
        } = &self.architecture;
        let blocks = blocks.iter().map(|block| {
            let [height, width] = block.size;
            (block.dropout, block.inputs * height * width)
        });
        let linears = linears.iter().map(|layer| (layer.dropout, layer.inputs));
        let mask = |(dropout, features)| {
            if dropout == 0.0 {
                return None;
            }
            // All ranks draw the masks of the whole batch, as one rank alone would.
            let whole = self.share.whole_batch(b);
            let kept = 1.0 - dropout;
            let keep = Distribution::Bernoulli(kept);
            let mut mask = Tensor::<B, 2>::random([whole, features], keep, device);
            if !self.share.is_alone() {
                mask = mask.slice([self.share.places(whole), 0..features]);
            }
            Some(Dropout {
                mask: primitive(mask),
                kept,
            })
        };
        blocks.chain(linears).map(mask).collect()
    }

    /// Draws and discards the dropout masks of `batches` batches, so that a resumed epoch goes on with
    /// the masks of the next batch. This rank has `b` samples of each batch.
    pub fn pass_over_masks(&self, batches: usize, b: usize, device: &B::Device) {
        for _ in 0..batches {
            self.masks(b, device);
        }
    }

    /// Returns the name and the learnt tau of each layer that learns it, in order.
    ///
    /// # Errors
    /// Returns an error if the device failed.
    pub fn learnt_taus(&self) -> Result<Vec<(String, f64)>> {
        let taus: Vec<_> = self.neurons().filter_map(Neurons::learnt_tau).collect();
        if taus.is_empty() {
            return Ok(Vec::new());
        }
        let taus = Tensor::cat(taus, 0).try_into_data();
        let taus = taus.context("the device failed while it computed")?;
        let layers = self.architecture.learning_layers();
        Ok(layers.zip(taus.iter::<f64>()).collect())
    }

    /// Iterates over the neurons of each layer.
    fn neurons(&self) -> impl Iterator<Item = &Neurons<B>> {
        let blocks = self.blocks.iter().map(|block| &block.neurons);
        blocks.chain(self.linears.iter().map(|layer| &layer.neurons))
    }
}

/// Dropout of a layer's inputs: one mask per sample, the same at every time step.
type Mask<B> = Dropout<FloatTensor<B>>;

/// What all time steps of a batch share.
pub struct SharedBySteps<B: Backend> {
    /// Dropout of each layer, if it has one; empty outside training.
    masks: Vec<Option<Mask<B>>>,
    /// Weights of the layers in 16 bits; empty if the network computes in 32 bits.
    half: Vec<FloatTensor<B>>,
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
