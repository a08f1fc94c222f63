//! One time step of a neuron, for the kernels of the CubeCL backends. The equations are those of
//! [`super::reference`].

use burn_cubecl::CubeRuntime;
use cubecl::prelude::*;

use super::model::{Charge, Neuron};
use super::surrogate::SurrogateShape;
use crate::backend::gpu::{Threads, UNITS, sum_lanes};

/// Compile-time settings of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KernelConfig {
    /// Whether the potential decays.
    pub leaks: bool,
    /// Whether the current is divided by tau too.
    pub decay_input: bool,
    /// Whether the time constant is learnt.
    pub learns: bool,
    /// Whether a spike sets the potential to rest (hard reset) or subtracts the threshold (soft
    /// reset).
    pub hard_reset: bool,
    /// Whether no gradient flows through the spike into the reset.
    pub detach_reset: bool,
    /// Form of the surrogate gradient.
    pub surrogate: SurrogateShape,
}

impl KernelConfig {
    /// Returns the settings for a kind of neuron.
    pub fn new(neuron: &Neuron) -> Self {
        let (leaks, learns, decay_input) = match neuron.charge {
            Charge::Leaky { decay_input, .. } => (true, false, decay_input),
            Charge::Learnt { decay_input, .. } => (true, true, decay_input),
            Charge::Integrate => (false, false, false),
        };
        Self {
            leaks,
            decay_input,
            learns,
            hard_reset: neuron.reset.is_some(),
            detach_reset: neuron.detach_reset,
            surrogate: neuron.surrogate.shape,
        }
    }
}

/// Values that a kernel receives at each launch.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct KernelParams {
    /// 1 / tau, or 0 if tau is learnt or nothing decays.
    pub rate: f32,
    /// Potential before the first step and after a hard reset, to which the potential decays.
    pub rest: f32,
    /// Potential at which a neuron spikes.
    pub threshold: f32,
    /// Steepness of the surrogate gradient.
    pub alpha: f32,
}

/// Returns the launch values for a kind of neuron.
pub fn kernel_params<R: CubeRuntime>(neuron: &Neuron) -> KernelParamsLaunch<R> {
    let rate = match neuron.charge {
        Charge::Leaky { tau, .. } => 1.0 / tau as f32,
        Charge::Learnt { .. } | Charge::Integrate => 0.0,
    };
    let Neuron {
        threshold,
        surrogate,
        ..
    } = *neuron;
    KernelParamsLaunch::new(
        rate,
        neuron.rest() as f32,
        threshold as f32,
        surrogate.alpha as f32,
    )
}

/// Returns 1 / tau of PLIF's weight.
#[cube]
fn sigmoid(w: f32) -> f32 {
    1.0f32 / (1.0f32 + (0.0f32 - w).exp())
}

/// Computes the gradient of PLIF's weight from the parts `drate` of the gradient of 1 / tau. One cube
/// adds them up.
#[cube(launch_unchecked)]
pub fn rate_gradient_kernel<N: Size>(
    drate: &Array<f32>,
    w: &Array<f32>,
    dw: &mut Array<f32>,
    number: u32,
) {
    let mut mine = 0.0f32;
    let mut at = UNIT_POS;
    while at < number {
        mine += drate[at as usize];
        at += comptime![UNITS];
    }
    let sum = sum_lanes(Vector::<f32, N>::new(mine), Threads::ONE_COLUMN);
    if UNIT_POS == 0 {
        let rate = sigmoid(w[0]);
        dw[0] = sum[0] * rate * (1.0f32 - rate);
    }
}

/// One time step of N neurons.
#[derive(CubeType, Clone, Copy)]
pub struct NeuronDynamics<N: Size> {
    rate: Vector<f32, N>,
    /// Potential before the first step.
    pub rest: Vector<f32, N>,
    threshold: Vector<f32, N>,
    alpha: Vector<f32, N>,
    #[cube(comptime)]
    form: KernelConfig,
}

#[cube]
impl<N: Size> NeuronDynamics<N> {
    /// Creates the dynamics. `w` is PLIF's weight.
    pub fn new(
        w: &ComptimeOption<Array<f32>>,
        numbers: &KernelParams,
        #[comptime] form: KernelConfig,
    ) -> Self {
        #[comptime]
        let rate = match w {
            ComptimeOption::Some(w) => sigmoid(w[0]),
            ComptimeOption::None => numbers.rate,
        };
        NeuronDynamics::<N> {
            rate: Vector::new(rate),
            rest: Vector::new(numbers.rest),
            threshold: Vector::new(numbers.threshold),
            alpha: Vector::new(numbers.alpha),
            form,
        }
    }

