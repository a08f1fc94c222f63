//! Kernels of the convolution on the CubeCL backends, as products of matrices that are never
//! written out (implicit GEMM). Images are `[N, H, W, C]`, weights `[C_out, 3, 3, C_in]`.
//!
//! Arithmetic is in single precision for all element types, without matrix units, whose products of
//! 32-bit values have fewer digits. [`crate::backend::gpu_tiles`] says how a cube computes.

use cubecl::prelude::*;

use crate::backend::gpu_tiles::{DEPTH, EACH, SIDE, THREADS, TILE, add_products, zero_sums};

/// Sizes of a convolution.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Sizes {
    height: usize,
    width: usize,
    /// Channels of the images that are read.
    inputs: usize,
    /// Channels of the images that are written, or whose gradient is read.
    outputs: usize,
    /// Cells of all images.
    cells: usize,
}

/// The cell of a tap of the kernel around another cell.
#[derive(CubeType, Clone, Copy)]
struct Neighbour {
    /// Whether it is within the image.
    inside: bool,
    /// Its number among the cells of all images.
    cell: usize,
}

/// Returns the neighbour of `cell` for `tap`, counted from 0 in reading order.
#[cube]
fn neighbour(cell: usize, tap: usize, sizes: &Sizes) -> Neighbour {
    let (row, x) = (cell / sizes.width, cell % sizes.width);
    let y = row % sizes.height;
    // One more than the neighbour's place, which may be -1.
    let (y, x) = (y + tap / 3, x + tap % 3);
    Neighbour {
        inside: cell < sizes.cells && y >= 1 && y <= sizes.height && x >= 1 && x <= sizes.width,
        cell: (cell + tap / 3 * sizes.width + tap % 3) - sizes.width - 1,
    }
}

/// Computes `out` `[N, H, W, outputs]` from `x` `[N, H, W, inputs]`. If `back` is set, `x` is the
/// gradient of the convolution's outputs and `out` that of its inputs: this is a convolution with
/// turned weights.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn convolve_kernel<F: Float, N: Size>(
    x: &Array<Vector<F, N>>,
    w: &Array<Vector<F, N>>,
    out: &mut Array<F>,
    sizes: &Sizes,
    #[comptime] vector: usize,
    #[comptime] back: bool,
    #[define(F)] _dtype: StorageType,
) {
    let mut a = SharedMemory::<f32>::new(comptime![DEPTH * TILE]);
    let mut b = SharedMemory::<f32>::new(comptime![DEPTH * TILE]);
    let mut sums = zero_sums();
    let unit = UNIT_POS as usize;
    let (row, column) = (unit / SIDE, unit % SIDE);
    let tile = CUBE_POS_Z as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let first_cell = tile * TILE;
    let first_output = CUBE_POS_Y as usize * TILE;
    let (inputs, outputs) = (sizes.inputs, sizes.outputs);
    let length = 9 * inputs;
    let vectors = comptime![DEPTH / vector];
    let mut start = 0usize.runtime();
    while start < length {
        #[unroll]
        for load in 0..comptime![DEPTH * TILE / vector / THREADS] {
            let at = unit + load * THREADS;
            let (place, k) = (at / vectors, at % vectors * vector);
            let (tap, channel) = ((start + k) / inputs, (start + k) % inputs);
            let near = neighbour(first_cell + place, tap, sizes);
            let mut values = Vector::<F, N>::new(F::new(0.0));
            if near.inside && start + k < length {
                values = x[(near.cell * inputs + channel) / vector];
            }
            #[unroll]
            for lane in 0..vector {
                a[(k + lane) * TILE + place] = f32::cast_from(values[lane]);
            }
            let mut values = Vector::<F, N>::new(F::new(0.0));
            if comptime![back] {
                let across = comptime![TILE / vector];
                let (k, output) = (at / across, at % across * vector);
                let (tap, channel) = ((start + k) / inputs, (start + k) % inputs);
                if start + k < length && first_output + output < outputs {
                    let weight = (channel * 9 + 8 - tap) * outputs + first_output + output;
                    values = w[weight / vector];
                }
                #[unroll]
                for lane in 0..vector {
                    b[k * TILE + output + lane] = f32::cast_from(values[lane]);
                }
            } else {
                let output = first_output + place;
                if start + k < length && output < outputs {
                    values = w[(output * length + start + k) / vector];
                }
                #[unroll]
                for lane in 0..vector {
                    b[(k + lane) * TILE + place] = f32::cast_from(values[lane]);
                }
            }
        }
        sync_cube();
        add_products(&a, &b, &mut sums, row, column);
        sync_cube();
        start += DEPTH;
    }
    #[unroll]
    for i in 0..EACH {
        let cell = first_cell + row + i * SIDE;
        #[unroll]
        for j in 0..EACH {
            let output = first_output + column + j * SIDE;
            if cell < sizes.cells && output < outputs {
                out[cell * outputs + output] = F::cast_from(sums[i * EACH + j]);
            }
        }
    }
}

