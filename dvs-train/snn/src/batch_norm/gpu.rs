//! Batch normalisation on the CubeCL backends, with as few passes over memory as possible: one for
//! the moments and one to normalise; in the backward pass, one for the sums and one for the
//! gradient.

use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorMetadata};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

use super::gpu_kernels::{
    StatisticsParamsLaunch, deviations_kernel, gradient_sums_kernel, input_gradient_kernel,
    scale_kernel, statistics_kernel, sums_kernel,
};
use super::ranks::sum_over_ranks;
use super::{Affine, BatchNormBackend, BatchStatistics, Moments, Parameters, Running, Saved};
use crate::backend::gpu::{
    Threads, UNITS, channels_last, channels_second, cubes, dims, empty, in_type, single, width,
};

/// Fewest rows that a thread adds up, if there are enough.
const ROWS_A_THREAD: usize = 16;

impl<R, F, I, BT> BatchNormBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn statistics(
        x: FloatTensor<Self>,
        parameters: &Parameters<FloatTensor<Self>>,
        running: Running<FloatTensor<Self>>,
    ) -> BatchStatistics<FloatTensor<Self>> {
        let [n, _, height, width] = dims(&x);
        let [near, parts] = deviations(channels_last(x));
        finish_statistics(near, parts, n * height * width, parameters, running)
    }

    fn scale(x: FloatTensor<Self>, affine: Affine<FloatTensor<Self>>) -> FloatTensor<Self> {
        channels_second(scale(channels_last(x), affine))
    }

    fn batch_norm_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        saved: Saved<FloatTensor<Self>>,
    ) -> [FloatTensor<Self>; 3] {
        let (dy, x) = (channels_last(in_type(grad, x.dtype)), channels_last(x));
        let saved = Saved {
            gamma: single(saved.gamma),
            mean: single(saved.mean),
            inverse: single(saved.inverse),
            ranks: saved.ranks,
        };
        let Sums {
            sums,
            dgamma,
            dbeta,
            ..
        } = finish_sums(gradient_sums(&dy, &x, &saved.mean), &saved);
        let sums = sum_over_ranks::<Self>(sums, &saved.ranks);
        let dx = input_gradient(dy, x, saved, sums);
        [channels_second(dx), dgamma, dbeta]
    }
}

/// The threads of kernels that add up the sums of other cubes.
const FINISHING: Threads = Threads {
    units: UNITS,
    lanes: 8,
};

/// Adds up the sums of [`deviations`] for `count` values per channel, and returns the statistics.
fn finish_statistics<R: CubeRuntime>(
    near: CubeTensor<R>,
    parts: CubeTensor<R>,
    count: usize,
    parameters: &Parameters<CubeTensor<R>>,
    running: Running<CubeTensor<R>>,
) -> BatchStatistics<CubeTensor<R>> {
    let [number, _, c] = dims(&parts);
    let vector = || empty(&near, [c], DType::F32);
    let affine = Affine {
        scale: vector(),
        shift: vector(),
    };
    let saved = Saved {
        gamma: single(parameters.gamma.clone()),
        mean: vector(),
        inverse: vector(),
        ranks: running.ranks,
    };
    let moved = Moments {
        mean: vector(),
        variance: vector(),
    };
    let old = running.moments;
    let (cubes, dim) = FINISHING.cubes(c, 1);
    let values = count as f64;
    // SAFETY: a thread reads a column of parts only if it is below the number of columns, and all
    // other arrays have a value for each column.
    unsafe {
        statistics_kernel::launch_unchecked(
            &near.client,
            cubes,
            dim,
            parts.required_address_type(),
            1,
            near.clone().into_array_arg(),
            parts.into_array_arg(),
            saved.gamma.clone().into_array_arg(),
            single(parameters.beta.clone()).into_array_arg(),
            single(old.mean).into_array_arg(),
            single(old.variance).into_array_arg(),
            affine.scale.clone().into_array_arg(),
            affine.shift.clone().into_array_arg(),
            saved.mean.clone().into_array_arg(),
            saved.inverse.clone().into_array_arg(),
            moved.mean.clone().into_array_arg(),
            moved.variance.clone().into_array_arg(),
            StatisticsParamsLaunch::new(
                number,
                c,
                (1.0 / values) as f32,
                (values / (values - 1.0).max(1.0)) as f32,
                running.momentum as f32,
                parameters.epsilon as f32,
            ),
            FINISHING,
        );
    }
    BatchStatistics {
        affine,
        saved,
        running: moved,
    }
}

/// Sums over all values of a channel, for the backward pass.
pub struct Sums<R: CubeRuntime> {
    /// Sums of dy and of dy (x - mean), `[2, C]`, for [`Slope`](super::gpu_kernels::Slope).
    pub sums: CubeTensor<R>,
    /// Gradient of gamma, `[C]`.
    pub dgamma: CubeTensor<R>,
    /// Gradient of beta, `[C]`.
    pub dbeta: CubeTensor<R>,
    /// Third sum, `[C]`, if there are three.
    pub third: Option<CubeTensor<R>>,
}

