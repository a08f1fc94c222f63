//! Kernels of fused batch norm, neurons and pooling on the CubeCL backends.
//!
//! A thread computes the four neurons of one 2 x 2 window for one vector of N channels, at all time
//! steps. In memory, the convolution's output is `[T, B, H, W, C]` and the pooled spikes are
//! `[T, B, H / 2, W / 2, C]`.

use cubecl::prelude::*;

use crate::backend::gpu::{place, put_sum};
use crate::batch_norm::gpu_kernels::Slope;
use crate::neuron::gpu_dynamics::{KernelConfig, KernelParams, NeuronDynamics};

/// Most time steps for which loops are unrolled. The backward kernels support no more.
pub const MOST_STEPS: usize = 32;

/// Numbers of windows and of vectors of channels.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Windows {
    /// Windows of all samples at one time step.
    pub number: usize,
    /// Windows side by side in an image.
    pub wide: usize,
    /// Vectors of channels.
    pub columns: usize,
}

/// Memory indices of a window and a vector of channels.
#[derive(CubeType, Clone, Copy)]
struct Window {
    /// First cell at the first time step.
    first: usize,
    /// Distance to the cell below.
    down: usize,
    /// Distance to the cell on the right.
    right: usize,
    /// Distance to the next time step.
    step: usize,
    /// Pooled spikes at the first time step.
    pooled: usize,
    /// Distance to the pooled spikes of the next time step.
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

    /// Returns the index of a cell at step `t`. Cells are numbered in reading order.
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

/// Computes the pooled spikes. If `count` is set, also computes each neuron's spikes over all time
/// steps, `[B, H, W, C]`.
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

/// Sums dy, dy (x - mean) and the gradient of 1 / tau over each cube's windows, `[parts, 3, C]`.
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
            let h = potentials(x, &window, &norm, &rule, steps);
            let mut dv = zeros::<N>();
            #[unroll]
            for back in 0..steps {
                let t = comptime![steps - 1 - back];
                let pooled = Vector::cast_from(grad[window.pooled + t * window.pooled_step]);
                let dh = step_back(pooled, &h, &mut dv, &rule, t);
                #[unroll]
                for cell in 0..4usize {
                    let x = Vector::<f32, N>::cast_from(x[window.cell(t, cell)]);
                    if form.learns {
                        let before = if comptime![t > 0] {
                            rule.reset(h[4 * comptime![t - 1] + cell])
                        } else {
                            rule.rest
                        };
                        drate += rule.rate_gradient(dh[cell], norm.current(x), before);
                    }
                    let d = rule.input_gradient(dh[cell]);
                    sum += d;
                    centred += d * (x - mean);
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

/// Computes dx from the sums of dy and of dy (x - mean) over all windows.
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
    let h = potentials(x, &window, &norm, &rule, steps);
    let mut dv = zeros::<N>();
    #[unroll]
    for back in 0..steps {
        let t = comptime![steps - 1 - back];
        let pooled = Vector::cast_from(grad[window.pooled + t * window.pooled_step]);
        let dh = step_back(pooled, &h, &mut dv, &rule, t);
        #[unroll]
        for cell in 0..4usize {
            let at = window.cell(t, cell);
            let d = slope.dx(rule.input_gradient(dh[cell]), Vector::cast_from(x[at]));
            dx[at] = Vector::cast_from(d);
        }
    }
}

/// Returns zero for each of the four cells.
#[cube]
fn zeros<N: Size>() -> Array<Vector<f32, N>> {
    let mut zeros = Array::<Vector<f32, N>>::new(4usize);
    #[unroll]
    for cell in 0..4usize {
        zeros[cell] = Vector::new(0.0f32);
    }
    zeros
}

/// Returns the potentials before the reset of the four cells at each time step.
#[cube]
fn potentials<F: Float, N: Size>(
    x: &Array<Vector<F, N>>,
    window: &Window,
    norm: &Norm<N>,
    rule: &NeuronDynamics<N>,
    #[comptime] steps: usize,
) -> Array<Vector<f32, N>> {
    let mut h = Array::<Vector<f32, N>>::new(comptime![4 * steps]);
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
            let charged = rule.charge(norm.current(x), v[cell]);
            h[4 * t + cell] = charged;
            v[cell] = rule.reset(charged);
        }
    }
    h
}

/// Returns the gradients of the four potentials of step `t` from that of the pooled spike. `dv` are
/// the gradients of the potentials after the step, and become those before it.
#[cube]
fn step_back<N: Size>(
    pooled: Vector<f32, N>,
    h: &Array<Vector<f32, N>>,
    dv: &mut Array<Vector<f32, N>>,
    rule: &NeuronDynamics<N>,
    #[comptime] t: usize,
) -> Array<Vector<f32, N>> {
    let one = Vector::<f32, N>::new(1.0f32);
    // The pooled gradient goes to the first cell that spiked, as in PyTorch, or to the first cell if
    // none did.
    let mut shares = Array::<Vector<f32, N>>::new(4usize);
    let mut first = one;
    let mut free = one - rule.fire(h[4 * t]);
    #[unroll]
    for cell in 1..4usize {
        let s = rule.fire(h[4 * t + cell]);
        shares[cell] = free * s;
        first -= free * s;
        free *= one - s;
    }
    shares[0] = first;
    let mut dh = Array::<Vector<f32, N>>::new(4usize);
    #[unroll]
    for cell in 0..4usize {
        let d = rule.potential_gradient(pooled * shares[cell], h[4 * t + cell], dv[cell]);
        dh[cell] = d;
        dv[cell] = rule.past_gradient(d);
    }
    dh
}
