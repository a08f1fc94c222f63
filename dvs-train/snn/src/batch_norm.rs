//! Batch normalisation with PyTorch's running statistics, as one node of the autodiff graph.
//!
//! burn-nn's own module updates the running variance with the biased variance of the batch, whereas
//! PyTorch uses the unbiased one. It also derives its gradient through about ten operations on the
//! largest tensors of the network.

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "gpu")]
pub mod gpu_kernels;
pub mod ranks;
pub mod reference;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::Flex;
use burn::module::{Initializer, Module, Param, RunningState};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::FloatTensor;

use self::ranks::{BatchRanks, host, on_device};
use crate::backend::cpu::dims;
use crate::backend::primitive::{primitive, tensor};

/// Batch normalisation of `[N, C, H, W]` over all dimensions but the channels.
#[derive(Module, Debug)]
pub struct BatchNorm<B: Backend> {
    /// Scale `[C]`.
    pub gamma: Param<Tensor<B, 1>>,
    /// Shift `[C]`.
    pub beta: Param<Tensor<B, 1>>,
    /// Mean `[C]` used outside training.
    pub running_mean: RunningState<Tensor<B, 1>>,
    /// Unbiased variance `[C]` used outside training.
    pub running_var: RunningState<Tensor<B, 1>>,
    /// Ranks that share each training batch.
    #[module(skip)]
    pub ranks: BatchRanks,
    momentum: f64,
    epsilon: f64,
}

impl<B: BatchNormBackend> BatchNorm<B> {
    /// Creates a layer with gamma 1 and beta 0. Epsilon (1e-5) and momentum (0.1) are PyTorch's.
    pub fn new(channels: usize, device: &B::Device) -> Self {
        Self {
            gamma: Initializer::Ones.init([channels], device),
            beta: Initializer::Zeros.init([channels], device),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
            ranks: BatchRanks::default(),
            momentum: 0.1,
            epsilon: 1e-5,
        }
    }

    /// Normalises `x` `[N, C, H, W]`. On a backend with autodiff, it uses the batch's statistics
    /// and updates the running ones; otherwise it uses the running ones.
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let x = primitive(x);
        tensor(if B::ad_enabled(&self.gamma.device()) {
            let (y, running) = B::batch_norm(x, self.parameters(), self.running());
            self.set_running(running);
            y
        } else {
            B::scale(x, self.running_affine())
        })
    }

    /// Returns the learnt parameters.
    pub fn parameters(&self) -> Parameters<FloatTensor<B>> {
        Parameters {
            gamma: primitive(self.gamma.val()),
            beta: primitive(self.beta.val()),
            epsilon: self.epsilon,
        }
    }

    /// Returns the running statistics.
    pub fn running(&self) -> Running<FloatTensor<B>> {
        Running {
            moments: Moments {
                mean: primitive(self.running_mean.value_sync()),
                variance: primitive(self.running_var.value_sync()),
            },
            momentum: self.momentum,
            ranks: self.ranks.clone(),
        }
    }

    /// Replaces the running statistics.
    pub fn set_running(&self, moments: Moments<FloatTensor<B>>) {
        set(&self.running_mean, tensor(moments.mean));
        set(&self.running_var, tensor(moments.variance));
    }

    /// Returns the normalisation by the running statistics.
    pub fn running_affine(&self) -> Affine<FloatTensor<B>> {
        affine::<B>(&self.parameters(), &self.running().moments).0
    }
}

/// Replaces the value of `state` and of its clones. `RunningState::update` would compute the mean
/// of the values of all threads, which is a launch for each state.
fn set<B: Backend>(state: &RunningState<Tensor<B, 1>>, value: Tensor<B, 1>) {
    let id = state.clone().into_record().id;
    drop(state.clone().load_record(Param::initialized(id, value)));
}

