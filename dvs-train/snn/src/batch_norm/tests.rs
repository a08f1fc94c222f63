#![allow(clippy::unwrap_used)]

use std::ops::Range;

use burn::backend::{Autodiff, Flex};
use burn::module::{AutodiffModule, Param};
use burn::nn::BatchNormConfig;
use burn::tensor::Tensor;
use rayon::ThreadPoolBuilder;

use super::ranks::BatchRanks;
use super::{Affine, BatchNorm, BatchNormBackend, Moments, Parameters, Running, Saved, reference};
use crate::backend::primitive::primitive;
use crate::testing::{back, distance, on_gpu, on_two_ranks, there, values, wave};

type B = Autodiff<Flex>;

const SHAPE: [usize; 4] = [3, 2, 2, 4];

fn layer(gamma: [f32; 2], beta: [f32; 2]) -> BatchNorm<B> {
    let device = Default::default();
    let mut layer = BatchNorm::new(2, &device);
    layer.gamma = Param::from_tensor(Tensor::from_floats(gamma, &device));
    layer.beta = Param::from_tensor(Tensor::from_floats(beta, &device));
    layer
}

#[test]
fn output_and_gradients_match_burn() {
    let device = Default::default();
    let ours = layer([1.5, 0.3], [0.2, -1.0]);
    let mut theirs = BatchNormConfig::new(2).init::<B>(&device);
    theirs.gamma = Param::from_tensor(ours.gamma.val());
    theirs.beta = Param::from_tensor(ours.beta.val());
    let weight = wave::<B, 4>(SHAPE, 0.7, &device);
    let run = |forward: &dyn Fn(Tensor<B, 4>) -> Tensor<B, 4>,
               gamma: Tensor<B, 1>,
               beta: Tensor<B, 1>| {
        let x = (wave(SHAPE, 0.9, &device) * 3.0 + 1.0).require_grad();
        let y = forward(x.clone());
        let grads = (y.clone() * weight.clone()).sum().backward();
        [
            values(y),
            values(x.grad(&grads).unwrap()),
            values(gamma.grad(&grads).unwrap()),
            values(beta.grad(&grads).unwrap()),
        ]
    };
    let a = run(&|x| ours.forward(x), ours.gamma.val(), ours.beta.val());
    let b = run(
        &|x| theirs.forward(x),
        theirs.gamma.val(),
        theirs.beta.val(),
    );
    for (a, b) in a.iter().zip(&b) {
        // Both sum 24 values below 4, but in different orders, so their rounding differs.
        assert!(distance(a, b) < 1e-5, "{a:?} {b:?}");
    }
}

#[test]
fn gradients_match_finite_differences() {
    let device = Default::default();
    let weight = wave::<B, 4>(SHAPE, 0.7, &device);
    let x = wave::<B, 4>(SHAPE, 0.9, &device);
    let loss = |x: Tensor<B, 4>, gamma, beta| {
        // The loss squares y, so that it is not linear in the parameters.
        let y = layer(gamma, beta).forward(x);
        (y.clone() * y * weight.clone()).sum()
    };
    let (gamma, beta) = ([1.5, 0.3], [0.2, -1.0]);
    let tracked = layer(gamma, beta);
    let x = x.require_grad();
    let y = tracked.forward(x.clone());
    let grads = (y.clone() * y * weight.clone()).sum().backward();

    let step = 1e-2_f32;
    let slope = |a: Tensor<B, 1>, b: Tensor<B, 1>| (values(a)[0] - values(b)[0]) / (2.0 * step);
    // The error of a central difference is about step^2 times the third derivative, which is about
    // 10. Rounding adds to it.
    let close = |a: f32, b: f32| assert!((a - b).abs() < 5e-3 * (1.0 + a.abs()), "{a} {b}");
    let grad = values(x.grad(&grads).unwrap());
    for at in 0..grad.len() {
        let mut bump = vec![0.0; grad.len()];
        bump[at] = step;
        let bump = Tensor::<B, 1>::from_floats(bump.as_slice(), &device).reshape(SHAPE);
        let plain = x.clone().detach();
        let up = loss(plain.clone() + bump.clone(), gamma, beta);
        close(grad[at], slope(up, loss(plain - bump, gamma, beta)));
    }
    let grad_gamma = values(tracked.gamma.grad(&grads).unwrap());
    let grad_beta = values(tracked.beta.grad(&grads).unwrap());
    for c in 0..2 {
        let with = |values: [f32; 2], by: f32| {
            let mut values = values;
            values[c] += by;
            values
        };
        let x = || x.clone().detach();
        let up = loss(x(), with(gamma, step), beta);
        close(
            grad_gamma[c],
            slope(up, loss(x(), with(gamma, -step), beta)),
        );
        let up = loss(x(), gamma, with(beta, step));
        close(grad_beta[c], slope(up, loss(x(), gamma, with(beta, -step))));
    }
}

