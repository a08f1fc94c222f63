//! Conversion of all weights to 16 bits at once, for training in mixed precision.

#[cfg(feature = "gpu")]
pub mod gpu;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::Flex;
use burn::tensor::DType;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::FloatTensor;

/// A backend that converts several tensors at once. The default converts one after the other.
pub trait CastBackend: Backend {
    /// Returns the tensors in the type `dtype`, without gradient.
    fn cast_all(tensors: Vec<FloatTensor<Self>>, dtype: DType) -> Vec<FloatTensor<Self>> {
        let cast = |tensor| Self::float_cast(tensor, dtype.into());
        tensors.into_iter().map(cast).collect()
    }
}

impl CastBackend for Flex {}

impl<B: CastBackend, C: CheckpointStrategy> CastBackend for Autodiff<B, C> {
    fn cast_all(tensors: Vec<FloatTensor<Self>>, dtype: DType) -> Vec<FloatTensor<Self>> {
        let tensors = tensors.into_iter().map(|tensor| tensor.primitive);
        let cast = B::cast_all(tensors.collect(), dtype);
        cast.into_iter().map(Self::from_inner).collect()
    }
}

#[cfg(test)]
mod tests;
