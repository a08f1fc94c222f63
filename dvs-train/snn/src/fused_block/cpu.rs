//! Batch norm, neurons and max pooling on the CPU, in one pass over the convolution's output.
//!
//! Threads divide the planes. A plane is the cells of one sample and channel over all time steps. A
//! thread computes a few rows of cells at a time, so that intermediate values never leave the
//! cache.

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use burn::tensor::TensorData;
use multiversion::multiversion;
use rayon::prelude::*;

use super::{BlockInputs, FusedBlock};
use crate::backend::cpu::{columns, dims, elements, map, tensor, values, zeros};
use crate::batch_norm::Saved;
use crate::batch_norm::cpu::{Slope, Sums};
use crate::neuron::Neuron;
use crate::neuron::cpu::NeuronDynamics;

/// Approximate number of cells that are computed at a time.
const CELLS: usize = 1024;

/// Returns the spikes, pooled if the block pools, of neurons whose current is the normalised x.
pub fn forward(inputs: &BlockInputs<FlexTensor>, block: &FusedBlock) -> FlexTensor {
    forward_into(inputs, block, Wanted::default())
}

/// Like [`forward`]. Also returns the potentials after the last step, `[1, B * C * H * W]`.
pub fn forward_from(
    inputs: &BlockInputs<FlexTensor>,
    block: &FusedBlock,
) -> (FlexTensor, FlexTensor) {
    let neurons = block.neurons();
    let mut last = zeros(neurons);
    let wanted = Wanted {
        last: Some(&mut last),
        ..Wanted::default()
    };
    let out = forward_into(inputs, block, wanted);
    (out, tensor(last, [1, neurons]))
}

/// Like [`forward`]. Also returns each neuron's spikes, summed over time steps and samples.
pub fn forward_count(
    inputs: &BlockInputs<FlexTensor>,
    block: &FusedBlock,
) -> (FlexTensor, FlexTensor) {
    let [n, c, height, width] = block.shape;
    let neurons = c * height * width;
    let mut counts = vec![0.0; n / block.steps * neurons];
    let wanted = Wanted {
        counts: Some(&mut counts),
        ..Wanted::default()
    };
    let out = forward_into(inputs, block, wanted);
    let (sum, samples) = counts.split_at_mut(neurons);
    for sample in samples.chunks_exact(neurons) {
        sum.iter_mut().zip(sample).for_each(|(sum, n)| *sum += n);
    }
    counts.truncate(neurons);
    (out, tensor(counts, [neurons]))
}

/// What the forward pass writes besides the spikes. Each slice has a value for each neuron of each
/// sample, in the order of samples, channels and cells.
#[derive(Default)]
struct Wanted<'a> {
    /// The neuron's spikes are added to it.
    counts: Option<&'a mut [f32]>,
    /// The potential after the last step.
    last: Option<&'a mut [f32]>,
}

impl<'a> Wanted<'a> {
    /// Divides the slices into planes of a number of cells.
    fn planes(self, planes: usize, cells: usize) -> Vec<Self> {
        let divided = |whole: Option<&'a mut [f32]>| {
            let mut parts = whole.map(|whole| whole.chunks_exact_mut(cells));
            move || parts.as_mut()?.next()
        };
        let (mut counts, mut last) = (divided(self.counts), divided(self.last));
        let plane = |_| Self {
            counts: counts(),
            last: last(),
        };
        (0..planes).map(plane).collect()
    }
}

/// Returns the block's spikes, and writes what else is `wanted`.
fn forward_into(
    inputs: &BlockInputs<FlexTensor>,
    block: &FusedBlock,
    wanted: Wanted<'_>,
) -> FlexTensor {
    let (c, shape) = (block.shape[1], block.output_shape());
    let BlockInputs { x, affine, w, v } = inputs;
    let (x, scale, shift) = (values(x), values(&affine.scale), values(&affine.shift));
    let v = v.as_ref().map(values);
    let work = Work::new(&x, v.as_deref(), w.as_ref(), block);
    let mut out = zeros(shape.iter().product());
    columns(&mut out, work.planes * work.outputs, work.outputs)
        .into_par_iter()
        .zip(wanted.planes(work.planes, work.cells))
        .enumerate()
        .for_each_init(
            || Scratch::new(&work),
            |scratch, (at, (mut out, wanted))| {
                let plane = Plane {
                    at,
                    scale: scale[at % c],
                    shift: shift[at % c],
                };
                forward_plane(&work, &plane, scratch, &mut out, wanted);
            },
        );
    tensor(out, shape)
}

