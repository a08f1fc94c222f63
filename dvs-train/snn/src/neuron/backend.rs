//! Neurons over all time steps at once, as one node of the autodiff graph.
//!
//! The spike has no derivative, so the backward pass is written out instead of derived. It computes the
//! potentials again from the current, which is all that it keeps.

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

/// A backend that computes neurons. The methods it does not replace with kernels are the reference's.
///
/// The current `x` is `[T, N]`: T steps of N neurons. The potentials `v` before the first step are `[1, N]`, none
/// where the neurons are at rest. PLIF's weight `w` is `[1]`, none for other neurons.
pub trait NeuronBackend: Backend {
    /// Spikes `[T, N]`, or `[T + 1, N]` with the potentials that are kept.
    fn neurons(
        x: FloatTensor<Self>,
        v: Option<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        layer: &Layer,
    ) -> FloatTensor<Self> {
        let out = reference::forward(tensor::<Self, 2>(x), v.map(tensor), w.map(tensor), layer);
        primitive(out)
    }

    /// Gradients of x, v and w, the latter two where they were given, from that of what
    /// [`neurons`](Self::neurons) returned.
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
        // A node has a fixed number of parents: a tensor without gradient stands for one that is not there.
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

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct State<B: Backend> {
    x: FloatTensor<B>,
    v: Option<FloatTensor<B>>,
    w: Option<FloatTensor<B>>,
    layer: Layer,
}

/// The layer in the autodiff graph.
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
