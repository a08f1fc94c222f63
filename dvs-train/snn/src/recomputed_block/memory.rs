//! The memory that a recomputed block takes, for estimates before training.

use super::BlockImages;
use super::channels::parts;
use crate::fused_block::{FusedBlock, MOST_STEPS};
use crate::packed_spikes::BITS;

/// Tensors of the size of the convolution's output that the separate operations of the backward pass
/// need, besides the output.
const SEPARATE: u64 = 4;

/// Bytes of a GPU's memory that a block takes in a training step. All blocks keep something at the
/// same time, but only one of them computes. A step therefore takes the sum of `kept` over all blocks
/// and the largest `peak`, besides the network's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockBytes {
    /// Bytes from the forward pass until the backward pass.
    pub kept: u64,
    /// Most bytes that the block takes while it computes, with its images, its spikes and their
    /// gradients, but without `kept`. On the CPU, the gradient of the convolution's output takes as
    /// many as the output once more.
    pub peak: u64,
}

/// Returns the bytes of a block that reads images of a shape. Each value takes `value` bytes. Counts
/// are the network's frames: they have no gradient, and their bytes do not count.
pub fn block_bytes(images: &BlockImages<[usize; 4]>, block: &FusedBlock, value: u64) -> BlockBytes {
    let values = |shape: [usize; 4]| shape.iter().map(|&length| length as u64).product::<u64>();
    let [x, y, spikes] =
        [*images.images(), block.shape, block.output_shape()].map(|shape| value * values(shape));
    let copies = match block.steps {
        0..=MOST_STEPS => 1,
        _ => 1 + SEPARATE,
    };
    match images {
        BlockImages::Counts(_) => {
            let c = block.shape[1] as u64;
            let part = parts(block.shape[1]).first().map_or(0, |part| part.len()) as u64;
            // A part's own spikes, or their gradient, are copied from or to those of all channels.
            let of_part = |whole: u64| whole / c.max(1) * part;
            BlockBytes {
                kept: 0,
                peak: (spikes + of_part(spikes) + copies * of_part(y)).max(2 * spikes),
            }
        }
        BlockImages::Spikes(shape) => BlockBytes {
            kept: values(*shape).div_ceil(BITS as u64) * size_of::<u32>() as u64,
            peak: x + copies * y + spikes,
        },
    }
}