/// Parameters of a layer of C channels. Tensors are `[C]`.
#[derive(Clone, Debug)]
pub struct Parameters<T> {
    /// Scale.
    pub gamma: T,
    /// Shift.
    pub beta: T,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Mean and variance of each channel, `[C]`. The variance of a batch is the biased one.
#[derive(Clone, Debug)]
pub struct Moments<T> {
    pub mean: T,
    pub variance: T,
}

/// Running statistics of a layer.
#[derive(Clone, Debug)]
pub struct Running<T> {
    /// Mean and unbiased variance.
    pub moments: Moments<T>,
    /// Weight of a new batch.
    pub momentum: f64,
    /// Ranks that share a batch.
    pub ranks: BatchRanks,
}

/// Everything that training needs to know about the values of a batch.
#[derive(Clone, Debug)]
pub struct BatchStatistics<T> {
    /// Normalisation by the moments of the batch.
    pub affine: Affine<T>,
    /// Values for the backward pass.
    pub saved: Saved<T>,
    /// New running statistics.
    pub running: Moments<T>,
}

/// y = x scale + shift for each channel, `[C]`.
#[derive(Clone, Debug)]
pub struct Affine<T> {
    /// Slope.
    pub scale: T,
    /// Value at 0.
    pub shift: T,
}

/// Values `[C]` that the backward pass needs besides x.
#[derive(Clone, Debug)]
pub struct Saved<T> {
    /// Scale.
    pub gamma: T,
    /// Mean of the batch.
    pub mean: T,
    /// 1 / deviation of the batch.
    pub inverse: T,
    /// Ranks that share the batch.
    pub ranks: BatchRanks,
}

/// Returns the normalisation by these moments, and the values for its backward pass. PyTorch uses
/// the same form.
///
/// ```text
/// (x - mean) gamma / deviation + beta = x scale + shift
/// deviation = sqrt(variance + epsilon)
/// scale     = gamma / deviation
/// shift     = beta - mean scale
/// ```
pub fn affine<B: Backend>(
    parameters: &Parameters<FloatTensor<B>>,
    moments: &Moments<FloatTensor<B>>,
) -> (Affine<FloatTensor<B>>, Saved<FloatTensor<B>>) {
    let vector = |primitive: &FloatTensor<B>| tensor::<B, 1>(primitive.clone());
    let inverse = vector(&moments.variance)
        .add_scalar(parameters.epsilon)
        .sqrt()
        .recip(); // [C]
    let scale = vector(&parameters.gamma) * inverse.clone(); // [C]
    let shift = vector(&parameters.beta) - vector(&moments.mean) * scale.clone(); // [C]
    let affine = Affine {
        scale: primitive(scale),
        shift: primitive(shift),
    };
    let saved = Saved {
        gamma: parameters.gamma.clone(),
        mean: moments.mean.clone(),
        inverse: primitive(inverse),
        ranks: BatchRanks::default(),
    };
    (affine, saved)
}

/// Returns the statistics of a batch with these moments and `count` values per channel. The running
/// variance is unbiased, as in PyTorch.
///
/// ```text
/// running = (1 - momentum) running + momentum batch
/// ```
pub fn statistics<B: Backend>(
    moments: Moments<FloatTensor<B>>,
    count: usize,
    parameters: &Parameters<FloatTensor<B>>,
    running: Running<FloatTensor<B>>,
) -> BatchStatistics<FloatTensor<B>> {
    let (affine, mut saved) = affine::<B>(parameters, &moments);
    let Running {
        moments: old,
        momentum,
        ranks,
    } = running;
    saved.ranks = ranks;
    let count = count as f64;
    let variance = tensor::<B, 1>(moments.variance).mul_scalar(count / (count - 1.0).max(1.0));
    let moved = |old: FloatTensor<B>, batch: Tensor<B, 1>| {
        let kept = tensor::<B, 1>(old).mul_scalar(1.0 - momentum);
        primitive(kept + batch.mul_scalar(momentum))
    };
    BatchStatistics {
        affine,
        saved,
        running: Moments {
            mean: moved(old.mean, tensor(moments.mean)),
            variance: moved(old.variance, variance),
        },
    }
}

/// A backend that computes batch normalisation. The default methods are plain tensor operations.
pub trait BatchNormBackend: Backend {
    /// Normalises `x` `[N, C, H, W]` by its own moments. Also returns the new running statistics,
    /// without gradient.
    fn batch_norm(
        x: FloatTensor<Self>,
        parameters: Parameters<FloatTensor<Self>>,
        running: Running<FloatTensor<Self>>,
    ) -> (FloatTensor<Self>, Moments<FloatTensor<Self>>) {
        let batch = Self::statistics(x.clone(), &parameters, running);
        (Self::scale(x, batch.affine), batch.running)
    }

