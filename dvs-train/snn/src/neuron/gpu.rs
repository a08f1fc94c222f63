//! Neurons on the CubeCL backends: one forward and one backward kernel, each over all time steps.
//!
//! A thread computes a few neighbouring neurons and keeps their potentials in registers. The
//! forward kernel reads the current and writes the spikes, each once. The backward kernel reads the
//! current and the gradient of the spikes, and writes the gradient of the current.

use burn::tensor::DType;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::prelude::*;

use super::backend::{NeuronBackend, NeuronInputs};
use super::gpu_dynamics::{
    KernelConfig, KernelParams, NeuronDynamics, kernel_params, rate_gradient_kernel,
};
use super::model::Layer;
use crate::backend::gpu::{UNITS, cubes, dims, empty, single, width};
use crate::backend::primitive::{primitive, tensor};

/// Most time steps for which the backward pass keeps the potentials in registers. With more steps,
/// it keeps them in global memory.
const STEPS_IN_REGISTERS: usize = 32;
/// Most potentials that a thread of the backward pass keeps in registers.
const REGISTERS: usize = 64;

impl<R, F, I, BT> NeuronBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn neurons(inputs: NeuronInputs<FloatTensor<Self>>, layer: &Layer) -> FloatTensor<Self> {
        let NeuronInputs { x, v, w } = inputs;
        forward(x, v, w, layer)
    }

    fn neurons_backward(
        grad: FloatTensor<Self>,
        inputs: NeuronInputs<FloatTensor<Self>>,
        layer: &Layer,
    ) -> [Option<FloatTensor<Self>>; 3] {
        let NeuronInputs { x, v, w } = inputs;
        let given_v = v.is_some();
        let (dx, dv, drate) = backward(grad, x, v, w.clone(), layer);
        let dw = w
            .zip(drate)
            .map(|(w, drate)| weight_gradient::<Self, R>(drate, w));
        [Some(dx), given_v.then_some(dv), dw]
    }
}

/// Most values that one cube adds up.
const MOST_IN_A_CUBE: usize = 1 << 16;

/// Returns the gradient of PLIF's weight, `[1]`. The sum of `drate` is the gradient of 1 / tau.
pub fn weight_gradient<B, R>(drate: CubeTensor<R>, w: CubeTensor<R>) -> CubeTensor<R>
where
    B: Backend<FloatTensorPrimitive = CubeTensor<R>>,
    R: CubeRuntime,
{
    let drate = match drate.meta.num_elements() > MOST_IN_A_CUBE {
        true => primitive(tensor::<B, 1>(drate).sum()),
        false => drate,
    };
    let number = drate.meta.num_elements();
    let dw = empty(&drate, [1], DType::F32);
    // SAFETY: a thread reads values of drate only if they are below their number.
    unsafe {
        rate_gradient_kernel::launch_unchecked(
            &dw.client,
            CubeCount::Static(1, 1, 1),
            CubeDim::new_1d(UNITS),
            1,
            drate.into_array_arg(),
            single(w).into_array_arg(),
            dw.clone().into_array_arg(),
            number as u32,
        );
    }
    dw
}

/// Returns the spikes, with the last potentials as one more row if the layer keeps them.
fn forward<R: CubeRuntime>(
    x: CubeTensor<R>,
    v: Option<CubeTensor<R>>,
    w: Option<CubeTensor<R>>,
    layer: &Layer,
) -> CubeTensor<R> {
    let [steps, n] = dims(&x);
    let (x, v) = (into_contiguous(x), v.map(into_contiguous));
    let out = empty(&x, [steps + usize::from(layer.keep_potential), n], x.dtype);
    if steps * n == 0 {
        return out;
    }
    let width = width(&x, n, 8);
    let (count, dim) = cubes(&x, n / width);
    // SAFETY: a thread stops unless its index is below n / width. It accesses one vector in each
    // row of x, v and out, and their shapes have these rows.
    unsafe {
        forward_kernel::launch_unchecked(
            &out.client,
            count,
            dim,
            out.required_address_type(),
            width,
            x.clone().into_array_arg(),
            v.map(CubeTensor::into_array_arg).into(),
            w.map(|w| single(w).into_array_arg()).into(),
            out.clone().into_array_arg(),
            n / width,
            kernel_params(&layer.neuron),
            steps,
            layer.keep_potential,
            KernelConfig::new(&layer.neuron),
            x.dtype.into(),
        );
    }
    out
}

