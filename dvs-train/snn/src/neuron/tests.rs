#![allow(clippy::unwrap_used)]

use burn::backend::{Autodiff, Flex};
use burn::module::Param;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use rayon::ThreadPoolBuilder;

use super::model::{Charge, Layer, Neuron};
use super::surrogate::{Surrogate, SurrogateShape};
use super::{NeuronBackend, NeuronInputs, Neurons, reference};
use crate::testing::{Npz, back, distance, on_gpu, there, values, wave};

type B = Autodiff<Flex>;

const TUTORIAL: Neuron = Neuron::LIF;

/// Returns all combinations of charge, reset and detached reset. Each surrogate gradient occurs at
/// least once.
fn all_kinds() -> Vec<Neuron> {
    let mut all = Vec::new();
    let charges = [
        Charge::Leaky {
            tau: 2.0,
            decay_input: true,
        },
        Charge::Leaky {
            tau: 3.0,
            decay_input: true,
        },
        Charge::Leaky {
            tau: 1.7,
            decay_input: false,
        },
        Charge::Learnt {
            initial_tau: 2.5,
            decay_input: true,
        },
        Charge::Learnt {
            initial_tau: 1.5,
            decay_input: false,
        },
        Charge::Integrate,
    ];
    let mut shapes = SurrogateShape::ALL.iter().cycle();
    for charge in charges {
        for reset in [Some(0.0), Some(-0.3), None] {
            for detach_reset in [true, false] {
                let shape = *shapes.next().unwrap();
                let alpha = shape.default_alpha();
                all.push(Neuron {
                    charge,
                    threshold: 0.6,
                    reset,
                    detach_reset,
                    surrogate: Surrogate { shape, alpha },
                });
            }
        }
    }
    all
}

/// Returns the spikes and the gradients of x and w.
fn run<B: AutodiffBackend + NeuronBackend>(
    layer: &Neurons<B>,
    x: Tensor<B, 2>,
    grad: Tensor<B, 2>,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let x = x.require_grad();
    let spikes = layer.forward(x.clone());
    let grads = (spikes.clone() * grad).sum().backward();
    let w = layer.w.as_ref().map(|w| values(w.grad(&grads).unwrap()));
    (
        values(spikes),
        values(x.grad(&grads).unwrap()),
        w.unwrap_or_default(),
    )
}

#[test]
fn spikes_and_gradients_match_spikingjelly() {
    assert_matches_spikingjelly::<Flex>(&Default::default());
}

#[test]
fn spikes_and_gradients_match_spikingjelly_on_gpu() {
    on_gpu!(|K, device| {
        assert_matches_spikingjelly::<K>(&device);
    });
}

