//! Batch normalisation on the CubeCL backends, with as few passes over memory as possible: one for
//! the moments and one to normalise; in the backward pass, one for the sums and one for the
//! gradient.

use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor, TensorMetadata};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

use super::gpu_kernels::{
    deviations_kernel, gradient_sums_kernel, input_gradient_kernel, scale_kernel,
};
use super::{Affine, BatchNormBackend, Moments, Saved};
use crate::backend::gpu::{
    ColumnSums, channels_last, channels_second, cubes, dims, empty, single, width,
};
use crate::backend::primitive::{primitive, tensor};

/// Fewest rows that a thread adds up, if there are enough.
const ROWS_A_THREAD: usize = 16;

impl<R, F, I, BT> BatchNormBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn moments(x: FloatTensor<Self>) -> Moments<FloatTensor<Self>> {
        let [n, _, height, width] = dims(&x);
        let count = (n * height * width) as f64;
        let [shift, parts] = deviations(channels_last(x));
        let shift = tensor::<Self, 1>(shift); // [C]
        let [mean, squares] = sums::<Self, 2>(parts).map(|sum| sum.div_scalar(count)); // [C]
        let variance = (squares - mean.clone() * mean.clone()).clamp_min(0.0);
        Moments {
            mean: primitive(shift + mean),
            variance: primitive(variance),
        }
    }

    fn scale(x: FloatTensor<Self>, affine: Affine<FloatTensor<Self>>) -> FloatTensor<Self> {
        channels_second(scale(channels_last(x), affine))
    }

    fn batch_norm_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        saved: Saved<FloatTensor<Self>>,
    ) -> [FloatTensor<Self>; 3] {
        let (dy, x) = (channels_last(grad), channels_last(x));
        let saved = Saved {
            gamma: single(saved.gamma),
            mean: single(saved.mean),
            inverse: single(saved.inverse),
        };
        let sums = sums::<Self, 2>(gradient_sums(&dy, &x, &saved.mean));
        let (sums, [dgamma, dbeta]) = parameter_gradients::<Self>(sums, &saved);
        let dx = input_gradient(dy, x, saved, sums);
        [channels_second(dx), dgamma, dbeta]
    }
}

/// Adds up the cubes' sums, `[parts, K, C]`.
pub fn sums<B: Backend, const K: usize>(parts: FloatTensor<B>) -> [Tensor<B, 1>; K] {
    let whole = tensor::<B, 3>(parts).sum_dim(0); // [1, K, C]
    let c = whole.dims()[2];
    std::array::from_fn(|k| whole.clone().narrow(1, k, 1).reshape([c]))
}

/// Returns the sums of dy and of dy (x - mean) as one tensor `[2, C]`, for
/// [`Slope`](super::gpu_kernels::Slope), and the gradients of gamma and beta.
pub fn parameter_gradients<B: Backend>(
    [dy, centred]: [Tensor<B, 1>; 2],
    saved: &Saved<FloatTensor<B>>,
) -> (FloatTensor<B>, [FloatTensor<B>; 2]) {
    let inverse = tensor::<B, 1>(saved.inverse.clone());
    let both = Tensor::stack::<2>(vec![dy.clone(), centred.clone()], 0); // [2, C]
    (
        primitive(both),
        [primitive(centred * inverse), primitive(dy)],
    )
}

/// Returns a value `[C]` near each channel's mean, and the sums of the deviations of `x`
/// `[N, H, W, C]` from it and of their squares, `[parts, 2, C]`.
fn deviations<R: CubeRuntime>(x: CubeTensor<R>) -> [CubeTensor<R>; 2] {
    let [n, height, width_, c] = dims(&x);
    let (rows, width) = (n * height * width_, width(c, 4));
    let work = ColumnSums::new(rows, c / width, ROWS_A_THREAD);
    let shift = empty(&x, [c], DType::F32);
    let parts = empty(&x, [work.parts as usize, 2, c], DType::F32);
    if rows * c == 0 {
        return [shift, parts];
    }
    let (count, dim) = work.cubes();
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
            work.lanes,
            x.dtype.into(),
        );
    }
    [shift, parts]
}

/// Returns x `[N, H, W, C]` times each channel's scale, plus its shift.
fn scale<R: CubeRuntime>(x: CubeTensor<R>, affine: Affine<CubeTensor<R>>) -> CubeTensor<R> {
    let shape: [usize; 4] = dims(&x);
    let y = empty(&x, shape, x.dtype);
    let width = width(shape[3], 4);
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
    let (rows, width) = (n * height * width_, width(c, 4));
    let work = ColumnSums::new(rows, c / width, ROWS_A_THREAD);
    let parts = empty(x, [work.parts as usize, 2, c], DType::F32);
    if rows * c == 0 {
        return parts;
    }
    let (count, dim) = work.cubes();
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
            work.lanes,
            x.dtype.into(),
        );
    }
    parts
}

/// Returns dx from dy and x, `[N, H, W, C]`, and from the sums over all rows, `[2, C]`.
fn input_gradient<R: CubeRuntime>(
    dy: CubeTensor<R>,
    x: CubeTensor<R>,
    saved: Saved<CubeTensor<R>>,
    sums: CubeTensor<R>,
) -> CubeTensor<R> {
    let shape @ [n, height, width_, c]: [usize; 4] = dims(&x);
    let dx = empty(&x, shape, x.dtype);
    let width = width(c, 4);
    let vectors = n * height * width_ * c / width;
    if vectors == 0 {
        return dx;
    }
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
            single(sums).into_array_arg(),
            dx.clone().into_array_arg(),
            vectors,
            c / width,
            1.0 / (n * height * width_) as f32,
            x.dtype.into(),
        );
    }
    dx
}