    /// Returns the statistics of `x` `[N, C, H, W]`.
    fn statistics(
        x: FloatTensor<Self>,
        parameters: &Parameters<FloatTensor<Self>>,
        running: Running<FloatTensor<Self>>,
    ) -> BatchStatistics<FloatTensor<Self>> {
        let x = tensor::<Self, 4>(x);
        let [n, _, height, width] = x.dims();
        let [mean, variance] = reference::moments(x).map(primitive);
        let moments = Moments { mean, variance };
        statistics::<Self>(moments, n * height * width, parameters, running)
    }

    /// Returns the mean and the biased variance of each channel of `x` `[N, C, H, W]`, on the host.
    fn moments(x: FloatTensor<Self>) -> Vec<[f64; 2]> {
        let device = Self::float_device(&x);
        let [n, c, height, width] = tensor::<Self, 4>(x.clone()).dims();
        let zeros = || primitive(Tensor::<Self, 1>::zeros([c], &device));
        let plain = Parameters {
            gamma: primitive(Tensor::<Self, 1>::ones([c], &device)),
            beta: zeros(),
            epsilon: 0.0,
        };
        // With momentum 1, the new running statistics are the mean and the unbiased variance of the
        // batch.
        let new = Running {
            moments: Moments {
                mean: zeros(),
                variance: zeros(),
            },
            momentum: 1.0,
            ranks: BatchRanks::default(),
        };
        let moments = Self::statistics(x, &plain, new).running;
        let count = (n * height * width) as f64;
        let biased = |variance: f64| variance * (count - 1.0) / count;
        let [mean, variance] = [moments.mean, moments.variance].map(host::<Self>);
        let pairs = mean.into_iter().zip(variance);
        pairs.map(|(mean, var)| [mean, biased(var)]).collect()
    }

    /// Returns `x` `[N, C, H, W]` times each channel's scale, plus its shift.
    fn scale(x: FloatTensor<Self>, affine: Affine<FloatTensor<Self>>) -> FloatTensor<Self> {
        let (scale, shift) = (tensor(affine.scale), tensor(affine.shift));
        primitive(reference::scale(tensor::<Self, 4>(x), scale, shift))
    }

    /// Returns the gradients of x, gamma and beta from `grad`, the gradient of the output.
    fn batch_norm_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        saved: Saved<FloatTensor<Self>>,
    ) -> [FloatTensor<Self>; 3] {
        let (dx, [dgamma, dbeta]) = reference::backward(tensor::<Self, 4>(grad), tensor(x), saved);
        [primitive(dx), primitive(dgamma), primitive(dbeta)]
    }
}

impl BatchNormBackend for Flex {
    fn statistics(
        x: FloatTensor<Self>,
        parameters: &Parameters<FloatTensor<Self>>,
        running: Running<FloatTensor<Self>>,
    ) -> BatchStatistics<FloatTensor<Self>> {
        let [n, _, height, width] = dims(&x);
        let moments = on_device::<Self>(&cpu::moments(&x), &Default::default());
        statistics::<Self>(moments, n * height * width, parameters, running)
    }

    fn moments(x: FloatTensor<Self>) -> Vec<[f64; 2]> {
        cpu::moments(&x)
    }

