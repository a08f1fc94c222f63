//! Kernels of fused batch norm, neurons and pooling on the CubeCL backends.
//!
//! In the forward pass a thread computes the neurons of one window for one vector of N channels, at
//! all time steps. In the backward pass it computes one of them, because it keeps the current and
//! the potential of every step in registers, so that it reads each current once. The four threads
//! of a 2 x 2 window tell each other when they spiked.
//!
//! In memory, the convolution's output is `[T, B, H, W, C]`. The block's spikes are
//! `[T, B, H / 2, W / 2, C]` if they are pooled, and otherwise `[T, B, H, W, C]`.

use cubecl::prelude::*;

use super::MOST_STEPS;
use super::gpu_windows::{Cell, Tiling, Window, Windows};
use crate::backend::gpu::{Threads, place, put_sum};
use crate::batch_norm::gpu_kernels::Slope;
use crate::neuron::gpu_dynamics::{KernelConfig, KernelParams, NeuronDynamics};

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

/// Returns the potential before the first step of the neuron with index `at`.
#[cube]
fn first_potential<N: Size>(
    rule: &NeuronDynamics<N>,
    start: &ComptimeOption<Array<Vector<f32, N>>>,
    at: usize,
) -> Vector<f32, N> {
    #[comptime]
    match start {
        ComptimeOption::Some(start) => start[at],
        ComptimeOption::None => rule.rest,
    }
}

/// Computes the block's spikes. Also computes each neuron's spikes over all time steps, `counts`, and
/// its potential after the last step, `last`, if they are there. They and the potentials `start`
/// before the first step are `[B, H, W, C]`.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn forward_kernel<F: Float, N: Size>(
    x: &Array<Vector<F, N>>,
    scale: &Array<Vector<f32, N>>,
    shift: &Array<Vector<f32, N>>,
    w: &ComptimeOption<Array<f32>>,
    start: &ComptimeOption<Array<Vector<f32, N>>>,
    out: &mut Array<Vector<F, N>>,
    counts: &mut ComptimeOption<Array<Vector<f32, N>>>,
    last: &mut ComptimeOption<Array<Vector<f32, N>>>,
    windows: &Windows,
    numbers: &KernelParams,
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
    let rule = NeuronDynamics::<N>::new(w, numbers, form);
    let norm = Norm::<N> {
        scale: scale[column],
        shift: shift[column],
    };
    let cells = comptime![windows.tiling.cells()];
    let mut v = Array::<Vector<f32, N>>::new(cells);
    let mut spikes = Array::<Vector<f32, N>>::new(cells);
    #[unroll]
    for cell in 0..cells {
        v[cell] = first_potential(&rule, start, window.cell(0usize, cell));
        spikes[cell] = Vector::new(0.0f32);
    }
    // A longer loop would take longer to compile than it saves.
    #[unroll(steps <= MOST_STEPS)]
    for t in 0..steps {
        let mut fired = Vector::<f32, N>::new(0.0f32);
        #[unroll]
        for cell in 0..cells {
            let x = Vector::cast_from(x[window.cell(t, cell)]);
            let h = rule.charge(norm.current(x), v[cell]);
            let s = rule.fire(h);
            spikes[cell] += s;
            fired = max(fired, s);
            v[cell] = rule.reset(h);
        }
        if window.complete {
            out[window.output + t * window.output_step] = Vector::cast_from(fired);
        }
    }
    #[comptime]
    match counts {
        ComptimeOption::Some(counts) => {
            // Instead of a cell that it lacks, a window writes another cell's number once more.
            #[unroll]
            for cell in 0..cells {
                counts[window.cell(0usize, cell)] = spikes[cell];
            }
        }
        ComptimeOption::None => {}
    }
    #[comptime]
    match last {
        ComptimeOption::Some(last) => {
            // As with the counts.
            #[unroll]
            for cell in 0..cells {
                last[window.cell(0usize, cell)] = v[cell];
            }
        }
        ComptimeOption::None => {}
    }
}