/// Adds up the cubes' sums, `[parts, K, C]`, of dy, of dy (x - mean) and perhaps of a third value.
pub fn finish_sums<R: CubeRuntime>(parts: CubeTensor<R>, saved: &Saved<CubeTensor<R>>) -> Sums<R> {
    let [number, sums, c] = dims(&parts);
    let vector = || empty(&parts, [c], DType::F32);
    let finished = Sums {
        sums: empty(&parts, [2, c], DType::F32),
        dgamma: vector(),
        dbeta: vector(),
        third: (sums > 2).then(vector),
    };
    let (cubes, dim) = FINISHING.cubes(c, 1);
    // SAFETY: as in `finish_statistics`. sums has two rows of columns.
    unsafe {
        sums_kernel::launch_unchecked(
            &finished.sums.client,
            cubes,
            dim,
            parts.required_address_type(),
            1,
            parts.clone().into_array_arg(),
            single(saved.inverse.clone()).into_array_arg(),
            finished.sums.clone().into_array_arg(),
            finished.dgamma.clone().into_array_arg(),
            finished.dbeta.clone().into_array_arg(),
            finished
                .third
                .clone()
                .map(CubeTensor::into_array_arg)
                .into(),
            number,
            c,
            sums,
            FINISHING,
        );
    }
    finished
}

/// Returns a value `[C]` near each channel's mean, and the cubes' sums of the deviations of `x`
/// `[N, H, W, C]` from it and of their squares, `[parts, 2, C]`.
fn deviations<R: CubeRuntime>(x: CubeTensor<R>) -> [CubeTensor<R>; 2] {
    let [n, height, width_, c] = dims(&x);
    let (rows, width) = (n * height * width_, width(&x, c, 8));
    let threads = Threads::new(UNITS, c / width);
    let number = threads.parts(rows, ROWS_A_THREAD);
    let shift = empty(&x, [c], DType::F32);
    let parts = empty(&x, [number, 2, c], DType::F32);
    if rows * c == 0 {
        return [shift, parts];
    }
    let (count, dim) = threads.cubes(c / width, number);
    // SAFETY: a thread accesses only columns and rows within x's shape. shift has a value per
    // column, and parts has two rows of columns for every cube that divides the rows.
    unsafe {
        deviations_kernel::launch_unchecked(
            &parts.client,
            count,
            dim,
            x.required_address_type(),
            width,
            x.clone().into_array_arg(),
            shift.clone().into_array_arg(),
            parts.clone().into_array_arg(),
            rows,
            c / width,
            threads,
            x.dtype.into(),
        );
    }
    [shift, parts]
}

/// Returns x `[N, H, W, C]` times each channel's scale, plus its shift.
fn scale<R: CubeRuntime>(x: CubeTensor<R>, affine: Affine<CubeTensor<R>>) -> CubeTensor<R> {
    let shape: [usize; 4] = dims(&x);
    let y = empty(&x, shape, x.dtype);
    let width = width(&x, shape[3], 8);
    let vectors = x.shape().num_elements() / width;
    if vectors == 0 {
        return y;
    }
    let (count, dim) = cubes(&x, vectors);
    // SAFETY: a thread stops if its index is not below the number of vectors of x and y. The column
    // that it computes from the index is one of the channels.
    unsafe {
        scale_kernel::launch_unchecked(
            &y.client,
            count,
            dim,
            x.required_address_type(),
            width,
            x.clone().into_array_arg(),
            single(affine.scale).into_array_arg(),
            single(affine.shift).into_array_arg(),
            y.clone().into_array_arg(),
            vectors,
            shape[3] / width,
            x.dtype.into(),
        );
    }
    y
}

/// Returns each cube's sums of dy and of dy (x - mean), `[parts, 2, C]`.
fn gradient_sums<R: CubeRuntime>(
    dy: &CubeTensor<R>,
    x: &CubeTensor<R>,
    mean: &CubeTensor<R>,
) -> CubeTensor<R> {
    let [n, height, width_, c] = dims(x);
    let (rows, width) = (n * height * width_, width(x, c, 8));
    let threads = Threads::new(UNITS, c / width);
    let number = threads.parts(rows, ROWS_A_THREAD);
    let parts = empty(x, [number, 2, c], DType::F32);
    if rows * c == 0 {
        return parts;
    }
    let (count, dim) = threads.cubes(c / width, number);
    // SAFETY: as in `deviations`. dy has the shape of x, and mean has a value per column.
    unsafe {
        gradient_sums_kernel::launch_unchecked(
            &parts.client,
            count,
            dim,
            x.required_address_type(),
            width,
            dy.clone().into_array_arg(),
            x.clone().into_array_arg(),
            mean.clone().into_array_arg(),
            parts.clone().into_array_arg(),
            rows,
            c / width,
            threads,
            x.dtype.into(),
        );
    }
    parts
}

/// Returns dx from dy and x, `[N, H, W, C]`, and from the sums over all rows of all ranks, `[2, C]`.
fn input_gradient<R: CubeRuntime>(
    dy: CubeTensor<R>,
    x: CubeTensor<R>,
    saved: Saved<CubeTensor<R>>,
    sums: CubeTensor<R>,
) -> CubeTensor<R> {
    let shape @ [n, height, width_, c]: [usize; 4] = dims(&x);
    let dx = empty(&x, shape, x.dtype);
    let width = width(&x, c, 8);
    let vectors = n * height * width_ * c / width;
    if vectors == 0 {
        return dx;
    }
    let values = saved.ranks.size() * n * height * width_;
    let (count, dim) = cubes(&x, vectors);
    // SAFETY: a thread stops if its index is not below the number of vectors of x, dy and dx. The
    // column that it computes from the index is one of the channels.
    unsafe {
        input_gradient_kernel::launch_unchecked(
            &dx.client,
            count,
            dim,
            x.required_address_type(),
            width,
            dy.into_array_arg(),
            x.clone().into_array_arg(),
            saved.gamma.into_array_arg(),
            saved.mean.into_array_arg(),
            saved.inverse.into_array_arg(),
            sums.into_array_arg(),
            dx.clone().into_array_arg(),
            vectors,
            c / width,
            1.0 / values as f32,
            x.dtype.into(),
        );
    }
    dx
}
