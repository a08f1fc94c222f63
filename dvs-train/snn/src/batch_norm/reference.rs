//! Batch normalisation in plain tensor operations. Every kernel is tested against it.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;

use super::Saved;
use super::ranks::sum_over_ranks;
use crate::backend::primitive::{primitive, tensor};

/// Returns the mean and the biased variance `[C]` of the channels of `x` `[N, C, H, W]`.
pub fn moments<B: Backend>(x: Tensor<B, 4>) -> [Tensor<B, 1>; 2] {
    let [n, _, height, width] = x.dims();
    let count = (n * height * width) as f64;
    let mean = channel_sum(x.clone()).div_scalar(count); // [C]
    let centred = x - each(mean.clone(), n);
    let variance = channel_sum(centred.clone() * centred).div_scalar(count); // [C]
    [mean, variance]
}

/// Returns `x` `[N, C, H, W]` times a scale `[C]`, plus a shift `[C]`.
pub fn scale<B: Backend>(
    x: Tensor<B, 4>,
    scale: Tensor<B, 1>,
    shift: Tensor<B, 1>,
) -> Tensor<B, 4> {
    let n = x.dims()[0];
    x * each(scale, n) + each(shift, n)
}

/// Returns the gradients of x, and of gamma and beta.
///
/// ```text
/// dbeta  = sum dy
/// dgamma = sum dy (x - mean) / deviation
/// dx     = gamma / deviation (dy - dbeta / count - (x - mean) / deviation dgamma / count)
/// ```
///
/// If several ranks share the batch, the sums and the count in dx are those of all ranks.
pub fn backward<B: Backend>(
    dy: Tensor<B, 4>,
    x: Tensor<B, 4>,
    saved: Saved<FloatTensor<B>>,
) -> (Tensor<B, 4>, [Tensor<B, 1>; 2]) {
    let [gamma, mean, inverse] = [saved.gamma, saved.mean, saved.inverse].map(tensor::<B, 1>); // [C]
    let [n, c, height, width] = dy.dims();
    let count = (saved.ranks.size() * n * height * width) as f64;
    let centred = x - each(mean, n);
    let dbeta = channel_sum(dy.clone()); // [C]
    let dgamma = channel_sum(dy.clone() * centred.clone()) * inverse.clone(); // [C]
    let own = Tensor::cat(vec![dbeta.clone(), dgamma.clone()], 0).reshape([2, c]);
    let all: Tensor<B, 2> = tensor(sum_over_ranks::<B>(primitive(own), &saved.ranks));
    let [all_dbeta, all_dgamma] = [0, 1].map(|row| all.clone().narrow(0, row, 1).reshape([c]));
    let scale = gamma * inverse.clone(); // [C]
    let shift = (scale.clone() * all_dbeta).div_scalar(count); // [C]
    let slope = (scale.clone() * inverse * all_dgamma).div_scalar(count); // [C]
    let dx = dy * each(scale, n) - centred * each(slope, n) - each(shift, n);
    (dx, [dgamma, dbeta])
}

/// Sums `[N, C, H, W]` to `[C]`.
fn channel_sum<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 1> {
    let [n, c, height, width] = x.dims();
    let planes = x.reshape([n, c, height * width]);
    planes.sum_dim(2).sum_dim(0).reshape([c])
}

/// Repeats each channel's value for `n` images, `[N, C, 1, 1]`. burn-flex has a fast path for one
/// value per row of consecutive rows, and is very slow for other broadcasts.
fn each<B: Backend>(x: Tensor<B, 1>, n: usize) -> Tensor<B, 4> {
    let c = x.dims()[0];
    x.reshape([1, c, 1, 1]).repeat_dim(0, n)
}