/// Returns the gradients of x, gamma, beta and w.
pub fn backward(
    grad: &FlexTensor,
    inputs: &BlockInputs<FlexTensor>,
    saved: &Saved<FlexTensor>,
    block: &FusedBlock,
) -> [Option<FlexTensor>; 4] {
    let [dx, dgamma, dbeta, share] = backward_of_channels(grad, inputs, saved, block);
    let share = share.zip(inputs.w.as_ref());
    let dw = share.map(|(share, w)| sum_shares(&[share], w, &block.neuron));
    [dx, dgamma, dbeta, dw]
}

/// Like [`backward`], for some channels of a block. Instead of the gradient of w, returns that of
/// 1 / tau of each plane, `[B, C]` in double precision.
pub fn backward_of_channels(
    grad: &FlexTensor,
    inputs: &BlockInputs<FlexTensor>,
    saved: &Saved<FlexTensor>,
    block: &FusedBlock,
) -> [Option<FlexTensor>; 4] {
    let [n, c, ..] = block.shape;
    let BlockInputs { x, affine, w, v } = inputs;
    let (grad, x, v) = (values(grad), values(x), v.as_ref().map(values));
    let (scale, shift, mean) = (
        values(&affine.scale),
        values(&affine.shift),
        values(&saved.mean),
    );
    let work = Work::new(&x, v.as_deref(), w.as_ref(), block);
    // `dx` holds the gradient of the normalised values until the sums over the batch are known.
    let mut dx = zeros(n * c * work.cells);
    let partial: Vec<(Sums, f64)> = columns(&mut dx, work.planes * work.cells, work.cells)
        .into_par_iter()
        .enumerate()
        .map_init(
            || Scratch::new(&work),
            |scratch, (at, mut dy)| {
                let plane = Plane {
                    at,
                    scale: scale[at % c],
                    shift: shift[at % c],
                };
                backward_plane(&work, &plane, mean[at % c], &grad, scratch, &mut dy)
            },
        )
        .collect();
    let (sums, drate): (Vec<Sums>, Vec<f64>) = partial.into_iter().unzip();
    let (slopes, [dgamma, dbeta]) = Slope::of(&sums, n * work.cells, saved);
    dx.par_chunks_mut(work.cells)
        .zip(x.par_chunks(work.cells))
        .enumerate()
        .for_each(|(at, (d, x))| slopes[at % c].apply_in_place(x, d));
    let share = || FlexTensor::from_data(TensorData::new(drate, [work.planes / c, c]));
    [
        Some(tensor(dx, block.shape)),
        Some(dgamma),
        Some(dbeta),
        w.as_ref().map(|_| share()),
    ]
}

/// Returns the gradient of w from the gradients of 1 / tau of all planes. They are added in the
/// order of samples and channels, however the channels were divided, so that the sum has the same
/// bits.
pub fn sum_shares(shares: &[FlexTensor], w: &FlexTensor, neuron: &Neuron) -> FlexTensor {
    let samples = shares.first().map_or(0, |share| dims::<2>(share)[0]);
    let shares = shares
        .iter()
        .map(|share| (elements::<f64>(share), dims::<2>(share)[1]));
    let shares: Vec<_> = shares.collect();
    let rates = (0..samples).flat_map(|sample| {
        let rows = shares.iter();
        rows.flat_map(move |(share, c)| &share[sample * c..(sample + 1) * c])
    });
    let rule = NeuronDynamics::new(neuron, Some(w));
    tensor(vec![rule.weight_gradient(rates.sum())], [1])
}

/// Values that all planes share.
struct Work<'a> {
    x: &'a [f32],
    /// Potentials before the first step; `None` if the neurons are at rest.
    v: Option<&'a [f32]>,
    rule: NeuronDynamics,
    steps: usize,
    /// Samples times channels.
    planes: usize,
    /// Cells of a plane at one time step.
    cells: usize,
    /// Outputs of a plane at one time step: the pooled spikes or, without pooling, all spikes.
    outputs: usize,
    width: usize,
    pool: bool,
    /// Number of cells that are computed together. If they are pooled, they are whole pairs of rows.
    group: usize,
}

