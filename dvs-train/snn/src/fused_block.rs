//! Batch norm, neurons and max pooling of a convolution's output, fused into one node of the autodiff graph.
//!
//! One after the other they read and write the network's largest tensors some ten times, and keep four of them for
//! the backward pass. Fused they keep the convolution's output alone.

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "gpu")]
pub mod gpu_kernels;
pub mod unfused;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::Flex;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::FloatTensor;

use crate::backend::primitive::{primitive, tensor};
use crate::batch_norm::{Affine, BatchNorm, BatchNormBackend, Moments, Parameters, Saved, affine};
use crate::neuron::model::Layer;
use crate::neuron::{Neuron, NeuronBackend, Neurons};

/// Pooled spikes `[T * B, C, H / 2, W / 2]` of a convolution's output `x` `[T * B, C, H, W]`, of neurons at rest
/// before the first of `steps` steps T.
pub fn norm_fire_pool<B: BlockBackend>(
    x: Tensor<B, 4>,
    norm: &BatchNorm<B>,
    neurons: &Neurons<B>,
    steps: usize,
) -> Tensor<B, 4> {
    let block = FusedBlock::new(neurons, steps, x.dims());
    let x = primitive(x);
    let spikes = if B::ad_enabled(&norm.gamma.device()) {
        let (spikes, moments) = B::norm_fire_pool(x, norm.parameters(), neurons.weight(), &block);
        let [n, _, height, width] = block.shape;
        norm.move_running(moments, n * height * width);
        spikes
    } else {
        B::fire_pool(x, norm.running_affine(), neurons.weight(), &block)
    };
    tensor(spikes)
}

/// As [`norm_fire_pool`] outside training, and the spikes of each neuron before pooling, summed over steps and samples,
/// `[C * H * W]`.
pub fn norm_fire_pool_count<B: BlockBackend>(
    x: Tensor<B, 4>,
    norm: &BatchNorm<B>,
    neurons: &Neurons<B>,
    steps: usize,
) -> (Tensor<B, 4>, Tensor<B, 1>) {
    let block = FusedBlock::new(neurons, steps, x.dims());
    let affine = norm.running_affine();
    let (spikes, counts) = B::fire_pool_count(primitive(x), affine, neurons.weight(), &block);
    (tensor(spikes), tensor(counts))
}

/// What the fused operations need to know.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FusedBlock {
    /// The neurons.
    pub neuron: Neuron,
    /// Time steps T.
    pub steps: usize,
    /// Of the convolution's output, `[T * B, C, H, W]`.
    pub shape: [usize; 4],
}

/// A backend that computes batch norm, neurons and pooling in one go. The methods it does not replace with kernels
/// do it one after the other.
pub trait BlockBackend: BatchNormBackend + NeuronBackend {
    /// Pooled spikes, with `x` normalised by its own moments; returns them too, without gradient.
    fn norm_fire_pool(
        x: FloatTensor<Self>,
        parameters: Parameters<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, Moments<FloatTensor<Self>>) {
        let moments = Self::moments(x.clone());
        let (affine, _) = affine::<Self>(&parameters, &moments);
        (Self::fire_pool(x, affine, w, block), moments)
    }

