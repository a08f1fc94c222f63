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

/// Fills `dy` with the gradient of the normalised values of the four cells at each time step.
/// Returns the gradient of 1 / tau.
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
    // `dy` holds the potentials until the backward loop replaces them by gradients.
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
        // The pooled gradient goes to the first cell that spiked, as in PyTorch, or to the first
        // cell if none did.
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
