//! Convolution as one node of the autodiff graph.
//!
//! Convolutions of 3 x 3 with stride 1 and padding 1 have their own kernels. All others are burn's.
//! burn-flex copies every input nine times for a matrix product, and its gradients cost even more.
//! The kernels here do without these copies and skip zeros: in a spiking network, nearly all inputs
//! are zero.

mod cpu;
mod dense;
mod direct;
#[cfg(feature = "gpu")]
mod gpu;
#[cfg(feature = "gpu")]
mod gpu_kernels;
#[cfg(feature = "gpu")]
mod gpu_tuned;
mod gradient;
mod inputs;
mod outputs;
mod padded_rows;
mod sparse;
mod spikes;
mod transpose;
mod weight_gradient;
mod weights;
mod winograd;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::Flex;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::{ConvOptions, FloatTensor, ModuleOps};
use burn::tensor::{DType, FloatDType, Tensor, TensorMetadata};
use pulp::Arch;

use crate::backend::cpu::{dims, tensor, values};
use crate::backend::primitive::{self, primitive};
use weights::Weights;

/// How a convolution moves its kernel over the images, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Distance between two places of the kernel.
    pub stride: usize,
    /// Zeros added at each border.
    pub padding: usize,
}

impl Geometry {
    /// Stride 1 and padding 1. A kernel of 3 x 3 then keeps the size of the images.
    pub const SAME: Self = Self {
        stride: 1,
        padding: 1,
    };

    /// Whether the kernels of this crate compute convolutions with weights of this height and width.
    pub fn has_own_kernels(self, [height, width]: [usize; 2]) -> bool {
        self == Self::SAME && height == 3 && width == 3
    }

    /// Number of places of a kernel with `kernel` rows or columns along a side of an image.
    pub fn places(self, side: usize, kernel: usize) -> usize {
        let padded = side + 2 * self.padding;
        let rest = padded.checked_sub(kernel);
        rest.map_or(0, |rest| rest / self.stride.max(1) + 1)
    }

    fn options(self) -> ConvOptions<2> {
        let Self { stride, padding } = self;
        ConvOptions::new([stride, stride], [padding, padding], [1, 1], 1)
    }
}

/// Returns the outputs `[N, C_out, H', W']` of inputs `x` `[N, C_in, H, W]` with weights `w`
/// `[C_out, C_in, K, K]`.
pub fn convolve<B: ConvolutionBackend>(
    x: Tensor<B, 4>,
    w: Tensor<B, 4>,
    geometry: Geometry,
) -> Tensor<B, 4> {
    primitive::tensor(B::convolve(primitive(x), primitive(w), None, geometry))
}

/// Like [`convolve`], but computes in 16 bits: `x` has 16 bits, and `half` has the values of `w` in
/// the same type. The gradient goes to `w`, in 32 bits.
pub fn convolve_half<B: ConvolutionBackend>(
    x: Tensor<B, 4>,
    w: Tensor<B, 4>,
    half: FloatTensor<B>,
    geometry: Geometry,
) -> Tensor<B, 4> {
    primitive::tensor(B::convolve(
        primitive(x),
        primitive(w),
        Some(half),
        geometry,
    ))
}

/// A backend that computes convolutions. The default methods are burn's own.
pub trait ConvolutionBackend: Backend {
    /// Returns the outputs `[N, C_out, H', W']` of inputs `x` `[N, C_in, H, W]` with weights `w`
    /// `[C_out, C_in, K, K]`. `half` has the weights in the type of `x`, if it has 16 bits.
    fn convolve(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        half: Option<FloatTensor<Self>>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        Self::conv2d(x, half.unwrap_or(w), None, geometry.options())
    }

    /// Returns images `[N, C, H, W]` in the order of memory that the convolution reads, so that its
    /// passes need not copy them. The result has no gradient.
    fn images(x: FloatTensor<Self>) -> FloatTensor<Self> {
        x
    }

    /// Returns the gradient of x from `grad`, the gradient of the outputs.
    fn input_gradient(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        Self::conv2d_x_backward(x, w, grad, geometry.options())
    }

    /// Returns the gradient of w from `grad`, the gradient of the outputs.
    fn weight_gradient(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(x, w, grad, geometry.options())
    }
}

