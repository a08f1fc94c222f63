//! Backends that augment frames.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::Flex;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::FloatTensor;

use super::{Plan, cpu};

/// A backend that augments frames.
pub trait AugmentBackend: Backend {
    /// Alters frames `[T, B, 2, H, W]` by `plan`, which has B samples.
    fn alter(frames: FloatTensor<Self>, plan: &Plan) -> FloatTensor<Self>;
}

impl AugmentBackend for Flex {
    fn alter(frames: FloatTensor<Self>, plan: &Plan) -> FloatTensor<Self> {
        cpu::alter(&frames, plan)
    }
}

/// Frames have no gradient.
impl<B: AugmentBackend, C: CheckpointStrategy> AugmentBackend for Autodiff<B, C> {
    fn alter(frames: FloatTensor<Self>, plan: &Plan) -> FloatTensor<Self> {
        Self::from_inner(B::alter(frames.primitive, plan))
    }
}