    fn scale(x: FloatTensor<Self>, affine: Affine<FloatTensor<Self>>) -> FloatTensor<Self> {
        cpu::scale(&x, &affine)
    }

    fn batch_norm_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        saved: Saved<FloatTensor<Self>>,
    ) -> [FloatTensor<Self>; 3] {
        cpu::backward(&grad, &x, &saved)
    }
}

impl<B: BatchNormBackend, C: CheckpointStrategy> BatchNormBackend for Autodiff<B, C> {
    fn batch_norm(
        x: FloatTensor<Self>,
        parameters: Parameters<FloatTensor<Self>>,
        running: Running<FloatTensor<Self>>,
    ) -> (FloatTensor<Self>, Moments<FloatTensor<Self>>) {
        let nodes = [&x, &parameters.gamma, &parameters.beta].map(|tensor| tensor.node.clone());
        let batch = inner_statistics::<B, C>(x.primitive.clone(), parameters, running);
        let y = B::scale(x.primitive.clone(), batch.affine);
        let y = match BatchNormNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x.primitive, batch.saved), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        (y, untracked::<B, C>(batch.running))
    }
}

/// Returns the statistics of `x` on the inner backend, without gradient.
pub fn inner_statistics<B: BatchNormBackend, C: CheckpointStrategy>(
    x: FloatTensor<B>,
    parameters: Parameters<FloatTensor<Autodiff<B, C>>>,
    running: Running<FloatTensor<Autodiff<B, C>>>,
) -> BatchStatistics<FloatTensor<B>> {
    let (parameters, running) = inner::<B, C>(parameters, running);
    statistics_over_ranks::<B>(x, &parameters, running)
}

/// Returns parameters and running statistics as tensors of the inner backend.
pub fn inner<B: Backend, C: CheckpointStrategy>(
    parameters: Parameters<FloatTensor<Autodiff<B, C>>>,
    running: Running<FloatTensor<Autodiff<B, C>>>,
) -> (Parameters<FloatTensor<B>>, Running<FloatTensor<B>>) {
    let parameters = Parameters {
        gamma: parameters.gamma.primitive,
        beta: parameters.beta.primitive,
        epsilon: parameters.epsilon,
    };
    let running = Running {
        moments: Moments {
            mean: running.moments.mean.primitive,
            variance: running.moments.variance.primitive,
        },
        momentum: running.momentum,
        ranks: running.ranks,
    };
    (parameters, running)
}

/// Returns the statistics of the batch whose part on this rank is `x`.
pub fn statistics_over_ranks<B: BatchNormBackend>(
    x: FloatTensor<B>,
    parameters: &Parameters<FloatTensor<B>>,
    running: Running<FloatTensor<B>>,
) -> BatchStatistics<FloatTensor<B>> {
    if running.ranks.is_alone() {
        return B::statistics(x, parameters, running);
    }
    let device = B::float_device(&x);
    let [n, _, height, width] = tensor::<B, 4>(x.clone()).dims();
    let mut moments = B::moments(x);
    running.ranks.merge(&mut moments);
    let count = running.ranks.size() * n * height * width;
    let moments = on_device::<B>(&moments, &device);
    statistics::<B>(moments, count, parameters, running)
}

/// Returns moments of the inner backend as tensors without gradient.
pub fn untracked<B: Backend, C: CheckpointStrategy>(
    moments: Moments<FloatTensor<B>>,
) -> Moments<FloatTensor<Autodiff<B, C>>> {
    let untracked = <Autodiff<B, C> as AutodiffBackend>::from_inner;
    Moments {
        mean: untracked(moments.mean),
        variance: untracked(moments.variance),
    }
}

/// The autodiff node of batch normalisation.
#[derive(Debug)]
struct BatchNormNode;

impl<B: BatchNormBackend> Backward<B, 3> for BatchNormNode {
    type State = (FloatTensor<B>, Saved<FloatTensor<B>>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, saved) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let gradients = B::batch_norm_backward(grad, x, saved);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = parent {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[cfg(test)]
mod tests;
