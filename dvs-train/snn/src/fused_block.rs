//! Batch norm, neurons and, if a block has it, max pooling of a convolution's output, fused into one
//! node of the autodiff graph.
//!
//! As separate operations, they read and write the network's largest tensors about ten times, and
//! keep four of them for the backward pass. The fused operation keeps only the convolution's
//! output and, if the neurons do not start at rest, their first potentials.

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "gpu")]
pub mod gpu_kernels;
#[cfg(feature = "gpu")]
pub mod gpu_windows;
mod node;
pub mod unfused;

use burn::backend::flex::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor, TensorMetadata};

pub(crate) use self::node::weight_or_nothing;
use crate::backend::primitive::{primitive, tensor};
use crate::batch_norm::{
    Affine, BatchNorm, BatchNormBackend, BatchStatistics, Moments, Parameters, Running, Saved,
};
use crate::neuron::model::Layer;
use crate::neuron::{Neuron, NeuronBackend, NeuronInputs, Neurons, Potentials};

/// Most time steps of the fused backward pass on a GPU, because one bit of a number says whether a
/// neuron spiked at a step. With more, a block's backward pass consists of separate operations.
pub const MOST_STEPS: usize = 32;

/// Returns the spikes for a convolution's output `x` `[T * B, C, H, W]`: `[T * B, C, H / 2, W / 2]`
/// if max pooling follows the neurons (`pool`), and otherwise `[T * B, C, H, W]`. T is `steps`, and
/// the neurons are at rest before the first step.
pub fn norm_fire_pool<B: BlockBackend>(
    x: Tensor<B, 4>,
    norm: &BatchNorm<B>,
    neurons: &Neurons<B>,
    steps: usize,
    pool: bool,
) -> Tensor<B, 4> {
    let block = FusedBlock::new(neurons, steps, x.dims(), pool);
    let x = primitive(x);
    let spikes = if B::ad_enabled(&norm.gamma.device()) {
        let (parameters, running) = (norm.parameters(), norm.running());
        let (spikes, running) = B::norm_fire_pool(x, parameters, running, neurons.weight(), &block);
        norm.set_running(running);
        spikes
    } else {
        B::fire_pool(inputs(x, norm, neurons), &block)
    };
    tensor(spikes)
}

/// Like [`norm_fire_pool`], for time steps that follow others. The neurons start from `v`, the
/// potentials of `[B, C, H, W]` in 32 bits, or at rest if it is `None`. `v` becomes the potentials
/// after the last step.
///
/// The potentials are constants: no gradient flows into those before the first step, or back from
/// those after the last one. The block therefore keeps only `x` and its first potentials for the
/// backward pass. If the gradient must flow through them, use
/// [`forward_from`](Neurons::forward_from).
pub fn norm_fire_pool_from<B: BlockBackend>(
    x: Tensor<B, 4>,
    norm: &BatchNorm<B>,
    neurons: &Neurons<B>,
    steps: usize,
    pool: bool,
    v: &mut Potentials<B>,
) -> Tensor<B, 4> {
    let block = FusedBlock::new(neurons, steps, x.dims(), pool);
    let start = v.take().unwrap_or_else(|| block.at_rest(&x.device()));
    let (x, start) = (primitive(x), primitive(start));
    let (spikes, last) = if B::ad_enabled(&norm.gamma.device()) {
        let (parameters, running) = (norm.parameters(), norm.running());
        let (spikes, last, running) =
            B::norm_fire_pool_from(x, start, parameters, running, neurons.weight(), &block);
        norm.set_running(running);
        (spikes, last)
    } else {
        let inputs = BlockInputs {
            v: Some(start),
            ..inputs(x, norm, neurons)
        };
        B::fire_pool_from(inputs, &block)
    };
    *v = Some(tensor(last));
    tensor(spikes)
}

/// Like [`norm_fire_pool`] outside training. Also returns each neuron's spikes before pooling,
/// summed over time steps and samples, `[C * H * W]`.
pub fn norm_fire_pool_count<B: BlockBackend>(
    x: Tensor<B, 4>,
    norm: &BatchNorm<B>,
    neurons: &Neurons<B>,
    steps: usize,
    pool: bool,
) -> (Tensor<B, 4>, Tensor<B, 1>) {
    let block = FusedBlock::new(neurons, steps, x.dims(), pool);
    let (spikes, counts) = B::fire_pool_count(inputs(primitive(x), norm, neurons), &block);
    (tensor(spikes), tensor(counts))
}

/// The inputs of a block whose batch norm uses its running statistics.
fn inputs<B: BlockBackend>(
    x: FloatTensor<B>,
    norm: &BatchNorm<B>,
    neurons: &Neurons<B>,
) -> BlockInputs<FloatTensor<B>> {
    BlockInputs {
        x,
        affine: norm.running_affine(),
        w: neurons.weight(),
        v: None,
    }
}