/// Returns the gradients of x and v, and each neuron's part of the gradient of 1 / tau if it is
/// learnt.
fn backward<R: CubeRuntime>(
    grad: CubeTensor<R>,
    x: CubeTensor<R>,
    v: Option<CubeTensor<R>>,
    w: Option<CubeTensor<R>>,
    layer: &Layer,
) -> (CubeTensor<R>, CubeTensor<R>, Option<CubeTensor<R>>) {
    let [steps, n] = dims(&x);
    let (grad, x) = (into_contiguous(grad), into_contiguous(x));
    let v = v.map(into_contiguous);
    let dx = empty(&x, [steps, n], x.dtype);
    let dv = empty(&x, [1, n], x.dtype);
    let drate = w.is_some().then(|| empty(&x, [n], DType::F32));
    if steps * n == 0 {
        return (dx, dv, drate);
    }
    let in_registers = steps <= STEPS_IN_REGISTERS;
    let width = width(&x, n, if in_registers { REGISTERS / steps } else { 8 });
    let past = (!in_registers).then(|| empty(&x, [steps, n], DType::F32).into_array_arg());
    let (count, dim) = cubes(&x, n / width);
    // SAFETY: as in `forward`. If potentials are kept, grad has one more row; it is read only then.
    unsafe {
        backward_kernel::launch_unchecked(
            &dx.client,
            count,
            dim,
            grad.required_address_type(),
            width,
            grad.clone().into_array_arg(),
            x.clone().into_array_arg(),
            v.map(CubeTensor::into_array_arg).into(),
            w.map(|w| single(w).into_array_arg()).into(),
            dx.clone().into_array_arg(),
            dv.clone().into_array_arg(),
            drate.clone().map(CubeTensor::into_array_arg).into(),
            past.into(),
            n / width,
            kernel_params(&layer.neuron),
            steps,
            layer.keep_potential,
            KernelConfig::new(&layer.neuron),
            x.dtype.into(),
        );
    }
    (dx, dv, drate)
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn forward_kernel<F: Float, N: Size>(
    x: &Array<Vector<F, N>>,
    v: &ComptimeOption<Array<Vector<F, N>>>,
    w: &ComptimeOption<Array<f32>>,
    out: &mut Array<Vector<F, N>>,
    neurons: usize,
    numbers: &KernelParams,
    #[comptime] steps: usize,
    #[comptime] keep_potential: bool,
    #[comptime] form: KernelConfig,
    #[define(F)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= neurons {
        terminate!();
    }
    let rule = NeuronDynamics::<N>::new(w, numbers, form);
    let mut v = start(&rule, v, at);
    #[unroll(steps <= STEPS_IN_REGISTERS)]
    for t in 0..steps {
        let h = rule.charge(Vector::cast_from(x[t * neurons + at]), v);
        out[t * neurons + at] = Vector::cast_from(rule.fire(h));
        v = rule.reset(h);
    }
    if keep_potential {
        out[steps * neurons + at] = Vector::cast_from(v);
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn backward_kernel<F: Float, N: Size>(
    grad: &Array<Vector<F, N>>,
    x: &Array<Vector<F, N>>,
    v: &ComptimeOption<Array<Vector<F, N>>>,
    w: &ComptimeOption<Array<f32>>,
    dx: &mut Array<Vector<F, N>>,
    dv: &mut Array<Vector<F, N>>,
    drate: &mut ComptimeOption<Array<Vector<f32, N>>>,
    past: &mut ComptimeOption<Array<Vector<f32, N>>>,
    neurons: usize,
    numbers: &KernelParams,
    #[comptime] steps: usize,
    #[comptime] keep_potential: bool,
    #[comptime] form: KernelConfig,
    #[define(F)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= neurons {
        terminate!();
    }
    let rule = NeuronDynamics::<N>::new(w, numbers, form);
    let rest = start(&rule, v, at);
    let mut potential = rest;
    let mut kept = Array::<Vector<f32, N>>::new(comptime![if steps <= STEPS_IN_REGISTERS {
        steps
    } else {
        1
    }]);
    #[unroll(steps <= STEPS_IN_REGISTERS)]
    for t in 0..steps {
        let h = rule.charge(Vector::cast_from(x[t * neurons + at]), potential);
        #[comptime]
        match past {
            ComptimeOption::Some(past) => past[t * neurons + at] = h,
            ComptimeOption::None => kept[t] = h,
        }
        potential = rule.reset(h);
    }
    let mut dpotential = Vector::<f32, N>::new(0.0f32);
    if keep_potential {
        dpotential = Vector::cast_from(grad[steps * neurons + at]);
    }
    let mut sum = Vector::<f32, N>::new(0.0f32);
    #[unroll(steps <= STEPS_IN_REGISTERS)]
    for back in 0..steps {
        let t = steps - 1 - back;
        #[comptime]
        let h = match past {
            ComptimeOption::Some(past) => past[t * neurons + at],
            ComptimeOption::None => kept[t],
        };
        let dh = rule.potential_gradient(Vector::cast_from(grad[t * neurons + at]), h, dpotential);
        if form.learns {
            let mut before = rest;
            if t > 0 {
                // `max` keeps the index valid at t = 0, because unrolled code is checked even if it
                // never runs.
                let earlier = max(t, 1) - 1;
                #[comptime]
                let h = match past {
                    ComptimeOption::Some(past) => past[earlier * neurons + at],
                    ComptimeOption::None => kept[earlier],
                };
                before = rule.reset(h);
            }
            sum += rule.rate_gradient(dh, Vector::cast_from(x[t * neurons + at]), before);
        }
        dx[t * neurons + at] = Vector::cast_from(rule.input_gradient(dh));
        dpotential = rule.past_gradient(dh);
    }
    dv[at] = Vector::cast_from(dpotential);
    #[comptime]
    match drate {
        ComptimeOption::Some(drate) => drate[at] = sum,
        ComptimeOption::None => {}
    }
}

/// The potentials before the first step.
#[cube]
fn start<F: Float, N: Size>(
    rule: &NeuronDynamics<N>,
    v: &ComptimeOption<Array<Vector<F, N>>>,
    at: usize,
) -> Vector<f32, N> {
    #[comptime]
    match v {
        ComptimeOption::Some(v) => Vector::cast_from(v[at]),
        ComptimeOption::None => rule.rest,
    }
}
