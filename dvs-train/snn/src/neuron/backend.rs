//! The backend trait of neurons and its node in the autodiff graph, over all time steps at once.
//!
//! A spike has no derivative, so the backward pass is written by hand. It computes the potentials
//! again from the current instead of storing them.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::Flex;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::FloatTensor;

use super::model::Layer;
use super::{cpu, reference};
use crate::backend::primitive::{primitive, tensor};

/// A backend that computes neurons. The default methods are those of the reference.
///
/// The current `x` is `[T, N]`: N neurons over T time steps. The potentials `v` before the first
/// step are `[1, N]`, or `None` if the neurons are at rest. PLIF's weight `w` is `[1]`, or `None`
/// for other neurons.
pub trait NeuronBackend: Backend {
    /// Returns the spikes `[T, N]`, or `[T + 1, N]` with the last potentials as the last row if the
    /// layer keeps them.
    fn neurons(
        x: FloatTensor<Self>,
        v: Option<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        layer: &Layer,
    ) -> FloatTensor<Self> {
        let out = reference::forward(tensor::<Self, 2>(x), v.map(tensor), w.map(tensor), layer);
        primitive(out)
    }

    /// Returns the gradients of x, v and w from `grad`, the gradient of the output of
    /// [`neurons`](Self::neurons). Those of v and w are `None` if the argument is.
    fn neurons_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        v: Option<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        layer: &Layer,
    ) -> [Option<FloatTensor<Self>>; 3] {
        let x = tensor::<Self, 2>(x);
        let (x, v, w) = reference::backward(tensor(grad), x, v.map(tensor), w.map(tensor), layer);
        [Some(primitive(x)), v.map(primitive), w.map(primitive)]
    }
}

impl NeuronBackend for Flex {
    fn neurons(
        x: FloatTensor<Self>,
        v: Option<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        layer: &Layer,
    ) -> FloatTensor<Self> {
        cpu::forward(&x, v.as_ref(), w.as_ref(), layer)
    }

    fn neurons_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        v: Option<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        layer: &Layer,
    ) -> [Option<FloatTensor<Self>>; 3] {
        cpu::backward(&grad, &x, v.as_ref(), w.as_ref(), layer)
    }
}

impl<B: NeuronBackend, C: CheckpointStrategy> NeuronBackend for Autodiff<B, C> {
    fn neurons(
        x: FloatTensor<Self>,
        v: Option<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        layer: &Layer,
    ) -> FloatTensor<Self> {
        // A node has a fixed number of parents, so an untracked tensor replaces a missing one.
        let device = B::float_device(&x.primitive);
        let nothing = || Self::from_inner(primitive(Tensor::<B, 1>::empty([1], &device)));
        let parent = |t: &Option<FloatTensor<Self>>| t.clone().unwrap_or_else(nothing).node;
        let nodes = [x.node.clone(), parent(&v), parent(&w)];
        let state = State::<B> {
            x: x.primitive,
            v: v.map(|v| v.primitive),
            w: w.map(|w| w.primitive),
            layer: *layer,
        };
        let out = B::neurons(state.x.clone(), state.v.clone(), state.w.clone(), layer);
        match NeuronNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

/// Arguments of the forward pass, for the backward pass.
#[derive(Clone, Debug)]
struct State<B: Backend> {
    x: FloatTensor<B>,
    v: Option<FloatTensor<B>>,
    w: Option<FloatTensor<B>>,
    layer: Layer,
}

/// The autodiff node of a layer of neurons.
#[derive(Debug)]
struct NeuronNode;

impl<B: NeuronBackend> Backward<B, 3> for NeuronNode {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let State { x, v, w, layer } = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let gradients = B::neurons_backward(grad, x, v, w, &layer);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
