//! The LIF neuron, forward and backward, in plain tensor operations: what every kernel is held against.

use std::f64::consts::FRAC_PI_2;

use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Tensor};

use super::Lif;

/// Spikes of the current `x`.
pub fn spikes<B: Backend>(x: Tensor<B, 2>, lif: &Lif) -> Tensor<B, 2> {
    let mut v = None;
    let spikes = steps(&x)
        .map(|x| {
            let (h, s) = step(x, v.take(), lif);
            v = Some(h.mask_fill(s.clone(), 0.0));
            s.float() // [1, N]
        })
        .collect();
    Tensor::cat(spikes, 0) // [T, N]
}

/// Spikes of the current `x`, and the potential h before the reset.
pub fn forward<B: Backend>(x: Tensor<B, 2>, lif: &Lif) -> (Tensor<B, 2>, Tensor<B, 2>) {
    let mut v = None;
    let (spikes, potential) = steps(&x)
        .map(|x| {
            let (h, s) = step(x, v.take(), lif);
            v = Some(h.clone().mask_fill(s.clone(), 0.0));
            (s.float(), h) // [1, N]
        })
        .unzip();
    (Tensor::cat(spikes, 0), Tensor::cat(potential, 0)) // [T, N]
}

/// Charge and fire; the reset, `v[t] = h[t] (1 - s[t])`, is the caller's.
///
/// ```text
/// h[t] = v[t-1] + (x[t] - v[t-1]) / tau,    v[-1] = 0
/// s[t] = h[t] >= threshold
/// ```
fn step<B: Backend>(
    x: Tensor<B, 2>,
    v: Option<Tensor<B, 2>>,
    lif: &Lif,
) -> (Tensor<B, 2>, Tensor<B, 2, Bool>) {
    let h = match v {
        Some(v) => (x - v.clone()).div_scalar(lif.tau) + v,
        None => x.div_scalar(lif.tau),
    };
    let s = h.clone().greater_equal_elem(lif.threshold);
    (h, s) // [1, N]
}

/// Gradient of the current, from that of the spikes and the potential h before the reset.
///
/// ```text
/// surrogate(h) = (alpha / 2) / (1 + (pi / 2 * alpha * (h - threshold))^2)
/// dh[t]   = ds[t] surrogate(h[t]) + dv[t] (1 - s[t])
///           - dv[t] h[t] surrogate(h[t])              unless the reset is detached
/// dx[t]   = dh[t] / tau
/// dv[t-1] = dh[t] (1 - 1 / tau)
/// ```
pub fn backward<B: Backend>(
    grad_spikes: Tensor<B, 2>,
    potential: Tensor<B, 2>,
    lif: &Lif,
) -> Tensor<B, 2> {
    let mut dv: Option<Tensor<B, 2>> = None;
    let mut dx: Vec<_> = steps(&grad_spikes)
        .zip(steps(&potential))
        .rev()
        .map(|(ds, h)| {
            let s = h.clone().greater_equal_elem(lif.threshold);
            let slope = surrogate(h.clone(), lif);
            let dh = match dv.take() {
                None => ds * slope,
                Some(dv) if lif.detach_reset => ds * slope + dv.mask_fill(s, 0.0),
                Some(dv) => (ds - dv.clone() * h) * slope + dv.mask_fill(s, 0.0),
            };
            dv = Some(dh.clone().mul_scalar(1.0 - 1.0 / lif.tau));
            dh.div_scalar(lif.tau) // [1, N]
        })
        .collect();
    dx.reverse();
    Tensor::cat(dx, 0) // [T, N]
}

fn surrogate<B: Backend>(h: Tensor<B, 2>, lif: &Lif) -> Tensor<B, 2> {
    let scaled = (h - lif.threshold).mul_scalar(FRAC_PI_2 * lif.alpha);
    (scaled.clone() * scaled)
        .add_scalar(1.0)
        .recip()
        .mul_scalar(lif.alpha / 2.0)
}

/// The rows `[1, N]` of a tensor `[T, N]`.
fn steps<B: Backend>(
    x: &Tensor<B, 2>,
) -> impl DoubleEndedIterator<Item = Tensor<B, 2>> + ExactSizeIterator {
    (0..x.dims()[0]).map(|t| x.clone().narrow(0, t, 1))
}