/// Settings of the fused operations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FusedBlock {
    /// Kind of the neurons.
    pub neuron: Neuron,
    /// Number of time steps T.
    pub steps: usize,
    /// Shape of the convolution's output, `[T * B, C, H, W]`.
    pub shape: [usize; 4],
    /// Whether 2 x 2 max pooling follows the neurons.
    pub pool: bool,
}

/// Inputs of the fused operations.
#[derive(Clone, Debug)]
pub struct BlockInputs<T> {
    /// Output of the convolution, `[T * B, C, H, W]`.
    pub x: T,
    /// Scale and shift that normalise `x`, `[C]` each.
    pub affine: Affine<T>,
    /// PLIF's weight `[1]`; `None` for other neurons.
    pub w: Option<T>,
    /// Membrane potentials before the first step, `[1, B * C * H * W]` in 32 bits; `None` if the
    /// neurons are at rest.
    pub v: Option<T>,
}

/// A backend that computes batch norm, neurons and pooling, if the block has it, as one operation.
/// The default methods compute them one after the other.
pub trait BlockBackend: BatchNormBackend + NeuronBackend {
    /// Returns the block's spikes for `x`, normalised by its own moments. Also returns the new
    /// running statistics, without gradient.
    fn norm_fire_pool(
        x: FloatTensor<Self>,
        parameters: Parameters<FloatTensor<Self>>,
        running: Running<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, Moments<FloatTensor<Self>>) {
        let BatchStatistics {
            affine, running, ..
        } = Self::statistics(x.clone(), &parameters, running);
        let inputs = BlockInputs {
            x,
            affine,
            w,
            v: None,
        };
        (Self::fire_pool(inputs, block), running)
    }

    /// Like [`norm_fire_pool`](Self::norm_fire_pool), for neurons that start from potentials `v`.
    /// Returns the spikes, the potentials after the last step and the new running statistics. Only
    /// the spikes have a gradient, and `v` gets none.
    fn norm_fire_pool_from(
        x: FloatTensor<Self>,
        v: FloatTensor<Self>,
        parameters: Parameters<FloatTensor<Self>>,
        running: Running<FloatTensor<Self>>,
        w: Option<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        Moments<FloatTensor<Self>>,
    ) {
        let BatchStatistics {
            affine, running, ..
        } = Self::statistics(x.clone(), &parameters, running);
        let inputs = BlockInputs {
            x,
            affine,
            w,
            v: Some(v),
        };
        let (spikes, last) = Self::fire_pool_from(inputs, block);
        (spikes, last, running)
    }

    /// Returns the spikes, pooled if the block pools, of neurons whose current is the normalised x.
    fn fire_pool(inputs: BlockInputs<FloatTensor<Self>>, block: &FusedBlock) -> FloatTensor<Self> {
        unfused::fire_pool::<Self>(inputs, block)
    }

    /// Like [`fire_pool`](Self::fire_pool). Also returns the potentials after the last step, like
    /// those before the first.
    fn fire_pool_from(
        inputs: BlockInputs<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unfused::fire_pool_from::<Self>(inputs, block)
    }

    /// Like [`fire_pool`](Self::fire_pool). Also returns each neuron's spikes before pooling,
    /// summed over time steps and samples, `[C * H * W]`.
    fn fire_pool_count(
        inputs: BlockInputs<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        unfused::fire_pool_count::<Self>(inputs, block)
    }

