//! Dropout, convolution, batch norm, neurons and pooling.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::backend::Backend;
use burn::tensor::module::{avg_pool2d, max_pool2d};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor, TensorMetadata};
use burn_snn::backend::primitive::{primitive, tensor};
use burn_snn::batch_norm::BatchNorm;
use burn_snn::convolution::{Geometry, convolve, convolve_half};
use burn_snn::fused_block::{
    MOST_STEPS, norm_fire_pool, norm_fire_pool_count, norm_fire_pool_from,
};
use burn_snn::linear::Dropout;
use burn_snn::neuron::Neurons;
use burn_snn::neuron::layer::Potentials;
use burn_snn::recomputed_block::{BlockConvolution, BlockImages, recomputed_block};

use crate::nn::architecture::BlockForm;
use crate::nn::network::SnnBackend;
use crate::nn::network_config::NetworkConfig;
use crate::nn::notation::{Pool, PoolKind};
use crate::nn::spike_stats::Observer;

/// A convolution with its batch norm, neurons and pooling.
#[derive(Module, Debug)]
pub struct ConvBlock<B: Backend> {
    /// The convolution, without bias.
    pub conv: Conv2d<B>,
    /// Batch norm, if the block has it.
    pub norm: Option<BatchNorm<B>>,
    /// Neurons of the block.
    pub neurons: Neurons<B>,
    #[module(skip)]
    form: BlockForm,
    /// Whether the backward pass computes the convolution again.
    recompute: bool,
    /// Whether the inputs are spikes, 0 or 1, in training.
    takes_spikes: bool,
}

/// What a layer needs besides the outputs of the layer before it.
pub struct LayerInputs<'a, B: Backend> {
    /// Number of time steps T.
    pub steps: usize,
    /// The weights in 16 bits, if the layer computes in 16 bits.
    pub half: Option<FloatTensor<B>>,
    /// Dropout of the inputs, if any.
    pub dropout: Option<Dropout<FloatTensor<B>>>,
    /// The membrane potentials to start from. `None` if the neurons start at rest and their
    /// potentials are not kept.
    pub memory: Option<Memory<'a, B>>,
}

