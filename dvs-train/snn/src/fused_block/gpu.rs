//! Fused batch norm, neurons and pooling on the CubeCL backends.
//!
//! The forward pass reads the convolution's output once for its moments, and once to normalise,
//! integrate, fire and pool. It writes only the pooled spikes. The backward pass reads the output
//! once for the sums that batch norm's gradient needs, and once for the gradient, which it writes.
//! It computes intermediate values twice, because that is cheaper than to write and read them.

use burn::tensor::DType;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

use super::gpu_kernels::{
    MOST_STEPS, WindowsLaunch, forward_kernel, input_gradient_kernel, sums_kernel,
};
use super::{BlockBackend, BlockInputs, FusedBlock, unfused};
use crate::backend::gpu::{
    ColumnSums, channels_last, channels_second, cubes, empty, in_type, single, width,
};
use crate::backend::primitive::{primitive, tensor};
use crate::batch_norm::gpu::{Sums, finish_sums};
use crate::batch_norm::{Affine, Saved};
use crate::neuron::gpu::{rate, weight_gradient};
use crate::neuron::gpu_dynamics::{KernelConfig, kernel_params};

/// Most membrane potentials that a thread of the backward pass keeps in registers, if it takes more
/// than one channel. With 64 of them it needs up to 248 registers, because the compiler loads their
/// inputs ahead; with 128, registers spill to memory.
const POTENTIALS_IN_REGISTERS: usize = 64;

impl<R, F, I, BT> BlockBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn fire_pool(inputs: BlockInputs<FloatTensor<Self>>, block: &FusedBlock) -> FloatTensor<Self> {
        match block.is_whole() {
            true => forward(with_rate::<Self>(inputs), block, None),
            false => unfused::fire_pool::<Self>(inputs, block),
        }
    }

    fn fire_pool_count(
        inputs: BlockInputs<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !block.is_whole() {
            return unfused::fire_pool_count::<Self>(inputs, block);
        }
        let [n, c, height, width] = block.shape;
        let (samples, cells) = (n / block.steps, height * width);
        let counts = empty(&inputs.x, [samples, cells * c], DType::F32);
        let spikes = forward(with_rate::<Self>(inputs), block, Some(counts.clone()));
        let counts = tensor::<Self, 2>(counts).sum_dim(0); // [1, H * W * C]
        let counts = counts.reshape([cells, c]).swap_dims(0, 1);
        (spikes, primitive(counts.reshape([c * cells])))
    }

    fn norm_fire_pool_backward(
        grad: FloatTensor<Self>,
        inputs: BlockInputs<FloatTensor<Self>>,
        saved: Saved<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> [Option<FloatTensor<Self>>; 4] {
        if !block.is_whole() || block.steps > MOST_STEPS {
            return unfused::backward::<Self>(grad, inputs, saved, block);
        }
        let inputs = with_rate::<Self>(inputs);
        let rate = inputs.w.clone();
        let given = BackwardInputs::new(grad, inputs, saved, block);
        let Sums {
            sums,
            dgamma,
            dbeta,
            third: drate,
        } = finish_sums(given.sums(block), &given.saved);
        [
            Some(given.input_gradient(sums, block)),
            Some(dgamma),
            Some(dbeta),
            rate.map(|rate| weight_gradient::<Self>(drate, rate)),
        ]
    }
}

/// Replaces PLIF's weight by the rate 1 / tau that the kernels take.
fn with_rate<B: Backend>(inputs: BlockInputs<FloatTensor<B>>) -> BlockInputs<FloatTensor<B>> {
    BlockInputs {
        w: inputs.w.map(rate::<B>),
        ..inputs
    }
}

/// Returns the pooled spikes; `inputs` are [`with_rate`]. Writes each neuron's spikes over all time
/// steps to `counts`, `[B, H, W, C]`.
fn forward<R: CubeRuntime>(
    inputs: BlockInputs<CubeTensor<R>>,
    block: &FusedBlock,
    counts: Option<CubeTensor<R>>,
) -> CubeTensor<R> {
    let [n, c, height, width_] = block.shape;
    let BlockInputs { x, affine, w: rate } = inputs;
    let x = channels_last(x);
    let count = counts.is_some();
    // A kernel needs all its arguments, even those that it does not use.
    let counts = counts.unwrap_or_else(|| empty(&x, [4], DType::F32));
    let out = empty(&x, [n, height / 2, width_ / 2, c], x.dtype);
    let width = width(c, 4);
    let (cubes, dim) = cubes(
        &x,
        n / block.steps * (height / 2) * (width_ / 2) * (c / width),
    );
    // SAFETY: a thread stops unless its index is one of the windows and vectors of channels at a
    // step. block.shape is x's shape, and its height and width are even. The thread's four cells at
    // all steps are therefore within x, and its pooled spikes within out. If it counts, its cells
    // at one step are within counts.
    unsafe {
        forward_kernel::launch_unchecked(
            &out.client,
            cubes,
            dim,
            x.required_address_type(),
            width,
            x.clone().into_array_arg(),
            single(affine.scale).into_array_arg(),
            single(affine.shift).into_array_arg(),
            rate.map(|rate| single(rate).into_array_arg()).into(),
            out.clone().into_array_arg(),
            counts.into_array_arg(),
            windows(block, width),
            kernel_params(&block.neuron),
            count,
            block.steps,
            KernelConfig::new(&block.neuron),
            x.dtype.into(),
        );
    }
    channels_second(out)
}