    /// Returns the gradients of x, gamma, beta and w; that of w is `None` if w is. `inputs` and
    /// `saved` are those of the forward pass.
    fn norm_fire_pool_backward(
        grad: FloatTensor<Self>,
        inputs: BlockInputs<FloatTensor<Self>>,
        saved: Saved<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> [Option<FloatTensor<Self>>; 4] {
        unfused::backward::<Self>(grad, inputs, saved, block)
    }

    /// Like [`norm_fire_pool_backward`](Self::norm_fire_pool_backward), for some channels of a block.
    /// Instead of the gradient of w, returns these channels' share in it, for
    /// [`sum_shares`](Self::sum_shares).
    fn backward_of_channels(
        grad: FloatTensor<Self>,
        inputs: BlockInputs<FloatTensor<Self>>,
        saved: Saved<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> [Option<FloatTensor<Self>>; 4] {
        Self::norm_fire_pool_backward(grad, inputs, saved, block)
    }

    /// Returns the gradient of w from the shares of all channels, in order. There is at least one
    /// share.
    fn sum_shares(
        shares: Vec<FloatTensor<Self>>,
        _w: FloatTensor<Self>,
        _neuron: &Neuron,
    ) -> FloatTensor<Self> {
        unfused::sum_shares::<Self>(shares)
    }
}

impl BlockBackend for Flex {
    fn fire_pool(inputs: BlockInputs<FloatTensor<Self>>, block: &FusedBlock) -> FloatTensor<Self> {
        match block.is_whole() {
            true => cpu::forward(&inputs, block),
            false => unfused::fire_pool::<Self>(inputs, block),
        }
    }

    fn fire_pool_from(
        inputs: BlockInputs<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match block.is_whole() {
            true => cpu::forward_from(&inputs, block),
            false => unfused::fire_pool_from::<Self>(inputs, block),
        }
    }

    fn fire_pool_count(
        inputs: BlockInputs<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match block.is_whole() {
            true => cpu::forward_count(&inputs, block),
            false => unfused::fire_pool_count::<Self>(inputs, block),
        }
    }

    fn norm_fire_pool_backward(
        grad: FloatTensor<Self>,
        inputs: BlockInputs<FloatTensor<Self>>,
        saved: Saved<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> [Option<FloatTensor<Self>>; 4] {
        match block.is_whole() {
            true => cpu::backward(&grad, &inputs, &saved, block),
            false => unfused::backward::<Self>(grad, inputs, saved, block),
        }
    }

    fn backward_of_channels(
        grad: FloatTensor<Self>,
        inputs: BlockInputs<FloatTensor<Self>>,
        saved: Saved<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> [Option<FloatTensor<Self>>; 4] {
        match block.is_whole() {
            true => cpu::backward_of_channels(&grad, &inputs, &saved, block),
            false => unfused::backward::<Self>(grad, inputs, saved, block),
        }
    }

    fn sum_shares(
        shares: Vec<FloatTensor<Self>>,
        w: FloatTensor<Self>,
        neuron: &Neuron,
    ) -> FloatTensor<Self> {
        match shares.iter().all(|share| share.dtype() == DType::F64) {
            true => cpu::sum_shares(&shares, &w, neuron),
            // Separate operations return gradients of w itself.
            false => unfused::sum_shares::<Self>(shares),
        }
    }
}

/// Max pooling over windows of 2 x 2, from `[N, C, H, W]` to `[N, C, H / 2, W / 2]`. An odd last row
/// or column is in no window.
pub fn pool<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    let [n, c, height, width] = x.dims();
    if height < 2 || width < 2 {
        // burn's pooling refuses images that are smaller than a window.
        let shape = [n, c, height / 2, width / 2];
        return Tensor::zeros(shape, (&x.device(), x.dtype()));
    }
    // Several cells of a window often spike. The gradient goes to the first of them, as in PyTorch.
    max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], false)
}

impl FusedBlock {
    /// Returns the settings of a layer of neurons whose currents have this shape.
    pub fn new<B: BlockBackend>(
        neurons: &Neurons<B>,
        steps: usize,
        shape: [usize; 4],
        pool: bool,
    ) -> Self {
        Self {
            neuron: neurons.neuron(),
            steps,
            shape,
            pool,
        }
    }

    /// Returns the shape of the block's spikes.
    pub fn output_shape(&self) -> [usize; 4] {
        let [n, c, height, width] = self.shape;
        match self.pool {
            true => [n, c, height / 2, width / 2],
            false => self.shape,
        }
    }

    /// Returns the potentials `[1, B * C * H * W]` of neurons at rest.
    fn at_rest<B: Backend>(&self, device: &B::Device) -> Tensor<B, 2> {
        let neurons = self.neurons();
        Tensor::full([1, neurons], self.neuron.rest(), (device, DType::F32))
    }

    /// Returns the number of neurons, B * C * H * W.
    fn neurons(&self) -> usize {
        self.shape.iter().product::<usize>() / self.steps.max(1)
    }

    /// Whether the kernels support the shape: N is a multiple of T, and the block has outputs.
    fn is_whole(&self) -> bool {
        let [n, ..] = self.shape;
        n.is_multiple_of(self.steps) && !self.output_shape().contains(&0)
    }

    fn layer(&self) -> Layer {
        Layer {
            neuron: self.neuron,
            keep_potential: false,
        }
    }
}

/// Reshapes to `[T, B * C * H * W]`, as neurons expect.
fn rows<B: Backend>(x: FloatTensor<B>, block: &FusedBlock) -> FloatTensor<B> {
    reshape::<B, 2>(x, [block.steps, block.neurons()])
}

fn reshape<B: Backend, const D: usize>(x: FloatTensor<B>, shape: [usize; D]) -> FloatTensor<B> {
    B::float_reshape(x, shape.into())
}

#[cfg(test)]
pub(crate) mod tests;
