//! The forward pass of a recomputed block, on a backend without autodiff.

use std::iter::{self, repeat_n};
use std::ops::Range;

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;

use super::RecomputedBlockBackend;
use super::channels::{self, join, rows};
use super::node::Part;
use crate::batch_norm::{BatchStatistics, Moments, Parameters, Running, statistics_over_ranks};
use crate::convolution::Geometry;
use crate::fused_block::{BlockInputs, FusedBlock};

/// A block without its images. See [`RecomputedInputs`](super::RecomputedInputs) for the fields.
pub struct Block<B: Backend> {
    pub w: FloatTensor<B>,
    pub half: Option<FloatTensor<B>>,
    pub geometry: Geometry,
    pub parameters: Parameters<FloatTensor<B>>,
    pub running: Running<FloatTensor<B>>,
    pub neuron_w: Option<FloatTensor<B>>,
    pub block: FusedBlock,
}

/// Results of the forward pass.
pub struct Forward<B: Backend> {
    pub spikes: FloatTensor<B>,
    /// New running statistics.
    pub running: Moments<FloatTensor<B>>,
    /// What the backward pass needs of each part of the channels.
    pub parts: Vec<Part<B>>,
}

impl<B: RecomputedBlockBackend> Block<B> {
    /// Computes the spikes for images `x`. If `divide` is set, computes some channels at a time.
    pub fn forward(&self, x: FloatTensor<B>, divide: bool) -> Forward<B> {
        let c = self.block.shape[1];
        let divided = match divide {
            true => channels::parts(c),
            false => iter::once(0..c).collect(),
        };
        let (mut spikes, mut parts) = (Vec::new(), Vec::new());
        let (mut mean, mut variance) = (Vec::new(), Vec::new());
        // The last part takes x itself, so that its memory is free before the neurons need some.
        for (x, channels) in repeat_n(x, divided.len()).zip(divided) {
            let (part, own, running) = self.part(x, channels);
            spikes.push(own);
            parts.push(part);
            mean.push(running.mean);
            variance.push(running.variance);
        }
        Forward {
            spikes: B::join_channels(spikes),
            running: Moments {
                mean: join::<B>(mean, 0),
                variance: join::<B>(variance, 0),
            },
            parts,
        }
    }

    /// Computes some channels. Also returns their spikes and new running statistics.
    fn part(
        &self,
        x: FloatTensor<B>,
        channels: Range<usize>,
    ) -> (Part<B>, FloatTensor<B>, Moments<FloatTensor<B>>) {
        let vector = |whole: &FloatTensor<B>| rows::<B, 1>(whole, &channels);
        let weights = |whole: &FloatTensor<B>| rows::<B, 4>(whole, &channels);
        let [n, _, height, width] = self.block.shape;
        let block = FusedBlock {
            shape: [n, channels.len(), height, width],
            ..self.block
        };
        let (w, half) = (weights(&self.w), self.half.as_ref().map(weights));
        let y = B::convolve(x, w.clone(), half.clone(), self.geometry);
        let parameters = Parameters {
            gamma: vector(&self.parameters.gamma),
            beta: vector(&self.parameters.beta),
            epsilon: self.parameters.epsilon,
        };
        let running = Running {
            moments: Moments {
                mean: vector(&self.running.moments.mean),
                variance: vector(&self.running.moments.variance),
            },
            momentum: self.running.momentum,
            ranks: self.running.ranks.clone(),
        };
        let BatchStatistics {
            affine,
            saved,
            running,
        } = statistics_over_ranks::<B>(y.clone(), &parameters, running);
        let inputs = BlockInputs {
            x: y,
            affine: affine.clone(),
            w: self.neuron_w.clone(),
            v: None,
        };
        let spikes = B::fire_pool(inputs, &block);
        let part = Part {
            channels,
            w,
            half,
            affine,
            saved,
            block,
        };
        (part, spikes, running)
    }
}
