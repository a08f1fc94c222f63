//! Conversions between tensors and the primitives of backends.

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Shape, Tensor, TensorPrimitive};

/// Returns a primitive as a tensor of D dimensions.
pub fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

/// Returns the primitive of a tensor, with which the backend computes.
pub fn primitive<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// Uploads values in row-major order. CUDA pads the rows of a matrix that is uploaded, but not those
/// of a vector, and our kernels take rows without gaps.
pub fn upload<B: Backend, const D: usize>(
    values: &[f32],
    shape: impl Into<Shape>,
    device: &B::Device,
) -> Tensor<B, D> {
    let shape: Shape = shape.into();
    Tensor::<B, 1>::from_floats(values, device).reshape(shape)
}