/// What a neuron did in the forward pass.
#[derive(CubeType)]
struct Past<F: Float, N: Size> {
    /// Current at each time step, before batch norm.
    x: Array<Vector<F, N>>,
    /// Potential before the reset at each time step.
    h: Array<Vector<f32, N>>,
    /// Bit t is 1 if the neuron receives the gradient of its window's output at step t.
    receives: Vector<u32, N>,
}

/// Computes the forward pass of a cell. All threads of the cube call this together.
#[cube]
fn past<F: Float, N: Size>(
    x: &Array<Vector<F, N>>,
    start: &ComptimeOption<Array<Vector<f32, N>>>,
    cell: &Cell,
    norm: &Norm<N>,
    rule: &NeuronDynamics<N>,
    #[comptime] steps: usize,
    #[comptime] threads: Threads,
) -> Past<F, N> {
    let mut current = Array::<Vector<F, N>>::new(steps);
    let mut h = Array::<Vector<f32, N>>::new(steps);
    let mut spikes = Vector::<u32, N>::new(0u32);
    if cell.inside {
        let mut v = first_potential(rule, start, cell.first);
        #[unroll]
        for t in 0..steps {
            let x = x[cell.first + t * cell.step];
            let charged = rule.charge(norm.current(Vector::cast_from(x)), v);
            current[t] = x;
            h[t] = charged;
            spikes |= rule.fire_bit(charged, comptime![1u32 << t]);
            v = rule.reset(charged);
        }
    }
    let receives = if comptime![cell.tiling == Tiling::Cells] {
        // Each neuron has an output of its own.
        Vector::new(u32::MAX)
    } else {
        receives(spikes, threads)
    };
    Past::<F, N> {
        x: current,
        h,
        receives,
    }
}

/// Returns the steps at which a cell receives the gradient of the pooled spike, from those at which
/// it spiked. The gradient goes to the first cell that spiked, as in PyTorch, or to the first cell
/// if none did.
#[cube]
fn receives<N: Size>(spikes: Vector<u32, N>, #[comptime] threads: Threads) -> Vector<u32, N> {
    let mut shared = SharedMemory::<Vector<u32, N>>::new(comptime![threads.units as usize]);
    let lanes = comptime![threads.lanes as usize];
    let unit = UNIT_POS as usize;
    shared[unit] = spikes;
    sync_cube();
    let cell = unit / lanes % 4;
    let window = unit - cell * lanes;
    let mut earlier = Vector::<u32, N>::new(0u32);
    let mut later = Vector::<u32, N>::new(0u32);
    #[unroll]
    for other in 0..4usize {
        let spikes = shared[window + other * lanes];
        if other < cell {
            earlier |= spikes;
        } else if other > cell {
            later |= spikes;
        }
    }
    // Before the next call writes to the shared memory.
    sync_cube();
    let all = Vector::<u32, N>::new(u32::MAX);
    let mut receives = spikes & (earlier ^ all);
    if cell == 0 {
        receives |= later ^ all;
    }
    receives
}

#[cube]
impl<F: Float, N: Size> Past<F, N> {
    /// Returns the gradient of the potential of step `t` from that of the window's output. `dv` is
    /// the gradient of the potential after the step, and becomes that of the one before it.
    fn step_back(
        &self,
        gradient: Vector<f32, N>,
        dv: &mut Vector<f32, N>,
        rule: &NeuronDynamics<N>,
        #[comptime] t: usize,
    ) -> Vector<f32, N> {
        let bit = Vector::<u32, N>::new(comptime![1u32 << t]);
        let zero = Vector::<u32, N>::new(0u32);
        let receives = (self.receives & bit).not_equal(zero);
        let ds = select_many(receives, gradient, Vector::new(0.0f32));
        let dh = rule.potential_gradient(ds, self.h[t], *dv);
        *dv = rule.past_gradient(dh);
        dh
    }
}

