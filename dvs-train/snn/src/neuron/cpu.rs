//! Neurons on the CPU.
//!
//! Threads divide the neurons into blocks. Within a block, time is the outer loop and the
//! potentials stay in the L1 cache. Each operation of [`NeuronDynamics`] is a loop over the block,
//! which the compiler vectorises for the widest instruction set of the processor. The equations are
//! those of [`super::reference`].

use std::borrow::Cow;

use burn::backend::flex::FlexTensor;
use multiversion::multiversion;
use rayon::prelude::*;

use super::backend::NeuronInputs;
use super::model::{Charge, Layer, Neuron};
use super::surrogate::Surrogate;
use crate::backend::cpu::{columns, dims, map, map2, sum2, tensor, values};

/// Neurons per block: each step's row is a page of 4 KiB.
const BLOCK: usize = 1024;

/// Returns the spikes `[T, N]`, with the last potentials as one more row if the layer keeps them.
pub fn forward(inputs: &NeuronInputs<FlexTensor>, layer: &Layer) -> FlexTensor {
    let NeuronInputs { x, v, w } = inputs;
    let [steps, n] = dims(x);
    let rule = NeuronDynamics::new(&layer.neuron, w.as_ref());
    let input = Input {
        x: &values(x),
        v: v.as_ref().map(values).unwrap_or_default(),
        n,
    };
    let rows = steps + usize::from(layer.keep_potential);
    let mut out = vec![0.0; rows * n];
    columns(&mut out, n, BLOCK)
        .into_par_iter()
        .enumerate()
        .for_each(|(block, mut out)| {
            let (spikes, last) = out.split_at_mut(steps);
            forward_block(&rule, &input, block * BLOCK, spikes, last);
        });
    tensor(out, [rows, n])
}

/// Returns the gradients of x, v and w. Those of v and w are `None` if the input is.
pub fn backward(
    grad: &FlexTensor,
    inputs: &NeuronInputs<FlexTensor>,
    layer: &Layer,
) -> [Option<FlexTensor>; 3] {
    let NeuronInputs { x, v, w } = inputs;
    let [steps, n] = dims(x);
    let rule = NeuronDynamics::new(&layer.neuron, w.as_ref());
    let input = Input {
        x: &values(x),
        v: v.as_ref().map(values).unwrap_or_default(),
        n,
    };
    let grad = values(grad);
    let mut dx = vec![0.0; steps * n];
    let mut dv = vec![0.0; n];
    let drate: Vec<f64> = columns(&mut dx, n, BLOCK)
        .into_par_iter()
        .zip(dv.par_chunks_mut(BLOCK))
        .enumerate()
        .map_init(
            || vec![0.0; steps * BLOCK],
            |past, (block, (mut dx, dv))| {
                backward_block(&rule, &input, &grad, block * BLOCK, past, &mut dx, dv)
            },
        )
        .collect();
    let dw = rule.weight_gradient(drate.iter().sum());
    [
        Some(tensor(dx, [steps, n])),
        v.as_ref().map(|_| tensor(dv, [1, n])),
        w.as_ref().map(|_| tensor(vec![dw], [1])),
    ]
}

/// Current and initial potentials of all neurons.
struct Input<'a> {
    x: &'a [f32],
    /// Empty for neurons at rest.
    v: Cow<'a, [f32]>,
    /// Number of neurons.
    n: usize,
}