fn windows<R: CubeRuntime>(block: &FusedBlock, vector: usize) -> WindowsLaunch<R> {
    let [n, c, height, width] = block.shape;
    let number = n / block.steps * (height / 2) * (width / 2);
    WindowsLaunch::new(number, width / 2, c / vector)
}

/// Arguments of the backward pass, in the layout of its kernels.
struct BackwardInputs<R: CubeRuntime> {
    grad: CubeTensor<R>,
    /// See [`with_rate`].
    inputs: BlockInputs<CubeTensor<R>>,
    saved: Saved<CubeTensor<R>>,
    /// Channels per thread.
    width: usize,
    /// Windows of all samples at one time step.
    number: usize,
}

impl<R: CubeRuntime> BackwardInputs<R> {
    fn new(
        grad: CubeTensor<R>,
        inputs: BlockInputs<CubeTensor<R>>,
        saved: Saved<CubeTensor<R>>,
        block: &FusedBlock,
    ) -> Self {
        let [n, c, height, width_] = block.shape;
        let BlockInputs { x, affine, w } = inputs;
        let most = POTENTIALS_IN_REGISTERS / (4 * block.steps);
        Self {
            grad: channels_last(in_type(grad, x.dtype)),
            inputs: BlockInputs {
                x: channels_last(x),
                affine: Affine {
                    scale: single(affine.scale),
                    shift: single(affine.shift),
                },
                w: w.map(single),
            },
            saved: Saved {
                gamma: single(saved.gamma),
                mean: single(saved.mean),
                inverse: single(saved.inverse),
            },
            width: width(c, most),
            number: n / block.steps * (height / 2) * (width_ / 2),
        }
    }

    /// Returns the cubes' sums; see [`sums_kernel()`].
    fn sums(&self, block: &FusedBlock) -> CubeTensor<R> {
        let BlockInputs { x, affine, w: rate } = &self.inputs;
        let c = block.shape[1];
        let work = ColumnSums::new(self.number, c / self.width, 1);
        let parts = empty(x, [work.parts as usize, 3, c], DType::F32);
        let (count, dim) = work.cubes();
        let rate = rate.clone();
        // SAFETY: as in `forward`, for windows and columns below their numbers. grad has the shape
        // of the pooled spikes, and parts has three rows for every cube that divides the windows.
        unsafe {
            sums_kernel::launch_unchecked(
                &parts.client,
                count,
                dim,
                x.required_address_type(),
                self.width,
                self.grad.clone().into_array_arg(),
                x.clone().into_array_arg(),
                affine.scale.clone().into_array_arg(),
                affine.shift.clone().into_array_arg(),
                self.saved.mean.clone().into_array_arg(),
                rate.map(CubeTensor::into_array_arg).into(),
                parts.clone().into_array_arg(),
                windows(block, self.width),
                kernel_params(&block.neuron),
                work.lanes,
                block.steps,
                KernelConfig::new(&block.neuron),
                x.dtype.into(),
            );
        }
        parts
    }

    /// Returns dx from the sums over all windows.
    fn input_gradient(self, sums: CubeTensor<R>, block: &FusedBlock) -> CubeTensor<R> {
        let [n, c, height, width] = block.shape;
        let BlockInputs { x, affine, w: rate } = self.inputs;
        let dx = empty(&x, [n, height, width, c], x.dtype);
        let (count, dim) = cubes(&dx, self.number * (c / self.width));
        // SAFETY: as in `forward`. dx has the shape of x.
        unsafe {
            input_gradient_kernel::launch_unchecked(
                &dx.client,
                count,
                dim,
                x.required_address_type(),
                self.width,
                self.grad.into_array_arg(),
                x.clone().into_array_arg(),
                affine.scale.into_array_arg(),
                affine.shift.into_array_arg(),
                self.saved.gamma.into_array_arg(),
                self.saved.mean.into_array_arg(),
                self.saved.inverse.into_array_arg(),
                sums.into_array_arg(),
                rate.map(CubeTensor::into_array_arg).into(),
                dx.clone().into_array_arg(),
                windows(block, self.width),
                kernel_params(&block.neuron),
                1.0 / (n * height * width) as f32,
                block.steps,
                KernelConfig::new(&block.neuron),
                x.dtype.into(),
            );
        }
        channels_second(dx)
    }
}
