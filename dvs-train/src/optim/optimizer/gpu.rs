//! Steps of optimizers on the CubeCL backends, in one launch for all weights.

use anyhow::Result;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, TensorMetadata};
use burn_cubecl::ops::numeric::zeros_client;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_snn::backend::gpu::{UNITS, dense, empty_like, in_order_of};
use burn_snn::backend::gpu_pieces::{Pieces, piece};
use cubecl::prelude::*;

use super::adam::AdamStep;
use super::gpu_squares::{self, Constant};
use super::update::{OptimizerBackend, ScaledUpdate, Update, Updated, WeightState};
use crate::optim::loss_scale::DeviceScale;

impl<R, F, I, BT> OptimizerBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn update(
        weights: Vec<WeightState<FloatTensor<Self>>>,
        update: Update,
    ) -> Updated<FloatTensor<Self>> {
        let slots = match update {
            Update::Adam(_) => 2,
            Update::Sgd { .. } => 1,
        };
        step(&Lists::new(weights, slots), update, None)
    }

    fn scaled_update(
        weights: Vec<WeightState<FloatTensor<Self>>>,
        update: ScaledUpdate,
        scale: DeviceScale<Self>,
    ) -> Result<(Updated<FloatTensor<Self>>, DeviceScale<Self>)> {
        let lists = Lists::new(weights, update.rule.slots().len());
        let (constants, scale) = gpu_squares::scale(&lists.gradients, update, scale);
        // The kernel takes the learning rate and Adam's corrections from the constants.
        let unused = Update::new(update.rule, update.rate, update.attempt);
        Ok((step(&lists, unused, Some(&constants)), scale))
    }

    fn square_sum(gradients: Vec<FloatTensor<Self>>) -> FloatTensor<Self> {
        let gradients: Vec<_> = gradients.into_iter().map(dense).collect();
        gpu_squares::sum(&gradients)
    }
}

/// Weights with their gradients and what is kept for them.
struct Lists<R: CubeRuntime> {
    weights: Vec<CubeTensor<R>>,
    /// Empty for the result of a step.
    gradients: Vec<CubeTensor<R>>,
    /// One list for each value that is kept.
    kept: Vec<Vec<CubeTensor<R>>>,
}

impl<R: CubeRuntime> Lists<R> {
    /// Brings everything into the memory order of the gradients. `slots` values are kept for each
    /// weight.
    fn new(states: Vec<WeightState<CubeTensor<R>>>, slots: usize) -> Self {
        let mut lists = Self {
            weights: Vec::with_capacity(states.len()),
            gradients: Vec::with_capacity(states.len()),
            kept: (0..slots).map(|_| Vec::new()).collect(),
        };
        for WeightState {
            weight,
            gradient,
            kept,
        } in states
        {
            // The kernel takes all values in the order in which they lie in memory. The gradient of
            // a convolution has its channels last. After the first step, so has the weight.
            let gradient = dense(gradient);
            lists.weights.push(in_order_of(weight, &gradient));
            for (slot, list) in lists.kept.iter_mut().enumerate() {
                list.push(match kept.get(slot) {
                    Some(kept) => in_order_of(kept.clone(), &gradient),
                    None => zeros_like(&gradient),
                });
            }
            lists.gradients.push(gradient);
        }
        lists
    }

    /// Returns uninitialised tensors for the result of a step.
    fn empty_copy(&self) -> Self {
        let copy = |list: &Vec<CubeTensor<R>>| {
            let like = |tensor| empty_like(tensor, DType::F32);
            list.iter().map(like).collect()
        };
        Self {
            weights: copy(&self.weights),
            gradients: Vec::new(),
            kept: self.kept.iter().map(copy).collect(),
        }
    }
}

