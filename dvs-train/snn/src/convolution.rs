//! 3 x 3 convolution with stride 1 and padding 1, as one node of the autodiff graph.
//!
//! burn-flex copies every input nine times for a matrix product, and its gradients cost even more.
//! The kernels here do without these copies and skip zeros: in a spiking network, nearly all inputs
//! are zero.

mod cpu;
mod dense;
mod direct;
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
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{ConvOptions, FloatTensor};
#[cfg(feature = "gpu")]
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use pulp::Arch;

use crate::backend::cpu::{dims, tensor, values};
use crate::backend::primitive::{self, primitive};
use weights::Weights;

/// Returns the outputs `[N, C_out, H, W]` of inputs `x` `[N, C_in, H, W]` with weights `w`
/// `[C_out, C_in, 3, 3]`.
pub fn convolve<B: ConvolutionBackend>(x: Tensor<B, 4>, w: Tensor<B, 4>) -> Tensor<B, 4> {
    primitive::tensor(B::convolve(primitive(x), primitive(w)))
}

/// A backend that computes convolutions. The default methods are burn's own.
pub trait ConvolutionBackend: Backend {
    /// Returns the outputs `[N, C_out, H, W]` of inputs `x` `[N, C_in, H, W]` with weights `w`
    /// `[C_out, C_in, 3, 3]`.
    fn convolve(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::conv2d(x, w, None, options())
    }

    /// Returns the gradient of x from `grad`, the gradient of the outputs.
    fn input_gradient(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::conv2d_x_backward(x, w, grad, options())
    }

    /// Returns the gradient of w from `grad`, the gradient of the outputs.
    fn weight_gradient(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(x, w, grad, options())
    }
}

fn options() -> ConvOptions<2> {
    ConvOptions::new([1, 1], [1, 1], [1, 1], 1)
}

impl ConvolutionBackend for Flex {
    fn convolve(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        let ([n, inputs, height, width], [outputs, ..]) = (dims(&x), dims::<4>(&w));
        let (x, w) = (values(&x), values(&w));
        let weights = Weights::forth(&w, outputs, inputs);
        let out = cpu::convolve(Arch::new(), &x, &weights, [n, height, width]);
        tensor(out, [n, outputs, height, width])
    }

    fn input_gradient(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let ([n, inputs, height, width], [outputs, ..]) = (dims(&x), dims::<4>(&w));
        let (grad, w) = (values(&grad), values(&w));
        let weights = Weights::back(&w, outputs, inputs);
        let out = cpu::convolve(Arch::new(), &grad, &weights, [n, height, width]);
        tensor(out, [n, inputs, height, width])
    }

    fn weight_gradient(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let ([n, inputs, height, width], [outputs, ..]) = (dims(&x), dims::<4>(&w));
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

/// burn's own kernels, which use matrix units if there are any.
#[cfg(feature = "gpu")]
impl<R, F, I, BT> ConvolutionBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
}

impl<B: ConvolutionBackend, C: CheckpointStrategy> ConvolutionBackend for Autodiff<B, C> {
    fn convolve(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node.clone(), w.node.clone()];
        let out = B::convolve(x.primitive.clone(), w.primitive.clone());
        match ConvolutionNode
            .prepare::<C>(nodes)
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((x.primitive, w.primitive), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

/// The autodiff node of the convolution.
#[derive(Debug)]
struct ConvolutionNode;

impl<B: ConvolutionBackend> Backward<B, 2> for ConvolutionNode {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, w) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let [input, weight] = ops.parents;
        if let Some(node) = weight {
            let dw = B::weight_gradient(grad.clone(), x.clone(), w.clone());
            grads.register::<B>(node.id, dw);
        }
        // The first layer's input has no gradient.
        if let Some(node) = input {
            grads.register::<B>(node.id, B::input_gradient(grad, x, w));
        }
    }
}

#[cfg(test)]
mod tests;