    /// Returns h from the current x and the potential v.
    pub fn charge(&self, x: Vector<f32, N>, v: Vector<f32, N>) -> Vector<f32, N> {
        if comptime![!self.form.leaks] {
            v + x
        } else if comptime![self.form.decay_input] {
            v + (x - (v - self.rest)) * self.rate
        } else {
            v - (v - self.rest) * self.rate + x
        }
    }

    /// Returns the spikes, 0 or 1, of the potentials h.
    pub fn fire(&self, h: Vector<f32, N>) -> Vector<f32, N> {
        let fired = h.greater_equal(self.threshold);
        select_many(fired, Vector::new(1.0f32), Vector::new(0.0f32))
    }

    /// Returns `bit` for the potentials h that spike, and 0 for the others.
    pub fn fire_bit(&self, h: Vector<f32, N>, #[comptime] bit: u32) -> Vector<u32, N> {
        let fired = h.greater_equal(self.threshold);
        select_many(fired, Vector::new(bit), Vector::new(0u32))
    }

    /// Returns v after the reset from h.
    pub fn reset(&self, h: Vector<f32, N>) -> Vector<f32, N> {
        let fired = h.greater_equal(self.threshold);
        if comptime![self.form.hard_reset] {
            select_many(fired, self.rest, h)
        } else {
            select_many(fired, h - self.threshold, h)
        }
    }

    /// Returns the gradient of h from those of the spikes and of v.
    pub fn potential_gradient(
        &self,
        ds: Vector<f32, N>,
        h: Vector<f32, N>,
        dv: Vector<f32, N>,
    ) -> Vector<f32, N> {
        let slope = self.slope(h - self.threshold);
        let one = Vector::new(1.0f32);
        let kept = if comptime![self.form.hard_reset] {
            one - self.fire(h)
        } else {
            one
        };
        let through = if comptime![self.form.detach_reset] {
            kept
        } else if comptime![self.form.hard_reset] {
            kept + (self.rest - h) * slope
        } else {
            kept - self.threshold * slope
        };
        ds * slope + dv * through
    }

    /// Returns the gradient of x from that of h.
    pub fn input_gradient(&self, dh: Vector<f32, N>) -> Vector<f32, N> {
        if comptime![self.form.leaks && self.form.decay_input] {
            dh * self.rate
        } else {
            dh
        }
    }

    /// Returns the gradient of v at the previous step from the gradient of h.
    pub fn past_gradient(&self, dh: Vector<f32, N>) -> Vector<f32, N> {
        if comptime![self.form.leaks] {
            dh - dh * self.rate
        } else {
            dh
        }
    }

    /// Returns this step's part of the gradient of 1 / tau, from the gradient of h, the current x
    /// and the potential v of the previous step.
    pub fn rate_gradient(
        &self,
        dh: Vector<f32, N>,
        x: Vector<f32, N>,
        v: Vector<f32, N>,
    ) -> Vector<f32, N> {
        if comptime![self.form.decay_input] {
            dh * (x - (v - self.rest))
        } else {
            dh * (self.rest - v)
        }
    }

    /// Returns the surrogate gradient at u = h - threshold; see [`super::surrogate`].
    fn slope(&self, u: Vector<f32, N>) -> Vector<f32, N> {
        let a = self.alpha;
        let zero = Vector::new(0.0f32);
        let half = Vector::new(0.5f32);
        let one = Vector::new(1.0f32);
        let distance = u.abs();
        match comptime![self.form.surrogate] {
            SurrogateShape::ATan => {
                let z = u * a * Vector::new(comptime![std::f32::consts::FRAC_PI_2]);
                a * half / (one + z * z)
            }
            SurrogateShape::Sigmoid => {
                let s = one / (one + (zero - a * u).exp());
                (one - s) * s * a
            }
            SurrogateShape::PiecewiseQuadratic => {
                let height = a - a * a * distance;
                select_many(height.greater_than(zero), height, zero)
            }
            SurrogateShape::PiecewiseExp => a * half * (zero - a * distance).exp(),
            SurrogateShape::SoftSign => {
                let z = one / a + distance;
                half / (a * z * z)
            }
            SurrogateShape::SuperSpike => {
                let z = one + distance;
                a / (z * z)
            }
            SurrogateShape::Erf => {
                let z = a * u;
                a * Vector::new(comptime![std::f32::consts::FRAC_2_SQRT_PI / 2.0])
                    * (zero - z * z).exp()
            }
            SurrogateShape::Rect => select_many(distance.less_than(half / a), a, zero),
        }
    }
}
