//! Conversion of several tensors in one launch, on the CubeCL backends.

use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::prelude::*;

use super::CastBackend;
use crate::backend::gpu::{UNITS, dense, empty_like};
use crate::backend::gpu_pieces::{Pieces, piece};

impl<R, F, I, BT> CastBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn cast_all(tensors: Vec<FloatTensor<Self>>, dtype: DType) -> Vec<FloatTensor<Self>> {
        let tensors: Vec<_> = tensors.into_iter().map(dense).collect();
        let cast: Vec<_> = tensors.iter().map(|x| empty_like(x, dtype)).collect();
        for group in Pieces::groups(&tensors, 2) {
            let first = &tensors[group.members[0]];
            let (count, dim) = group.cubes();
            // SAFETY: a thread accesses a vector only if it is below the number of vectors of its
            // tensor, and both lists have tensors of the same sizes.
            unsafe {
                cast_kernel::launch_unchecked(
                    &first.client,
                    count,
                    dim,
                    first.required_address_type(),
                    group.width,
                    group.arrays(&tensors),
                    group.arrays(&cast),
                    group.vectors.clone(),
                    group.rounds,
                    first.dtype.into(),
                    dtype.into(),
                );
            }
        }
        cast
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn cast_kernel<X: Float, Y: Float, N: Size>(
    from: &Sequence<Array<Vector<X, N>>>,
    to: &mut Sequence<Array<Vector<Y, N>>>,
    #[comptime] vectors: Vec<usize>,
    #[comptime] rounds: usize,
    #[define(X)] _x: StorageType,
    #[define(Y)] _y: StorageType,
) {
    #[unroll]
    for i in 0..comptime![vectors.len()] {
        let piece = piece(comptime![vectors.clone()], i, rounds);
        if piece.here {
            let mut at = piece.first;
            while at < piece.end {
                to.index_mut(i)[at] = Vector::cast_from(from.index(i)[at]);
                at += comptime![UNITS as usize];
            }
        }
    }
}
