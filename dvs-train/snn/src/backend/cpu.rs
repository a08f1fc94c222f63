//! Conversions between burn's tensors and slices, for the kernels of the Flex backend.
//!
//! Kernels divide their work into blocks whose size depends only on the tensors, and add the
//! results of the blocks in order. The sums therefore have the same bits with any number of
//! threads.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use burn::backend::flex::FlexTensor;
use burn::tensor::{Element, Shape, TensorData};
use pulp::bytemuck::Pod;
use rayon::prelude::*;

/// Returns the values of a tensor in row-major order. Copies them only if they are not contiguous.
pub fn values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    elements(tensor)
}

/// Like [`values`], for elements of any type, which must be the tensor's.
pub fn elements<E: Element + Pod>(tensor: &FlexTensor) -> Cow<'_, [E]> {
    match tensor.as_slice() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(tensor.to_contiguous().storage().to_vec()),
    }
}

/// Returns the lengths of a tensor's dimensions.
pub fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.layout().shape().dims()
}

/// Creates a tensor from values in row-major order.
pub fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// Returns zeros for a large tensor. All threads write them, because the first access to new memory
/// is slow.
pub fn zeros(length: usize) -> Vec<f32> {
    let mut zeros = Vec::with_capacity(length);
    let room = &mut zeros.spare_capacity_mut()[..length];
    room.par_chunks_mut(1 << 18).for_each(|room| {
        room.fill(MaybeUninit::new(0.0));
    });
    // SAFETY: the first `length` values were just written.
    unsafe { zeros.set_len(length) };
    zeros
}

/// Splits a matrix with rows of length `row` into groups of `width` columns. Returns each group's
/// part of every row.
pub fn columns(matrix: &mut [f32], row: usize, width: usize) -> Vec<Vec<&mut [f32]>> {
    let groups = row.div_ceil(width.max(1));
    let rows = matrix.len() / row.max(1);
    let mut columns: Vec<_> = (0..groups).map(|_| Vec::with_capacity(rows)).collect();
    for row in matrix.chunks_exact_mut(row.max(1)) {
        for (column, part) in columns.iter_mut().zip(row.chunks_mut(width.max(1))) {
            column.push(part);
        }
    }
    columns
}

/// `out[i] = f(a[i])`
#[inline(always)]
pub fn map(out: &mut [f32], a: &[f32], f: impl Fn(f32) -> f32) {
    for (out, &a) in out.iter_mut().zip(a) {
        *out = f(a);
    }
}

/// `out[i] = f(a[i], b[i])`
#[inline(always)]
pub fn map2(out: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = f(a, b);
    }
}

/// Returns the sum of `f(a[i], b[i])`. It adds up 32 sums in single precision, which is enough for
/// some thousand values, and their total in double precision.
#[inline(always)]
pub fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let (a, a_rest) = a.as_chunks::<32>();
    let (b, b_rest) = b.as_chunks::<32>();
    let mut sums = [0.0_f32; 32];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..32 {
            sums[lane] += f(a[lane], b[lane]);
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(&a, &b)| f64::from(f(a, b)));
    sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() + rest.sum::<f64>()
}

/// Returns the sum of `f(a[i])`, like [`sum2`].
#[inline(always)]
pub fn sum(a: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    sum2(a, a, |a, _| f(a))
}

/// Returns e^x to within two units in the last place. It uses only operations that every vector
/// unit has, and clamps x to -87..88.
///
/// x = k ln 2 + r with an integer k and |r| <= ln 2 / 2. 2^k is made of its bits, and e^r is
/// Cephes' polynomial.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding this number rounds to an integer, which is then in the lowest bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts. The first has so few bits that its product with k is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = x - k * LN_2[0] - k * LN_2[1];
    let p = 1.987_569_1e-4_f32;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 0.166_666_66;
    let p = p * r + 0.5;
    let power = (shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127))
        << 23;
    (p * r * r + r + 1.0) * f32::from_bits(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_matches_the_standard_library() {
        for i in -86_999..88_000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            let off = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(off < 2.5e-7, "{x}: {off:e}");
        }
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-1e30) < 1e-37);
    }

    #[test]
    fn columns_hold_the_same_part_of_every_row() {
        let mut matrix: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let columns = columns(&mut matrix, 5, 2);
        assert_eq!(
            columns,
            [
                [&[0., 1.][..], &[5., 6.]],
                [&[2., 3.], &[7., 8.]],
                [&[4.], &[9.]]
            ]
        );
    }

    #[test]
    fn sums_include_every_value() {
        for n in [0, 1, 31, 32, 33, 100] {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            assert_eq!(sum(&a, |a| 2.0 * a), (n * n - n) as f64);
            assert_eq!(sum2(&a, &a, |a, b| a - b), 0.0);
        }
    }
}
