//! Fused batch norm, neurons and pooling on the CubeCL backends.
//!
//! The forward pass reads the convolution's output once for its moments, and once to normalise,
//! integrate, fire and pool. It writes only the block's spikes. The backward pass reads the output
//! once for the sums that batch norm's gradient needs, and once for the gradient, which it writes.
//! It computes intermediate values twice, because that is cheaper than to write and read them.

use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::reshape;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::prelude::ArrayArg;

use super::gpu_kernels::{forward_kernel, input_gradient_kernel, sums_kernel};
use super::gpu_windows::Grid;
use super::{BlockBackend, BlockInputs, FusedBlock, MOST_STEPS, unfused};
use crate::backend::gpu::{
    Threads, channels_last, channels_second, cubes, empty, in_type, single, width,
};
use crate::backend::primitive::{primitive, tensor};
use crate::batch_norm::gpu::{Sums, finish_sums};
use crate::batch_norm::ranks::sum_over_ranks;
use crate::batch_norm::{Affine, Saved};
use crate::neuron::gpu::weight_gradient;
use crate::neuron::gpu_dynamics::{KernelConfig, kernel_params};

/// Threads of a cube of the backward pass. A multiprocessor has registers for four such cubes.
const UNITS: u32 = 128;
/// Most registers for currents and potentials in a thread of the backward pass, if it takes more
/// than one channel. It needs 40 to 60 more for everything else.
///
/// A multiprocessor then runs 16 warps of the 64 that it can hold, and a load has less than 128 bits.
/// With 128 registers the loads are wider, but it runs 8 warps. The loads of all time steps are
/// independent, so that 16 warps keep the memory busy: they have more bytes under way than latency
/// times bandwidth. No GPU has compared the two.
const STATE_REGISTERS: usize = 64;
/// Most cubes that divide the cells for the gradient of the currents.
const MOST_CUBES: usize = 1 << 15;

impl<R, F, I, BT> BlockBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn fire_pool(inputs: BlockInputs<FloatTensor<Self>>, block: &FusedBlock) -> FloatTensor<Self> {
        match block.is_whole() {
            true => forward(inputs, block, Wanted::NOTHING),
            false => unfused::fire_pool::<Self>(inputs, block),
        }
    }

    fn fire_pool_from(
        inputs: BlockInputs<FloatTensor<Self>>,
        block: &FusedBlock,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        if !block.is_whole() {
            return unfused::fire_pool_from::<Self>(inputs, block);
        }
        let last = Wanted::empty(&inputs.x, block);
        let wanted = Wanted {
            counts: None,
            last: Some(last.clone()),
        };
        let spikes = forward(inputs, block, wanted);
        let last = into_contiguous(channels_second(last));
        (spikes, reshape(last, Shape::new([1, block.neurons()])))
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
        let counts = Wanted::empty(&inputs.x, block);
        let wanted = Wanted {
            counts: Some(counts.clone()),
            last: None,
        };
        let spikes = forward(inputs, block, wanted);
        let counts = tensor::<Self, 4>(counts).reshape([samples, cells * c]);
        let counts = counts.sum_dim(0); // [1, H * W * C]
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
        let w = inputs.w.clone();
        let given = BackwardInputs::new(grad, inputs, saved, block);
        let Sums {
            sums,
            dgamma,
            dbeta,
            third: drate,
        } = finish_sums(given.sums(block), &given.saved);
        let sums = sum_over_ranks::<Self>(sums, &given.saved.ranks);
        [
            Some(given.input_gradient(sums, block)),
            Some(dgamma),
            Some(dbeta),
            w.zip(drate)
                .map(|(w, drate)| weight_gradient::<Self, R>(drate, w)),
        ]
    }
}

/// Returns potentials `[1, B * C * H * W]` in the kernels' layout, `[B, H, W, C]`.
fn potentials<R: CubeRuntime>(v: CubeTensor<R>, block: &FusedBlock) -> CubeTensor<R> {
    let [n, c, height, width] = block.shape;
    let shape = Shape::new([n / block.steps, c, height, width]);
    channels_last(reshape(single(v), shape))
}

/// What the forward pass writes besides the spikes, `[B, H, W, C]` in single precision.
struct Wanted<R: CubeRuntime> {
    /// Each neuron's spikes over all time steps.
    counts: Option<CubeTensor<R>>,
    /// Each neuron's potential after the last step.
    last: Option<CubeTensor<R>>,
}

impl<R: CubeRuntime> Wanted<R> {
    const NOTHING: Self = Self {
        counts: None,
        last: None,
    };

    /// Creates a tensor for one value of each neuron.
    fn empty(x: &CubeTensor<R>, block: &FusedBlock) -> CubeTensor<R> {
        let [n, c, height, width] = block.shape;
        empty(x, [n / block.steps, height, width, c], DType::F32)
    }
}

/// Returns the block's spikes, and writes what else is `wanted`.
fn forward<R: CubeRuntime>(
    inputs: BlockInputs<CubeTensor<R>>,
    block: &FusedBlock,
    wanted: Wanted<R>,
) -> CubeTensor<R> {
    let [n, c, high, wide] = block.output_shape();
    let BlockInputs { x, affine, w, v } = inputs;
    let x = channels_last(x);
    let v = v.map(|v| potentials(v, block));
    let Wanted { counts, last } = wanted;
    let out = empty(&x, [n, high, wide, c], x.dtype);
    let width = width(&x, c, 8);
    // Windows without an output matter only to the counts and the last potentials.
    let grid = match (&counts, &last) {
        (None, None) => Grid::of_outputs(block),
        _ => Grid::of_cells(block),
    };
    let (cubes, dim) = cubes(&x, grid.windows() * (c / width));
    // SAFETY: a thread stops unless its index is one of the windows and vectors of channels at a
    // step. block.shape is x's shape, and a window's first cell is always in it. If the image lacks
    // another cell, the distance to it is 0. The thread's cells at all steps are therefore within x,
    // and its cells at one step are within v, counts and last. It writes spikes only for a window
    // with all cells, so they are within out.
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
            w.map(|w| single(w).into_array_arg()).into(),
            v.map(CubeTensor::into_array_arg).into(),
            out.clone().into_array_arg(),
            counts.map(CubeTensor::into_array_arg).into(),
            last.map(CubeTensor::into_array_arg).into(),
            grid.launch(block, width),
            kernel_params(&block.neuron),
            block.steps,
            KernelConfig::new(&block.neuron),
            x.dtype.into(),
        );
    }
    channels_second(out)
}

