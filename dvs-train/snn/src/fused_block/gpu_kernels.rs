//! Kernels of fused batch norm, neurons and pooling on the CubeCL backends.
//!
//! A thread has the four neurons of one window of 2 x 2, of one vector of N channels, at all time steps. The
//! convolution's output is `[T, B, H, W, C]` in memory, the pooled spikes are `[T, B, H / 2, W / 2, C]`.

use cubecl::prelude::*;

use crate::backend::gpu::{place, put_sum};
use crate::batch_norm::gpu_kernels::Slope;
use crate::neuron::gpu_dynamics::{KernelConfig, KernelParams, NeuronDynamics};

/// Most steps whose loops are unrolled, and that the backward pass takes.
pub const MOST_STEPS: usize = 32;

/// What windows there are.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Windows {
    /// Windows of all samples, at one step.
    pub number: usize,
    /// Windows side by side in an image.
    pub wide: usize,
    /// Vectors of channels.
    pub columns: usize,
}

/// A window and a vector of channels.
#[derive(CubeType, Clone, Copy)]
struct Window {
    /// Of its first cell, at the first step.
    first: usize,
    /// From a cell to the one below.
    down: usize,
    /// From a cell to the one on the right.
    right: usize,
    /// From a step to the next.
    step: usize,
    /// Of its pooled spikes, at the first step.
    pooled: usize,
    /// From a step's to the next.
    pooled_step: usize,
}

#[cube]
impl Window {
    fn new(windows: &Windows, number: usize, column: usize) -> Self {
        let columns = windows.columns;
        let down = 2 * windows.wide * columns;
        let row = number / windows.wide;
        let place = number % windows.wide;
        let pooled_step = windows.number * columns;
        Window {
            first: 2 * row * down + 2 * place * columns + column,
            down,
            right: columns,
            step: 4 * pooled_step,
            pooled: number * columns + column,
            pooled_step,
        }
    }

    /// Of its cells in reading order, at step `t`.
    fn cell(&self, t: usize, #[comptime] cell: usize) -> usize {
        let top = self.first + t * self.step;
        let left = if comptime![cell >= 2] {
            top + self.down
        } else {
            top
        };
        if comptime![cell % 2 == 1] {
            left + self.right
        } else {
            left
        }
    }
}

/// Batch norm of a vector of channels.
#[derive(CubeType, Clone, Copy)]
struct Norm<N: Size> {
    scale: Vector<f32, N>,
    shift: Vector<f32, N>,
}

#[cube]
impl<N: Size> Norm<N> {
    fn current(&self, x: Vector<f32, N>) -> Vector<f32, N> {
        x * self.scale + self.shift
    }
}

/// Pooled spikes; and, where they are to be counted, each neuron's at all steps, `[B, H, W, C]`.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn forward_kernel<F: Float, N: Size>(
    x: &Array<Vector<F, N>>,
    scale: &Array<Vector<f32, N>>,
    shift: &Array<Vector<f32, N>>,
    rate: &ComptimeOption<Array<f32>>,
    out: &mut Array<Vector<F, N>>,
    counts: &mut Array<Vector<f32, N>>,
    windows: &Windows,
    numbers: &KernelParams,
    #[comptime] count: bool,
    #[comptime] steps: usize,
    #[comptime] form: KernelConfig,
    #[define(F)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= windows.number * windows.columns {
        terminate!();
    }
    let column = at % windows.columns;
    let window = Window::new(windows, at / windows.columns, column);
    let rule = NeuronDynamics::<N>::new(rate, numbers, form);
    let norm = Norm::<N> {
        scale: scale[column],
        shift: shift[column],
    };
    let mut v = Array::<Vector<f32, N>>::new(4usize);
    let mut spikes = Array::<Vector<f32, N>>::new(4usize);
    #[unroll]
    for cell in 0..4usize {
        v[cell] = rule.rest;
        spikes[cell] = Vector::new(0.0f32);
    }
    #[unroll(steps <= MOST_STEPS)]
    for t in 0..steps {
        let mut fired = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for cell in 0..4usize {
            let x = Vector::cast_from(x[window.cell(t, cell)]);
            let h = rule.charge(norm.current(x), v[cell]);
            let s = rule.fire(h);
            if comptime![count] {
                spikes[cell] += s;
            }
            fired = max(fired, s);
            v[cell] = rule.reset(h);
        }
        out[window.pooled + t * window.pooled_step] = Vector::cast_from(fired);
    }
    if comptime![count] {
        #[unroll]
        for cell in 0..4usize {
            counts[window.cell(0usize, cell)] = spikes[cell];
        }
    }
}

