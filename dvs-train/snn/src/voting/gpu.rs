//! Votes on the CubeCL backends, in one launch.

use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::prelude::*;

use super::VotingBackend;
use crate::backend::gpu::{cubes, dims, empty, single};

impl<R, F, I, BT> VotingBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn firing_rate(spikes: FloatTensor<Self>, voters: usize) -> FloatTensor<Self> {
        let [steps, b, outputs] = dims(&spikes);
        let classes = outputs / voters.max(1);
        let rate = empty(&spikes, [b, classes], DType::F32);
        if steps * b * classes == 0 {
            return rate;
        }
        let spikes = single(spikes);
        let (count, dim) = cubes(&rate, b * classes);
        // SAFETY: a thread stops unless its index is below the number of rates. Its spikes are
        // `voters` neighbours at each step.
        unsafe {
            rate_kernel::launch_unchecked(
                &rate.client,
                count,
                dim,
                spikes.required_address_type(),
                spikes.clone().into_array_arg(),
                rate.clone().into_array_arg(),
                b * classes,
                steps,
                voters,
            );
        }
        rate
    }

    fn firing_rate_backward(
        grad: FloatTensor<Self>,
        steps: usize,
        voters: usize,
    ) -> FloatTensor<Self> {
        let [b, classes] = dims(&grad);
        let grad = single(grad);
        let out = empty(&grad, [steps, b, classes * voters], DType::F32);
        let number = steps * b * classes * voters;
        if number == 0 {
            return out;
        }
        let (count, dim) = cubes(&out, number);
        // SAFETY: a thread stops unless its index is below the number of spikes. It reads the
        // gradient of the class that the neuron votes for.
        unsafe {
            spread_kernel::launch_unchecked(
                &out.client,
                count,
                dim,
                out.required_address_type(),
                grad.into_array_arg(),
                out.clone().into_array_arg(),
                number,
                b * classes,
                voters,
                1.0 / steps as f32,
                1.0 / voters as f32,
            );
        }
        out
    }
}

/// Averages the votes of one class of one sample.
#[cube(launch_unchecked, address_type = "dynamic")]
fn rate_kernel(
    spikes: &Array<f32>,
    rate: &mut Array<f32>,
    rates: usize,
    steps: usize,
    voters: usize,
) {
    let at = ABSOLUTE_POS;
    if at >= rates {
        terminate!();
    }
    // The two means are rounded one after the other, as on the CPU.
    let mut sum = 0.0f32;
    for t in 0..steps {
        let mut votes = 0.0f32;
        for voter in 0..voters {
            votes += spikes[(t * rates + at) * voters + voter];
        }
        sum += votes / f32::cast_from(voters);
    }
    rate[at] = sum / f32::cast_from(steps);
}

/// Computes the gradient of one spike.
#[cube(launch_unchecked, address_type = "dynamic")]
fn spread_kernel(
    grad: &Array<f32>,
    out: &mut Array<f32>,
    number: usize,
    rates: usize,
    voters: usize,
    per_step: f32,
    per_voter: f32,
) {
    let at = ABSOLUTE_POS;
    if at >= number {
        terminate!();
    }
    out[at] = grad[at / voters % rates] * per_step * per_voter;
}
