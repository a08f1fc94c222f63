#![allow(clippy::unwrap_used)]

use burn::backend::{Autodiff, Flex, Vulkan};
use burn::module::{Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn_snn::testing::{back, distance, there, values, vulkan, wave};

use super::*;
use crate::optim::gradients::square_sum;

type B = Autodiff<Flex>;

/// A module with one parameter.
#[derive(Module, Debug)]
struct Weights<B: Backend> {
    weight: Param<Tensor<B, 1>>,
}

/// Weights of torch 2.11 after a number of steps. `scripts/bench/optimizer_values.py` prints them.
type Expected = [(i32, [f32; 3])];

fn assert_matches_pytorch(rule: Rule, expected: &Expected) {
    let device = Default::default();
    let weight = Tensor::from_floats([0.5, -0.25, 1.0], &device);
    let mut weights = Weights::<B> {
        weight: Param::from_tensor(weight),
    };
    let mut optimizer = Optimizer::new(rule);
    for t in 0..100_i32 {
        let gradient =
            [0, 1, 2].map(|i| (0.7 * f64::from(t) + f64::from(i)).sin() * 0.1_f64.powi(i));
        let mut gradients = GradientsParams::new();
        let gradient = Tensor::<Flex, 1>::from_floats(gradient.as_slice(), &device);
        gradients.register(weights.weight.id, gradient);
        let square_sum = square_sum(&weights, &gradients, &device);
        weights = optimizer
            .step(0.01, weights, gradients, &square_sum)
            .unwrap();
        if let Some((_, expected)) = expected.iter().find(|(steps, _)| *steps == t + 1) {
            let found = values(weights.weight.val());
            assert!(distance(&found, expected) < 3e-6, "{t}: {found:?}");
        }
    }
    assert_eq!(optimizer.steps, 100);
}

#[test]
fn adam_matches_pytorch_for_100_steps() {
    let expected = [
        (1, [0.5, -0.26, 0.99]),
        (2, [0.492_559, -0.270_009, 0.980_77]),
        (3, [0.484_064, -0.279_82, 0.975_431]),
        (10, [0.462_875, -0.287_506, 0.987_423]),
        (50, [0.449_797, -0.300_475, 0.985_892]),
        (100, [0.454_12, -0.294_621, 0.987_948]),
    ];
    assert_matches_pytorch(Rule::Adam, &expected);
}

#[test]
fn sgd_matches_pytorch_for_100_steps() {
    let expected = [
        (1, [0.5, -0.250_841, 0.999_909]),
        (2, [0.493_558, -0.252_59, 0.999_784]),
        (3, [0.477_905, -0.254_84, 0.999_698]),
        (10, [0.426_471, -0.256_14, 1.000_072]),
        (50, [0.351_469, -0.263_774, 0.999_996]),
        (100, [0.381_998, -0.259_62, 1.000_14]),
    ];
    assert_matches_pytorch(Rule::Sgd { momentum: 0.9 }, &expected);
}

#[test]
fn optimizer_unscales_gradients_and_skips_overflows() {
    let device = Default::default();
    let run = |loss_scale: Option<LossScale>, overflow: &[usize]| {
        let weight = Tensor::from_floats([0.5, -0.25, 1.0], &device);
        let mut weights = Weights::<B> {
            weight: Param::from_tensor(weight),
        };
        let mut optimizer = Optimizer::new(Rule::Adam);
        optimizer.loss_scale = loss_scale;
        for t in 0..8 {
            let factor = optimizer.loss_scale.map_or(1.0, |scale| scale.factor) as f32;
            let mut gradient = [0.25, -1e-9, 3.0].map(|g: f32| g * factor);
            if overflow.contains(&t) {
                gradient[t % 3] = [f32::INFINITY, f32::NAN][t % 2];
            }
            let mut gradients = GradientsParams::new();
            gradients.register(
                weights.weight.id,
                Tensor::<Flex, 1>::from_floats(gradient, &device),
            );
            let square_sum = square_sum(&weights, &gradients, &device);
            weights = optimizer
                .step(0.01, weights, gradients, &square_sum)
                .unwrap();
        }
        (values(weights.weight.val()), optimizer)
    };
    let (plain, _) = run(None, &[]);
    let (scaled, optimizer) = run(Some(LossScale::default()), &[]);
    // Scaling by a power of two is exact.
    assert_eq!(scaled, plain);
    assert_eq!(optimizer.steps, 8);

    let (left_out, optimizer) = run(Some(LossScale::default()), &[2, 5]);
    let scale = optimizer.loss_scale.unwrap();
    assert_eq!(
        (optimizer.steps, scale.skipped, scale.factor),
        (6, 2, 16384.0)
    );
    assert!(left_out.iter().all(|weight| weight.is_finite()));
    assert_ne!(left_out, plain);
}

/// Takes ten steps with `length` weights on a backend. Returns the weights and their two moments.
fn ten_steps<K: AdamBackend>(
    length: usize,
    device: &K::Device,
    adam: impl Fn(FloatTensor<K>, FloatTensor<K>, [FloatTensor<K>; 2], AdamStep) -> [FloatTensor<K>; 3],
) -> [Vec<f32>; 3] {
    let at = |step| there::<K, 1>(&wave([length], step, &Default::default()), device);
    let zeros = || primitive(Tensor::<K, 1>::zeros([length], device));
    let mut state = [at(0.7), zeros(), zeros()];
    for t in 1..=10 {
        let [weight, mean, square] = state;
        let gradient = at(0.3 + t as f32);
        state = adam(weight, gradient, [mean, square], AdamStep::new(0.01, t));
    }
    state.map(|tensor| back::<K, 1>(tensor))
}

const LENGTHS: [usize; 7] = [0, 1, 3, 8, 1000, 16_385, 40_001];

#[test]
fn adam_kernel_is_bitwise_identical_to_reference() {
    for length in LENGTHS {
        let device = Default::default();
        let plain = ten_steps::<Flex>(length, &device, adam::reference::<Flex>);
        assert_eq!(
            ten_steps::<Flex>(length, &device, <Flex as AdamBackend>::adam),
            plain
        );
    }
}

#[test]
fn vulkan_adam_kernel_matches_reference() {
    let Some(device) = vulkan() else { return };
    for length in LENGTHS {
        let plain = ten_steps::<Flex>(length, &Default::default(), adam::reference::<Flex>);
        let found = ten_steps::<Vulkan>(length, &device, <Vulkan as AdamBackend>::adam);
        for (found, plain) in found.iter().zip(&plain) {
            assert!(distance(found, plain) < 1e-5, "{length}");
        }
    }
}
