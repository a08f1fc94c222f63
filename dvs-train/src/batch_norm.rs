//! Batch normalisation with PyTorch's running statistics, as one node of the autodiff graph.
//!
//! burn-nn's own module moves the running variance by the biased variance of the batch where PyTorch takes the
//! unbiased one, and derives its gradient through some ten operations on the largest tensors of the network.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::Flex;
use burn::module::{Initializer, Module, Param, RunningState};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

/// Batch normalisation of `[N, C, H, W]` over all but the channels.
#[derive(Module, Debug)]
pub struct BatchNorm<B: Backend> {
    /// Scale `[C]`.
    pub gamma: Param<Tensor<B, 1>>,
    /// Shift `[C]`.
    pub beta: Param<Tensor<B, 1>>,
    /// Mean used outside training. `[C]`
    pub running_mean: RunningState<Tensor<B, 1>>,
    /// Unbiased variance used outside training. `[C]`
    pub running_var: RunningState<Tensor<B, 1>>,
    momentum: f64,
    epsilon: f64,
}

impl<B: BatchNormBackend> BatchNorm<B> {
    /// The identity, but for the batch's statistics; epsilon and momentum are PyTorch's.
    pub fn new(channels: usize, device: &B::Device) -> Self {
        Self {
            gamma: Initializer::Ones.init([channels], device),
            beta: Initializer::Zeros.init([channels], device),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
            momentum: 0.1,
            epsilon: 1e-5,
        }
    }

    /// Normalises by the batch's statistics on a backend with autodiff, else by the running ones.
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [n, c, height, width] = x.dims();
        let x = x.reshape([n, c, height * width]); // [N, C, HW]
        let y = if B::ad_enabled(&x.device()) {
            self.normalise_by_batch(x)
        } else {
            self.normalise_by_running(x)
        };
        y.reshape([n, c, height, width])
    }

    fn normalise_by_batch(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let [n, _, cells] = x.dims();
        let count = (n * cells) as f64;
        let (y, mean, variance) = B::batch_norm(
            primitive(x),
            primitive(self.gamma.val()),
            primitive(self.beta.val()),
            self.epsilon,
        );
        let (mean, variance) = (tensor::<B, 1>(mean), tensor::<B, 1>(variance));
        let unbiased = variance.mul_scalar(count / (count - 1.0).max(1.0));
        for (running, batch) in [(&self.running_mean, mean), (&self.running_var, unbiased)] {
            let kept = running.value_sync().mul_scalar(1.0 - self.momentum);
            running.update((kept + batch.mul_scalar(self.momentum)).detach());
        }
        tensor(y)
    }

    fn normalise_by_running(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let n = x.dims()[0];
        let deviation = self
            .running_var
            .value_sync()
            .add_scalar(self.epsilon)
            .sqrt();
        let scale = self.gamma.val() / deviation; // [C]
        let shift = self.beta.val() - self.running_mean.value_sync() * scale.clone(); // [C]
        x * each(scale, n) + each(shift, n)
    }
}