fn assert_matches_spikingjelly<K: NeuronBackend>(device: &K::Device) {
    type B<K> = Autodiff<K>;
    let mut npz = Npz::open("neurons.npz");
    let leaky = |decay_input| Charge::Leaky {
        tau: 2.0,
        decay_input,
    };
    let learnt = Charge::Learnt {
        initial_tau: 2.0,
        decay_input: true,
    };
    let sigmoid = Surrogate {
        shape: SurrogateShape::Sigmoid,
        alpha: 4.0,
    };
    for (key, neuron) in [
        ("lif", TUTORIAL),
        (
            "lif_keep_reset",
            Neuron {
                detach_reset: false,
                ..TUTORIAL
            },
        ),
        (
            "lif_no_decay_input",
            Neuron {
                charge: leaky(false),
                ..TUTORIAL
            },
        ),
        (
            "lif_soft_reset",
            Neuron {
                reset: None,
                ..TUTORIAL
            },
        ),
        (
            "if",
            Neuron {
                charge: Charge::Integrate,
                ..TUTORIAL
            },
        ),
        (
            "plif",
            Neuron {
                charge: learnt,
                ..TUTORIAL
            },
        ),
        (
            "lif_sigmoid",
            Neuron {
                surrogate: sigmoid,
                ..TUTORIAL
            },
        ),
    ] {
        let x: Tensor<B<K>, 2> = npz.tensor(&format!("{key}|x"), device); // [T, N]
        let grad: Tensor<B<K>, 2> = npz.tensor(&format!("{key}|grad_out"), device); // [T, N]
        let mut layer = Neurons::<B<K>>::new(neuron, device);
        if key == "plif" {
            let w = npz.array::<f32>("plif|w").sum();
            layer.w = Some(Param::from_tensor(Tensor::from_floats([w], device)));
        }
        let (spikes, grad_x, grad_w) = run(&layer, x.clone(), grad.clone());
        let expected = npz.values(&format!("{key}|spikes"));
        let expected_x = npz.values(&format!("{key}|grad_x"));
        assert_eq!(spikes, expected, "{key}");
        // Both sum about T products of size 1 in single precision, but in different orders. This
        // causes about T rounding errors.
        let off = distance(&grad_x, &expected_x);
        assert!(off < 16.0 * f32::EPSILON, "{key}: {off:e}");

        let settings = Layer {
            neuron,
            keep_potential: false,
        };
        let w = layer.w.as_ref().map(|w| w.val().inner());
        let plain = reference::forward(x.clone().inner(), None, w.clone(), &settings);
        assert_eq!(values(plain), expected, "{key}");
        let (dx, _, dw) = reference::backward(grad.inner(), x.inner(), None, w, &settings);
        let off = distance(&values(dx), &expected_x);
        assert!(off < 16.0 * f32::EPSILON, "{key}: {off:e}");

        if key == "plif" {
            let expected = npz.array::<f32>("plif|grad_w").sum();
            for dw in [grad_w[0], values(dw.unwrap())[0]] {
                let off = (dw / expected - 1.0).abs();
                assert!(off < 1e-5, "{dw} {expected}");
            }
        }
    }
}

#[test]
fn kernel_matches_reference() {
    for neuron in all_kinds() {
        for shape in [[1, 1], [2, 7], [16, 33], [33, 1000], [3, 1025], [5, 2048]] {
            assert_kernel_matches_reference::<Flex>(neuron, shape, &Default::default());
        }
    }
}

#[test]
fn gpu_kernel_matches_reference() {
    on_gpu!(|K, device| {
        for (at, neuron) in all_kinds().into_iter().enumerate() {
            assert_kernel_matches_reference::<K>(neuron, [3, 1000], &device);
            // Each size needs its own kernel, and compiling one for a CPU is slow.
            let shape = [[1, 7], [16, 8], [40, 12], [32, 5]][at % 4];
            assert_kernel_matches_reference::<K>(neuron, shape, &device);
        }
    });
}