/// Sums the gradient of the weights over a part of the cells, `[parts, C_out, 3, 3, C_in]`, from the
/// gradient of the outputs. Cubes along z divide the cells, `share` each.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn weight_gradient_kernel<F: Float, N: Size>(
    x: &Array<Vector<F, N>>,
    grad: &Array<Vector<F, N>>,
    parts: &mut Array<f32>,
    sizes: &Sizes,
    share: usize,
    #[comptime] vector: usize,
    #[define(F)] _dtype: StorageType,
) {
    let mut a = SharedMemory::<f32>::new(comptime![DEPTH * TILE]);
    let mut b = SharedMemory::<f32>::new(comptime![DEPTH * TILE]);
    let mut sums = zero_sums();
    let unit = UNIT_POS as usize;
    let (row, column) = (unit / SIDE, unit % SIDE);
    let first_output = CUBE_POS_Y as usize * TILE;
    let first_weight = CUBE_POS_X as usize * TILE;
    let (inputs, outputs) = (sizes.inputs, sizes.outputs);
    let length = 9 * inputs;
    let across = comptime![TILE / vector];
    let mut start = CUBE_POS_Z as usize * share;
    let end = min(start + share, sizes.cells);
    while start < end {
        #[unroll]
        for load in 0..comptime![DEPTH * TILE / vector / THREADS] {
            let at = unit + load * THREADS;
            let (k, place) = (at / across, at % across * vector);
            let cell = start + k;
            let mut values = Vector::<F, N>::new(F::new(0.0));
            if cell < end && first_output + place < outputs {
                values = grad[(cell * outputs + first_output + place) / vector];
            }
            #[unroll]
            for lane in 0..vector {
                a[k * TILE + place + lane] = f32::cast_from(values[lane]);
            }
            let weight = first_weight + place;
            let near = neighbour(cell, weight / inputs, sizes);
            let mut values = Vector::<F, N>::new(F::new(0.0));
            if near.inside && cell < end && weight < length {
                values = x[(near.cell * inputs + weight % inputs) / vector];
            }
            #[unroll]
            for lane in 0..vector {
                b[k * TILE + place + lane] = f32::cast_from(values[lane]);
            }
        }
        sync_cube();
        add_products(&a, &b, &mut sums, row, column);
        sync_cube();
        start += DEPTH;
    }
    #[unroll]
    for i in 0..EACH {
        let output = first_output + row + i * SIDE;
        #[unroll]
        for j in 0..EACH {
            let weight = first_weight + column + j * SIDE;
            if output < outputs && weight < length {
                let at = (CUBE_POS_Z as usize * outputs + output) * length + weight;
                parts[at] = sums[i * EACH + j];
            }
        }
    }
}

/// Adds up `parts` `[parts, number]`.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn add_parts_kernel(parts: &Array<f32>, out: &mut Array<f32>, number: usize, rows: usize) {
    let at = ABSOLUTE_POS;
    if at >= number {
        terminate!();
    }
    let mut sum = 0.0f32;
    for row in 0..rows {
        sum += parts[row * number + at];
    }
    out[at] = sum;
}
