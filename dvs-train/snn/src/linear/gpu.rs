//! Linear layers on the CubeCL backends: one launch for dropout, type and layout, and one for each
//! matrix product.

use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorMetadata};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::permute;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::prelude::*;
use cubecl::{CubeCount, CubeDim};

use super::{Dropout, LinearBackend};
use crate::backend::gpu::{channels_last, channels_second, cubes, dims, empty, in_type, single};
use crate::backend::gpu_tiles::{DEPTH, EACH, SIDE, THREADS, TILE, add_products, zero_sums};

impl<R, F, I, BT> LinearBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn drop_features(
        x: FloatTensor<Self>,
        dropout: Option<&Dropout<FloatTensor<Self>>>,
        dtype: DType,
    ) -> FloatTensor<Self> {
        let [n, c, height, width] = dims(&x);
        let x = channels_last(x);
        let out = empty(&x, [n, c * height * width], dtype);
        launch::<R>(&x, &out, dropout, [n, c, height * width], false);
        out
    }

    fn drop_features_backward(
        grad: FloatTensor<Self>,
        dropout: Option<&Dropout<FloatTensor<Self>>>,
        [n, c, height, width]: [usize; 4],
        dtype: DType,
    ) -> FloatTensor<Self> {
        let grad = into_contiguous(grad);
        let dx = empty(&grad, [n, height, width, c], dtype);
        launch::<R>(&grad, &dx, dropout, [n, c, height * width], true);
        channels_second(dx)
    }

    fn product(x: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        multiply(&x, &w, DType::F32)
    }

    fn product_x_backward(grad: FloatTensor<Self>, w: FloatTensor<Self>) -> FloatTensor<Self> {
        let dtype = w.dtype;
        multiply(&grad, &permute(w, &[1, 0]), dtype)
    }

    fn product_w_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        multiply(&permute(x, &[1, 0]), &grad, DType::F32)
    }
}

/// Returns the matrix product of `a` `[M, K]` and `b` `[K, N]`, of any strides, in the type `dtype`.
fn multiply<R: CubeRuntime>(a: &CubeTensor<R>, b: &CubeTensor<R>, dtype: DType) -> CubeTensor<R> {
    let ([m, k], [_, n]) = (dims(a), dims::<R, 2>(b));
    let b = &in_type(b.clone(), a.dtype);
    let out = empty(a, [m, n], dtype);
    if m * n == 0 {
        return out;
    }
    let strides = |x: &CubeTensor<R>| (x.meta.strides()[0], x.meta.strides()[1]);
    let ((a_row, a_column), (b_row, b_column)) = (strides(a), strides(b));
    let tiles = |length: usize| length.div_ceil(TILE) as u32;
    // SAFETY: a thread reads a value of a factor only if its row and column are within the factor,
    // and writes only values of out.
    unsafe {
        product_kernel::launch_unchecked(
            &out.client,
            CubeCount::Static(tiles(n), tiles(m), 1),
            CubeDim::new_1d(THREADS as u32),
            a.required_address_type().max(b.required_address_type()),
            a.clone().into_array_arg(),
            b.clone().into_array_arg(),
            out.clone().into_array_arg(),
            ProductLaunch::new(m, n, k, a_row, a_column, b_row, b_column),
            a.dtype.into(),
            dtype.into(),
        );
    }
    out
}

/// Sizes of a matrix product, and the distances between the rows and the columns of its factors.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Product {
    m: usize,
    n: usize,
    k: usize,
    a_row: usize,
    a_column: usize,
    b_row: usize,
    b_column: usize,
}