    /// Pooled spikes of neurons that receive `x` times a scale, plus a shift.
    fn fire_pool(
        x: FloatTensor<Self>,
        affine: Affine<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> FloatTensor<Self> {
        unfused::fire_pool::<Self>(x, affine, w, block)
    }

    /// As [`fire_pool`](Self::fire_pool), and the spikes of each neuron before pooling, summed over steps and samples,
    /// `[C * H * W]`.
    fn fire_pool_count(
        x: FloatTensor<Self>,
        affine: Affine<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unfused::fire_pool_count::<Self>(x, affine, w, block)
    }

    /// Gradients of x, gamma, beta and w, the last where it was given. `affine` and `saved` are those of the
    /// forward pass.
    fn norm_fire_pool_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        affine: Affine<FloatTensor<Self>>,
        saved: Saved<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> [Option<FloatTensor<Self>>; 4] {
        unfused::backward::<Self>(grad, x, affine, saved, w, block)
    }
}

impl BlockBackend for Flex {
    fn fire_pool(
        x: FloatTensor<Self>,
        affine: Affine<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> FloatTensor<Self> {
        match block.is_whole() {
            true => cpu::forward(&x, &affine, w.as_ref(), block),
            false => unfused::fire_pool::<Self>(x, affine, w, block),
        }
    }

    fn fire_pool_count(
        x: FloatTensor<Self>,
        affine: Affine<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match block.is_whole() {
            true => cpu::forward_count(&x, &affine, w.as_ref(), block),
            false => unfused::fire_pool_count::<Self>(x, affine, w, block),
        }
    }

    fn norm_fire_pool_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        affine: Affine<FloatTensor<Self>>,
        saved: Saved<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> [Option<FloatTensor<Self>>; 4] {
        match block.is_whole() {
            true => cpu::backward(&grad, &x, &affine, &saved, w.as_ref(), block),
            false => unfused::backward::<Self>(grad, x, affine, saved, w, block),
        }
    }
}

impl<B: BlockBackend, C: CheckpointStrategy> BlockBackend for Autodiff<B, C> {
    fn norm_fire_pool(
        x: FloatTensor<Self>,
        parameters: Parameters<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, Moments<FloatTensor<Self>>) {
        let Parameters {
            gamma,
            beta,
            epsilon,
        } = parameters;
        let untracked = <Self as AutodiffBackend>::from_inner;
        let device = B::float_device(&x.primitive);
        let nothing = || untracked(primitive(Tensor::<B, 1>::empty([1], &device)));
        let w_node = w.clone().unwrap_or_else(nothing).node;
        let nodes = [
            x.node.clone(),
            gamma.node.clone(),
            beta.node.clone(),
            w_node,
        ];
        let parameters = Parameters {
            gamma: gamma.primitive,
            beta: beta.primitive,
            epsilon,
        };
        let moments = B::moments(x.primitive.clone());
        let (affine, saved) = affine::<B>(&parameters, &moments);
        let state = State::<B> {
            x: x.primitive,
            affine,
            saved,
            w: w.map(|w| w.primitive),
            block: *block,
        };
        let spikes = B::fire_pool(
            state.x.clone(),
            state.affine.clone(),
            state.w.clone(),
            block,
        );
        let spikes = match BlockNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, spikes),
            OpsKind::UnTracked(prep) => prep.finish(spikes),
        };
        let moments = Moments {
            mean: untracked(moments.mean),
            variance: untracked(moments.variance),
        };
        (spikes, moments)
    }
}

/// What the backward pass needs.
#[derive(Clone, Debug)]
struct State<B: Backend> {
    x: FloatTensor<B>,
    affine: Affine<FloatTensor<B>>,
    saved: Saved<FloatTensor<B>>,
    w: Option<FloatTensor<B>>,
    block: FusedBlock,
}

/// The fused layers in the autodiff graph.
#[derive(Debug)]
struct BlockNode;

impl<B: BlockBackend> Backward<B, 4> for BlockNode {
    type State = State<B>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let State {
            x,
            affine,
            saved,
            w,
            block,
        } = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let gradients = B::norm_fire_pool_backward(grad, x, affine, saved, w, &block);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let (Some(node), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

/// Spikes of a quarter of the size.
pub fn pool<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    // All four cells of a window often spike: the gradient goes to the first of them, as in PyTorch.
    max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], false)
}

impl FusedBlock {
    fn new<B: BlockBackend>(neurons: &Neurons<B>, steps: usize, shape: [usize; 4]) -> Self {
        Self {
            neuron: neurons.neuron(),
            steps,
            shape,
        }
    }

    /// Whether kernels take it: no cell is left over by pooling, and none by the batch.
    fn is_whole(&self) -> bool {
        let [n, c, height, width] = self.shape;
        let whole = height % 2 == 0 && width % 2 == 0 && n % self.steps.max(1) == 0;
        whole && n * c * height * width > 0
    }

    fn layer(&self) -> Layer {
        Layer {
            neuron: self.neuron,
            keep_potential: false,
        }
    }
}

/// As neurons want it, `[T, B * C * H * W]`.
fn rows<B: Backend>(x: FloatTensor<B>, block: &FusedBlock) -> FloatTensor<B> {
    let cells: usize = block.shape.iter().product();
    reshape::<B, 2>(x, [block.steps, cells / block.steps.max(1)])
}

fn reshape<B: Backend, const D: usize>(x: FloatTensor<B>, shape: [usize; D]) -> FloatTensor<B> {
    B::float_reshape(x, shape.into())
}

#[cfg(test)]
mod tests;
