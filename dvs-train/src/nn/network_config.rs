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

    /// Whether the inputs of block `at` are spikes, 0 or 1, in training, where dropout scales those
    /// that it keeps.
    pub fn trains_on_spikes(&self, at: usize) -> bool {
        let network = &self.architecture;
        network.takes_spikes(at) && network.blocks[at].dropout == 0.0
    }

    /// Returns the time steps of a chunk, if training goes through `steps` time steps in chunks.
    pub fn chunk(&self, steps: usize) -> Option<usize> {
        self.chunk_steps.filter(|chunk| *chunk < steps)
    }

    /// Estimates the bytes of a GPU's memory that a training step on batches of `batch` samples with
    /// `steps` time steps needs, without the weights and the linear layers.
    ///
    /// Each fused block keeps its convolution's output and its pooled spikes. A gradient reuses the
    /// memory of its tensor. Separate operations keep [`SEPARATE`] quarters of a tensor of the output's
    /// size. They compute blocks without batch norm, single steps, and more time steps than the fused
    /// backward pass supports. Chunks of more steps compute one block at a time so, and blocks keep
    /// the potentials before and after a chunk. Poolings that are not fused keep their inputs and, for the
    /// maximum, its place.
    pub fn training_bytes(&self, steps: usize, batch: usize) -> u64 {
        let (value, copy) = match self.half {
            Some(_) => (2, 2),
            None => (4, 0),
        };
        let product = |a: usize, b: usize| (a as u64).saturating_mul(b as u64);
        let all = product(steps, batch);
        let chunk = self.chunk(steps);
        let is_fused = self.step_mode == StepMode::M && (chunk.is_some() || steps <= MOST_STEPS);
        let steps_at_once = chunk.unwrap_or(steps);
        let images = product(steps_at_once, batch);
        let frame = self.architecture.frame_cells() as u64;
        // Membrane potentials and currents have 32 bits, and spikes those of the convolution.
        let separate = |block: &BlockForm| {
            images.saturating_mul((value + 1) * output_cells(block) * SEPARATE / 4)
        };
        let mut kept = all.saturating_mul(frame * (4 + copy));
        let mut most = 0;
        for (at, block) in self.architecture.blocks.iter().enumerate() {
            let pooled = images
                .saturating_mul(pooling_cells(block))
                .saturating_mul(value + 4);
            let bytes = match block.norm {
                true if self.recompute => {
                    let BlockBytes { kept, peak } = self.recomputed(at, steps, batch, value);
                    most = most.max(peak);
                    kept
                }
                true if is_fused => {
                    if steps_at_once > MOST_STEPS {
                        // One block at a time computes by separate operations.
                        most = most.max(separate(block));
                    }
                    let potentials = match chunk {
                        Some(_) => product(batch, 2).saturating_mul(4 * output_cells(block)),
                        None => 0,
                    };
                    let kept = images.saturating_mul(value * cells(block));
                    kept.saturating_add(potentials)
                }
                _ => separate(block),
            };
            kept = kept.saturating_add(bytes).saturating_add(pooled);
        }
        kept.saturating_add(most)
    }

    /// Bytes of block `at` if the backward pass computes its convolution again.
    fn recomputed(&self, at: usize, steps: usize, batch: usize, value: u64) -> BlockBytes {
        let block = &self.architecture.blocks[at];
        let images = |channels, [height, width]: [usize; 2]| {
            [steps.saturating_mul(batch), channels, height, width]
        };
        let inputs = images(block.inputs, block.size);
        let (pool, _) = block.fused_pool();
        let fused = FusedBlock {
            neuron: self.neurons[at],
            steps,
            shape: images(block.channels, block.convolved()),
            pool,
        };
        let is_divided = at == 0 && block.geometry().has_own_kernels([block.kernel; 2]);
        if is_divided {
            return block_bytes(&BlockImages::Counts(inputs), &fused, value);
        }
        let bytes = block_bytes(&BlockImages::Spikes(inputs), &fused, value);
        match self.trains_on_spikes(at) {
            true => bytes,
            // These inputs are kept as they are.
            false => BlockBytes {
                kept: inputs
                    .iter()
                    .fold(value, |all, side| all.saturating_mul(*side as u64)),
                ..bytes
            },
        }
    }

    /// Like [`training_bytes`](Self::training_bytes), for a test step, which computes in 32 bits.
    pub fn test_bytes(&self, steps: usize, batch: usize) -> u64 {
        let blocks: u64 = self.architecture.blocks.iter().map(cells).sum();
        let cells = 4 * (self.architecture.frame_cells() as u64 + blocks);
        (steps as u64)
            .saturating_mul(batch as u64)
            .saturating_mul(cells)
    }
}

/// Quarters of a tensor of the convolution's output that separate operations keep.
const SEPARATE: u64 = 17;

/// Number of values that enter the poolings of a block that are not fused, for a frame.
fn pooling_cells(block: &BlockForm) -> u64 {
    let (_, pools) = block.fused_pool();
    let mut size = block.convolved();
    let mut cells = 0;
    for pool in &block.pools[..block.pools.len() - pools.len()] {
        size = pool.size(size);
    }
    for pool in pools {
        cells += size.iter().product::<usize>() * block.channels;
        size = pool.size(size);
    }
    cells as u64
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