/// Computes a tile of a matrix product in single precision. burn's kernels would be tried one after
/// the other, 233 of them for both layers, and those for 32 bits round the factors to 11 digits.
/// These products are a thousandth of a network's arithmetic.
#[cube(launch_unchecked, address_type = "dynamic")]
fn product_kernel<X: Float, Y: Float>(
    a: &Array<X>,
    b: &Array<X>,
    out: &mut Array<Y>,
    of: &Product,
    #[define(X)] _x: StorageType,
    #[define(Y)] _y: StorageType,
) {
    let mut left = SharedMemory::<f32>::new(comptime![DEPTH * TILE]);
    let mut right = SharedMemory::<f32>::new(comptime![DEPTH * TILE]);
    let mut sums = zero_sums();
    let unit = UNIT_POS as usize;
    let (row, column) = (unit / SIDE, unit % SIDE);
    let first_row = CUBE_POS_Y as usize * TILE;
    let first_column = CUBE_POS_X as usize * TILE;
    let mut start = 0usize.runtime();
    while start < of.k {
        #[unroll]
        for load in 0..comptime![DEPTH * TILE / THREADS] {
            let at = unit + load * THREADS;
            let (k, place) = (at / TILE, at % TILE);
            let mut value = 0.0f32;
            if start + k < of.k && first_row + place < of.m {
                let from = (first_row + place) * of.a_row + (start + k) * of.a_column;
                value = f32::cast_from(a[from]);
            }
            left[at] = value;
            let mut value = 0.0f32;
            if start + k < of.k && first_column + place < of.n {
                let from = (start + k) * of.b_row + (first_column + place) * of.b_column;
                value = f32::cast_from(b[from]);
            }
            right[at] = value;
        }
        sync_cube();
        add_products(&left, &right, &mut sums, row, column);
        sync_cube();
        start += DEPTH;
    }
    #[unroll]
    for i in 0..EACH {
        let row = first_row + row + i * SIDE;
        #[unroll]
        for j in 0..EACH {
            let column = first_column + column + j * SIDE;
            if row < of.m && column < of.n {
                out[row * of.n + column] = Y::cast_from(sums[i * EACH + j]);
            }
        }
    }
}

/// Copies `from` to `to`, with dropout. If `back` is set, `from` has rows of features, and `to` is
/// channels last; else it is the other way round.
fn launch<R: CubeRuntime>(
    from: &CubeTensor<R>,
    to: &CubeTensor<R>,
    dropout: Option<&Dropout<CubeTensor<R>>>,
    [n, channels, cells]: [usize; 3],
    back: bool,
) {
    let number = n * channels * cells;
    if number == 0 {
        return;
    }
    let (count, dim) = cubes(to, number);
    let kept = dropout.map_or(1.0, |dropout| dropout.kept);
    let samples = dropout.map_or(1, |dropout| dropout.mask.shape()[0].max(1));
    let mask = dropout.map(|dropout| single(dropout.mask.clone()).into_array_arg());
    // SAFETY: a thread stops unless its index is below the number of features. Both arrays have
    // that many values, and the mask has a value for each feature of a sample.
    unsafe {
        drop_kernel::launch_unchecked(
            &to.client,
            count,
            dim,
            to.required_address_type(),
            from.clone().into_array_arg(),
            mask.into(),
            to.clone().into_array_arg(),
            number,
            channels,
            cells,
            samples,
            kept as f32,
            back,
            from.dtype.into(),
            to.dtype.into(),
        );
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn drop_kernel<X: Float, Y: Float>(
    from: &Array<X>,
    mask: &ComptimeOption<Array<f32>>,
    to: &mut Array<Y>,
    number: usize,
    channels: usize,
    cells: usize,
    samples: usize,
    kept: f32,
    #[comptime] back: bool,
    #[define(X)] _x: StorageType,
    #[define(Y)] _y: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= number {
        terminate!();
    }
    // Neighbouring threads write neighbouring values.
    let features = channels * cells;
    let (row, place) = (at / features, at % features);
    let (source, feature) = if comptime![back] {
        let (cell, channel) = (place / channels, place % channels);
        let feature = channel * cells + cell;
        (feature, feature)
    } else {
        let (channel, cell) = (place / cells, place % cells);
        (cell * channels + channel, place)
    };
    let value = f32::cast_from(from[row * features + source]);
    #[comptime]
    let value = match mask {
        ComptimeOption::Some(mask) => value * (mask[row % samples * features + feature] / kept),
        ComptimeOption::None => value,
    };
    to[at] = Y::cast_from(value);
}