/// Returns the gradient of weights in 32 bits, whatever the convolution computes in.
pub(crate) fn single_weight_gradient<B: ConvolutionBackend>(
    grad: FloatTensor<B>,
    x: FloatTensor<B>,
    w: FloatTensor<B>,
    geometry: Geometry,
) -> FloatTensor<B> {
    let dw = B::weight_gradient(grad, x, w, geometry);
    match dw.dtype() {
        DType::F32 => dw,
        _ => B::float_cast(dw, FloatDType::F32),
    }
}

/// Returns the gradient of inputs of this shape and type. Unlike
/// [`input_gradient`](ConvolutionBackend::input_gradient), it does not need the inputs, so that they need
/// not be in memory.
pub(crate) fn input_gradient_for_shape<B: ConvolutionBackend>(
    grad: FloatTensor<B>,
    shape: [usize; 4],
    w: FloatTensor<B>,
    geometry: Geometry,
) -> FloatTensor<B> {
    // One value that is repeated stands for the inputs, whose values do not matter.
    let one = Tensor::<B, 4>::ones([1; 4], (&B::float_device(&grad), grad.dtype()));
    B::input_gradient(grad, primitive(one.expand(shape)), w, geometry)
}

/// The kernels compute in 32 bits.
impl ConvolutionBackend for Flex {
    fn convolve(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        _half: Option<FloatTensor<Self>>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let ([n, inputs, height, width], [outputs, _, rows, columns]) = (dims(&x), dims::<4>(&w));
        if !geometry.has_own_kernels([rows, columns]) {
            return Self::conv2d(x, w, None, geometry.options());
        }
        let (x, w) = (values(&x), values(&w));
        let weights = Weights::forth(&w, outputs, inputs);
        let out = cpu::convolve(Arch::new(), &x, &weights, [n, height, width]);
        tensor(out, [n, outputs, height, width])
    }

    fn input_gradient(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let ([n, inputs, height, width], [outputs, _, rows, columns]) = (dims(&x), dims::<4>(&w));
        if !geometry.has_own_kernels([rows, columns]) {
            return Self::conv2d_x_backward(x, w, grad, geometry.options());
        }
        let (grad, w) = (values(&grad), values(&w));
        let weights = Weights::back(&w, outputs, inputs);
        let out = cpu::convolve(Arch::new(), &grad, &weights, [n, height, width]);
        tensor(out, [n, inputs, height, width])
    }

    fn weight_gradient(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let ([n, inputs, height, width], [outputs, _, rows, columns]) = (dims(&x), dims::<4>(&w));
        if !geometry.has_own_kernels([rows, columns]) {
            return Self::conv2d_weight_backward(x, w, grad, geometry.options());
        }
        let (grad, x) = (values(&grad), values(&x));
        let out = weight_gradient::weight_gradient(
            Arch::new(),
            &x,
            &grad,
            [outputs, inputs],
            [n, height, width],
        );
        tensor(out, [outputs, inputs, 3, 3])
    }
}

impl<B: ConvolutionBackend, C: CheckpointStrategy> ConvolutionBackend for Autodiff<B, C> {
    fn images(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::images(x.primitive))
    }

    fn convolve(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        half: Option<FloatTensor<Self>>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let nodes = [x.node.clone(), w.node.clone()];
        let half = half.map(|half| half.primitive);
        let out = B::convolve(
            x.primitive.clone(),
            w.primitive.clone(),
            half.clone(),
            geometry,
        );
        let w = half.unwrap_or(w.primitive);
        match ConvolutionNode
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((x.primitive, w, geometry), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

/// The autodiff node of the convolution.
#[derive(Debug)]
struct ConvolutionNode;

impl<B: ConvolutionBackend> Backward<B, 2> for ConvolutionNode {
    type State = (FloatTensor<B>, FloatTensor<B>, Geometry);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, w, geometry) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let [input, weight] = ops.parents;
        if let Some(node) = weight {
            let dw = single_weight_gradient::<B>(grad.clone(), x.clone(), w.clone(), geometry);
            grads.register::<B>(node.id, dw);
        }
        // The first layer's input has no gradient.
        if let Some(node) = input {
            grads.register::<B>(node.id, B::input_gradient(grad, x, w, geometry));
        }
    }
}

#[cfg(test)]
mod tests;
