//! A step of Adam.
//!
//! In a backend's own operations the step is about fourteen passes over memory for each of the
//! network's 19 weights. On the CPU, it is one pass here.

use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn_snn::backend::cpu::{tensor, values, zeros};
use burn_snn::backend::primitive::{self, primitive};
use multiversion::multiversion;
use rayon::prelude::*;

/// Decay of the mean of the gradients and of the mean of their squares. All constants are PyTorch's
/// defaults.
const BETAS: [f64; 2] = [0.9, 0.999];
/// Added to the root of the mean square.
const EPSILON: f64 = 1e-8;
/// Values per task of the thread pool.
const BLOCK: usize = 1 << 14;

/// Constants of one step, the same for every weight.
///
/// ```text
/// mean         = beta_1 mean + (1 - beta_1) g
/// square       = beta_2 square + (1 - beta_2) g^2
/// correction_1 = 1 - beta_1^steps
/// correction_2 = 1 - beta_2^steps
/// w            = w - (rate / correction_1) mean / (sqrt(square) / sqrt(correction_2) + epsilon)
/// ```
///
/// The means begin at zero; dividing by the corrections removes this bias (Kingma and Ba 2015,
/// algorithm 1, in the order in which PyTorch computes it).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamStep {
    /// Learning rate / `correction_1`.
    pub rate: f32,
    /// sqrt(`correction_2`).
    pub root_correction: f32,
}

impl AdamStep {
    /// beta_1 and beta_2.
    pub const KEPT: [f32; 2] = [BETAS[0] as f32, BETAS[1] as f32];
    /// 1 - beta_1 and 1 - beta_2.
    pub const NEW: [f32; 2] = [(1.0 - BETAS[0]) as f32, (1.0 - BETAS[1]) as f32];
    /// Natural logarithms of beta_1 and beta_2.
    #[cfg(feature = "gpu")]
    pub const LOG_BETAS: [f32; 2] = [-0.105_360_52, -0.001_000_500_3];
    /// Added to the root of the mean square.
    pub const EPSILON: f32 = EPSILON as f32;

    /// Returns the constants of step number `steps`, from 1 on, at the learning rate `rate`.
    pub fn new(rate: f64, steps: u64) -> Self {
        let correction = BETAS.map(|beta| 1.0 - beta.powf(steps as f64));
        Self {
            rate: (rate / correction[0]) as f32,
            root_correction: correction[1].sqrt() as f32,
        }
    }
}

/// Computes the step in a backend's own operations. Takes and returns the weight, its gradient, the
/// mean of the gradients and the mean of their squares, `[N]` each.
pub fn reference<B: Backend>(
    weight: FloatTensor<B>,
    gradient: FloatTensor<B>,
    kept: [FloatTensor<B>; 2],
    step: AdamStep,
) -> [FloatTensor<B>; 3] {
    let tensor = primitive::tensor::<B, 1>;
    let (weight, gradient, [mean, square]) = (tensor(weight), tensor(gradient), kept.map(tensor));
    let ([beta_1, beta_2], [new_1, new_2]) = (AdamStep::KEPT, AdamStep::NEW);
    let mean = mean.mul_scalar(beta_1) + gradient.clone().mul_scalar(new_1);
    let square = square.mul_scalar(beta_2) + (gradient.clone() * gradient).mul_scalar(new_2);
    let scale = square.clone().sqrt().div_scalar(step.root_correction);
    let towards = mean.clone() / scale.add_scalar(AdamStep::EPSILON);
    let weight: Tensor<B, 1> = weight - towards.mul_scalar(step.rate);
    [weight, mean, square].map(primitive)
}

/// Computes the step on the CPU. All tensors are `[N]`.
pub fn on_cpu(
    weight: FlexTensor,
    gradient: FlexTensor,
    kept: [FlexTensor; 2],
    step: AdamStep,
) -> [FlexTensor; 3] {
    let old = [&weight, &kept[0], &kept[1]].map(values);
    let gradient = values(&gradient);
    let length = gradient.len();
    let [mut weights, mut means, mut squares] = std::array::from_fn(|_| zeros(length));
    let old = old[0]
        .par_chunks(BLOCK)
        .zip(old[1].par_chunks(BLOCK))
        .zip(old[2].par_chunks(BLOCK));
    weights
        .par_chunks_mut(BLOCK)
        .zip(means.par_chunks_mut(BLOCK))
        .zip(squares.par_chunks_mut(BLOCK))
        .zip(gradient.par_chunks(BLOCK))
        .zip(old)
        .for_each(|((((w, m), s), g), ((old_w, old_m), old_s))| {
            block([old_w, old_m, old_s], g, step, [w, m, s]);
        });
    [weights, means, squares].map(|values| tensor(values, [length]))
}

/// Computes the new weight, mean and square from the old ones and the gradient.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn block(old: [&[f32]; 3], gradient: &[f32], step: AdamStep, new: [&mut [f32]; 3]) {
    let [old_w, old_m, old_s] = old;
    let [w, m, s] = new;
    let ([beta_1, beta_2], [new_1, new_2]) = (AdamStep::KEPT, AdamStep::NEW);
    let old = old_w.iter().zip(old_m).zip(old_s);
    let new = w.iter_mut().zip(m).zip(s);
    for ((((w, m), s), &g), ((&old_w, &old_m), &old_s)) in new.zip(gradient).zip(old) {
        *m = old_m * beta_1 + g * new_1;
        *s = old_s * beta_2 + g * g * new_2;
        *w = old_w - *m / (s.sqrt() / step.root_correction + AdamStep::EPSILON) * step.rate;
    }
}
