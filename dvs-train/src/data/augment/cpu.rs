//! Augmentation on the Flex backend.

use burn::backend::flex::FlexTensor;
use burn_snn::backend::cpu::{dims, tensor, values, zeros};
use rayon::prelude::*;

use super::geometry::NOWHERE;
use super::{NUMBERS, Plan, event_drop};

/// Alters frames `[T, B, 2, H, W]` by `plan`.
pub fn alter(frames: &FlexTensor, plan: &Plan) -> FlexTensor {
    let [_, batch, polarities, height, width] = dims(frames);
    let (cells, frame) = (height * width, polarities * height * width);
    let values = values(frames);
    let mut out = zeros(plan.steps.len() * batch * frame);
    let rows = out.par_chunks_exact_mut(cells.max(1)).enumerate();
    rows.for_each(|(row, out)| {
        let (step, polarity) = (row / (batch * polarities), row % polarities);
        let sample = row / polarities % batch;
        let [key, threshold, swap] = std::array::from_fn(|i| plan.numbers[sample * NUMBERS + i]);
        let (step, polarity) = (
            plan.steps[step] as usize,
            (polarity + swap as usize) % polarities,
        );
        let source = &values[(step * batch + sample) * frame + polarity * cells..][..cells];
        let first = ((step * polarities + polarity) * cells) as u32;
        let sources = &plan.sources[sample * cells..][..cells];
        for (out, &from) in out.iter_mut().zip(sources) {
            if from == NOWHERE {
                continue;
            }
            let count = source[from as usize];
            *out = match threshold {
                0 => count,
                _ => event_drop::kept(count, first + from, key, threshold),
            };
        }
    });
    tensor(out, [plan.steps.len(), batch, polarities, height, width])
}
