//! Between burn's tensors and kernels, for the CubeCL backends (CUDA and Vulkan).
//!
//! Kernels see images as their convolutions leave them: channels last, `[N, H, W, C]` in memory under a shape of
//! `[N, C, H, W]`. Neighbouring threads take neighbouring channels, so that a warp reads and writes whole lines.
//! Arithmetic is in single precision whatever the tensors hold. Sums over many values are first added up by a thread,
//! then by a cube, then by burn: a result depends on the tensors' shapes alone, not on the order of execution.

use burn::tensor::{DType, Shape, TensorMetadata};
use burn_cubecl::CubeRuntime;
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use cubecl::{CubeCount, CubeDim};

/// Threads of a cube.
pub const UNITS: u32 = 256;
/// Most cubes that share out the rows of a sum. Their parts are added up afterwards.
const MOST_PARTS: usize = 1024;

/// A tensor without values, row-major, on the device of another.
pub fn empty<R: CubeRuntime>(
    like: &CubeTensor<R>,
    shape: impl Into<Shape>,
    dtype: DType,
) -> CubeTensor<R> {
    let (client, device) = (like.client.clone(), like.device.clone());
    empty_device_contiguous_dtype(client, device, shape.into(), dtype)
}

/// `[N, C, H, W]` as `[N, H, W, C]`, row-major; copied only where it does not lie so already.
pub fn channels_last<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    into_contiguous(permute_nchw_to_nhwc(x))
}

/// `[N, H, W, C]` as `[N, C, H, W]`, without a copy.
pub fn channels_second<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    permute_nhwc_to_nchw(x)
}

/// A small tensor in single precision, row-major.
pub fn single<R: CubeRuntime>(x: CubeTensor<R>) -> CubeTensor<R> {
    into_contiguous(match x.dtype {
        DType::F32 => x,
        _ => cast(x, DType::F32),
    })
}

/// The lengths of a tensor's dimensions.
pub fn dims<R: CubeRuntime, const D: usize>(x: &CubeTensor<R>) -> [usize; D] {
    x.shape().dims()
}

/// Values that a thread takes at once: as many as divide `length`, at most `most`.
pub fn width(length: usize, most: usize) -> usize {
    [4, 2]
        .into_iter()
        .find(|&width| width <= most && length.is_multiple_of(width))
        .unwrap_or(1)
}

/// Cubes for one thread each of `threads`.
pub fn cubes<R: CubeRuntime>(x: &CubeTensor<R>, threads: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new_1d(UNITS);
    (
        cubecl::calculate_cube_count_elemwise(&x.client, threads, dim),
        dim,
    )
}

/// How cubes share out a matrix whose columns they sum.
///
/// A cube has `lanes` columns, and its threads go through the rows together; cubes of the same columns take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnSums {
    /// Vectors of columns that a cube has, a power of two.
    pub lanes: u32,
    /// Cubes side by side, for all columns.
    pub across: u32,
    /// Cubes that share the rows.
    pub parts: u32,
}

impl ColumnSums {
    /// For a matrix of `rows` with `columns` vectors each, of which a thread adds up at least `rows_a_thread` where
    /// there are enough.
    pub fn new(rows: usize, columns: usize, rows_a_thread: usize) -> Self {
        let lanes = columns.next_power_of_two().min(32);
        let together = UNITS as usize / lanes;
        let parts = rows.div_ceil(together * rows_a_thread);
        Self {
            lanes: lanes as u32,
            across: columns.div_ceil(lanes) as u32,
            parts: parts.clamp(1, MOST_PARTS) as u32,
        }
    }

    /// The cubes.
    pub fn cubes(&self) -> (CubeCount, CubeDim) {
        (
            CubeCount::Static(self.across, self.parts, 1),
            CubeDim::new_1d(UNITS),
        )
    }
}

/// Where in a matrix a thread is that sums columns.
#[derive(CubeType, Clone, Copy)]
pub struct Place {
    /// Its vector of columns, which may lie beyond the last.
    pub column: usize,
    /// Its first row.
    pub row: usize,
    /// From one of its rows to the next.
    pub step: usize,
    /// Whether it is the first of its lane, which has the sum.
    pub first: bool,
}

/// The place of a thread; `lanes` are those of [`ColumnSums`].
#[cube]
pub fn place(#[comptime] lanes: u32) -> Place {
    let together = comptime![UNITS / lanes];
    let row = UNIT_POS / lanes;
    Place {
        column: (CUBE_POS_X * lanes + UNIT_POS % lanes) as usize,
        row: (CUBE_POS_Y * together + row) as usize,
        step: (CUBE_COUNT_Y * together) as usize,
        first: row == 0,
    }
}

/// Leaves the cube's sums of `value` as its row `row` of `rows` in `parts`, `[parts, rows, columns]`.
#[cube]
pub fn put_sum<N: Size>(
    parts: &mut Array<Vector<f32, N>>,
    value: Vector<f32, N>,
    place: &Place,
    columns: usize,
    #[comptime] row: usize,
    #[comptime] rows: usize,
    #[comptime] lanes: u32,
) {
    let sum = sum_lanes(value, lanes);
    if place.first && place.column < columns {
        let at = CUBE_POS_Y as usize * rows + row;
        parts[at * columns + place.column] = sum;
    }
}

/// The sum of the values of all threads of a cube that have the same lane, in the first `lanes` of them.
#[cube]
fn sum_lanes<N: Size>(value: Vector<f32, N>, #[comptime] lanes: u32) -> Vector<f32, N> {
    let mut values = SharedMemory::<Vector<f32, N>>::new(comptime![UNITS as usize]);
    let unit = UNIT_POS as usize;
    values[unit] = value;
    sync_cube();
    let mut reach = comptime![UNITS as usize / 2].runtime();
    while reach >= comptime![lanes as usize] {
        if unit < reach {
            let other = values[unit + reach];
            values[unit] += other;
        }
        sync_cube();
        reach /= 2;
    }
    values[unit]
}
