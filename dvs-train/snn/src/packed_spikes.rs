//! Images that wait for the backward pass, with one bit for each spike.

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "gpu")]
pub mod gpu_kernels;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Int, Tensor, TensorMetadata};

use crate::backend::cpu::dims;
use crate::backend::primitive::primitive;

/// Spikes of one number.
pub const BITS: usize = 32;

/// Images `[N, C, H, W]` that are kept.
#[derive(Clone, Debug)]
pub enum KeptImages<B: Backend> {
    /// Images as they are.
    Plain(FloatTensor<B>),
    /// Packed spikes.
    Packed(PackedSpikes<IntTensor<B>>),
}

/// Spikes with [`BITS`] of them in each number.
#[derive(Clone, Debug)]
pub struct PackedSpikes<T> {
    /// The numbers, in the order in which the backend keeps images. The lowest bit is the first
    /// spike, and bits beyond the last spike are 0.
    pub numbers: T,
    /// Shape of the spikes.
    pub shape: [usize; 4],
    /// Type of the spikes.
    pub dtype: DType,
}

impl<B: PackingBackend> KeptImages<B> {
    /// Keeps spikes, each exactly 0 or 1.
    pub fn spikes(x: FloatTensor<B>) -> Self {
        B::pack(x)
    }

    /// Returns the images.
    pub fn images(self) -> FloatTensor<B> {
        match self {
            Self::Plain(x) => x,
            Self::Packed(packed) => B::unpack(packed),
        }
    }

    /// Returns the shape of the images.
    pub fn shape(&self) -> [usize; 4] {
        match self {
            Self::Plain(x) => x.shape().dims(),
            Self::Packed(packed) => packed.shape,
        }
    }
}

/// A backend that packs spikes. By default it keeps them as they are.
pub trait PackingBackend: Backend {
    /// Packs spikes, each exactly 0 or 1.
    fn pack(x: FloatTensor<Self>) -> KeptImages<Self> {
        KeptImages::Plain(x)
    }

    /// Returns the spikes that [`pack`](Self::pack) packed. The default takes one number for each.
    fn unpack(packed: PackedSpikes<IntTensor<Self>>) -> FloatTensor<Self> {
        let numbers = Tensor::<Self, 1, Int>::from_primitive(packed.numbers);
        primitive(numbers.reshape(packed.shape).float().cast(packed.dtype))
    }
}

impl PackingBackend for Flex {
    fn pack(x: FloatTensor<Self>) -> KeptImages<Self> {
        KeptImages::Packed(PackedSpikes {
            numbers: cpu::pack(&x),
            shape: dims(&x),
            dtype: x.dtype(),
        })
    }

    fn unpack(packed: PackedSpikes<IntTensor<Self>>) -> FloatTensor<Self> {
        cpu::unpack(&packed)
    }
}

/// Nothing of the autodiff graph is packed.
impl<B: PackingBackend, C: CheckpointStrategy> PackingBackend for Autodiff<B, C> {}

#[cfg(test)]
mod tests;
