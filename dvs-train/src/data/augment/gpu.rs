//! Augmentation on the CubeCL backends: one thread per cell of a frame.

use burn::tensor::backend::Backend;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn::tensor::{DType, Int, Tensor, TensorData};
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_snn::backend::gpu::{cubes, dims, empty, single};
use cubecl::prelude::*;

use super::backend::AugmentBackend;
use super::event_drop::MAX_SEPARATE_EVENTS;
use super::geometry::NOWHERE;
use super::{NUMBERS, Plan};

impl<R, F, I, BT> AugmentBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn alter(frames: FloatTensor<Self>, plan: &Plan) -> FloatTensor<Self> {
        let [_, batch, polarities, height, width] = dims(&frames);
        let frames = single(frames);
        let shape = [plan.steps.len(), batch, polarities, height, width];
        let out = empty(&frames, shape, DType::F32);
        let number = shape.iter().product();
        if number == 0 {
            return out;
        }
        let upload = |values: &[u32]| upload::<Self>(values, &frames.device);
        let (count, dim) = cubes(&out, number);
        // SAFETY: A thread stops unless its position is a cell of `out`. The plan has a step of
        // `frames` for each step of `out`, a source within the frame or NOWHERE for each sample and
        // cell, and three numbers for each sample.
        unsafe {
            alter_kernel::launch_unchecked(
                &out.client,
                count,
                dim,
                frames.required_address_type(),
                frames.clone().into_array_arg(),
                upload(&plan.steps).into_array_arg(),
                upload(&plan.sources).into_array_arg(),
                upload(&plan.numbers).into_array_arg(),
                out.clone().into_array_arg(),
                ShapeLaunch::new(batch, polarities, height * width, number),
            );
        }
        out
    }
}

/// Copies values to the device.
fn upload<B: Backend>(values: &[u32], device: &B::Device) -> IntTensor<B> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::<B, 1, Int>::from_data(data, (device, DType::U32)).into_primitive()
}

/// Shape of the frames.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
struct Shape {
    /// Samples.
    batch: usize,
    /// Polarities.
    polarities: usize,
    /// Cells of one polarity of a frame.
    cells: usize,
    /// Cells of all frames of the output.
    number: usize,
}

/// Alters frames by a [`Plan`], with the same result as [`super::cpu`].
#[cube(launch_unchecked, address_type = "dynamic")]
fn alter_kernel(
    frames: &Array<f32>,
    steps: &Array<u32>,
    sources: &Array<u32>,
    numbers: &Array<u32>,
    out: &mut Array<f32>,
    shape: &Shape,
) {
    let at = ABSOLUTE_POS;
    if at >= shape.number {
        terminate!();
    }
    let (cell, row) = (at % shape.cells, at / shape.cells);
    let sample = row / shape.polarities % shape.batch;
    let from = sources[sample * shape.cells + cell];
    let mut kept = 0.0f32;
    if from != NOWHERE {
        let step = steps[row / (shape.polarities * shape.batch)] as usize;
        let key = numbers[sample * comptime![NUMBERS]];
        let threshold = numbers[sample * comptime![NUMBERS] + 1];
        let swap = numbers[sample * comptime![NUMBERS] + 2] as usize;
        // With two polarities, this is the other one if they are exchanged.
        let polarity = (row % shape.polarities + swap) % shape.polarities;
        let frame = (step * shape.batch + sample) * shape.polarities + polarity;
        kept = frames[frame * shape.cells + from as usize];
        if threshold > 0 {
            let first = (step * shape.polarities + polarity) * shape.cells;
            kept = keep(kept, first as u32 + from, key, threshold);
        }
    }
    out[at] = kept;
}

/// Same as [`super::event_drop::kept`].
#[cube]
fn keep(count: f32, cell: u32, key: u32, threshold: u32) -> f32 {
    let mut kept = 0.0f32;
    if count > comptime![MAX_SEPARATE_EVENTS as f32] {
        let share = 1.0 - f32::cast_from(threshold) / 4_294_967_296.0;
        kept = f32::floor(count * share + 0.5);
    } else {
        let cell = mix(key ^ mix(cell));
        for event in 0..u32::cast_from(count) {
            if mix(cell + event) >= threshold {
                kept += 1.0;
            }
        }
    }
    kept
}

/// Same as [`super::event_drop::mix`].
#[cube]
fn mix(x: u32) -> u32 {
    let x = (x ^ (x >> 16)) * 0x85eb_ca6bu32;
    let x = (x ^ (x >> 13)) * 0xc2b2_ae35u32;
    x ^ (x >> 16)
}
