//! Products of matrices, tile by tile, for kernels of the CubeCL backends.
//!
//! A cube computes a tile of 64 x 64 values, and each of its 256 threads 4 x 4 of them. In each
//! round the cube loads 16 rows of both factors into shared memory, `[DEPTH, TILE]` each, and every
//! thread adds the products of its rows and columns.

use cubecl::prelude::*;

/// Rows and columns of a cube's tile.
pub const TILE: usize = 64;
/// Threads along each side of a tile.
pub const SIDE: usize = 16;
/// Values of a thread along each side.
pub const EACH: usize = TILE / SIDE;
/// Rows of both factors per round.
pub const DEPTH: usize = 16;
/// Threads per cube.
pub const THREADS: usize = SIDE * SIDE;

/// Adds the products of a round to a thread's sums.
#[cube]
pub fn add_products(
    a: &SharedMemory<f32>,
    b: &SharedMemory<f32>,
    sums: &mut Array<f32>,
    row: usize,
    column: usize,
) {
    #[unroll]
    for k in 0..DEPTH {
        #[unroll]
        for i in 0..EACH {
            let left = a[k * TILE + row + i * SIDE];
            #[unroll]
            for j in 0..EACH {
                sums[i * EACH + j] += left * b[k * TILE + column + j * SIDE];
            }
        }
    }
}

/// Returns a thread's sums, which are zero.
#[cube]
pub fn zero_sums() -> Array<f32> {
    let mut sums = Array::<f32>::new(comptime![EACH * EACH]);
    #[unroll]
    for i in 0..comptime![EACH * EACH] {
        sums[i] = 0.0f32;
    }
    sums
}
