//! A whole block - convolution, batch norm, neurons and pooling - as one node of the autodiff graph,
//! for training in less memory.
//!
//! As separate nodes, [`convolve`] and [`norm_fire_pool`] keep the convolution's output and its input
//! for the backward pass. The outputs are most of the memory of a training step. This node keeps only
//! its input, one bit for each spike, and computes the output again.
//!
//! The first block of a network has the largest output, and nobody needs the gradient of its input.
//! All else is independent for each output channel. Such a block therefore computes some channels at
//! a time in both passes, so that its whole output is never in memory. Other blocks compute all
//! channels at once, because the gradient of their input is a sum over the channels, whose bits depend
//! on the order. So do blocks whose convolution has no kernels of this crate.
//!
//! The gradients have the same bits on the CPU as those of the separate nodes.
//!
//! [`convolve`]: crate::convolution::convolve

mod channels;
mod cpu;
mod forward;
#[cfg(feature = "gpu")]
mod gpu;
pub mod memory;
mod node;

use std::ops::Range;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, OpsKind};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorMetadata};

use self::channels::{join, narrow};
use self::forward::{Block, Forward};
use self::node::{RecomputedNode, State};
use crate::backend::primitive::{primitive, tensor};
use crate::batch_norm::{BatchNorm, Moments, Parameters, Running, inner, untracked};
use crate::convolution::{ConvolutionBackend, Geometry};
use crate::fused_block::{BlockBackend, FusedBlock, norm_fire_pool, weight_or_nothing};
use crate::neuron::Neurons;
use crate::packed_spikes::{KeptImages, PackingBackend};

/// Returns the spikes of a block like [`norm_fire_pool`] after [`convolve`], or after
/// [`convolve_half`] if the weights are also given in 16 bits.
///
/// [`convolve`]: crate::convolution::convolve
/// [`convolve_half`]: crate::convolution::convolve_half
pub fn recomputed_block<B: RecomputedBlockBackend>(
    input: BlockImages<Tensor<B, 4>>,
    convolution: BlockConvolution<B>,
    norm: &BatchNorm<B>,
    neurons: &Neurons<B>,
    steps: usize,
    pool: bool,
) -> Tensor<B, 4> {
    let BlockConvolution { w, half, geometry } = convolution;
    let [n, _, height, width] = input.images().dims();
    let [c, _, rows, columns] = w.dims();
    let shape = [
        n,
        c,
        geometry.places(height, rows),
        geometry.places(width, columns),
    ];
    let input = input.map(primitive);
    if !B::ad_enabled(&norm.gamma.device()) {
        let x = B::convolve(input.into_images(), primitive(w), half, geometry);
        return norm_fire_pool(tensor(x), norm, neurons, steps, pool);
    }
    let inputs = RecomputedInputs {
        input,
        w: primitive(w),
        half,
        geometry,
        parameters: norm.parameters(),
        running: norm.running(),
        neuron_w: neurons.weight(),
    };
    let block = FusedBlock::new(neurons, steps, shape, pool);
    let (spikes, running) = B::recomputed_block(inputs, &block);
    norm.set_running(running);
    tensor(spikes)
}

/// The convolution of a block.
#[derive(Clone, Debug)]
pub struct BlockConvolution<B: Backend> {
    /// Weights `[C_out, C_in, K, K]` in 32 bits.
    pub w: Tensor<B, 4>,
    /// The weights in the type of the images, if it has 16 bits.
    pub half: Option<FloatTensor<B>>,
    pub geometry: Geometry,
}

/// The images `[T * B, C_in, H, W]` that a block reads.
#[derive(Clone, Debug)]
pub enum BlockImages<T> {
    /// Any values, such as counts of events. They are kept for the backward pass as they are.
    Counts(T),
    /// Spikes, each exactly 0 or 1. One bit is kept for each.
    Spikes(T),
}

impl<T> BlockImages<T> {
    fn images(&self) -> &T {
        let (Self::Counts(x) | Self::Spikes(x)) = self;
        x
    }

    fn into_images(self) -> T {
        let (Self::Counts(x) | Self::Spikes(x)) = self;
        x
    }

