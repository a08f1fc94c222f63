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

/// Inputs of N neurons over T time steps.
#[derive(Clone, Debug)]
pub struct NeuronInputs<T> {
    /// Current, `[T, N]`.
    pub x: T,
    /// Membrane potentials before the first step, `[1, N]`; `None` if the neurons are at rest.
    pub v: Option<T>,
    /// PLIF's weight `[1]`; `None` for other neurons.
    pub w: Option<T>,
}

/// A backend that computes neurons. The default methods are those of the reference.
pub trait NeuronBackend: Backend {
    /// Returns the spikes `[T, N]`, or `[T + 1, N]` with the last potentials as the last row if the
    /// layer keeps them.
    fn neurons(inputs: NeuronInputs<FloatTensor<Self>>, layer: &Layer) -> FloatTensor<Self> {
        let NeuronInputs { x, v, w } = inputs;
        let out = reference::forward(tensor::<Self, 2>(x), v.map(tensor), w.map(tensor), layer);
        primitive(out)
    }

    /// Returns the gradients of x, v and w from `grad`, the gradient of the output of
    /// [`neurons`](Self::neurons). Those of v and w are `None` if the input is.
    fn neurons_backward(
        grad: FloatTensor<Self>,
        inputs: NeuronInputs<FloatTensor<Self>>,
        layer: &Layer,
    ) -> [Option<FloatTensor<Self>>; 3] {
        let NeuronInputs { x, v, w } = inputs;
        let x = tensor::<Self, 2>(x);
        let (x, v, w) = reference::backward(tensor(grad), x, v.map(tensor), w.map(tensor), layer);
        [Some(primitive(x)), v.map(primitive), w.map(primitive)]
    }
}

impl NeuronBackend for Flex {
    fn neurons(inputs: NeuronInputs<FloatTensor<Self>>, layer: &Layer) -> FloatTensor<Self> {
        cpu::forward(&inputs, layer)
    }

    fn neurons_backward(
        grad: FloatTensor<Self>,
        inputs: NeuronInputs<FloatTensor<Self>>,
        layer: &Layer,
    ) -> [Option<FloatTensor<Self>>; 3] {
        cpu::backward(&grad, &inputs, layer)
    }
}

impl<B: NeuronBackend, C: CheckpointStrategy> NeuronBackend for Autodiff<B, C> {
    fn neurons(inputs: NeuronInputs<FloatTensor<Self>>, layer: &Layer) -> FloatTensor<Self> {
        let NeuronInputs { x, v, w } = inputs;
        // A node has a fixed number of parents, so an untracked tensor replaces a missing one.
        let device = B::float_device(&x.primitive);
        let nothing = || Self::from_inner(primitive(Tensor::<B, 1>::empty([1], &device)));
        let parent = |t: &Option<FloatTensor<Self>>| t.clone().unwrap_or_else(nothing).node;
        let nodes = [x.node.clone(), parent(&v), parent(&w)];
        let inputs = NeuronInputs {
            x: x.primitive,
            v: v.map(|v| v.primitive),
            w: w.map(|w| w.primitive),
        };
        let out = B::neurons(inputs.clone(), layer);
        match NeuronNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((inputs, *layer), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

/// The autodiff node of a layer of neurons.
#[derive(Debug)]
struct NeuronNode;

impl<B: NeuronBackend> Backward<B, 3> for NeuronNode {
    /// Arguments of the forward pass.
    type State = (NeuronInputs<FloatTensor<B>>, Layer);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (inputs, layer) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let gradients = B::neurons_backward(grad, inputs, &layer);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}
