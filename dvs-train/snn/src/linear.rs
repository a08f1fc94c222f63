//! A linear layer with dropout, as one node of the autodiff graph.
//!
//! As separate operations, dropout, conversions to 16 bits and back, and changes of the memory
//! layout cost a GPU more launches than the products do.

#[cfg(feature = "gpu")]
pub mod gpu;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor, TensorMetadata};

use crate::backend::primitive::{primitive, tensor};

/// Returns the products `[N, O]`, in 32 bits, of features with weights. See [`LinearInputs`] for
/// the arguments.
///
/// # Panics
/// Panics if the number of rows is not a multiple of the number of samples of the dropout's mask.
pub fn linear<B: LinearBackend>(
    x: Tensor<B, 4>,
    w: Tensor<B, 2>,
    half: Option<FloatTensor<B>>,
    dropout: Option<Dropout<FloatTensor<B>>>,
) -> Tensor<B, 2> {
    if let Some(dropout) = &dropout {
        let (rows, samples) = (x.dims()[0], dropout.mask.shape()[0]);
        assert!(
            samples > 0 && rows.is_multiple_of(samples),
            "{rows} rows are not of {samples} samples"
        );
    }
    tensor(B::dropped_linear(LinearInputs {
        x: primitive(x),
        w: primitive(w),
        half,
        dropout,
    }))
}

/// Inputs of a linear layer.
#[derive(Clone, Debug)]
pub struct LinearInputs<T> {
    /// Features `[N, C, H, W]`, of any floating-point type. A row of features is `[C * H * W]`.
    pub x: T,
    /// Weights `[C * H * W, O]` in 32 bits.
    pub w: T,
    /// The weights in 16 bits, if the products are to be computed in this type. The gradient still
    /// goes to `w`.
    pub half: Option<T>,
    /// Dropout of the features, if any.
    pub dropout: Option<Dropout<T>>,
}

/// Dropout with one mask per sample, the same at every time step.
#[derive(Clone, Debug)]
pub struct Dropout<T> {
    /// 1 for a feature that is kept, else 0, `[B, C * H * W]`. N is a multiple of B, and row n of
    /// the features is of sample n % B.
    pub mask: T,
    /// Probability of 1. Kept features are divided by it.
    pub kept: f64,
}

/// A backend that computes linear layers. The default methods are plain tensor operations.
pub trait LinearBackend: Backend {
    /// Returns the products `[N, O]` in 32 bits.
    fn dropped_linear(inputs: LinearInputs<FloatTensor<Self>>) -> FloatTensor<Self> {
        let LinearInputs {
            x,
            w,
            half,
            dropout,
        } = inputs;
        let w = half.unwrap_or(w);
        let dropped = Self::drop_features(x, dropout.as_ref(), w.dtype());
        Self::product(dropped, w)
    }

    /// Returns the features as rows `[N, C * H * W]` of type `dtype`, after dropout.
    fn drop_features(
        x: FloatTensor<Self>,
        dropout: Option<&Dropout<FloatTensor<Self>>>,
        dtype: DType,
    ) -> FloatTensor<Self> {
        let x = tensor::<Self, 4>(x).flatten::<2>(1, 3).cast(DType::F32); // [N, F]
        let x = match dropout {
            Some(dropout) => x.clone() * factors::<Self>(dropout, x.dims()[0]),
            None => x,
        };
        primitive(x.cast(dtype))
    }

    /// Returns the gradient of features of this shape and type from that of
    /// [`drop_features`](Self::drop_features)' result.
    fn drop_features_backward(
        grad: FloatTensor<Self>,
        dropout: Option<&Dropout<FloatTensor<Self>>>,
        shape: [usize; 4],
        dtype: DType,
    ) -> FloatTensor<Self> {
        let grad = tensor::<Self, 2>(grad).cast(DType::F32); // [N, F]
        let grad = match dropout {
            Some(dropout) => grad * factors::<Self>(dropout, shape[0]),
            None => grad,
        };
        primitive(grad.reshape(shape).cast(dtype))
    }

    /// Returns the matrix product of x `[N, F]` and w `[F, O]`, which have the same type, in 32
    /// bits.
    fn product(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        primitive(tensor::<Self, 2>(Self::linear(x, w, None)).cast(DType::F32))
    }

    /// Returns the gradient of x from that of [`product`](Self::product), in the type of w.
    fn product_x_backward(grad: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::linear_x_backward(w, grad)
    }

    /// Returns the gradient of w from that of [`product`](Self::product), in 32 bits.
    fn product_w_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        primitive(tensor::<Self, 2>(Self::linear_weight_backward(x, grad)).cast(DType::F32))
    }
}

/// Returns the factors of dropout for `n` rows. They are repeated, because burn-flex is slow at
/// broadcasts over the first dimension.
fn factors<B: Backend>(dropout: &Dropout<FloatTensor<B>>, n: usize) -> Tensor<B, 2> {
    let mask = tensor::<B, 2>(dropout.mask.clone()); // [B, F]
    let samples = mask.dims()[0].max(1);
    mask.div_scalar(dropout.kept).repeat_dim(0, n / samples) // [N, F]
}

impl LinearBackend for Flex {}

impl<B: LinearBackend, C: CheckpointStrategy> LinearBackend for Autodiff<B, C> {
    fn dropped_linear(inputs: LinearInputs<FloatTensor<Self>>) -> FloatTensor<Self> {
        let LinearInputs {
            x,
            w,
            half,
            dropout,
        } = inputs;
        let nodes = [x.node.clone(), w.node.clone()];
        let w = half.unwrap_or(w).primitive;
        let dropout = dropout.map(|Dropout { mask, kept }| Dropout {
            mask: mask.primitive,
            kept,
        });
        let (shape, dtype) = (x.primitive.shape().dims(), x.primitive.dtype());
        let dropped = B::drop_features(x.primitive, dropout.as_ref(), w.dtype());
        let y = B::product(dropped.clone(), w.clone());
        let state = State::<B> {
            dropped,
            w,
            dropout,
            shape,
            dtype,
        };
        match LinearNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}

/// Values for the backward pass.
#[derive(Clone, Debug)]
struct State<B: Backend> {
    /// Features after dropout, `[N, F]`.
    dropped: FloatTensor<B>,
    /// Weights in the same type.
    w: FloatTensor<B>,
    dropout: Option<Dropout<FloatTensor<B>>>,
    /// Shape and type of the features.
    shape: [usize; 4],
    dtype: DType,
}

/// The autodiff node of the layer.
#[derive(Debug)]
struct LinearNode;

impl<B: LinearBackend> Backward<B, 2> for LinearNode {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let State {
            dropped,
            w,
            dropout,
            shape,
            dtype,
        } = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let grad = match w.dtype() {
            DType::F32 => grad,
            half => B::float_cast(grad, half.into()),
        };
        let [x_node, w_node] = ops.parents;
        if let Some(node) = w_node {
            grads.register::<B>(node.id, B::product_w_backward(dropped, grad.clone()));
        }
        if let Some(node) = x_node {
            let grad = B::product_x_backward(grad, w);
            let dx = B::drop_features_backward(grad, dropout.as_ref(), shape, dtype);
            grads.register::<B>(node.id, dx);
        }
    }
}

#[cfg(test)]
mod tests;