#[test]
fn running_statistics_match_pytorch() {
    let device = Default::default();
    let layer = BatchNorm::<B>::new(1, &device);
    let x = Tensor::<B, 1>::from_floats([1., 2., 3., 6.], &device).reshape([2, 1, 1, 2]);
    layer.forward(x.clone());
    layer.forward(x.clone());
    // The batch has the mean 3 and the unbiased variance 14/3. Two updates with momentum 0.1 give
    // it the weight 0.19 and leave 0.81 to the initial values 0 and 1.
    let (mean, variance) = (3.0 * 0.19, 0.81 + 0.19 * 14.0 / 3.0);
    let layer = layer.valid();
    assert!(distance(&values(layer.running_mean.value()), &[mean]) < 1e-6);
    assert!(distance(&values(layer.running_var.value()), &[variance]) < 1e-6);
    let y = values(layer.forward(x.inner()));
    let expected = [1., 2., 3., 6.].map(|x| (x - mean) / (variance + 1e-5).sqrt());
    assert!(distance(&y, &expected) < 1e-5);
}

#[test]
fn kernel_matches_reference() {
    for shape in [
        [1, 1, 1, 2],
        [3, 2, 7, 1],
        [2, 3, 64, 64],
        [5, 3, 17, 241],
        [2, 2, 100, 100],
    ] {
        assert_kernel_matches_reference::<Flex>(shape, &Default::default());
    }
}

#[test]
fn gpu_kernel_matches_reference() {
    on_gpu!(|K, device| {
        for shape in [
            [1, 1, 1, 2],
            [3, 2, 7, 1],
            [5, 3, 17, 41],
            [2, 4, 64, 64],
            [3, 6, 5, 5],
            [2, 136, 9, 8],
            [1, 24, 100, 100],
        ] {
            assert_kernel_matches_reference::<K>(shape, &device);
        }
    });
}

fn assert_kernel_matches_reference<K: BatchNormBackend>(shape: [usize; 4], device: &K::Device) {
    let cpu = Default::default();
    let c = shape[1];
    let x = wave::<Flex, 4>(shape, 0.9, &cpu) * 3.0 + 1.0;
    let dy = wave::<Flex, 4>(shape, 0.7, &cpu);
    let gamma = wave::<Flex, 1>([c], 0.5, &cpu) + 1.5;
    let beta = wave::<Flex, 1>([c], 0.3, &cpu);
    let vector = |t: &Tensor<Flex, 1>| there::<K, 1>(t, device);
    let [mean, variance] = reference::moments(x.clone());
    let count = (x.shape().num_elements() / c) as f64;
    let parameters = Parameters {
        gamma: vector(&gamma),
        beta: vector(&beta),
        epsilon: 1e-5,
    };
    let running = || Running {
        moments: Moments {
            mean: vector(&beta),
            variance: vector(&gamma),
        },
        momentum: 0.1,
        ranks: BatchRanks::default(),
    };
    let batch = K::statistics(there::<K, 4>(&x, device), &parameters, running());
    let inverse = variance.clone().add_scalar(1e-5).sqrt().recip();
    let scale = gamma.clone() * inverse.clone();
    let unbiased = variance.clone().mul_scalar(count / (count - 1.0));
    for (ours, expected) in [
        (batch.saved.mean, mean.clone()),
        (batch.saved.inverse, inverse.clone()),
        (batch.affine.scale, scale.clone()),
        (batch.affine.shift, beta.clone() - mean.clone() * scale),
        (batch.running.mean, beta.clone() * 0.9 + mean.clone() * 0.1),
        (batch.running.variance, gamma.clone() * 0.9 + unbiased * 0.1),
    ] {
        let off = distance(&back::<K, 1>(ours), &values(expected));
        assert!(off < 1e-5, "{shape:?}: {off:e}");
    }

    let affine = Affine {
        scale: vector(&gamma),
        shift: vector(&beta),
    };
    let y = K::scale(there::<K, 4>(&x, device), affine);
    let plain = reference::scale(x.clone(), gamma.clone(), beta);
    assert!(distance(&back::<K, 4>(y), &values(plain)) < 1e-5);

    let (dx, [dgamma, dbeta]) = reference::backward(
        dy.clone(),
        x.clone(),
        Saved {
            gamma: primitive(gamma.clone()),
            mean: primitive(mean.clone()),
            inverse: primitive(inverse.clone()),
            ranks: BatchRanks::default(),
        },
    );
    let saved = Saved {
        gamma: vector(&gamma),
        mean: vector(&mean),
        inverse: vector(&inverse),
        ranks: BatchRanks::default(),
    };
    let (dy, x) = (there::<K, 4>(&dy, device), there::<K, 4>(&x, device));
    let [a, b, c] = K::batch_norm_backward(dy, x, saved);
    assert!(distance(&back::<K, 4>(a), &values(dx)) < 1e-5);
    // The tolerance is larger here, because the reference sums about 20,000 values in single
    // precision.
    assert!(distance(&back::<K, 1>(b), &values(dgamma)) < 1e-2);
    assert!(distance(&back::<K, 1>(c), &values(dbeta)) < 1e-2);
}

