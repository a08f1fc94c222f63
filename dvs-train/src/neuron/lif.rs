//! The leaky integrate-and-fire neuron over all time steps at once, as one node of the autodiff graph.
//!
//! The spike has no derivative, so the backward pass is written out instead of derived: it follows
//! SpikingJelly's surrogate gradient, and needs one saved tensor where a derived one would keep several a step.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

use super::reference;

/// Settings of a layer of LIF neurons that reset to 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lif {
    /// Membrane time constant in steps; the input decays with it too.
    pub tau: f64,
    /// Potential at which a neuron spikes.
    pub threshold: f64,
    /// Width of the ATan surrogate.
    pub alpha: f64,
    /// Whether no gradient flows through the spike into the reset.
    pub detach_reset: bool,
}

impl Default for Lif {
    /// The tutorial's neuron.
    fn default() -> Self {
        Self {
            tau: 2.0,
            threshold: 1.0,
            alpha: 2.0,
            detach_reset: true,
        }
    }
}

impl Lif {
    /// Spikes, exactly 0 or 1, of neurons at rest that receive the current `x`. The first dimension is time.
    pub fn forward<B: LifBackend, const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        let shape = x.shape(); // [T, ...]
        let steps = shape[0];
        let neurons = shape.num_elements() / steps.max(1);
        let x = x.reshape([steps, neurons]); // [T, N]
        let spikes = B::lif(primitive(x), self);
        tensor::<B>(spikes).reshape(shape) // [T, ...]
    }
}

/// A backend that computes LIF neurons. The methods it does not replace with kernels are the reference's.
///
/// All tensors are `[T, N]`: T steps of N neurons.
pub trait LifBackend: Backend {
    /// Spikes of the current `x`. With autodiff this is what has a gradient.
    fn lif(x: FloatTensor<Self>, lif: &Lif) -> FloatTensor<Self> {
        primitive(reference::spikes(tensor::<Self>(x), lif))
    }

    /// Spikes of the current `x`, and the potential before the reset, which the backward pass needs.
    fn lif_forward(x: FloatTensor<Self>, lif: &Lif) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (spikes, potential) = reference::forward(tensor::<Self>(x), lif);
        (primitive(spikes), primitive(potential))
    }

    /// Gradient of the current, from that of the spikes and the potential before the reset.
    fn lif_backward(
        grad_spikes: FloatTensor<Self>,
        potential: FloatTensor<Self>,
        lif: &Lif,
    ) -> FloatTensor<Self> {
        let grad_x =
            reference::backward(tensor::<Self>(grad_spikes), tensor::<Self>(potential), lif);
        primitive(grad_x)
    }
}

impl LifBackend for Flex {}

impl<B: LifBackend, C: CheckpointStrategy> LifBackend for Autodiff<B, C> {
    fn lif(x: FloatTensor<Self>, lif: &Lif) -> FloatTensor<Self> {
        match LifNode
            .prepare::<C>([x.node.clone()])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => {
                let (spikes, potential) = B::lif_forward(x.primitive, lif);
                prep.finish((potential, *lif), spikes)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::lif(x.primitive, lif)),
        }
    }
}

/// The neuron in the autodiff graph.
#[derive(Debug)]
struct LifNode;

impl<B: LifBackend> Backward<B, 1> for LifNode {
    type State = (FloatTensor<B>, Lif);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (potential, lif) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |grad_spikes| {
            B::lif_backward(grad_spikes, potential, &lif)
        });
    }
}

fn tensor<B: Backend>(primitive: FloatTensor<B>) -> Tensor<B, 2> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

fn primitive<B: Backend>(tensor: Tensor<B, 2>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}