    fn map<U>(self, f: impl FnOnce(T) -> U) -> BlockImages<U> {
        match self {
            Self::Counts(x) => BlockImages::Counts(f(x)),
            Self::Spikes(x) => BlockImages::Spikes(f(x)),
        }
    }
}

/// Inputs of the operation.
#[derive(Clone, Debug)]
pub struct RecomputedInputs<T> {
    /// Images of the type that the convolution computes in.
    pub input: BlockImages<T>,
    /// Weights of the convolution in 32 bits.
    pub w: T,
    /// The weights in the type of the images, if it has 16 bits. The gradient still goes to `w`.
    pub half: Option<T>,
    pub geometry: Geometry,
    /// Parameters of batch norm.
    pub parameters: Parameters<T>,
    /// Running statistics of batch norm.
    pub running: Running<T>,
    /// PLIF's weight `[1]`; `None` for other neurons.
    pub neuron_w: Option<T>,
}

/// A backend that computes a whole block. With autodiff, it is one node.
pub trait RecomputedBlockBackend: BlockBackend + ConvolutionBackend + PackingBackend {
    /// Returns the spikes of a block whose batch norm uses the statistics of the batch. Also returns
    /// the new running statistics, without gradient.
    fn recomputed_block(
        inputs: RecomputedInputs<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, Moments<FloatTensor<Self>>) {
        let x = Self::convolve(
            inputs.input.into_images(),
            inputs.w,
            inputs.half,
            inputs.geometry,
        );
        Self::norm_fire_pool(x, inputs.parameters, inputs.running, inputs.neuron_w, block)
    }

    /// Returns some channels of images `[N, C, H, W]`.
    fn some_channels(x: FloatTensor<Self>, channels: &Range<usize>) -> FloatTensor<Self> {
        primitive(narrow(tensor::<Self, 4>(x), 1, channels))
    }

    /// Puts images `[N, C, H, W]` with different channels together. There is at least one.
    fn join_channels(parts: Vec<FloatTensor<Self>>) -> FloatTensor<Self> {
        join::<Self>(parts, 1)
    }
}

impl<B: RecomputedBlockBackend, C: CheckpointStrategy> RecomputedBlockBackend for Autodiff<B, C> {
    fn recomputed_block(
        inputs: RecomputedInputs<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, Moments<FloatTensor<Self>>) {
        let RecomputedInputs {
            input,
            w,
            half,
            geometry,
            parameters,
            running,
            neuron_w,
        } = inputs;
        let device = B::float_device(&w.primitive);
        let nodes = [
            input.images().node.clone(),
            w.node.clone(),
            parameters.gamma.node.clone(),
            parameters.beta.node.clone(),
            weight_or_nothing::<B, C>(neuron_w.as_ref(), &device).node,
        ];
        // The gradient of the input is a sum over all output channels. In burn's own convolutions, the
        // bits of a channel depend on how many there are.
        let [.., rows, columns] = w.primitive.shape().dims::<4>();
        let divide = nodes[0].requirement.is_none() && geometry.has_own_kernels([rows, columns]);
        let (parameters, running) = inner::<B, C>(parameters, running);
        let (x, kept) = match input {
            BlockImages::Counts(x) => (x.primitive.clone(), KeptImages::Plain(x.primitive)),
            BlockImages::Spikes(x) => (x.primitive.clone(), KeptImages::spikes(x.primitive)),
        };
        let whole = Block::<B> {
            w: w.primitive,
            half: half.map(|half| half.primitive),
            geometry,
            parameters,
            running,
            neuron_w: neuron_w.map(|w| w.primitive),
            block: *block,
        };
        let Forward {
            spikes,
            running,
            parts,
        } = whole.forward(x, divide);
        let state = State {
            kept,
            geometry,
            neuron_w: whole.neuron_w,
            parts,
        };
        let prepared = RecomputedNode.prepare::<C>(nodes);
        let spikes = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, spikes),
            OpsKind::UnTracked(prep) => prep.finish(spikes),
        };
        (spikes, untracked::<B, C>(running))
    }
}

#[cfg(test)]
mod tests;
