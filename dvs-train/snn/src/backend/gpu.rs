//! Conversions between burn's tensors and kernels, for the CubeCL backends (CUDA and Vulkan).
//!
//! Kernels take images in the layout of burn's convolutions, channels last: `[N, H, W, C]` in
//! memory with the shape `[N, C, H, W]`. Neighbouring threads take neighbouring channels, so that a
//! warp reads and writes whole cache lines. Arithmetic is in single precision for all element
//! types. A thread, then a cube, then another kernel adds up a long sum, so the result depends only
//! on the tensors' values and shapes, not on the order of execution.

use burn::tensor::{DType, Shape, TensorMetadata};
use burn_cubecl::CubeRuntime;
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::ops::{permute, permute_nchw_to_nhwc, permute_nhwc_to_nchw, reshape};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::{CubeCount, CubeDim};

/// Threads per cube.
pub const UNITS: u32 = 256;
/// Most cubes that divide the rows of a sum. Their partial sums are added afterwards.
const MOST_PARTS: usize = 1024;

/// Creates an uninitialised row-major tensor on the device of `like`.
pub fn empty<R: CubeRuntime>(
    like: &CubeTensor<R>,
    shape: impl Into<Shape>,
    dtype: DType,
) -> CubeTensor<R> {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, shape.into(), dtype)
}

/// Returns `[N, C, H, W]` as row-major `[N, H, W, C]`. Copies only if the memory is in another
/// order.
pub fn channels_last<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    let [n, c, height, width] = dims(&x);
    if height * width == 1 && x.is_contiguous() {
        // Both orders are the same.
        return reshape(x, Shape::new([n, 1, 1, c]));
    }
    into_contiguous(permute_nchw_to_nhwc(x))
}

/// Returns `[N, H, W, C]` as `[N, C, H, W]`, without a copy.
pub fn channels_second<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    let [n, height, width, c] = dims(&x);
    if height * width == 1 && x.is_contiguous() {
        return reshape(x, Shape::new([n, c, 1, 1]));
    }
    permute_nhwc_to_nchw(x)
}

/// Converts a small tensor to single precision, row-major.
pub fn single<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    into_contiguous(match x.dtype {
        DType::F32 => x,
        _ => cast(x, DType::F32),
    })
}

/// Converts a tensor to `dtype`. Kernels read all their tensors in one type.
pub fn in_type<R: CubeRuntime>(x: CubeTensor<R>, dtype: DType) -> CubeTensor<R> {
    match x.dtype == dtype {
        true => x,
        false => cast(x, dtype),
    }
}

/// Returns the lengths of a tensor's dimensions.
pub fn dims<R: CubeRuntime, const D: usize>(x: &CubeTensor<R>) -> [usize; D] {
    x.shape().dims()
}

/// Returns how many values of `x` a thread takes at once: as many as one load of 128 bits has, if
/// they divide `length` and are not more than `most`.
pub fn width<R: CubeRuntime>(x: &CubeTensor<R>, length: usize, most: usize) -> usize {
    let mut widths = x.client.io_optimized_vector_sizes(x.elem_size());
    widths
        .find(|&width| width <= most && length.is_multiple_of(width))
        .unwrap_or(1)
}

/// Returns the cubes for a number of `threads`.
pub fn cubes<R: CubeRuntime>(x: &CubeTensor<R>, threads: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(UNITS);
    (
        cubecl::calculate_cube_count_elemwise(&x.client, threads, dim),
        dim,
    )
}

/// How the threads of a cube divide a matrix to sum its columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Threads {
    /// Threads of the cube, a power of two.
    pub units: u32,
    /// Threads side by side, each with a vector of columns; a power of two. The others have the same
    /// columns and other rows.
    pub lanes: u32,
}

impl Threads {
    /// All threads of a cube divide one column.
    pub const ONE_COLUMN: Self = Self {
        units: UNITS,
        lanes: 1,
    };

    /// Divides `units` threads for a number of vectors of columns.
    pub fn new(units: u32, columns: usize) -> Self {
        Self {
            units,
            lanes: columns.next_power_of_two().min(32) as u32,
        }
    }

    /// Returns how many rows a cube takes at once.
    pub fn rows(self) -> u32 {
        self.units / self.lanes
    }

    /// Returns cubes that take all vectors of columns. `parts` of them divide the rows.
    pub fn cubes(self, columns: usize, parts: usize) -> (CubeCount, CubeDim) {
        let across = columns.div_ceil(self.lanes as usize) as u32;
        (
            CubeCount::Static(across, parts as u32, 1),
            CubeDim::new_1d(self.units),
        )
    }

