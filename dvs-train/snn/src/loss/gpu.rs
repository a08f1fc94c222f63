//! The loss on the CubeCL backends, in one launch each.

use burn::tensor::DType;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::prelude::*;
use cubecl::{CubeCount, CubeDim};

use super::LossBackend;
use crate::backend::gpu::{Threads, UNITS, cubes, dims, empty, single, sum_lanes};

impl<R, F, I, BT> LossBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn mean_squared_error(rate: FloatTensor<Self>, target: FloatTensor<Self>) -> FloatTensor<Self> {
        let [b, classes] = dims(&rate);
        let [rate, target] = [rate, target].map(single);
        let loss = empty(&rate, [1], DType::F32);
        // SAFETY: a thread reads values only if they are below their number.
        unsafe {
            loss_kernel::launch_unchecked(
                &loss.client,
                CubeCount::Static(1, 1, 1),
                CubeDim::new_1d(UNITS),
                1,
                rate.into_array_arg(),
                target.into_array_arg(),
                loss.clone().into_array_arg(),
                (b * classes) as u32,
            );
        }
        loss
    }

    fn mean_squared_error_backward(
        grad: FloatTensor<Self>,
        rate: FloatTensor<Self>,
        target: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [b, classes] = dims(&rate);
        let [grad, rate, target] = [grad, rate, target].map(single);
        let out = empty(&rate, [b, classes], DType::F32);
        let number = b * classes;
        if number == 0 {
            return out;
        }
        let (count, dim) = cubes(&out, number);
        // SAFETY: a thread stops unless its index is below the number of values.
        unsafe {
            loss_gradient_kernel::launch_unchecked(
                &out.client,
                count,
                dim,
                grad.into_array_arg(),
                rate.into_array_arg(),
                target.into_array_arg(),
                out.clone().into_array_arg(),
                number as u32,
            );
        }
        out
    }

    fn add_batch(
        sums: (FloatTensor<Self>, IntTensor<Self>),
        loss: FloatTensor<Self>,
        rate: FloatTensor<Self>,
        target: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, IntTensor<Self>) {
        let [b, classes] = dims(&rate);
        let [rate, target] = [rate, target].map(single);
        let added = (
            empty(&rate, [1], DType::F32),
            empty(&rate, [1], sums.1.dtype),
        );
        // SAFETY: a thread reads a sample's values only if the sample is below their number.
        unsafe {
            add_kernel::launch_unchecked(
                &rate.client,
                CubeCount::Static(1, 1, 1),
                CubeDim::new_1d(UNITS),
                1,
                single(sums.0).into_array_arg(),
                into_contiguous(sums.1.clone()).into_array_arg(),
                single(loss).into_array_arg(),
                rate.clone().into_array_arg(),
                target.into_array_arg(),
                added.0.clone().into_array_arg(),
                added.1.clone().into_array_arg(),
                b as u32,
                classes as u32,
                sums.1.dtype.into(),
            );
        }
        added
    }
}

/// Computes the mean of the squared differences. One cube does it, because there are few values.
#[cube(launch_unchecked)]
fn loss_kernel<N: Size>(
    rate: &Array<f32>,
    target: &Array<f32>,
    loss: &mut Array<f32>,
    number: u32,
) {
    let mut sum = 0.0f32;
    let mut at = UNIT_POS;
    while at < number {
        let difference = rate[at as usize] - target[at as usize];
        sum += difference * difference;
        at += comptime![UNITS];
    }
    let sum = sum_lanes(Vector::<f32, N>::new(sum), Threads::ONE_COLUMN);
    if UNIT_POS == 0 {
        loss[0] = sum[0] / f32::cast_from(number);
    }
}

#[cube(launch_unchecked)]
fn loss_gradient_kernel(
    grad: &Array<f32>,
    rate: &Array<f32>,
    target: &Array<f32>,
    out: &mut Array<f32>,
    number: u32,
) {
    let at = ABSOLUTE_POS;
    if at >= number as usize {
        terminate!();
    }
    let once = (rate[at] - target[at]) * (grad[0] / f32::cast_from(number));
    out[at] = once + once;
}

/// Adds a batch to the sums of an epoch.
#[cube(launch_unchecked)]
fn add_kernel<I: Int, N: Size>(
    old_loss: &Array<f32>,
    old_correct: &Array<I>,
    loss: &Array<f32>,
    rate: &Array<f32>,
    target: &Array<f32>,
    new_loss: &mut Array<f32>,
    new_correct: &mut Array<I>,
    samples: u32,
    classes: u32,
    #[define(I)] _correct: StorageType,
) {
    let mut right = 0.0f32;
    let mut sample = UNIT_POS;
    while sample < samples {
        let first = (sample * classes) as usize;
        let mut best = first;
        let mut wanted = first;
        for class in 1..classes {
            let at = first + class as usize;
            if rate[at] > rate[best] {
                best = at;
            }
            if target[at] > target[wanted] {
                wanted = at;
            }
        }
        if best == wanted {
            right += 1.0;
        }
        sample += comptime![UNITS];
    }
    let right = sum_lanes(Vector::<f32, N>::new(right), Threads::ONE_COLUMN);
    if UNIT_POS == 0 {
        new_loss[0] = old_loss[0] + loss[0] * f32::cast_from(samples);
        new_correct[0] = old_correct[0] + I::cast_from(right[0]);
    }
}