/// Sums dy and dy (x - mean) over each cube's cells, `[parts, 2, C]`. If 1 / tau is learnt, also
/// sums its gradient, `[parts, 3, C]`.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn sums_kernel<F: Float, N: Size>(
    grad: &Array<Vector<F, N>>,
    x: &Array<Vector<F, N>>,
    scale: &Array<Vector<f32, N>>,
    shift: &Array<Vector<f32, N>>,
    mean: &Array<Vector<f32, N>>,
    w: &ComptimeOption<Array<f32>>,
    start: &ComptimeOption<Array<Vector<f32, N>>>,
    parts: &mut Array<Vector<f32, N>>,
    windows: &Windows,
    numbers: &KernelParams,
    #[comptime] threads: Threads,
    #[comptime] steps: usize,
    #[comptime] form: KernelConfig,
    #[define(F)] _dtype: StorageType,
) {
    let place = place(threads);
    let column = min(place.column, windows.columns - 1);
    let rule = NeuronDynamics::<N>::new(w, numbers, form);
    let norm = Norm::<N> {
        scale: scale[column],
        shift: shift[column],
    };
    let mean = mean[column];
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut centred = Vector::<f32, N>::new(0.0f32);
    let mut drate = Vector::<f32, N>::new(0.0f32);
    let mut row = place.row;
    // A cube's threads stay together, because those of a window wait for each other.
    let mut first = (CUBE_POS_Y * comptime![threads.rows()]) as usize;
    while first < windows.cells() {
        let cell = Cell::new(windows, row, place.column);
        let past = past(x, start, &cell, &norm, &rule, steps, threads);
        if cell.inside {
            let mut dv = Vector::<f32, N>::new(0.0f32);
            #[unroll]
            for back in 0..steps {
                let t = comptime![steps - 1 - back];
                let dh = past.step_back(cell.gradient(grad, t), &mut dv, &rule, t);
                let x = Vector::<f32, N>::cast_from(past.x[t]);
                if form.learns {
                    let before = if comptime![t > 0] {
                        rule.reset(past.h[comptime![t - 1]])
                    } else {
                        first_potential(&rule, start, cell.first)
                    };
                    drate += rule.rate_gradient(dh, norm.current(x), before);
                }
                let d = rule.input_gradient(dh);
                sum += d;
                centred += d * (x - mean);
            }
        }
        row += place.step;
        first += place.step;
    }
    let (columns, each) = (
        windows.columns,
        comptime![if form.learns { 3usize } else { 2usize }],
    );
    put_sum(parts, sum, &place, columns, 0usize, each, threads);
    put_sum(parts, centred, &place, columns, 1usize, each, threads);
    if form.learns {
        put_sum(parts, drate, &place, columns, 2usize, each, threads);
    }
}

/// Computes dx from the sums of dy and of dy (x - mean) over all windows. dx may be x.
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
    w: &ComptimeOption<Array<f32>>,
    start: &ComptimeOption<Array<Vector<f32, N>>>,
    dx: &mut Array<Vector<F, N>>,
    windows: &Windows,
    numbers: &KernelParams,
    share: f32,
    #[comptime] threads: Threads,
    #[comptime] steps: usize,
    #[comptime] form: KernelConfig,
    #[define(F)] _dtype: StorageType,
) {
    let place = place(threads);
    let column = min(place.column, windows.columns - 1);
    let rule = NeuronDynamics::<N>::new(w, numbers, form);
    let norm = Norm::<N> {
        scale: scale[column],
        shift: shift[column],
    };
    let slope = Slope::<N>::new(gamma, mean, inverse, sums, column, windows.columns, share);
    let mut row = place.row;
    let mut first = (CUBE_POS_Y * comptime![threads.rows()]) as usize;
    while first < windows.cells() {
        let cell = Cell::new(windows, row, place.column);
        let past = past(x, start, &cell, &norm, &rule, steps, threads);
        if cell.inside {
            let mut dv = Vector::<f32, N>::new(0.0f32);
            #[unroll]
            for back in 0..steps {
                let t = comptime![steps - 1 - back];
                let dh = past.step_back(cell.gradient(grad, t), &mut dv, &rule, t);
                let d = slope.dx(rule.input_gradient(dh), Vector::cast_from(past.x[t]));
                dx[cell.first + t * cell.step] = Vector::cast_from(d);
            }
        }
        row += place.step;
        first += place.step;
    }
}