fn assert_kernel_matches_reference<K: NeuronBackend>(
    neuron: Neuron,
    [steps, n]: [usize; 2],
    device: &K::Device,
) {
    let cpu = Default::default();
    let x = wave::<Flex, 2>([steps, n], 0.37, &cpu).mul_scalar(2.0);
    let grad = wave::<Flex, 2>([steps + 1, n], 0.11, &cpu);
    let v = wave::<Flex, 2>([1, n], 0.23, &cpu);
    let w = match neuron.charge {
        Charge::Learnt { .. } => Some(Tensor::<Flex, 1>::from_floats([0.4], &cpu)),
        _ => None,
    };
    for (v, keep_potential) in [(None, false), (Some(v), true)] {
        let layer = Layer {
            neuron,
            keep_potential,
        };
        let grad = grad
            .clone()
            .narrow(0, 0, steps + usize::from(keep_potential));
        let name = format!("{neuron}, T={steps}, N={n}, {keep_potential}");
        let to_backend = |t: &Tensor<Flex, 2>| there::<K, 2>(t, device);
        let (v0, w0) = (
            v.as_ref().map(to_backend),
            w.as_ref().map(|w| there::<K, 1>(w, device)),
        );

        let inputs = NeuronInputs {
            x: to_backend(&x),
            v: v0,
            w: w0,
        };
        let fast = back::<K, 2>(K::neurons(inputs.clone(), &layer));
        let plain = values(reference::forward(x.clone(), v.clone(), w.clone(), &layer));
        let (spikes, last) = fast.split_at(steps * n);
        let (plain_spikes, plain_last) = plain.split_at(steps * n);
        assert_eq!(spikes, plain_spikes, "{name}");
        assert!(distance(last, plain_last) < 1e-6, "{name}");

        let fast = K::neurons_backward(to_backend(&grad), inputs, &layer);
        let plain = reference::backward(grad, x.clone(), v, w.clone(), &layer);
        let [dx, dv, dw] = fast;
        let close = |a: &[f32], b: &[f32], what| {
            let largest = b.iter().fold(1.0_f32, |max, x| max.max(x.abs()));
            let off = distance(a, b) / largest;
            // The tolerance allows about T rounding errors, and errors in the last two bits of exp.
            assert!(
                off < 1e-6 * (steps as f32 + 4.0),
                "{name}: {what} off by {off:e}"
            );
        };
        close(&back::<K, 2>(dx.unwrap()), &values(plain.0), "dx");
        assert_eq!(dv.is_some(), plain.1.is_some());
        if let (Some(a), Some(b)) = (dv, plain.1) {
            close(&back::<K, 2>(a), &values(b), "dv");
        }
        assert_eq!(dw.is_some(), plain.2.is_some());
        if let (Some(a), Some(b)) = (dw, plain.2) {
            close(&back::<K, 1>(a), &values(b), "dw");
        }
    }
}

#[test]
fn gradient_matches_autodiff_of_the_equations() {
    let device = Default::default();
    for neuron in all_kinds() {
        let layer = Neurons::<B>::new(neuron, &device);
        let x = wave::<B, 2>([9, 50], 0.37, &device).mul_scalar(2.0);
        let grad = wave::<B, 2>([9, 50], 0.11, &device);
        let (spikes, grad_x, grad_w) = run(&layer, x.clone(), grad.clone());

        // This computes the equations step by step. A spike has its exact value and the surrogate
        // gradient.
        let x = x.require_grad();
        let rest = neuron.rest();
        let mut v = Tensor::<B, 2>::full([1, 50], rest, &device);
        let one = Tensor::<B, 2>::ones([1, 1], &device);
        let (rate, decay_input) = match neuron.charge {
            Charge::Leaky { tau, decay_input } => (one / tau, decay_input),
            Charge::Learnt { decay_input, .. } => {
                let w = layer.w.as_ref().unwrap().val();
                (
                    burn::tensor::activation::sigmoid(w).reshape([1, 1]),
                    decay_input,
                )
            }
            Charge::Integrate => (one * 0.0, false),
        };
        let mut all = Vec::new();
        for t in 0..9 {
            let x = x.clone().narrow(0, t, 1);
            let h = match decay_input {
                true => v.clone() + (x - (v - rest)) * rate.clone(),
                false => v.clone() - (v - rest) * rate.clone() + x,
            };
            let slope = neuron.surrogate.slope(h.clone() - neuron.threshold);
            let fired = h.clone().greater_equal_elem(neuron.threshold).float();
            let s = fired + (h.clone() - h.clone().detach()) * slope.detach();
            let reset = if neuron.detach_reset {
                s.clone().detach()
            } else {
                s.clone()
            };
            v = match neuron.reset {
                Some(to) => h.clone() - h * reset.clone() + reset * to,
                None => h - reset * neuron.threshold,
            };
            all.push(s);
        }
        let derived = Tensor::cat(all, 0);
        let grads = (derived.clone() * grad).sum().backward();
        let fired = spikes.iter().filter(|&&s| s == 1.0).count();
        assert!((40..350).contains(&fired), "{neuron}: {fired} spikes");
        assert_eq!(spikes, values(derived), "{neuron}");
        let expected = values(x.grad(&grads).unwrap());
        let largest = expected.iter().fold(1.0_f32, |max, x| max.max(x.abs()));
        let off = distance(&grad_x, &expected) / largest;
        assert!(off < 20.0 * f32::EPSILON, "{neuron}: {off:e}");
        if let Some(w) = &layer.w {
            let expected = values(w.grad(&grads).unwrap())[0];
            let off = (grad_w[0] - expected).abs();
            assert!(
                off < 1e-5 * (1.0 + expected.abs()),
                "{neuron}: {grad_w:?} {expected}"
            );
        }
    }
}