/// Arguments of the backward pass, in the layout of its kernels.
struct BackwardInputs<R: CubeRuntime> {
    grad: CubeTensor<R>,
    inputs: BlockInputs<CubeTensor<R>>,
    saved: Saved<CubeTensor<R>>,
    /// Channels per thread.
    width: usize,
    threads: Threads,
    grid: Grid,
}

impl<R: CubeRuntime> BackwardInputs<R> {
    fn new(
        grad: CubeTensor<R>,
        inputs: BlockInputs<CubeTensor<R>>,
        saved: Saved<CubeTensor<R>>,
        block: &FusedBlock,
    ) -> Self {
        let c = block.shape[1];
        let BlockInputs { x, affine, w, v } = inputs;
        let bytes_a_step = x.elem_size() + size_of::<f32>();
        let most = STATE_REGISTERS * size_of::<f32>() / (bytes_a_step * block.steps);
        let width = width(&x, c, most);
        Self {
            grad: channels_last(in_type(grad, x.dtype)),
            inputs: BlockInputs {
                x: channels_last(x),
                affine: Affine {
                    scale: single(affine.scale),
                    shift: single(affine.shift),
                },
                w: w.map(single),
                v: v.map(|v| potentials(v, block)),
            },
            saved: Saved {
                gamma: single(saved.gamma),
                mean: single(saved.mean),
                inverse: single(saved.inverse),
                ranks: saved.ranks,
            },
            width,
            threads: Threads::new(UNITS, c / width),
            grid: Grid::of_cells(block),
        }
    }

    /// Returns the cubes' sums; see [`sums_kernel()`].
    fn sums(&self, block: &FusedBlock) -> CubeTensor<R> {
        let BlockInputs { x, affine, w, v } = &self.inputs;
        let c = block.shape[1];
        let number = self.threads.parts(self.grid.cells(block), 1);
        let each = if w.is_some() { 3 } else { 2 };
        let parts = empty(x, [number, each, c], DType::F32);
        let (count, dim) = self.threads.cubes(c / self.width, number);
        // SAFETY: as in `forward`, for rows below the number of cells and columns below their number. A
        // thread whose cell the image lacks reads nothing. grad has the shape of the block's spikes,
        // and a thread reads it only if its window has all cells. parts has a row of each sum for
        // every cube that divides the cells.
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
                w.clone().map(CubeTensor::into_array_arg).into(),
                v.clone().map(CubeTensor::into_array_arg).into(),
                parts.clone().into_array_arg(),
                self.grid.launch(block, self.width),
                kernel_params(&block.neuron),
                self.threads,
                block.steps,
                KernelConfig::new(&block.neuron),
                x.dtype.into(),
            );
        }
        parts
    }

    /// Returns dx from the sums over all cells of all ranks. It takes the memory of x if nobody else
    /// needs x.
    fn input_gradient(self, sums: CubeTensor<R>, block: &FusedBlock) -> CubeTensor<R> {
        let [n, c, height, width] = block.shape;
        let BlockInputs { x, affine, w, v } = self.inputs;
        let (client, dtype, address) = (x.client.clone(), x.dtype, x.required_address_type());
        let reuse = x.can_mut();
        let dx = match reuse {
            true => x.clone(),
            false => empty(&x, [n, height, width, c], dtype),
        };
        let dx_argument = match reuse {
            true => ArrayArg::Alias {
                input_pos: X_ARGUMENT,
                length: [x.meta.num_elements()],
            },
            false => dx.clone().into_array_arg(),
        };
        let values = self.saved.ranks.size() * n * height * width;
        let parts = self
            .grid
            .cells(block)
            .div_ceil(self.threads.rows() as usize);
        let (count, dim) = self.threads.cubes(c / self.width, parts.min(MOST_CUBES));
        // SAFETY: as in `sums`. dx has the shape of x. If it is x, each thread reads its cell's
        // values before it replaces them, and no other thread reads them.
        unsafe {
            input_gradient_kernel::launch_unchecked(
                &client,
                count,
                dim,
                address,
                self.width,
                self.grad.into_array_arg(),
                x.into_array_arg(),
                affine.scale.into_array_arg(),
                affine.shift.into_array_arg(),
                self.saved.gamma.into_array_arg(),
                self.saved.mean.into_array_arg(),
                self.saved.inverse.into_array_arg(),
                sums.into_array_arg(),
                w.map(CubeTensor::into_array_arg).into(),
                v.map(CubeTensor::into_array_arg).into(),
                dx_argument,
                self.grid.launch(block, self.width),
                kernel_params(&block.neuron),
                1.0 / values as f32,
                self.threads,
                block.steps,
                KernelConfig::new(&block.neuron),
                dtype.into(),
            );
        }
        channels_second(dx)
    }
}

/// Position of `x` among the arguments of [`input_gradient_kernel()`].
const X_ARGUMENT: usize = 1;
