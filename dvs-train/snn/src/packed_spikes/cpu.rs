//! Packs spikes on the CPU, in row-major order.

use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;
use multiversion::multiversion;
use rayon::prelude::*;

use super::{BITS, PackedSpikes};
use crate::backend::cpu::{elements, tensor, values, zeros};

/// Numbers that a thread packs or unpacks at a time.
const PIECE: usize = 1 << 12;

/// Returns [`BITS`] spikes of `x` in each number.
pub fn pack(x: &FlexTensor) -> FlexTensor {
    let x = values(x);
    let mut numbers = vec![0_u32; x.len().div_ceil(BITS)];
    numbers
        .par_chunks_mut(PIECE)
        .zip(x.par_chunks(PIECE * BITS))
        .for_each(|(numbers, x)| pack_piece(x, numbers));
    let length = numbers.len();
    FlexTensor::from_data(TensorData::new(numbers, [length]))
}

/// Returns the spikes.
pub fn unpack(packed: &PackedSpikes<FlexTensor>) -> FlexTensor {
    let numbers = elements::<u32>(&packed.numbers);
    let mut x = zeros(packed.shape.iter().product());
    x.par_chunks_mut(PIECE * BITS)
        .zip(numbers.par_chunks(PIECE))
        .for_each(|(x, numbers)| unpack_piece(numbers, x));
    tensor(x, packed.shape)
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn pack_piece(x: &[f32], numbers: &mut [u32]) {
    for (number, x) in numbers.iter_mut().zip(x.chunks(BITS)) {
        let bits = x.iter().enumerate();
        *number = bits.fold(0, |number, (bit, &x)| number | u32::from(x != 0.0) << bit);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn unpack_piece(numbers: &[u32], x: &mut [f32]) {
    for (&number, x) in numbers.iter().zip(x.chunks_mut(BITS)) {
        for (bit, x) in x.iter_mut().enumerate() {
            *x = (number >> bit & 1) as f32;
        }
    }
}
