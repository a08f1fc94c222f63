//! The output channels of a block, some at a time.

use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;

use crate::backend::primitive::{primitive, tensor};

/// Parts into which the channels are divided, at most. More would save little: the block's spikes and
/// the next block take as much memory.
const PARTS: usize = 4;
/// The channels of a part are a multiple of this number, so that the kernels' vectors and tiles are
/// whole.
const TOGETHER: usize = 16;

/// Divides `c` channels into parts. Each part but the last has the same number of channels.
pub fn parts(c: usize) -> Vec<Range<usize>> {
    let part = c.div_ceil(PARTS).next_multiple_of(TOGETHER).max(1);
    let first = (0..c.max(1)).step_by(part);
    first.map(|first| first..c.min(first + part)).collect()
}

/// Returns the `channels` of a tensor whose first dimension is channels.
pub fn rows<B: Backend, const D: usize>(
    x: &FloatTensor<B>,
    channels: &Range<usize>,
) -> FloatTensor<B> {
    primitive(narrow(tensor::<B, D>(x.clone()), 0, channels))
}

/// Returns a part of dimension `dim`. The whole is not copied.
pub fn narrow<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    dim: usize,
    range: &Range<usize>,
) -> Tensor<B, D> {
    match range.len() == x.dims()[dim] {
        true => x,
        false => x.narrow(dim, range.start, range.len()),
    }
}

/// Puts the parts of a tensor together along dimension `dim`. There is at least one.
pub fn join<B: Backend>(mut parts: Vec<FloatTensor<B>>, dim: usize) -> FloatTensor<B> {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => B::float_cat(parts.into_iter().chain(last).collect(), dim),
    }
}
