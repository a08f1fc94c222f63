//! Steps of optimizers on the CubeCL backends, in one launch for all weights.

use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Shape, TensorMetadata};
use burn_cubecl::ops::numeric::zeros_client;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_snn::backend::gpu::{Threads, UNITS, dense, empty, empty_like, in_order_of, sum_lanes};
use burn_snn::backend::gpu_pieces::{Pieces, piece};
use cubecl::prelude::*;
use cubecl::{CubeCount, CubeDim};

use super::adam::AdamStep;
use super::update::{OptimizerBackend, Update, WeightState};

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
        factor: Option<f64>,
    ) -> Vec<(FloatTensor<Self>, Vec<FloatTensor<Self>>)> {
        let slots = match update {
            Update::Adam(_) => 2,
            Update::Sgd { .. } => 1,
        };
        let mut old = Lists::new(slots);
        for WeightState {
            weight,
            gradient,
            kept,
        } in weights
        {
            // The kernel takes all values in the order in which they lie in memory. The gradient of
            // a convolution has its channels last. After the first step, so has the weight.
            let gradient = dense(gradient);
            old.weights.push(in_order_of(weight, &gradient));
            for (slot, list) in old.kept.iter_mut().enumerate() {
                list.push(match kept.get(slot) {
                    Some(kept) => in_order_of(kept.clone(), &gradient),
                    None => zeros_like(&gradient),
                });
            }
            old.gradients.push(gradient);
        }
        let new = old.empty_copy();
        let unscale = factor.map_or(1.0, |factor| 1.0 / factor) as f32;
        for group in Pieces::groups(&old.gradients, 3 + 2 * slots) {
            launch(&group, &old, &new, update, unscale);
        }
        let mut kept: Vec<_> = new.kept.into_iter().map(Vec::into_iter).collect();
        new.weights
            .into_iter()
            .map(|weight| (weight, kept.iter_mut().filter_map(Iterator::next).collect()))
            .collect()
    }

    fn square_sum(gradients: Vec<FloatTensor<Self>>) -> FloatTensor<Self> {
        let gradients: Vec<_> = gradients.into_iter().map(dense).collect();
        let first = &gradients[0];
        let groups = Pieces::groups(&gradients, 1);
        let number: usize = groups.iter().map(Pieces::number).sum();
        let parts = empty(first, [number], DType::F32);
        let mut start = 0;
        for group in &groups {
            let (count, dim) = group.cubes();
            // SAFETY: a thread reads vectors of a gradient only if they are below its number of
            // vectors. Each cube writes one of the parts.
            unsafe {
                squares_kernel::launch_unchecked(
                    &first.client,
                    count,
                    dim,
                    first.required_address_type(),
                    group.width,
                    group.arrays(&gradients),
                    parts.clone().into_array_arg(),
                    start,
                    group.vectors.clone(),
                    group.rounds,
                );
            }
            start += group.number();
        }
        let sum = empty(first, [1], DType::F32);
        // SAFETY: a thread reads parts only if they are below their number.
        unsafe {
            total_kernel::launch_unchecked(
                &first.client,
                CubeCount::Static(1, 1, 1),
                CubeDim::new_1d(UNITS),
                first.required_address_type(),
                1,
                parts.into_array_arg(),
                sum.clone().into_array_arg(),
                number,
            );
        }
        sum
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
    fn new(slots: usize) -> Self {
        Self {
            weights: Vec::new(),
            gradients: Vec::new(),
            kept: (0..slots).map(|_| Vec::new()).collect(),
        }
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
    unscale: f32,
) {
    let first = &old.gradients[group.members[0]];
    let (count, dim) = group.cubes();
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
                unscale,
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
                unscale,
                rate,
                momentum,
                group.vectors.clone(),
                group.rounds,
            ),
        }
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
    unscale: f32,
    rate: f32,
    root_correction: f32,
    #[comptime] vectors: Vec<usize>,
    #[comptime] rounds: usize,
) {
    #[unroll]
    for i in 0..comptime![vectors.len()] {
        let piece = piece(comptime![vectors.clone()], i, rounds);
        if piece.here {
            let mut at = piece.first;
            while at < piece.end {
                let g = gradient.index(i)[at] * Vector::new(unscale);
                let mean = mean.index(i)[at] * Vector::new(comptime![AdamStep::KEPT[0]])
                    + g * Vector::new(comptime![AdamStep::NEW[0]]);
                let square = square.index(i)[at] * Vector::new(comptime![AdamStep::KEPT[1]])
                    + g * g * Vector::new(comptime![AdamStep::NEW[1]]);
                let scale = square.sqrt() / Vector::new(root_correction)
                    + Vector::new(comptime![AdamStep::EPSILON]);
                w.index_mut(i)[at] = weight.index(i)[at] - mean / scale * Vector::new(rate);
                m.index_mut(i)[at] = mean;
                s.index_mut(i)[at] = square;
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
    unscale: f32,
    rate: f32,
    momentum: f32,
    #[comptime] vectors: Vec<usize>,
    #[comptime] rounds: usize,
) {
    #[unroll]
    for i in 0..comptime![vectors.len()] {
        let piece = piece(comptime![vectors.clone()], i, rounds);
        if piece.here {
            let mut at = piece.first;
            while at < piece.end {
                let g = gradient.index(i)[at] * Vector::new(unscale);
                let direction = direction.index(i)[at] * Vector::new(momentum) + g;
                w.index_mut(i)[at] = weight.index(i)[at] - direction * Vector::new(rate);
                d.index_mut(i)[at] = direction;
                at += comptime![UNITS as usize];
            }
        }
    }
}

/// Writes each cube's sum of squares to `parts`, from `start` on.
#[cube(launch_unchecked, address_type = "dynamic")]
fn squares_kernel<N: Size>(
    gradient: &Sequence<Array<Vector<f32, N>>>,
    parts: &mut Array<f32>,
    start: usize,
    #[comptime] vectors: Vec<usize>,
    #[comptime] rounds: usize,
) {
    let mut squares = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for i in 0..comptime![vectors.len()] {
        let piece = piece(comptime![vectors.clone()], i, rounds);
        if piece.here {
            let mut at = piece.first;
            while at < piece.end {
                let g = gradient.index(i)[at];
                squares += g * g;
                at += comptime![UNITS as usize];
            }
        }
    }
    let squares = sum_lanes(squares, Threads::ONE_COLUMN);
    if UNIT_POS == 0 {
        let mut sum = 0.0f32;
        #[unroll]
        for lane in 0..N::value() {
            sum += squares[lane];
        }
        parts[start + CUBE_POS] = sum;
    }
}

/// Adds up `number` parts with one cube.
#[cube(launch_unchecked, address_type = "dynamic")]
fn total_kernel<N: Size>(parts: &Array<f32>, sum: &mut Array<f32>, number: usize) {
    let mut mine = 0.0f32;
    let mut at = UNIT_POS as usize;
    while at < number {
        mine += parts[at];
        at += comptime![UNITS as usize];
    }
    let all = sum_lanes(Vector::<f32, N>::new(mine), Threads::ONE_COLUMN);
    if UNIT_POS == 0 {
        sum[0] = all[0];
    }
}