#[test]
fn stepwise_forward_equals_whole_sequence() {
    let device = Default::default();
    for neuron in all_kinds() {
        let layer = Neurons::<B>::new(neuron, &device);
        let x = wave::<B, 2>([9, 50], 0.37, &device).mul_scalar(2.0);
        let grad = wave::<B, 2>([9, 50], 0.11, &device);
        let (spikes, grad_x, grad_w) = run(&layer, x.clone(), grad.clone());

        for length in [1, 3] {
            let x = x.clone().require_grad();
            let mut v = None;
            let pieces = (0..9)
                .step_by(length)
                .map(|t| layer.forward_from(x.clone().narrow(0, t, length), &mut v))
                .collect();
            let all = Tensor::cat(pieces, 0);
            let grads = (all.clone() * grad.clone()).sum().backward();
            assert_eq!(spikes, values(all), "{neuron}");
            assert_eq!(grad_x, values(x.grad(&grads).unwrap()), "{neuron}");
            if let Some(w) = &layer.w {
                let off = distance(&grad_w, &values(w.grad(&grads).unwrap()));
                assert!(off < 1e-5 * (1.0 + grad_w[0].abs()), "{neuron}: {off:e}");
            }
        }
    }
}

#[test]
fn results_are_bitwise_identical_for_any_thread_count() {
    let device = Default::default();
    let charge = Charge::Learnt {
        initial_tau: 2.0,
        decay_input: true,
    };
    let neuron = Neuron { charge, ..TUTORIAL };
    let run = |threads| {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let layer = Neurons::<B>::new(neuron, &device);
            let x = wave::<B, 2>([5, 20_011], 0.37, &device).mul_scalar(2.0);
            run(&layer, x, wave([5, 20_011], 0.11, &device))
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn autodiff_does_not_change_spikes() {
    let device = Default::default();
    let x = wave::<B, 5>([7, 2, 3, 4, 5], 0.3, &device).mul_scalar(3.0);
    let layer = Neurons::<B>::new(TUTORIAL, &device);
    let untracked = values(layer.forward(x.clone()));
    let plain = Neurons::<Flex>::new(TUTORIAL, &device);
    assert_eq!(untracked, values(plain.forward(x.clone().inner())));
    assert_eq!(untracked, values(layer.forward(x.require_grad())));
    assert!(untracked.contains(&1.0));
}

#[test]
fn neuron_fires_at_threshold_and_resets() {
    let device = Default::default();
    let x = Tensor::<Flex, 2>::from_floats([[2.0], [1.5], [1.5], [0.0], [-9.0], [11.0]], &device);
    // The potentials before the resets are 1 (spike), 0.75, 1.125 (spike), 0, -4.5, 3.25 (spike).
    let layer = Neurons::<Flex>::new(TUTORIAL, &device);
    assert_eq!(values(layer.forward(x)), [1., 0., 1., 0., 0., 1.]);
}

#[test]
fn plif_starts_with_the_given_time_constant() {
    let charge = Charge::Learnt {
        initial_tau: 3.0,
        decay_input: true,
    };
    let layer = Neurons::<Flex>::new(Neuron { charge, ..TUTORIAL }, &Default::default());
    let w = values(layer.w.unwrap().val())[0];
    assert!((1.0 + (-w).exp() - 3.0).abs() < 1e-6);
}