impl Input<'_> {
    fn start(&self, rule: &NeuronDynamics, at: usize, v: &mut [f32]) {
        match self.v.get(at..at + v.len()) {
            Some(given) => v.copy_from_slice(given),
            None => v.fill(rule.rest),
        }
    }

    #[inline(always)]
    fn current(&self, t: usize, at: usize, width: usize) -> &[f32] {
        &self.x[t * self.n + at..][..width]
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn forward_block(
    rule: &NeuronDynamics,
    input: &Input<'_>,
    at: usize,
    spikes: &mut [&mut [f32]],
    last: &mut [&mut [f32]],
) {
    let width = spikes.first().map_or(0, |row| row.len());
    let (mut v, mut h) = ([0.0; BLOCK], [0.0; BLOCK]);
    let (v, h) = (&mut v[..width], &mut h[..width]);
    input.start(rule, at, v);
    for (t, spikes) in spikes.iter_mut().enumerate() {
        rule.charge(input.current(t, at, width), v, h);
        rule.fire(h, spikes);
        rule.reset(h, v);
    }
    for row in last {
        row.copy_from_slice(v);
    }
}

/// Fills `dx` and `dv`. Returns the block's part of the gradient of 1 / tau.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn backward_block(
    rule: &NeuronDynamics,
    input: &Input<'_>,
    grad: &[f32],
    at: usize,
    past: &mut [f32],
    dx: &mut [&mut [f32]],
    dv: &mut [f32],
) -> f64 {
    let (steps, width) = (dx.len(), dv.len());
    let (mut v, mut slope) = ([0.0; BLOCK], [0.0; BLOCK]);
    let (v, slope) = (&mut v[..width], &mut slope[..width]);
    input.start(rule, at, v);
    for t in 0..steps {
        let h = &mut past[t * width..][..width];
        rule.charge(input.current(t, at, width), v, h);
        rule.reset(h, v);
    }
    let row = |t: usize| {
        grad.get(t * input.n + at..)
            .and_then(|row| row.get(..width))
    };
    match row(steps) {
        Some(kept) => dv.copy_from_slice(kept),
        None => dv.fill(0.0),
    }
    let mut drate = 0.0;
    for (t, dx) in dx.iter_mut().enumerate().rev() {
        let h = &past[t * width..][..width];
        rule.surrogate.slope_at(h, rule.threshold, slope);
        rule.potential_gradient(row(t).unwrap_or_default(), h, slope, dv);
        if rule.learns() {
            match t.checked_sub(1) {
                Some(before) => rule.reset(&past[before * width..][..width], v),
                None => input.start(rule, at, v),
            }
            drate += rule.rate_gradient(dv, input.current(t, at, width), v);
        }
        rule.input_gradient(dv, dx);
    }
    drate
}

/// One time step of a neuron, in single precision. All slices have the length of the block.
#[derive(Clone, Copy, Debug)]
pub struct NeuronDynamics {
    charge: Charge,
    leak: Leak,
    /// Potential before the first step.
    pub rest: f32,
    /// Potential at which a neuron spikes.
    pub threshold: f32,
    reset: Option<f32>,
    detach_reset: bool,
    /// The surrogate gradient.
    pub surrogate: Surrogate,
}

/// How a value is divided by tau.
#[derive(Clone, Copy, Debug)]
enum Leak {
    Divide(f32),
    /// Multiplies by 1 / tau, which PLIF learns. This is much faster than a division, and gives
    /// the same number if tau is a power of two.
    Multiply(f32),
}

impl NeuronDynamics {
    /// Creates the dynamics of a layer with PLIF's weight `w`.
    pub fn new(neuron: &Neuron, w: Option<&FlexTensor>) -> Self {
        let weight = w.and_then(|w| values(w).first().copied()).unwrap_or(0.0);
        let leak = match neuron.charge {
            Charge::Leaky { tau, .. } => {
                let tau = tau as f32;
                match tau.to_bits().trailing_zeros() >= f32::MANTISSA_DIGITS - 1 {
                    true => Leak::Multiply(1.0 / tau),
                    false => Leak::Divide(tau),
                }
            }
            Charge::Learnt { .. } => Leak::Multiply(1.0 / (1.0 + (-weight).exp())),
            Charge::Integrate => Leak::Multiply(0.0),
        };
        Self {
            charge: neuron.charge,
            leak,
            rest: neuron.rest() as f32,
            threshold: neuron.threshold as f32,
            reset: neuron.reset.map(|reset| reset as f32),
            detach_reset: neuron.detach_reset,
            surrogate: neuron.surrogate,
        }
    }

    /// Whether the time constant is learnt.
    #[inline(always)]
    pub fn learns(&self) -> bool {
        matches!(self.charge, Charge::Learnt { .. })
    }

    #[inline(always)]
    fn decays_input(&self) -> bool {
        match self.charge {
            Charge::Leaky { decay_input, .. } | Charge::Learnt { decay_input, .. } => decay_input,
            Charge::Integrate => false,
        }
    }

    /// Computes h from the current x and the potential v.
    #[inline(always)]
    pub fn charge(&self, x: &[f32], v: &[f32], h: &mut [f32]) {
        let rest = self.rest;
        match (self.charge, self.decays_input(), self.leak) {
            (Charge::Integrate, ..) => map2(h, x, v, |x, v| v + x),
            (_, true, Leak::Divide(tau)) => map2(h, x, v, |x, v| v + (x - (v - rest)) / tau),
            (_, true, Leak::Multiply(rate)) => map2(h, x, v, |x, v| v + (x - (v - rest)) * rate),
            (_, false, Leak::Divide(tau)) => map2(h, x, v, |x, v| v - (v - rest) / tau + x),
            (_, false, Leak::Multiply(rate)) => map2(h, x, v, |x, v| v - (v - rest) * rate + x),
        }
    }