/// Membrane potentials of a layer before its first step, which become those after the last step.
pub enum Memory<'a, B: Backend> {
    /// The gradient flows through the potentials, from step to step.
    Linked(&'a mut Potentials<B>),
    /// The potentials are constants. A block then keeps less for the backward pass, because its
    /// batch norm, neurons and pooling can be one operation.
    Constant(&'a mut Potentials<B>),
}

impl<B: SnnBackend> ConvBlock<B> {
    /// Makes block `at` of the network of `config`, with random weights.
    pub fn new(config: &NetworkConfig, at: usize, device: &B::Device) -> Self {
        let form = config.architecture.blocks[at].clone();
        let (kernel, padding) = ([form.kernel; 2], form.padding);
        let conv = Conv2dConfig::new([form.inputs, form.channels], kernel)
            .with_stride([form.stride; 2])
            .with_padding(PaddingConfig2d::Explicit(
                padding, padding, padding, padding,
            ))
            .with_bias(false);
        Self {
            conv: conv.init(device),
            norm: form.norm.then(|| BatchNorm::new(form.channels, device)),
            neurons: Neurons::new(config.neurons[at], device),
            recompute: config.recompute,
            takes_spikes: config.trains_on_spikes(at),
            form,
        }
    }

    /// Returns the pooled spikes `[T * B, C, H', W']` for inputs `[T * B, C_in, H, W]`. `observer`
    /// sees the spikes before pooling.
    ///
    /// Time and batch stay in one dimension: a convolution on a GPU leaves its channels last in
    /// memory, so merging the two again would cost a copy.
    pub fn forward(
        &self,
        x: Tensor<B, 4>,
        inputs: LayerInputs<'_, B>,
        layer: usize,
        observer: &mut impl Observer<B>,
    ) -> Tensor<B, 4> {
        let LayerInputs {
            steps,
            half,
            dropout,
            memory,
        } = inputs;
        observer.inputs(layer, &x);
        let x = match dropout {
            Some(dropout) => drop_out(x, &dropout),
            None => x,
        };
        let (halves, pools) = self.form.fused_pool();
        let x = match &half {
            Some(half) => x.cast(half.dtype()),
            None => x,
        };
        let (w, geometry) = (self.conv.weight.val(), self.form.geometry());
        let fused = self.norm.as_ref().filter(|_| !observer.looks());
        let spikes = match (fused, memory) {
            (Some(norm), None) if self.recompute => {
                let images = match self.takes_spikes {
                    true => BlockImages::Spikes(x),
                    false => BlockImages::Counts(x),
                };
                let convolution = BlockConvolution { w, half, geometry };
                recomputed_block(images, convolution, norm, &self.neurons, steps, halves)
            }
            (fused, memory) => {
                let x = match half {
                    None => convolve(x, w, geometry),
                    Some(half) => convolve_half(x, w, half, geometry),
                }; // [T * B, C, H', W']
                let neurons = &self.neurons;
                match (fused, memory) {
                    (Some(norm), None) => norm_fire_pool(x, norm, neurons, steps, halves),
                    (Some(norm), Some(Memory::Constant(v))) => {
                        norm_fire_pool_from(x, norm, neurons, steps, halves, v)
                    }
                    (_, memory) => self.observed(x, steps, halves, layer, memory, observer),
                }
            }
        };
        pools.iter().fold(spikes, |x, pool| pool.apply(x))
    }

    /// Returns the spikes for a convolution's output `x` by separate operations. Blocks without batch
    /// norm need them, potentials that a gradient flows through, and observers of single spikes.
    fn observed(
        &self,
        x: Tensor<B, 4>,
        steps: usize,
        halves: bool,
        layer: usize,
        memory: Option<Memory<'_, B>>,
        observer: &mut impl Observer<B>,
    ) -> Tensor<B, 4> {
        let shape @ [n, c, height, width] = x.dims();
        if let Some(norm) = &self.norm
            && memory.is_none()
            && !B::ad_enabled(&x.device())
        {
            let (pooled, counts) = norm_fire_pool_count(x, norm, &self.neurons, steps, halves);
            observer.counts(layer, counts, n);
            return pooled;
        }
        // Membrane potentials carried between steps have 32 bits, because the currents have.
        let x = x.cast(DType::F32);
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        let x = x.reshape([steps, n / steps.max(1), c, height, width]); // [T, B, C, H', W']
        let spikes = fire(&self.neurons, x, memory);
        observer.spikes(layer, &spikes);
        let spikes = spikes.reshape(shape);
        if halves {
            Pool::HALVES.apply(spikes)
        } else {
            spikes
        }
    }
}

impl BlockForm {
    /// How the convolution moves its kernel.
    pub fn geometry(&self) -> Geometry {
        Geometry {
            stride: self.stride,
            padding: self.padding,
        }
    }

    /// Returns whether the first pooling is fused with the neurons, and the poolings that are not.
    pub fn fused_pool(&self) -> (bool, &[Pool]) {
        match self.pools.split_first() {
            Some((&Pool::HALVES, others)) => (true, others),
            _ => (false, &self.pools),
        }
    }

    /// Says what of the block is not fused for `steps` time steps, one sentence for each reason.
    pub fn not_fused(&self, steps: usize) -> Vec<String> {
        let mut parts = Vec::new();
        let Self {
            kernel,
            stride,
            padding,
            ..
        } = self;
        if !self.geometry().has_own_kernels([*kernel; 2]) {
            parts.push(format!(
                "its convolution ({kernel} x {kernel}, stride {stride}, padding {padding}) is burn's, which does not skip \
                 zeros; 3 x 3 with stride 1 and padding 1 has its own kernels"
            ));
        }
        if !self.norm {
            parts.push(
                "its neurons and pooling are separate operations without batch norm".to_owned(),
            );
        }
        if let (_, [first, ..]) = self.fused_pool() {
            parts.push(format!(
                "{first} is a separate operation; MPk2s2 after the neurons is fused"
            ));
        }
        if self.norm && steps > MOST_STEPS {
            parts.push(format!(
                "its backward pass on a GPU is separate operations for T above {MOST_STEPS}"
            ));
        }
        parts
    }
}

impl Pool {
    fn apply<B: Backend>(self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let (kernel, stride, none) = ([self.kernel; 2], [self.stride; 2], [0, 0]);
        match self.kind {
            PoolKind::Max => max_pool2d(x, kernel, stride, none, [1, 1], false),
            PoolKind::Average => avg_pool2d(x, kernel, stride, none, true, false),
        }
    }
}

/// Returns the spikes of neurons that start from the potentials in `memory`, or at rest without it.
pub fn fire<B: SnnBackend, const D: usize>(
    neurons: &Neurons<B>,
    x: Tensor<B, D>,
    memory: Option<Memory<'_, B>>,
) -> Tensor<B, D> {
    match memory {
        Some(Memory::Linked(potentials)) => neurons.forward_from(x, potentials),
        Some(Memory::Constant(potentials)) => {
            let spikes = neurons.forward_from(x, potentials);
            *potentials = potentials.take().map(Tensor::detach);
            spikes
        }
        None => neurons.forward(x),
    }
}

fn drop_out<B: SnnBackend>(x: Tensor<B, 4>, dropout: &Dropout<FloatTensor<B>>) -> Tensor<B, 4> {
    let (shape, dtype) = (x.dims(), x.dtype());
    let dropped = B::drop_features(primitive(x), Some(dropout), dtype);
    tensor::<B, 2>(dropped).reshape(shape)
}