/// Takes a step. If the loss is scaled, `constants` are those of [`gpu_squares::scale`], which
/// replace the numbers of `update` but for the momentum.
fn step<R: CubeRuntime>(
    old: &Lists<R>,
    update: Update,
    constants: Option<&CubeTensor<R>>,
) -> Updated<CubeTensor<R>> {
    let new = old.empty_copy();
    for group in Pieces::groups(&old.gradients, 3 + 2 * old.kept.len()) {
        launch(&group, old, &new, update, constants);
    }
    let mut kept: Vec<_> = new.kept.into_iter().map(Vec::into_iter).collect();
    new.weights
        .into_iter()
        .map(|weight| (weight, kept.iter_mut().filter_map(Iterator::next).collect()))
        .collect()
}

fn zeros_like<R: CubeRuntime>(like: &CubeTensor<R>) -> CubeTensor<R> {
    let (client, device) = (like.client.clone(), like.device.clone());
    // CUDA pads the rows of a new matrix, but not those of a vector.
    let length = Shape::new([like.shape().num_elements()]);
    let mut zeros = zeros_client(client, device, length, DType::F32);
    zeros.meta = like.meta.clone();
    zeros
}

fn launch<R: CubeRuntime>(
    group: &Pieces,
    old: &Lists<R>,
    new: &Lists<R>,
    update: Update,
    constants: Option<&CubeTensor<R>>,
) {
    let first = &old.gradients[group.members[0]];
    let (count, dim) = group.cubes();
    let constants = constants.map(|constants| constants.clone().into_array_arg());
    let address = first.required_address_type();
    // SAFETY: a thread accesses a vector only if it is below the number of vectors of its weight.
    // The gradient and everything that is kept have the weight's shape and memory order.
    unsafe {
        match update {
            Update::Adam(AdamStep {
                rate,
                root_correction,
            }) => adam_kernel::launch_unchecked(
                &first.client,
                count,
                dim,
                address,
                group.width,
                group.arrays(&old.weights),
                group.arrays(&old.gradients),
                group.arrays(&old.kept[0]),
                group.arrays(&old.kept[1]),
                group.arrays(&new.weights),
                group.arrays(&new.kept[0]),
                group.arrays(&new.kept[1]),
                constants.into(),
                rate,
                root_correction,
                group.vectors.clone(),
                group.rounds,
            ),
            Update::Sgd { rate, momentum } => sgd_kernel::launch_unchecked(
                &first.client,
                count,
                dim,
                address,
                group.width,
                group.arrays(&old.weights),
                group.arrays(&old.gradients),
                group.arrays(&old.kept[0]),
                group.arrays(&new.weights),
                group.arrays(&new.kept[0]),
                constants.into(),
                rate,
                momentum,
                group.vectors.clone(),
                group.rounds,
            ),
        }
    }
}

/// Numbers of a step, the same for every weight.
#[derive(CubeType)]
struct StepConstants {
    /// Whether the step is not skipped.
    taken: bool,
    /// Divides the gradient by the factor of the loss.
    unscale: f32,
    /// Adam's [`AdamStep::rate`], or SGD's learning rate.
    rate: f32,
    /// [`AdamStep::root_correction`].
    root_correction: f32,
}

/// Returns the numbers of a step from `scaled`, or those given if the loss is not scaled.
#[cube]
fn step_constants(
    scaled: &ComptimeOption<Array<f32>>,
    rate: f32,
    root_correction: f32,
) -> StepConstants {
    #[comptime]
    match scaled {
        ComptimeOption::Some(scaled) => StepConstants {
            taken: scaled[comptime![Constant::Taken as usize]] != 0.0f32,
            unscale: scaled[comptime![Constant::Unscale as usize]],
            rate: scaled[comptime![Constant::Rate as usize]],
            root_correction: scaled[comptime![Constant::RootCorrection as usize]],
        },
        ComptimeOption::None => StepConstants {
            taken: true.runtime(),
            unscale: 1.0f32.runtime(),
            rate,
            root_correction,
        },
    }
}

