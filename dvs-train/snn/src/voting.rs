//! Votes of output neurons, averaged over time, as one node of the autodiff graph.

#[cfg(feature = "gpu")]
pub mod gpu;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::Flex;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;

use crate::backend::primitive::{primitive, tensor};

/// Returns the firing rate of each class, `[B, K]`: the mean of `spikes` `[T, B, K * V]` over the
/// time steps and over the class's V neurons, which lie side by side.
///
/// # Panics
/// Panics if `voters`, V, does not divide the number of neurons.
pub fn firing_rate<B: VotingBackend>(spikes: Tensor<B, 3>, voters: usize) -> Tensor<B, 2> {
    let neurons = spikes.dims()[2];
    assert!(
        voters > 0 && neurons.is_multiple_of(voters),
        "{voters} voters do not divide {neurons} neurons"
    );
    tensor(B::firing_rate(primitive(spikes), voters))
}

/// A backend that averages votes. The default methods are plain tensor operations.
pub trait VotingBackend: Backend {
    /// Returns the firing rates `[B, K]` of `spikes` `[T, B, K * V]`. V is `voters`.
    fn firing_rate(spikes: FloatTensor<Self>, voters: usize) -> FloatTensor<Self> {
        let spikes = tensor::<Self, 3>(spikes);
        let [t, b, outputs] = spikes.dims();
        let classes = outputs / voters.max(1);
        let votes = spikes.reshape([t, b, classes, voters]).mean_dim(3); // [T, B, K, 1]
        primitive(votes.mean_dim(0).reshape([b, classes]))
    }

    /// Returns the gradient of the spikes `[T, B, K * V]` from that of the rates `[B, K]`.
    fn firing_rate_backward(
        grad: FloatTensor<Self>,
        steps: usize,
        voters: usize,
    ) -> FloatTensor<Self> {
        let grad = tensor::<Self, 2>(grad);
        let [b, classes] = grad.dims();
        let share = |n: usize| 1.0 / n.max(1) as f64;
        let each = grad.mul_scalar(share(steps)).mul_scalar(share(voters));
        let each = each.reshape([1, b, classes, 1]).repeat_dim(3, voters);
        primitive(each.reshape([1, b, classes * voters]).repeat_dim(0, steps))
    }
}

impl VotingBackend for Flex {}

impl<B: VotingBackend, C: CheckpointStrategy> VotingBackend for Autodiff<B, C> {
    fn firing_rate(spikes: FloatTensor<Self>, voters: usize) -> FloatTensor<Self> {
        let steps = tensor::<B, 3>(spikes.primitive.clone()).dims()[0];
        let rate = B::firing_rate(spikes.primitive, voters);
        match RateNode
            .prepare::<C>([spikes.node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((steps, voters), rate),
            OpsKind::UnTracked(prep) => prep.finish(rate),
        }
    }
}

/// The autodiff node of the firing rates.
#[derive(Debug)]
struct RateNode;

impl<B: VotingBackend> Backward<B, 1> for RateNode {
    /// Time steps and voters.
    type State = (usize, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (steps, voters) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let [spikes] = ops.parents;
        if let Some(node) = spikes {
            grads.register::<B>(node.id, B::firing_rate_backward(grad, steps, voters));
        }
    }
}

#[cfg(test)]
mod tests;