/// Sums of dy, of dy (x - mean) and of the gradient of 1 / tau over the windows that a cube has, `[parts, 3, C]`.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn sums_kernel<F: Float, N: Size>(
    grad: &Array<Vector<F, N>>,
    x: &Array<Vector<F, N>>,
    scale: &Array<Vector<f32, N>>,
    shift: &Array<Vector<f32, N>>,
    mean: &Array<Vector<f32, N>>,
    rate: &ComptimeOption<Array<f32>>,
    parts: &mut Array<Vector<f32, N>>,
    windows: &Windows,
    numbers: &KernelParams,
    #[comptime] lanes: u32,
    #[comptime] steps: usize,
    #[comptime] form: KernelConfig,
    #[define(F)] _dtype: StorageType,
) {
    let place = place(lanes);
    let rule = NeuronDynamics::<N>::new(rate, numbers, form);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut centred = Vector::<f32, N>::new(0.0f32);
    let mut drate = Vector::<f32, N>::new(0.0f32);
    if place.column < windows.columns {
        let norm = Norm::<N> {
            scale: scale[place.column],
            shift: shift[place.column],
        };
        let mean = mean[place.column];
        let mut number = place.row;
        while number < windows.number {
            let window = Window::new(windows, number, place.column);
            let mut dy = Array::<Vector<f32, N>>::new(comptime![4 * steps]);
            drate += gradients(grad, x, &window, &norm, &rule, &mut dy, steps, form);
            #[unroll]
            for t in 0..steps {
                #[unroll]
                for cell in 0..4usize {
                    let d = dy[4 * t + cell];
                    sum += d;
                    centred += d * (Vector::cast_from(x[window.cell(t, cell)]) - mean);
                }
            }
            number += place.step;
        }
    }
    put_sum(parts, sum, &place, windows.columns, 0usize, 3usize, lanes);
    put_sum(
        parts,
        centred,
        &place,
        windows.columns,
        1usize,
        3usize,
        lanes,
    );
    put_sum(parts, drate, &place, windows.columns, 2usize, 3usize, lanes);
}

/// dx, from the sums of dy and of dy (x - mean) over all windows.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn input_gradient_kernel<F: Float, N: Size>(
    grad: &Array<Vector<F, N>>,
    x: &Array<Vector<F, N>>,
    scale: &Array<Vector<f32, N>>,
    shift: &Array<Vector<f32, N>>,
    gamma: &Array<Vector<f32, N>>,
    mean: &Array<Vector<f32, N>>,
    inverse: &Array<Vector<f32, N>>,
    sums: &Array<Vector<f32, N>>,
    rate: &ComptimeOption<Array<f32>>,
    dx: &mut Array<Vector<F, N>>,
    windows: &Windows,
    numbers: &KernelParams,
    share: f32,
    #[comptime] steps: usize,
    #[comptime] form: KernelConfig,
    #[define(F)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= windows.number * windows.columns {
        terminate!();
    }
    let column = at % windows.columns;
    let window = Window::new(windows, at / windows.columns, column);
    let rule = NeuronDynamics::<N>::new(rate, numbers, form);
    let norm = Norm::<N> {
        scale: scale[column],
        shift: shift[column],
    };
    let slope = Slope::<N>::new(gamma, mean, inverse, sums, column, windows.columns, share);
    let mut dy = Array::<Vector<f32, N>>::new(comptime![4 * steps]);
    gradients(grad, x, &window, &norm, &rule, &mut dy, steps, form);
    #[unroll]
    for t in 0..steps {
        #[unroll]
        for cell in 0..4usize {
            let at = window.cell(t, cell);
            let d = slope.dx(dy[4 * t + cell], Vector::cast_from(x[at]));
            dx[at] = Vector::cast_from(d);
        }
    }
}

/// Fills `dy` with the gradient of what is normalised, at each step of each cell in turn; returns that of 1 / tau.
#[cube]
fn gradients<F: Float, N: Size>(
    grad: &Array<Vector<F, N>>,
    x: &Array<Vector<F, N>>,
    window: &Window,
    norm: &Norm<N>,
    rule: &NeuronDynamics<N>,
    dy: &mut Array<Vector<f32, N>>,
    #[comptime] steps: usize,
    #[comptime] form: KernelConfig,
) -> Vector<f32, N> {
    // First the potentials, whose places the gradients take on the way back.
    let mut v = Array::<Vector<f32, N>>::new(4usize);
    #[unroll]
    for cell in 0..4usize {
        v[cell] = rule.rest;
    }
    #[unroll]
    for t in 0..steps {
        #[unroll]
        for cell in 0..4usize {
            let x = Vector::cast_from(x[window.cell(t, cell)]);
            let h = rule.charge(norm.current(x), v[cell]);
            dy[4 * t + cell] = h;
            v[cell] = rule.reset(h);
        }
    }
    let one = Vector::<f32, N>::new(1.0f32);
    let mut dv = Array::<Vector<f32, N>>::new(4usize);
    let mut shares = Array::<Vector<f32, N>>::new(4usize);
    #[unroll]
    for cell in 0..4usize {
        dv[cell] = Vector::new(0.0f32);
    }
    let mut drate = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for back in 0..steps {
        let t = comptime![steps - 1 - back];
        // The pooled gradient goes to the first cell that spiked, as in PyTorch; to the first of all where none did.
        let mut first = one;
        let mut free = one - rule.fire(dy[4 * t]);
        #[unroll]
        for cell in 1..4usize {
            let s = rule.fire(dy[4 * t + cell]);
            shares[cell] = free * s;
            first -= free * s;
            free *= one - s;
        }
        shares[0] = first;
        let pooled = Vector::<f32, N>::cast_from(grad[window.pooled + t * window.pooled_step]);
        #[unroll]
        for cell in 0..4usize {
            let dh = rule.potential_gradient(pooled * shares[cell], dy[4 * t + cell], dv[cell]);
            if form.learns {
                let x = Vector::cast_from(x[window.cell(t, cell)]);
                let before = if comptime![t > 0] {
                    rule.reset(dy[4 * comptime![t - 1] + cell])
                } else {
                    rule.rest
                };
                drate += rule.rate_gradient(dh, norm.current(x), before);
            }
            dy[4 * t + cell] = rule.input_gradient(dh);
            dv[cell] = rule.past_gradient(dh);
        }
    }
    drate
}
