//! Everything that a network is made from, except its weights.

use burn::tensor::FloatDType;
use burn_snn::fused_block::{FusedBlock, MOST_STEPS};
use burn_snn::neuron::Neuron;
use burn_snn::recomputed_block::BlockImages;
use burn_snn::recomputed_block::memory::{BlockBytes, block_bytes};

use crate::nn::architecture::{Architecture, BlockForm};
use crate::nn::network::StepMode;

/// Form and behaviour of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkConfig {
    /// The layers and their shapes.
    pub architecture: Architecture,
    /// The neurons of each layer, in order.
    pub neurons: Vec<Neuron>,
    /// Multi-step or single-step.
    pub step_mode: StepMode,
    /// Whether the backward pass computes the convolutions again.
    pub recompute: bool,
    /// Time steps of a chunk of truncated backpropagation through time; `None` is all of them.
    pub chunk_steps: Option<usize>,
    /// The 16-bit type that convolutions and linear layers compute in during training; 32 bits if
    /// `None`. Weights, batch norm's statistics, membrane potentials and votes always have 32 bits.
    pub half: Option<FloatDType>,
}

impl NetworkConfig {
    /// Describes the neurons of all layers, each kind once.
    pub fn neurons_in_words(&self) -> String {
        let mut kinds: Vec<String> = Vec::new();
        for neuron in &self.neurons {
            let kind = neuron.to_string();
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds.join("; ")
    }

    /// Estimates the bytes of a GPU's memory that a training step on batches of `batch` samples with
    /// `steps` time steps needs, without the weights.
    ///
    /// Each block keeps its convolution's output and its pooled spikes. A gradient reuses the memory
    /// of its tensor. Separate operations keep about four tensors more, in both types: without batch
    /// norm, for more time steps than the fused backward pass supports, and for chunks of steps.
    pub fn training_bytes(&self, steps: usize, batch: usize) -> u64 {
        let (value, copy) = match self.half {
            Some(_) => (2, 2),
            None => (4, 0),
        };
        let frames = (steps * batch * self.architecture.frame_cells()) as u64 * (4 + copy);
        let chunk = self.chunk_steps.filter(|chunk| *chunk < steps);
        let images = (chunk.unwrap_or(steps) * batch) as u64;
        let is_fused = chunk.is_none() && steps <= MOST_STEPS;
        let mut most = 0;
        let blocks = self
            .architecture
            .blocks
            .iter()
            .enumerate()
            .map(|(at, block)| {
                if self.recompute && block.norm {
                    let BlockBytes { kept, peak } = self.recomputed(at, steps, batch, value);
                    most = most.max(peak);
                    return kept;
                }
                images
                    * match block.norm && is_fused {
                        true => value * cells(block),
                        false => (value + 1) * (output_cells(block) * 17 / 4),
                    }
            });
        let kept: u64 = blocks.sum();
        frames + kept + most
    }

    /// Bytes of block `at` if the backward pass computes its convolution again.
    fn recomputed(&self, at: usize, steps: usize, batch: usize, value: u64) -> BlockBytes {
        let block = &self.architecture.blocks[at];
        let images =
            |channels, [height, width]: [usize; 2]| [steps * batch, channels, height, width];
        let inputs = images(block.inputs, block.size);
        let inputs = match at {
            0 => BlockImages::Counts(inputs),
            _ => BlockImages::Spikes(inputs),
        };
        let (pool, _) = block.fused_pool();
        let fused = FusedBlock {
            neuron: self.neurons[at],
            steps,
            shape: images(block.channels, block.convolved()),
            pool,
        };
        block_bytes(&inputs, &fused, value)
    }

    /// Like [`training_bytes`](Self::training_bytes), for a test step, which computes in 32 bits.
    pub fn test_bytes(&self, steps: usize, batch: usize) -> u64 {
        let blocks: u64 = self.architecture.blocks.iter().map(cells).sum();
        (steps * batch) as u64 * 4 * (self.architecture.frame_cells() as u64 + blocks)
    }
}

/// Number of values that a block's convolution and its poolings give for a frame.
fn cells(block: &BlockForm) -> u64 {
    let pooled = block.pooled().iter().product::<usize>() * block.channels;
    output_cells(block) + pooled as u64
}

/// Number of values that a block's convolution gives for a frame.
fn output_cells(block: &BlockForm) -> u64 {
    (block.convolved().iter().product::<usize>() * block.channels) as u64
}