/// A backend that computes batch normalisation. The methods it does not replace with kernels are plain tensor
/// operations.
pub trait BatchNormBackend: Backend {
    /// Normalises `x` `[N, C, L]` by its own statistics; returns it with the mean and the biased variance `[C]`,
    /// which have no gradient.
    fn batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let output = Self::batch_norm_forward(x, gamma, beta, epsilon);
        (output.y, output.mean, output.variance)
    }

    /// The same, and what the backward pass needs.
    ///
    /// ```text
    /// y = (x - mean) gamma / sqrt(variance + epsilon) + beta
    /// ```
    fn batch_norm_forward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> BatchNormOutput<Self> {
        let x = tensor::<Self, 3>(x);
        let [n, _, cells] = x.dims();
        let count = (n * cells) as f64;
        let mean = channel_sum(x.clone()).div_scalar(count); // [C]
        let centred = x - each(mean.clone(), n);
        let variance = channel_sum(centred.clone() * centred.clone()).div_scalar(count); // [C]
        let inverse = variance.clone().add_scalar(epsilon).sqrt().recip(); // [C]
        let scale = tensor::<Self, 1>(gamma) * inverse.clone(); // [C]
        let y = centred.clone() * each(scale, n) + each(tensor(beta), n);
        BatchNormOutput {
            y: primitive(y),
            mean: primitive(mean),
            variance: primitive(variance),
            centred: primitive(centred),
            inverse: primitive(inverse),
        }
    }

    /// Gradients of x, gamma and beta.
    ///
    /// ```text
    /// dbeta  = sum dy
    /// dgamma = sum dy (x - mean) / deviation
    /// dx     = gamma / deviation (dy - dbeta / count - (x - mean) / deviation dgamma / count)
    /// ```
    fn batch_norm_backward(
        grad: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        centred: FloatTensor<Self>,
        inverse: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let dy = tensor::<Self, 3>(grad);
        let centred = tensor::<Self, 3>(centred);
        let inverse = tensor::<Self, 1>(inverse);
        let [n, _, cells] = dy.dims();
        let count = (n * cells) as f64;
        let dbeta = channel_sum(dy.clone()); // [C]
        let dgamma = channel_sum(dy.clone() * centred.clone()) * inverse.clone(); // [C]
        let scale = tensor::<Self, 1>(gamma) * inverse.clone(); // [C]
        let shift = (scale.clone() * dbeta.clone()).div_scalar(count); // [C]
        let slope = (scale.clone() * inverse * dgamma.clone()).div_scalar(count); // [C]
        let dx = dy * each(scale, n) - centred * each(slope, n) - each(shift, n);
        [primitive(dx), primitive(dgamma), primitive(dbeta)]
    }
}

/// What [`BatchNormBackend::batch_norm_forward`] computes.
#[derive(Clone, Debug)]
pub struct BatchNormOutput<B: Backend> {
    /// Output `[N, C, L]`.
    pub y: FloatTensor<B>,
    /// `[C]`
    pub mean: FloatTensor<B>,
    /// Biased. `[C]`
    pub variance: FloatTensor<B>,
    /// x - mean `[N, C, L]`.
    pub centred: FloatTensor<B>,
    /// 1 / deviation `[C]`.
    pub inverse: FloatTensor<B>,
}

impl BatchNormBackend for Flex {}

impl<B: BatchNormBackend, C: CheckpointStrategy> BatchNormBackend for Autodiff<B, C> {
    fn batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let output = B::batch_norm_forward(
            x.primitive,
            gamma.primitive.clone(),
            beta.primitive,
            epsilon,
        );
        let nodes = [x.node.clone(), gamma.node.clone(), beta.node.clone()];
        let y = match BatchNormNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish((gamma.primitive, output.centred, output.inverse), output.y)
            }
            OpsKind::UnTracked(prep) => prep.finish(output.y),
        };
        let untracked = <Self as AutodiffBackend>::from_inner;
        (y, untracked(output.mean), untracked(output.variance))
    }
}

/// The layer in the autodiff graph.
#[derive(Debug)]
struct BatchNormNode;

impl<B: BatchNormBackend> Backward<B, 3> for BatchNormNode {
    /// Gamma, x - mean, 1 / deviation.
    type State = (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (gamma, centred, inverse) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let gradients = B::batch_norm_backward(grad, gamma, centred, inverse);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

/// Sums `[N, C, L]` to `[C]`.
fn channel_sum<B: Backend>(x: Tensor<B, 3>) -> Tensor<B, 1> {
    let c = x.dims()[1];
    x.sum_dim(2).sum_dim(0).reshape([c])
}

/// Values of each channel for `n` images, `[N, C, 1]`. Repeated in memory: burn-flex has a fast path for one
/// value a row of consecutive rows, and a very slow one for other broadcasts.
fn each<B: Backend>(x: Tensor<B, 1>, n: usize) -> Tensor<B, 3> {
    let c = x.dims()[0];
    x.reshape([1, c, 1]).repeat_dim(0, n)
}

fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

fn primitive<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

#[cfg(test)]
mod tests;
