//! The loss of firing rates, as one node of the autodiff graph, and its sums over an epoch.

#[cfg(feature = "gpu")]
pub mod gpu;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{Int, Tensor};

use crate::backend::primitive::{primitive, tensor};

/// Returns the squared difference `[1]` of firing rates and targets, `[B, K]` each, averaged over
/// samples and classes. The targets get no gradient.
pub fn mean_squared_error<B: LossBackend>(
    rate: Tensor<B, 2>,
    target: Tensor<B, 2>,
) -> Tensor<B, 1> {
    tensor(B::mean_squared_error(primitive(rate), primitive(target)))
}

/// Sums over the samples of an epoch so far, `[1]` each, on the device.
#[derive(Clone, Debug)]
pub struct EpochSums<B: Backend> {
    /// Sum of the losses.
    pub loss: Tensor<B, 1>,
    /// Number of samples whose class has the highest firing rate. The first class wins a tie.
    pub correct: Tensor<B, 1, Int>,
}

/// A backend that computes the loss. The default methods are plain tensor operations.
pub trait LossBackend: Backend {
    /// Returns the loss `[1]` of rates and targets `[B, K]`.
    fn mean_squared_error(rate: FloatTensor<Self>, target: FloatTensor<Self>) -> FloatTensor<Self> {
        let difference = tensor::<Self, 2>(rate) - tensor(target);
        primitive((difference.clone() * difference).mean())
    }

    /// Returns the gradient of the rates from that of the loss.
    fn mean_squared_error_backward(
        grad: FloatTensor<Self>,
        rate: FloatTensor<Self>,
        target: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let difference = tensor::<Self, 2>(rate) - tensor(target);
        let share = 1.0 / difference.shape().num_elements().max(1) as f64;
        let grad = tensor::<Self, 1>(grad).mul_scalar(share).reshape([1, 1]);
        let once = difference.clone() * grad.expand(difference.shape());
        primitive(once.clone() + once)
    }

    /// Returns the sums after a batch with this mean loss `[1]`, rates and targets `[B, K]`. A
    /// target is 1 for the sample's class, else 0.
    fn add_batch(
        sums: (FloatTensor<Self>, IntTensor<Self>),
        loss: FloatTensor<Self>,
        rate: FloatTensor<Self>,
        target: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        let [rate, target] = [rate, target].map(tensor::<Self, 2>);
        let size = rate.dims()[0];
        let loss = tensor::<Self, 1>(sums.0) + tensor::<Self, 1>(loss).mul_scalar(size as f64);
        let right = rate.argmax(1).equal(target.argmax(1)).int().sum();
        let correct = Tensor::<Self, 1, Int>::from_primitive(sums.1) + right;
        (primitive(loss), correct.into_primitive())
    }
}

impl<B: LossBackend> EpochSums<B> {
    /// Adds a batch with this mean loss `[1]`, rates and targets `[B, K]`.
    pub fn add(self, loss: Tensor<B, 1>, rate: Tensor<B, 2>, target: Tensor<B, 2>) -> Self {
        let sums = (primitive(self.loss), self.correct.into_primitive());
        let (loss, correct) =
            B::add_batch(sums, primitive(loss), primitive(rate), primitive(target));
        Self {
            loss: tensor(loss),
            correct: Tensor::from_primitive(correct),
        }
    }
}

impl LossBackend for Flex {}

impl<B: LossBackend, C: CheckpointStrategy> LossBackend for Autodiff<B, C> {
    fn mean_squared_error(rate: FloatTensor<Self>, target: FloatTensor<Self>) -> FloatTensor<Self> {
        let loss = B::mean_squared_error(rate.primitive.clone(), target.primitive.clone());
        match LossNode
            .prepare::<C>([rate.node])
            .compute_bound()
            .stateful()
        {
            OpsKind::Tracked(prep) => prep.finish((rate.primitive, target.primitive), loss),
            OpsKind::UnTracked(prep) => prep.finish(loss),
        }
    }
}

/// The autodiff node of the loss.
#[derive(Debug)]
struct LossNode;

impl<B: LossBackend> Backward<B, 1> for LossNode {
    /// Rates and targets.
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (rate, target) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let [node] = ops.parents;
        if let Some(node) = node {
            let drate = B::mean_squared_error_backward(grad, rate, target);
            grads.register::<B>(node.id, drate);
        }
    }
}

#[cfg(test)]
mod tests;
