//! Neurons in plain tensor operations, forward and backward. Every kernel is tested against them.

use burn::tensor::activation::sigmoid;
use burn::tensor::backend::Backend;
use burn::tensor::{Bool, Tensor};

use super::model::{Charge, Layer, Neuron};

/// Returns the spikes `[T, N]` for the current `x` `[T, N]`, with the last potentials as one more
/// row if the layer keeps them.
pub fn forward<B: Backend>(
    x: Tensor<B, 2>,
    v: Option<Tensor<B, 2>>,
    w: Option<Tensor<B, 1>>,
    layer: &Layer,
) -> Tensor<B, 2> {
    let neuron = &layer.neuron;
    let rate = w.map(rate);
    let mut v = v.unwrap_or_else(|| at_rest(&x, neuron));
    let mut rows = Vec::new();
    for x in steps(&x) {
        let h = charge(x, v, rate.clone(), neuron);
        let s = fire(&h, neuron);
        v = reset(h, s.clone(), neuron);
        rows.push(s.float()); // [1, N]
    }
    if layer.keep_potential {
        rows.push(v);
    }
    Tensor::cat(rows, 0)
}

/// Returns the gradients of x, v and w from `grad`, the gradient of the output of [`forward`].
///
/// ```text
/// dh[t]   = ds[t] slope(h[t]) + dv[t] dv[t]/dh[t]
/// dv/dh   = 1 - s + (reset - h) slope(h)    hard reset, without the slope if it is detached
///         = 1 - threshold slope(h)          soft reset, without the slope if it is detached
/// dx[t]   = dh[t] r                         with r = 1/tau if the input decays, else 1
/// dv[t-1] = dh[t] (1 - r)                   with r = 1/tau, 0 for IF
/// dw      = r (1 - r) sum dh[t] (x[t] - (v[t-1] - rest))
///                                           without x[t] if the input does not decay
/// ```
pub fn backward<B: Backend>(
    grad: Tensor<B, 2>,
    x: Tensor<B, 2>,
    v: Option<Tensor<B, 2>>,
    w: Option<Tensor<B, 1>>,
    layer: &Layer,
) -> (Tensor<B, 2>, Option<Tensor<B, 2>>, Option<Tensor<B, 1>>) {
    let neuron = &layer.neuron;
    let rate = w.map(rate);
    let given_v = v.is_some();
    let mut v = v.unwrap_or_else(|| at_rest(&x, neuron));
    let mut past = Vec::new();
    for x in steps(&x) {
        let h = charge(x.clone(), v.clone(), rate.clone(), neuron);
        let after = reset(h.clone(), fire(&h, neuron), neuron);
        past.push((x, v, h)); // [1, N]
        v = after;
    }
    let mut rows = steps(&grad);
    let mut dv = match layer.keep_potential {
        true => rows.next_back().unwrap_or_else(|| v.zeros_like()),
        false => v.zeros_like(),
    };
    let mut dx = Vec::new();
    let mut drate = v.zeros_like(); // [1, N]
    for (ds, (x, v, h)) in rows.zip(past).rev() {
        let slope = neuron
            .surrogate
            .slope(h.clone().sub_scalar(neuron.threshold));
        let dh = ds * slope.clone() + dv * reset_slope(h, slope, neuron);
        let decayed = dh.clone() * inverse_tau(&dh, &rate, neuron);
        dv = dh.clone() - decayed.clone();
        let above_rest = v.sub_scalar(neuron.rest());
        match neuron.charge {
            Charge::Leaky {
                decay_input: true, ..
            }
            | Charge::Learnt {
                decay_input: true, ..
            } => {
                dx.push(decayed);
                drate = drate + dh * (x - above_rest);
            }
            Charge::Leaky { .. } | Charge::Learnt { .. } => {
                dx.push(dh.clone());
                drate = drate - dh * above_rest;
            }
            Charge::Integrate => dx.push(dh),
        }
    }
    dx.reverse();
    let dw = rate.map(|rate| {
        let rate = rate.reshape([1]);
        drate.sum() * rate.clone() * rate.neg().add_scalar(1.0)
    });
    (Tensor::cat(dx, 0), given_v.then_some(dv), dw)
}

