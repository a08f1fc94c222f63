#![allow(clippy::unwrap_used)]

use burn::backend::{Autodiff, Flex};
use burn::tensor::Tensor;

use super::{EpochSums, LossBackend, mean_squared_error};
use crate::testing::{distance, on_gpu, values, wave};

/// Targets of samples whose labels are 0, 1, 2, 0, 1, ...
fn target<K: LossBackend>(samples: usize, device: &K::Device) -> Tensor<K, 2> {
    let target: Vec<f32> = (0..samples * 3)
        .map(|at| f32::from(at / 3 % 3 == at % 3))
        .collect();
    Tensor::<K, 1>::from_floats(target.as_slice(), device).reshape([samples, 3])
}

/// Returns the loss and the gradient of the rates.
fn run<K: LossBackend>(samples: usize, device: &K::Device) -> [Vec<f32>; 2] {
    let rate = wave::<Autodiff<K>, 2>([samples, 3], 0.37, device).require_grad();
    let loss = mean_squared_error(rate.clone(), target(samples, device));
    let grads = (loss.clone() * 3.0).backward();
    [values(loss), values(rate.grad(&grads).unwrap())]
}

fn assert_matches_formula<K: LossBackend>(device: &K::Device) {
    for samples in [1, 5, 300] {
        let [loss, gradient] = run::<K>(samples, device);
        let rate = values(wave::<Flex, 2>([samples, 3], 0.37, &Default::default()));
        let target = values(target::<Flex>(samples, &Default::default()));
        let differences: Vec<f32> = rate.iter().zip(&target).map(|(r, t)| r - t).collect();
        let n = differences.len() as f32;
        let mean = differences.iter().map(|d| d * d).sum::<f32>() / n;
        assert!((loss[0] - mean).abs() < 1e-5 * mean, "{samples}");
        let expected: Vec<f32> = differences.iter().map(|d| 3.0 * 2.0 * d / n).collect();
        assert!(distance(&gradient, &expected) < 1e-6, "{samples}");
    }
}

#[test]
fn loss_is_the_mean_squared_difference_on_cpu_and_gpu() {
    assert_matches_formula::<Flex>(&Default::default());
    on_gpu!(|K, device| {
        assert_matches_formula::<K>(&device);
    });
}

fn assert_sums_count_right_samples<K: LossBackend>(device: &K::Device) {
    let zero = EpochSums::<K> {
        loss: Tensor::from_floats([2.0], device),
        correct: Tensor::from_ints([7], device),
    };
    // The guesses are 0 by a tie, 2, 2 and 1; the labels are 0, 1, 2 and 0.
    let rate = [
        0.5, 0.5, 0.1, 0.0, 0.1, 0.2, 0.0, 0.0, 0.1, 0.1, 0.4, 0.3_f32,
    ];
    let rate = Tensor::<K, 1>::from_floats(rate, device).reshape([4, 3]);
    let loss = Tensor::from_floats([0.25], device);
    let sums = zero.add(loss, rate, target(4, device));
    assert_eq!(sums.loss.into_data().iter::<f32>().next(), Some(3.0));
    assert_eq!(sums.correct.into_data().iter::<i64>().next(), Some(9));
}

#[test]
fn sums_count_samples_whose_class_has_the_highest_rate_on_cpu_and_gpu() {
    assert_sums_count_right_samples::<Flex>(&Default::default());
    on_gpu!(|K, device| {
        assert_sums_count_right_samples::<K>(&device);
    });
}