/// Computes `w`, `m` and `s` from the old weight, mean and square and the gradient; see
/// [`AdamStep`].
#[allow(clippy::too_many_arguments)]
#[cube(launch_unchecked, address_type = "dynamic")]
fn adam_kernel<N: Size>(
    weight: &Sequence<Array<Vector<f32, N>>>,
    gradient: &Sequence<Array<Vector<f32, N>>>,
    mean: &Sequence<Array<Vector<f32, N>>>,
    square: &Sequence<Array<Vector<f32, N>>>,
    w: &mut Sequence<Array<Vector<f32, N>>>,
    m: &mut Sequence<Array<Vector<f32, N>>>,
    s: &mut Sequence<Array<Vector<f32, N>>>,
    constants: &ComptimeOption<Array<f32>>,
    rate: f32,
    root_correction: f32,
    #[comptime] vectors: Vec<usize>,
    #[comptime] rounds: usize,
) {
    let step = step_constants(constants, rate, root_correction);
    #[unroll]
    for i in 0..comptime![vectors.len()] {
        let piece = piece(comptime![vectors.clone()], i, rounds);
        if piece.here {
            let mut at = piece.first;
            while at < piece.end {
                let old_weight = weight.index(i)[at];
                let old_mean = mean.index(i)[at];
                let old_square = square.index(i)[at];
                if step.taken {
                    let g = gradient.index(i)[at] * Vector::new(step.unscale);
                    let mean = old_mean * Vector::new(comptime![AdamStep::KEPT[0]])
                        + g * Vector::new(comptime![AdamStep::NEW[0]]);
                    let square = old_square * Vector::new(comptime![AdamStep::KEPT[1]])
                        + g * g * Vector::new(comptime![AdamStep::NEW[1]]);
                    let scale = square.sqrt() / Vector::new(step.root_correction)
                        + Vector::new(comptime![AdamStep::EPSILON]);
                    w.index_mut(i)[at] = old_weight - mean / scale * Vector::new(step.rate);
                    m.index_mut(i)[at] = mean;
                    s.index_mut(i)[at] = square;
                } else {
                    w.index_mut(i)[at] = old_weight;
                    m.index_mut(i)[at] = old_mean;
                    s.index_mut(i)[at] = old_square;
                }
                at += comptime![UNITS as usize];
            }
        }
    }
}

/// Computes `w` and `d` from the old weight, direction and gradient; see [`Update::Sgd`].
#[allow(clippy::too_many_arguments)]
#[cube(launch_unchecked, address_type = "dynamic")]
fn sgd_kernel<N: Size>(
    weight: &Sequence<Array<Vector<f32, N>>>,
    gradient: &Sequence<Array<Vector<f32, N>>>,
    direction: &Sequence<Array<Vector<f32, N>>>,
    w: &mut Sequence<Array<Vector<f32, N>>>,
    d: &mut Sequence<Array<Vector<f32, N>>>,
    constants: &ComptimeOption<Array<f32>>,
    rate: f32,
    momentum: f32,
    #[comptime] vectors: Vec<usize>,
    #[comptime] rounds: usize,
) {
    let step = step_constants(constants, rate, 1.0f32);
    #[unroll]
    for i in 0..comptime![vectors.len()] {
        let piece = piece(comptime![vectors.clone()], i, rounds);
        if piece.here {
            let mut at = piece.first;
            while at < piece.end {
                let old_weight = weight.index(i)[at];
                let old_direction = direction.index(i)[at];
                if step.taken {
                    let g = gradient.index(i)[at] * Vector::new(step.unscale);
                    let direction = old_direction * Vector::new(momentum) + g;
                    w.index_mut(i)[at] = old_weight - direction * Vector::new(step.rate);
                    d.index_mut(i)[at] = direction;
                } else {
                    w.index_mut(i)[at] = old_weight;
                    d.index_mut(i)[at] = old_direction;
                }
                at += comptime![UNITS as usize];
            }
        }
    }
}