impl<'a> Work<'a> {
    fn new(x: &'a [f32], v: Option<&'a [f32]>, w: Option<&FlexTensor>, block: &FusedBlock) -> Self {
        let [n, c, height, width] = block.shape;
        let [.., pooled_height, pooled_width] = block.output_shape();
        let cells = height * width;
        Self {
            x,
            v,
            rule: NeuronDynamics::new(&block.neuron, w),
            steps: block.steps,
            planes: n * c / block.steps,
            cells,
            outputs: pooled_height * pooled_width,
            width,
            pool: block.pool,
            group: match block.pool {
                true => (CELLS / (2 * width)).clamp(1, height.div_ceil(2)) * 2 * width,
                false => CELLS.min(cells),
            },
        }
    }

    /// Returns the groups of cells that are computed together. If the number of rows is odd, the last
    /// group ends with a row that is in no window.
    #[inline(always)]
    fn groups(&self) -> impl Iterator<Item = Range<usize>> {
        let group = |from| from..self.cells.min(from + self.group);
        (0..self.cells).step_by(self.group).map(group)
    }

    /// Returns the places of a group's outputs in its plane.
    #[inline(always)]
    fn places(&self, group: &Range<usize>) -> Range<usize> {
        let pooled = |cells: usize| cells / (2 * self.width) * (self.width / 2);
        match self.pool {
            true => pooled(group.start)..pooled(group.end),
            false => group.clone(),
        }
    }

    /// Sets `v` to the potentials of a group of cells of plane `at` before the first step.
    #[inline(always)]
    fn start(&self, at: usize, group: &Range<usize>, v: &mut [f32]) {
        match self.v {
            Some(given) => v.copy_from_slice(&given[at * self.cells..][group.clone()]),
            None => v.fill(self.rule.rest),
        }
    }

    /// Returns the values at some places of plane `at` at step `t`. Each plane has `size` values at
    /// each step.
    #[inline(always)]
    fn part<'b>(
        &self,
        of: &'b [f32],
        t: usize,
        at: usize,
        size: usize,
        places: &Range<usize>,
    ) -> &'b [f32] {
        &of[(t * self.planes + at) * size..][places.clone()]
    }
}

/// A plane and its batch norm.
struct Plane {
    at: usize,
    scale: f32,
    shift: f32,
}

impl Plane {
    #[inline(always)]
    fn normalise(&self, x: &[f32], y: &mut [f32]) {
        let (scale, shift) = (self.scale, self.shift);
        map(y, x, |x| x * scale + shift);
    }
}

/// Buffers for a group of cells.
struct Scratch {
    y: Vec<f32>,
    v: Vec<f32>,
    h: Vec<f32>,
    spikes: Vec<f32>,
    slope: Vec<f32>,
    /// h at all time steps.
    past: Vec<f32>,
}

