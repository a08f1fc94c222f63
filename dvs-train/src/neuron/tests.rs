#![allow(clippy::unwrap_used)]

use burn::backend::{Autodiff, Flex};
use burn::tensor::Tensor;

use super::Lif;
use crate::test_data::{Npz, distance, values, wave};

type B = Autodiff<Flex>;

/// Spikes and the gradient of the current.
fn run(lif: &Lif, x: Tensor<B, 2>, grad: Tensor<B, 2>) -> (Vec<f32>, Vec<f32>) {
    let x = x.require_grad();
    let spikes = lif.forward(x.clone());
    let grads = (spikes.clone() * grad).sum().backward();
    (values(spikes), values(x.grad(&grads).unwrap()))
}

#[test]
fn spikes_and_gradients_are_spikingjellys() {
    let device = Default::default();
    let mut npz = Npz::open("neurons.npz");
    for (key, detach_reset) in [("lif", true), ("lif_keep_reset", false)] {
        let lif = Lif {
            detach_reset,
            ..Lif::default()
        };
        let x = npz.tensor(&format!("{key}|x"), &device); // [T, N]
        let grad = npz.tensor(&format!("{key}|grad_out"), &device); // [T, N]
        let (spikes, grad_x) = run(&lif, x, grad);
        assert_eq!(spikes, npz.values(&format!("{key}|spikes")));
        // Both sum some T products of size 1 in single precision, in another order: some T rounding steps.
        let off = distance(&grad_x, &npz.values(&format!("{key}|grad_x")));
        assert!(off < 16.0 * f32::EPSILON, "{key}: {off:e}");
    }
}

#[test]
fn the_gradient_is_what_autodiff_derives_from_the_equations() {
    let device = Default::default();
    for detach_reset in [true, false] {
        let lif = Lif {
            tau: 3.0,
            threshold: 0.4,
            alpha: 1.5,
            detach_reset,
        };
        let x = wave::<B, 2>([9, 50], 0.37, &device).mul_scalar(2.0);
        let grad = wave::<B, 2>([9, 50], 0.11, &device);
        let (spikes, grad_x) = run(&lif, x.clone(), grad.clone());

        // Step by step, with a spike whose value is exact and whose derivative is the surrogate's.
        let x = x.require_grad();
        let mut v = Tensor::<B, 2>::zeros([1, 50], &device);
        let mut all = Vec::new();
        for t in 0..9 {
            let h = v.clone() + (x.clone().narrow(0, t, 1) - v) / lif.tau;
            let scaled = (h.clone() - lif.threshold) * (std::f64::consts::FRAC_PI_2 * lif.alpha);
            let slope = (scaled.clone() * scaled + 1.0).recip() * (lif.alpha / 2.0);
            let fired = h.clone().greater_equal_elem(lif.threshold).float();
            let s = fired + (h.clone() - h.clone().detach()) * slope.detach();
            let reset = if detach_reset {
                s.clone().detach()
            } else {
                s.clone()
            };
            v = h.clone() - h * reset;
            all.push(s);
        }
        let derived = Tensor::cat(all, 0);
        let grads = (derived.clone() * grad).sum().backward();
        let fired = spikes.iter().filter(|&&s| s == 1.0).count();
        assert!((50..350).contains(&fired), "{fired} spikes");
        assert_eq!(spikes, values(derived));
        let off = distance(&grad_x, &values(x.grad(&grads).unwrap()));
        assert!(off < 9.0 * f32::EPSILON, "{off:e}");
    }
}

#[test]
fn spikes_without_autodiff_are_the_same() {
    let device = Default::default();
    let x = wave::<B, 5>([7, 2, 3, 4, 5], 0.3, &device).mul_scalar(3.0);
    let lif = Lif::default();
    let untracked = values(lif.forward(x.clone()));
    assert_eq!(untracked, values(lif.forward(x.clone().inner())));
    assert_eq!(untracked, values(lif.forward(x.require_grad())));
    assert!(untracked.contains(&1.0));
}

#[test]
fn the_potential_reaches_the_threshold_and_resets() {
    let device = Default::default();
    let x = Tensor::<Flex, 2>::from_floats([[2.0], [1.5], [1.5], [0.0], [-9.0], [11.0]], &device);
    // h: 1 (spike), 0.75, 1.125 (spike), 0, -4.5, 3.25 (spike)
    assert_eq!(values(Lif::default().forward(x)), [1., 0., 1., 0., 0., 1.]);
}
