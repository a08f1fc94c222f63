#![allow(clippy::unwrap_used)]

use burn::backend::{Autodiff, Flex};
use burn::module::{Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn_snn::testing::{back, distance, on_gpu, there, values, wave};

use super::adam::AdamStep;
use super::*;

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
        (weights, _) = optimizer.step(0.01, weights, gradients).unwrap();
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
            (weights, _) = optimizer.step(0.01, weights, gradients).unwrap();
            optimizer.settle().unwrap();
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

/// Shapes of weights; `true` if the gradient has its channels last in memory.
const WEIGHTS: [([usize; 4], bool); 8] = [
    ([1, 1, 1, 1], false),
    ([3, 1, 1, 1], false),
    ([6, 2, 3, 3], true),
    ([16, 12, 3, 3], true),
    ([8, 1, 1, 1], false),
    ([1, 40_001, 1, 1], false),
    ([128, 128, 3, 3], true),
    ([5, 3, 1, 1], false),
];

/// Takes ten steps with all weights on a backend. If the loss is scaled, gradients are infinite or no
/// number in those of `overflows`, and `scale` is the scale at the end. Returns, for each weight, its
/// values and what is kept for it.
fn ten_steps<K: OptimizerBackend>(
    device: &K::Device,
    rule: Rule,
    scale: &mut Option<LossScale>,
    overflows: &[u64],
) -> Vec<Vec<f32>> {
    let like = |shape: [usize; 4], last: bool, step: f32| {
        let values = wave::<Flex, 4>(shape, step, &Default::default());
        let values = tensor::<K, 4>(there::<K, 4>(&values, device));
        match last {
            // The same values in another order of memory: a copy of the permuted tensor.
            true => (values.permute([0, 2, 3, 1]) * 1.0).permute([0, 3, 1, 2]),
            false => values,
        }
    };
    let mut all: Vec<_> = WEIGHTS
        .iter()
        .map(|&(shape, _)| (primitive(like(shape, false, 0.7)), Vec::new()))
        .collect();
    let first = scale.unwrap_or_default();
    let mut on_device = DeviceScale::<K>::new(first, 0, device);
    for t in 1..=10_u64 {
        let factor = scale.map_or(1.0, |_| on_device.fetch().unwrap().0.factor);
        let factor = match overflows.contains(&t) {
            true => [f64::INFINITY, f64::NAN][t as usize % 2],
            false => factor,
        };
        let gradients = WEIGHTS
            .iter()
            .map(|&(shape, last)| primitive(like(shape, last, 0.3 + t as f32) * factor));
        let states = all.into_iter().zip(gradients);
        let states = states.map(|((weight, kept), gradient)| WeightState {
            weight,
            gradient,
            kept,
        });
        if scale.is_none() {
            all = K::update(states.collect(), Update::new(rule, 0.01, t));
            continue;
        }
        let update = ScaledUpdate {
            rule,
            rate: 0.01,
            attempt: first.skipped + t,
        };
        (all, on_device) = K::scaled_update(states.collect(), update, on_device).unwrap();
    }
    if let Some(scale) = scale {
        *scale = on_device.check().unwrap();
    }
    let fetch = |tensor: FloatTensor<K>| back::<K, 4>(tensor);
    all.into_iter()
        .flat_map(|(weight, kept)| std::iter::once(weight).chain(kept))
        .map(fetch)
        .collect()
}

#[test]
fn adam_on_the_cpu_is_bitwise_identical_to_reference() {
    for length in [0, 1, 3, 8, 1000, 16_385, 40_001] {
        let at = |step| primitive(wave::<Flex, 1>([length], step, &Default::default()));
        let kept = || [at(0.2), primitive(tensor::<Flex, 1>(at(0.4)).abs())];
        let step = AdamStep::new(0.01, 3);
        let plain = adam::reference::<Flex>(at(0.7), at(0.3), kept(), step);
        let found = adam::on_cpu(at(0.7), at(0.3), kept(), step);
        assert_eq!(found.map(back::<Flex, 1>), plain.map(back::<Flex, 1>));
    }
}

const RULES: [Rule; 2] = [Rule::Adam, Rule::Sgd { momentum: 0.9 }];

#[test]
fn gpu_updates_all_weights_like_the_cpu() {
    let compare = |found: Vec<Vec<f32>>, plain: Vec<Vec<f32>>| {
        assert_eq!(found.len(), plain.len());
        for (found, plain) in found.iter().zip(&plain) {
            assert!(distance(found, plain) < 1e-5, "{}", plain.len());
        }
    };
    on_gpu!(|K, device| {
        for rule in RULES {
            let plain = ten_steps::<Flex>(&Default::default(), rule, &mut None, &[]);
            compare(ten_steps::<K>(&device, rule, &mut None, &[]), plain);
        }
        // The factor is about to be doubled.
        let mut scale = LossScale::default();
        scale.note(false);
        for _ in 0..1994 {
            scale.note(true);
        }
        for rule in RULES {
            for overflows in [&[][..], &[1, 5, 8], &[9]] {
                let (mut on_cpu, mut on_gpu) = (Some(scale), Some(scale));
                let cpu = &Default::default();
                let plain = ten_steps::<Flex>(cpu, rule, &mut on_cpu, overflows);
                let found = ten_steps::<K>(&device, rule, &mut on_gpu, overflows);
                assert_eq!(on_gpu, on_cpu);
                compare(found, plain);
            }
        }
    });
}

#[test]
fn steps_that_overflow_at_the_smallest_factor_are_counted_on_cpu_and_gpu() {
    fn error<K: OptimizerBackend>(device: &K::Device) -> String {
        let mut scale = LossScale::default();
        while !scale.is_exhausted() {
            scale.note(false);
        }
        let mut scale = DeviceScale::<K>::new(scale, 0, device);
        for (attempt, value) in [(17, f32::NAN), (18, 1.0), (19, f32::INFINITY)] {
            let state = WeightState {
                weight: primitive(Tensor::<K, 1>::ones([3], device)),
                gradient: primitive(Tensor::<K, 1>::full([3], value, device)),
                kept: Vec::new(),
            };
            let update = ScaledUpdate {
                rule: Rule::Adam,
                rate: 0.01,
                attempt,
            };
            scale = K::scaled_update(vec![state], update, scale).unwrap().1;
        }
        scale.check().unwrap_err().to_string()
    }
    let said = error::<Flex>(&Default::default());
    assert!(
        said.contains("gradients of 2 steps") && said.contains("(18 steps"),
        "{said}"
    );
    on_gpu!(|K, device| assert_eq!(error::<K>(&device), said));
}

#[test]
fn square_sum_covers_every_value_and_shows_overflow_on_cpu_and_gpu() {
    fn sum<K: OptimizerBackend>(device: &K::Device, bad: Option<f32>) -> f32 {
        let mut gradients: Vec<_> = WEIGHTS
            .iter()
            .map(|&(shape, _)| primitive(Tensor::<K, 4>::full(shape, 0.5, device)))
            .collect();
        if let Some(bad) = bad {
            gradients.push(primitive(Tensor::<K, 1>::from_floats([1.0, bad], device)));
        }
        back::<K, 1>(K::square_sum(gradients))[0]
    }
    let values: usize = WEIGHTS
        .iter()
        .map(|(shape, _)| shape.iter().product::<usize>())
        .sum();
    let expected = values as f32 * 0.25;
    let check = |sum: &dyn Fn(Option<f32>) -> f32| {
        assert!((sum(None) - expected).abs() < 1e-5 * expected);
        assert!(!sum(Some(f32::INFINITY)).is_finite());
        assert!(!sum(Some(f32::NAN)).is_finite());
        assert!(!sum(Some(1e20)).is_finite());
    };
    check(&|bad| sum::<Flex>(&Default::default(), bad));
    on_gpu!(|K, device| {
        check(&|bad| sum::<K>(&device, bad));
    });
}