impl Scratch {
    fn new(work: &Work<'_>) -> Self {
        let group = || vec![0.0; work.group];
        Self {
            y: group(),
            v: group(),
            h: group(),
            spikes: group(),
            slope: group(),
            past: vec![0.0; work.steps * work.group],
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn forward_plane(
    work: &Work<'_>,
    plane: &Plane,
    scratch: &mut Scratch,
    out: &mut [&mut [f32]],
    mut wanted: Wanted<'_>,
) {
    for group in work.groups() {
        let (size, places) = (group.len(), work.places(&group));
        let (y, v) = (&mut scratch.y[..size], &mut scratch.v[..size]);
        let (h, spikes) = (&mut scratch.h[..size], &mut scratch.spikes[..size]);
        work.start(plane.at, &group, v);
        for (t, out) in out.iter_mut().enumerate() {
            let out = &mut out[places.clone()];
            plane.normalise(work.part(work.x, t, plane.at, work.cells, &group), y);
            work.rule.charge(y, v, h);
            work.rule.reset(h, v);
            let spikes = match work.pool {
                true => {
                    work.rule.fire(h, spikes);
                    pool(spikes, work.width, out);
                    &*spikes
                }
                false => {
                    work.rule.fire(h, out);
                    &*out
                }
            };
            if let Some(counts) = &mut wanted.counts {
                let counts = &mut counts[group.clone()];
                counts.iter_mut().zip(spikes).for_each(|(n, s)| *n += s);
            }
        }
        if let Some(last) = &mut wanted.last {
            last[group].copy_from_slice(v);
        }
    }
}

/// Fills `dy` with the gradient of the normalised values. Returns its sums and the gradient of
/// 1 / tau.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn backward_plane(
    work: &Work<'_>,
    plane: &Plane,
    mean: f32,
    grad: &[f32],
    scratch: &mut Scratch,
    dy: &mut [&mut [f32]],
) -> (Sums, f64) {
    let (mut sums, mut drate) = (Sums::default(), 0.0);
    let rule = &work.rule;
    for group in work.groups() {
        let (size, places) = (group.len(), work.places(&group));
        let (y, v) = (&mut scratch.y[..size], &mut scratch.v[..size]);
        let (spikes, slope) = (&mut scratch.spikes[..size], &mut scratch.slope[..size]);
        let dv = &mut scratch.h[..size];
        work.start(plane.at, &group, v);
        for (t, h) in scratch.past.chunks_exact_mut(work.group).enumerate() {
            let h = &mut h[..size];
            plane.normalise(work.part(work.x, t, plane.at, work.cells, &group), y);
            rule.charge(y, v, h);
            rule.reset(h, v);
        }
        dv.fill(0.0);
        for (t, dy) in dy.iter_mut().enumerate().rev() {
            let h = |t: usize| &scratch.past[t * work.group..][..size];
            let x = work.part(work.x, t, plane.at, work.cells, &group);
            let dy = &mut dy[group.clone()];
            let mut ds = work.part(grad, t, plane.at, work.outputs, &places);
            if work.pool {
                rule.fire(h(t), spikes);
                unpool(ds, work.width, spikes);
                ds = &*spikes;
            }
            rule.surrogate.slope_at(h(t), rule.threshold, slope);
            rule.potential_gradient(ds, h(t), slope, dv);
            if rule.learns() {
                plane.normalise(x, y);
                match t.checked_sub(1) {
                    Some(before) => rule.reset(h(before), v),
                    None => work.start(plane.at, &group, v),
                }
                drate += rule.rate_gradient(dv, y, v);
            }
            rule.input_gradient(dv, dy);
            sums.add(dy, x, mean);
        }
    }
    (sums, drate)
}

/// Max pooling: whether any cell of a window of 2 x 2 spiked. An odd last row or column is in no
/// window.
#[inline(always)]
fn pool(spikes: &[f32], width: usize, out: &mut [f32]) {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let pairs = spikes.chunks_exact(2 * width);
    for (pair, out) in pairs.zip(out.chunks_exact_mut(width / 2)) {
        let (top, bottom) = pair.split_at(width);
        let (top, bottom) = (top.as_chunks::<2>().0, bottom.as_chunks::<2>().0);
        for ((out, [a, b]), [c, d]) in out.iter_mut().zip(top).zip(bottom) {
            *out = larger(larger(*a, *b), larger(*c, *d));
        }
    }
}

/// Replaces spikes by their gradient. Each window's gradient goes to the first cell that spiked, as
/// in PyTorch, or to the first cell if none did. An odd last row or column gets none.
#[inline(always)]
fn unpool(grad: &[f32], width: usize, spikes: &mut [f32]) {
    let mut pairs = spikes.chunks_exact_mut(2 * width);
    for (pair, grad) in pairs.by_ref().zip(grad.chunks_exact(width / 2)) {
        let (top, bottom) = pair.split_at_mut(width);
        let (top, top_rest) = top.as_chunks_mut::<2>();
        let (bottom, bottom_rest) = bottom.as_chunks_mut::<2>();
        if let ([a], [c]) = (top_rest, bottom_rest) {
            (*a, *c) = (0.0, 0.0);
        }
        for ((&grad, [a, b]), [c, d]) in grad.iter().zip(top).zip(bottom) {
            let second = (1.0 - *a) * *b;
            let none_above = (1.0 - *a) * (1.0 - *b);
            let third = none_above * *c;
            let fourth = none_above * (1.0 - *c) * *d;
            *a = grad * (1.0 - second - third - fourth);
            *b = grad * second;
            *c = grad * third;
            *d = grad * fourth;
        }
    }
    pairs.into_remainder().fill(0.0);
}