    /// Returns how many cubes divide `rows` for a sum. If there are enough rows, a thread adds up at
    /// least `rows_a_thread`.
    pub fn parts(self, rows: usize, rows_a_thread: usize) -> usize {
        let parts = rows.div_ceil(self.rows() as usize * rows_a_thread);
        parts.clamp(1, MOST_PARTS)
    }
}

/// Position in a matrix of a thread that sums columns.
#[derive(CubeType, Clone, Copy)]
pub struct Place {
    /// Vector of columns, which may be beyond the last.
    pub column: usize,
    /// First row of the thread.
    pub row: usize,
    /// Distance from one row of the thread to its next.
    pub step: usize,
    /// Whether the thread is the first of its lane, which has the sum.
    pub first: bool,
}

/// Returns the place of a thread.
#[cube]
pub fn place(#[comptime] threads: Threads) -> Place {
    let (lanes, rows) = comptime![(threads.lanes, threads.rows())];
    let row = UNIT_POS / lanes;
    Place {
        column: (CUBE_POS_X * lanes + UNIT_POS % lanes) as usize,
        row: (CUBE_POS_Y * rows + row) as usize,
        step: (CUBE_COUNT_Y * rows) as usize,
        first: row == 0,
    }
}

/// Writes the cube's sum of `value` to `parts`, `[parts, sums, columns]`, as its sum `index` of
/// `sums`.
#[cube]
pub fn put_sum<N: Size>(
    parts: &mut Array<Vector<f32, N>>,
    value: Vector<f32, N>,
    place: &Place,
    columns: usize,
    #[comptime] index: usize,
    #[comptime] sums: usize,
    #[comptime] threads: Threads,
) {
    let sum = sum_lanes(value, threads);
    if place.first && place.column < columns {
        let at = CUBE_POS_Y as usize * sums + index;
        parts[at * columns + place.column] = sum;
    }
}

/// Returns the sum of `value` over all threads of a cube with the same lane. It is complete in the
/// first thread of each lane.
#[cube]
pub fn sum_lanes<N: Size>(value: Vector<f32, N>, #[comptime] threads: Threads) -> Vector<f32, N> {
    let mut values = SharedMemory::<Vector<f32, N>>::new(comptime![threads.units as usize]);
    let unit = UNIT_POS as usize;
    values[unit] = value;
    sync_cube();
    let mut reach = comptime![threads.units as usize / 2].runtime();
    while reach >= comptime![threads.lanes as usize] {
        if unit < reach {
            let other = values[unit + reach];
            values[unit] += other;
        }
        sync_cube();
        reach /= 2;
    }
    values[unit]
}

/// Returns a tensor whose values lie in memory without gaps, in any order of the dimensions. Copies
/// only if there are gaps.
pub fn dense<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    match memory_order(&x) {
        Some(_) => x,
        None => into_contiguous(x),
    }
}

/// Returns the dimensions from the outermost to the innermost in memory, or `None` if the values do
/// not lie in memory without gaps.
fn memory_order<R: CubeRuntime>(x: &CubeTensor<R>) -> Option<Vec<usize>> {
    let (shape, strides) = (x.meta.shape(), x.meta.strides());
    let mut order: Vec<usize> = (0..shape.num_dims()).collect();
    // A dimension of length 1 may have any stride and stays where it is among equals.
    order.sort_by_key(|&axis| std::cmp::Reverse((strides[axis], shape[axis])));
    let mut expected = 1;
    for &axis in order.iter().rev() {
        if shape[axis] != 1 && strides[axis] != expected {
            return None;
        }
        expected *= shape[axis];
    }
    Some(order)
}

/// Returns an uninitialised tensor with the shape and the memory order of `like`, which is
/// [`dense`].
pub fn empty_like<R: CubeRuntime>(like: &CubeTensor<R>, dtype: DType) -> CubeTensor<R> {
    let mut out = empty(like, like.shape(), dtype);
    out.meta = like.meta.clone();
    out
}

/// Returns `x` in the memory order of `like`, which is [`dense`] and has the same shape. Copies only
/// if the order is another one.
pub fn in_order_of<R: CubeRuntime>(x: CubeTensor<R>, like: &CubeTensor<R>) -> CubeTensor<R> {
    if x.meta.strides() == like.meta.strides() {
        return x;
    }
    let order = memory_order(like).unwrap_or_else(|| (0..x.meta.num_dims()).collect());
    let mut back = vec![0; order.len()];
    for (place, &axis) in order.iter().enumerate() {
        back[axis] = place;
    }
    let mut x = permute(into_contiguous(permute(x, &order)), &back);
    // Dimensions of length 1 may still have other strides, which say nothing.
    x.meta = like.meta.clone();
    x
}
