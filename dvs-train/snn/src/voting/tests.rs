#![allow(clippy::unwrap_used)]

use burn::backend::{Autodiff, Flex};
use burn::tensor::Tensor;

use super::{VotingBackend, firing_rate};
use crate::testing::{distance, on_gpu, values, wave};

/// 5 time steps, 3 samples, 4 classes with 10 voters each.
const SHAPE: [usize; 3] = [5, 3, 40];

fn spikes<K: VotingBackend>(device: &K::Device) -> Tensor<K, 3> {
    wave::<K, 3>(SHAPE, 0.37, device).greater_elem(0.2).float()
}

/// Returns the rates and the gradient of the spikes.
fn run<K: VotingBackend>(device: &K::Device) -> [Vec<f32>; 2] {
    let spikes = spikes::<Autodiff<K>>(device).require_grad();
    let rate = firing_rate(spikes.clone(), 10);
    let grads = (rate.clone() * wave([3, 4], 0.7, device)).sum().backward();
    [values(rate), values(spikes.grad(&grads).unwrap())]
}

#[test]
fn rates_are_means_over_time_and_voters() {
    let [rate, gradient] = run::<Flex>(&Default::default());
    let all = values(spikes::<Flex>(&Default::default()));
    let upstream = values(wave::<Flex, 2>([3, 4], 0.7, &Default::default()));
    for sample in 0..3 {
        for class in 0..4 {
            let at = |t: usize, voter: usize| t * 120 + sample * 40 + class * 10 + voter;
            let cells = || (0..5).flat_map(|t| (0..10).map(move |voter| at(t, voter)));
            let mean = cells().map(|at| all[at]).sum::<f32>() / 50.0;
            assert!((rate[sample * 4 + class] - mean).abs() < 1e-6);
            let each = upstream[sample * 4 + class] / 50.0;
            assert!(cells().all(|at| (gradient[at] - each).abs() < 1e-7));
        }
    }
}

#[test]
fn gpu_rates_match_cpu() {
    on_gpu!(|K, device| {
        let [rate, gradient] = run::<K>(&device);
        let expected = run::<Flex>(&Default::default());
        assert_eq!(rate, expected[0]);
        assert!(distance(&gradient, &expected[1]) < 1e-8);
    });
}