#[test]
fn moments_far_from_zero_stay_precise_on_cpu_and_gpu() {
    assert_moments_are_precise::<Flex>(&Default::default());
    on_gpu!(|K, device| {
        assert_moments_are_precise::<K>(&device);
    });
}

fn assert_moments_are_precise<K: BatchNormBackend>(device: &K::Device) {
    let x = wave::<Flex, 4>([3, 1, 9001, 1], 0.9, &Default::default()) + 1000.0;
    let all: Vec<f64> = values(x.clone()).into_iter().map(f64::from).collect();
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64;
    let vector = |value: f32| {
        there::<K, 1>(
            &Tensor::<Flex, 1>::from_floats([value], &Default::default()),
            device,
        )
    };
    let parameters = Parameters {
        gamma: vector(1.0),
        beta: vector(0.0),
        epsilon: 1e-5,
    };
    let running = Running {
        moments: Moments {
            mean: vector(0.0),
            variance: vector(1.0),
        },
        momentum: 1.0,
        ranks: BatchRanks::default(),
    };
    let batch = K::statistics(there::<K, 4>(&x, device), &parameters, running);
    assert!((f64::from(back::<K, 1>(batch.saved.mean)[0]) - mean).abs() < 1e-4);
    let unbiased = variance * all.len() as f64 / (all.len() - 1) as f64;
    assert!((f64::from(back::<K, 1>(batch.running.variance)[0]) - unbiased).abs() < 1e-6);
}

#[test]
fn results_are_bitwise_identical_for_any_thread_count() {
    let device = Default::default();
    let run = |threads| {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let layer = BatchNorm::<B>::new(3, &device);
            let x = wave::<B, 4>([7, 3, 65, 64], 0.9, &device).require_grad();
            let y = layer.forward(x.clone());
            let grads = (y.clone() * wave([7, 3, 65, 64], 0.7, &device))
                .sum()
                .backward();
            [
                values(y),
                values(x.grad(&grads).unwrap()),
                values(layer.gamma.val().grad(&grads).unwrap()),
                values(layer.running_var.value_sync()),
            ]
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn two_ranks_normalise_like_one_with_the_whole_batch() {
    // On the CPU all moments and sums have double precision, so the same numbers come out.
    assert_two_ranks_match_one::<Flex>(&Default::default(), 0.0);
    on_gpu!(|K, device| assert_two_ranks_match_one::<K>(&device, 1e-5));
}

fn assert_two_ranks_match_one<K: BatchNormBackend>(device: &K::Device, most: f32) {
    let shape @ [n, ..] = [4, 3, 6, 8];
    let run = |images: Range<usize>, ranks: BatchRanks| {
        let mut layer = BatchNorm::<Autodiff<K>>::new(3, device);
        layer.gamma = Param::from_tensor(wave([3], 0.5, device) + 1.5);
        layer.ranks = ranks;
        let part = |step| {
            let whole = wave::<Autodiff<K>, 4>(shape, step, device);
            whole.narrow(0, images.start, images.len())
        };
        let x = (part(0.9) * 3.0 + 1.0).require_grad();
        let y = layer.forward(x.clone());
        let grads = (y.clone() * part(0.7)).sum().backward();
        let parameters =
            [&layer.gamma, &layer.beta].map(|of| values(of.val().grad(&grads).unwrap()));
        let running = [&layer.running_mean, &layer.running_var].map(|of| values(of.value_sync()));
        let images = [values(y), values(x.grad(&grads).unwrap())];
        (images, parameters, running)
    };
    let whole = run(0..n, BatchRanks::default());
    let [first, second] = on_two_ranks(|rank, ranks| run(rank * n / 2..(rank + 1) * n / 2, ranks));
    let close = |ours: &[f32], expected: &[f32], most: f32| {
        let off = distance(ours, expected);
        assert!(off <= most, "{off:e}");
    };
    for at in 0..2 {
        close(&[&*first.0[at], &second.0[at]].concat(), &whole.0[at], most);
        let pairs = first.1[at].iter().zip(&second.1[at]);
        let sums: Vec<f32> = pairs.map(|(a, b)| a + b).collect();
        close(&sums, &whole.1[at], 1e-4);
        close(&first.2[at], &whole.2[at], most);
        assert_eq!(first.2[at], second.2[at]);
    }
}