/// Returns the potential before the reset.
///
/// ```text
/// LIF, PLIF  h[t] = v[t-1] + (x[t] - (v[t-1] - rest)) / tau        if the input decays
///            h[t] = v[t-1] - (v[t-1] - rest) / tau + x[t]          if it does not
/// IF         h[t] = v[t-1] + x[t]
/// ```
fn charge<B: Backend>(
    x: Tensor<B, 2>,
    v: Tensor<B, 2>,
    rate: Option<Tensor<B, 2>>,
    neuron: &Neuron,
) -> Tensor<B, 2> {
    let above_rest = v.clone().sub_scalar(neuron.rest());
    match (neuron.charge, rate) {
        (
            Charge::Leaky {
                tau,
                decay_input: true,
            },
            _,
        ) => v + (x - above_rest).div_scalar(tau),
        (Charge::Leaky { tau, .. }, _) => v - above_rest.div_scalar(tau) + x,
        (
            Charge::Learnt {
                decay_input: true, ..
            },
            Some(rate),
        ) => v + (x - above_rest) * rate,
        (Charge::Learnt { .. }, Some(rate)) => v - above_rest * rate + x,
        (Charge::Integrate | Charge::Learnt { .. }, _) => v + x,
    }
}

fn fire<B: Backend>(h: &Tensor<B, 2>, neuron: &Neuron) -> Tensor<B, 2, Bool> {
    h.clone().greater_equal_elem(neuron.threshold)
}

/// Returns the potential after the reset.
///
/// ```text
/// hard  v[t] = h[t] (1 - s[t]) + reset s[t]
/// soft  v[t] = h[t] - threshold s[t]
/// ```
fn reset<B: Backend>(h: Tensor<B, 2>, s: Tensor<B, 2, Bool>, neuron: &Neuron) -> Tensor<B, 2> {
    match neuron.reset {
        Some(reset) => h.mask_fill(s, reset),
        None => h - s.float().mul_scalar(neuron.threshold),
    }
}

/// Returns dv/dh; see [`backward`].
fn reset_slope<B: Backend>(h: Tensor<B, 2>, slope: Tensor<B, 2>, neuron: &Neuron) -> Tensor<B, 2> {
    let kept = match neuron.reset {
        Some(_) => fire(&h, neuron).bool_not().float(),
        None => h.ones_like(),
    };
    match (neuron.detach_reset, neuron.reset) {
        (true, _) => kept,
        (false, Some(reset)) => kept + h.neg().add_scalar(reset) * slope,
        (false, None) => kept - slope.mul_scalar(neuron.threshold),
    }
}

/// Returns 1 / tau, `[1, 1]`, or 0 if nothing decays.
fn inverse_tau<B: Backend>(
    like: &Tensor<B, 2>,
    rate: &Option<Tensor<B, 2>>,
    neuron: &Neuron,
) -> Tensor<B, 2> {
    let constant = |value: f64| Tensor::full([1, 1], value, &like.device());
    match (neuron.charge, rate) {
        (Charge::Leaky { tau, .. }, _) => constant(1.0 / tau),
        (Charge::Learnt { .. }, Some(rate)) => rate.clone(),
        (Charge::Learnt { .. } | Charge::Integrate, _) => constant(0.0),
    }
}

/// Returns 1 / tau = sigmoid(w) of PLIF's weight, `[1, 1]`.
fn rate<B: Backend>(w: Tensor<B, 1>) -> Tensor<B, 2> {
    sigmoid(w).reshape([1, 1])
}

fn at_rest<B: Backend>(x: &Tensor<B, 2>, neuron: &Neuron) -> Tensor<B, 2> {
    Tensor::full([1, x.dims()[1]], neuron.rest(), &x.device())
}

/// Returns the rows `[1, N]` of a tensor `[T, N]`.
fn steps<B: Backend>(
    x: &Tensor<B, 2>,
) -> impl DoubleEndedIterator<Item = Tensor<B, 2>> + ExactSizeIterator {
    (0..x.dims()[0]).map(|t| x.clone().narrow(0, t, 1))
}