    /// Computes the spikes s, 0 or 1, from the potentials h.
    #[inline(always)]
    pub fn fire(&self, h: &[f32], s: &mut [f32]) {
        let threshold = self.threshold;
        map(s, h, |h| if h >= threshold { 1.0 } else { 0.0 });
    }

    /// Computes v after the reset from h.
    #[inline(always)]
    pub fn reset(&self, h: &[f32], v: &mut [f32]) {
        let threshold = self.threshold;
        match self.reset {
            Some(reset) => map(v, h, |h| if h >= threshold { reset } else { h }),
            None => map(v, h, |h| if h >= threshold { h - threshold } else { h }),
        }
    }

    /// Replaces the gradient of v in `dv` by the gradient of h.
    #[inline(always)]
    pub fn potential_gradient(&self, ds: &[f32], h: &[f32], slope: &[f32], dv: &mut [f32]) {
        #[inline(always)]
        fn each(
            dv: &mut [f32],
            ds: &[f32],
            h: &[f32],
            slope: &[f32],
            f: impl Fn(f32, f32, f32) -> f32,
        ) {
            for (((dv, &ds), &h), &slope) in dv.iter_mut().zip(ds).zip(h).zip(slope) {
                *dv = ds * slope + f(*dv, h, slope);
            }
        }
        let threshold = self.threshold;
        match (self.reset, self.detach_reset) {
            (Some(_), true) => each(
                dv,
                ds,
                h,
                slope,
                |dv, h, _| {
                    if h >= threshold { 0.0 } else { dv }
                },
            ),
            (Some(reset), false) => each(dv, ds, h, slope, |dv, h, slope| {
                let kept = if h >= threshold { 0.0 } else { 1.0 };
                dv * (kept + (reset - h) * slope)
            }),
            (None, true) => each(dv, ds, h, slope, |dv, _, _| dv),
            (None, false) => each(dv, ds, h, slope, |dv, _, slope| {
                dv * (1.0 - threshold * slope)
            }),
        }
    }

    /// Computes the gradient of x from the gradient of h. Replaces the latter in `dh` by the
    /// gradient of v at the previous step.
    #[inline(always)]
    pub fn input_gradient(&self, dh: &mut [f32], dx: &mut [f32]) {
        #[inline(always)]
        fn each(dh: &mut [f32], dx: &mut [f32], decay_input: bool, decayed: impl Fn(f32) -> f32) {
            if decay_input {
                for (dh, dx) in dh.iter_mut().zip(dx) {
                    *dx = decayed(*dh);
                    *dh -= *dx;
                }
            } else {
                for (dh, dx) in dh.iter_mut().zip(dx) {
                    *dx = *dh;
                    *dh -= decayed(*dh);
                }
            }
        }
        match (self.charge, self.leak) {
            (Charge::Integrate, _) => dx.copy_from_slice(dh),
            (_, Leak::Divide(tau)) => each(dh, dx, self.decays_input(), |dh| dh / tau),
            (_, Leak::Multiply(rate)) => each(dh, dx, self.decays_input(), |dh| dh * rate),
        }
    }

    /// Returns this step's part of the gradient of 1 / tau, from the gradient of h, the current x
    /// and the potential v of the previous step. Overwrites `v`.
    #[inline(always)]
    pub fn rate_gradient(&self, dh: &[f32], x: &[f32], v: &mut [f32]) -> f64 {
        let rest = self.rest;
        match self.decays_input() {
            true => {
                for (v, &x) in v.iter_mut().zip(x) {
                    *v = x - (*v - rest);
                }
            }
            false => {
                for v in v.iter_mut() {
                    *v = rest - *v;
                }
            }
        }
        sum2(dh, v, |dh, factor| dh * factor)
    }

    /// Returns the gradient of w from that of 1 / tau = sigmoid(w).
    pub fn weight_gradient(&self, drate: f64) -> f32 {
        let rate = match self.leak {
            Leak::Multiply(rate) => f64::from(rate),
            Leak::Divide(tau) => 1.0 / f64::from(tau),
        };
        (drate * rate * (1.0 - rate)) as f32
    }
}
