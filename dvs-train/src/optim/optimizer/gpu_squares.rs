//! The sum of the squares of all gradients on the CubeCL backends, and loss scaling by it.

use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_snn::backend::gpu::{Threads, UNITS, empty, single, sum_lanes};
use burn_snn::backend::gpu_pieces::{Pieces, piece};
use burn_snn::backend::primitive::{primitive, tensor};
use cubecl::prelude::*;
use cubecl::{CubeCount, CubeDim};

use super::Rule;
use super::adam::AdamStep;
use super::update::ScaledUpdate;
use crate::optim::loss_scale::{DeviceScale, GROWTH_INTERVAL, SMALLEST};

/// Positions of the numbers of a step in the array that [`scale`] returns.
#[derive(Clone, Copy, Debug)]
pub enum Constant {
    /// 0 if the step is skipped, else 1.
    Taken,
    /// 1 / the factor of the loss.
    Unscale,
    /// Adam's [`AdamStep::rate`], or SGD's learning rate.
    Rate,
    /// [`AdamStep::root_correction`].
    RootCorrection,
}

/// State of loss scaling on a CubeCL backend.
pub type GpuScale<R, F, I, BT> = DeviceScale<CubeBackend<R, F, I, BT>>;

/// Number of [`Constant`]s.
const CONSTANTS: usize = 4;

/// Returns the sum `[1]` of the squares of all values of `gradients`, which are contiguous in some
/// order. There is at least one gradient.
pub fn sum<R: CubeRuntime>(gradients: &[CubeTensor<R>]) -> CubeTensor<R> {
    let (parts, number) = parts(gradients);
    let sum = empty(&parts, [1], DType::F32);
    // SAFETY: a thread reads parts only if they are below their number.
    unsafe {
        total_kernel::launch_unchecked(
            &sum.client,
            CubeCount::Static(1, 1, 1),
            CubeDim::new_1d(UNITS),
            parts.required_address_type(),
            1,
            parts.clone().into_array_arg(),
            sum.clone().into_array_arg(),
            number,
        );
    }
    sum
}

/// Returns the numbers of a step, in the order of [`Constant`], and the scale for the next step.
pub fn scale<R, F, I, BT>(
    gradients: &[CubeTensor<R>],
    update: ScaledUpdate,
    scale: GpuScale<R, F, I, BT>,
) -> (CubeTensor<R>, GpuScale<R, F, I, BT>)
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    let (parts, number) = parts(gradients);
    let [factor, counts] = [scale.factor, scale.counts].map(|state| single(primitive(state)));
    let [new_factor, new_counts, constants] =
        [1, 3, CONSTANTS].map(|length| empty(&parts, [length], DType::F32));
    // SAFETY: a thread reads parts only if they are below their number. One thread writes the
    // other arrays, which have the lengths above.
    unsafe {
        scale_kernel::launch_unchecked(
            &parts.client,
            CubeCount::Static(1, 1, 1),
            CubeDim::new_1d(UNITS),
            parts.required_address_type(),
            1,
            parts.clone().into_array_arg(),
            factor.into_array_arg(),
            counts.into_array_arg(),
            new_factor.clone().into_array_arg(),
            new_counts.clone().into_array_arg(),
            constants.clone().into_array_arg(),
            number,
            update.attempt as f32,
            update.rate as f32,
            update.rule == Rule::Adam,
        );
    }
    let state = |values| -> Tensor<_, 1> { tensor(values) };
    let scale = DeviceScale {
        factor: state(new_factor),
        counts: state(new_counts),
    };
    (constants, scale)
}

/// Returns the sums of squares of parts of the gradients, and their number.
fn parts<R: CubeRuntime>(gradients: &[CubeTensor<R>]) -> (CubeTensor<R>, usize) {
    let first = &gradients[0];
    let groups = Pieces::groups(gradients, 1);
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
                group.arrays(gradients),
                parts.clone().into_array_arg(),
                start,
                group.vectors.clone(),
                group.rounds,
            );
        }
        start += group.number();
    }
    (parts, number)
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

/// Adds up `number` parts with one cube. All its threads get the sum.
#[cube]
fn total<N: Size>(parts: &Array<f32>, number: usize) -> f32 {
    let mut mine = 0.0f32;
    let mut at = UNIT_POS as usize;
    while at < number {
        mine += parts[at];
        at += comptime![UNITS as usize];
    }
    sum_lanes(Vector::<f32, N>::new(mine), Threads::ONE_COLUMN)[0]
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn total_kernel<N: Size>(parts: &Array<f32>, sum: &mut Array<f32>, number: usize) {
    let total = total::<N>(parts, number);
    if UNIT_POS == 0 {
        sum[0] = total;
    }
}

/// Computes what [`scale`] returns. A step is skipped as in
/// [`LossScale::note`](crate::optim::loss_scale::LossScale::note).
#[allow(clippy::too_many_arguments)]
#[cube(launch_unchecked, address_type = "dynamic")]
fn scale_kernel<N: Size>(
    parts: &Array<f32>,
    factor: &Array<f32>,
    counts: &Array<f32>,
    new_factor: &mut Array<f32>,
    new_counts: &mut Array<f32>,
    constants: &mut Array<f32>,
    number: usize,
    attempt: f32,
    rate: f32,
    #[comptime] is_adam: bool,
) {
    let total = total::<N>(parts, number);
    if UNIT_POS == 0 {
        let factor = factor[0];
        let whole = counts[0] + 1.0;
        let skipped = counts[1];
        let lost = counts[2];
        // False for NaN too.
        let finite = total <= comptime![f32::MAX];
        if finite {
            let grows = whole == comptime![GROWTH_INTERVAL as f32];
            new_factor[0] = select(grows, factor * 2.0, factor);
            new_counts[0] = select(grows, 0.0f32.runtime(), whole);
            new_counts[1] = skipped;
            new_counts[2] = lost;
        } else {
            let is_exhausted = factor <= comptime![SMALLEST as f32];
            new_factor[0] = select(is_exhausted, factor, factor * 0.5);
            new_counts[0] = 0.0;
            new_counts[1] = skipped + 1.0;
            new_counts[2] = lost + select(is_exhausted, 1.0f32.runtime(), 0.0f32.runtime());
        }
        constants[comptime![Constant::Taken as usize]] =
            select(finite, 1.0f32.runtime(), 0.0f32.runtime());
        constants[comptime![Constant::Unscale as usize]] = 1.0 / factor;
        let steps = attempt - skipped;
        if is_adam {
            let [mean, square] = comptime![AdamStep::LOG_BETAS];
            constants[comptime![Constant::Rate as usize]] = rate / correction(steps * mean);
            constants[comptime![Constant::RootCorrection as usize]] =
                correction(steps * square).sqrt();
        } else {
            constants[comptime![Constant::Rate as usize]] = rate;
            constants[comptime![Constant::RootCorrection as usize]] = 1.0;
        }
    }
}

/// Returns 1 - e^x for x <= 0 to within rounding. Near 0 it is the Taylor series, because the
/// difference of two numbers near 1 has few digits.
#[cube]
fn correction(x: f32) -> f32 {
    let mut series = 1.0f32;
    #[unroll]
    for i in 0..8u32 {
        // From the last term on: 1 + x / 2 (1 + x / 3 (1 + ...)).
        series = 1.0 + series * x * comptime![1.0 / (9 - i) as f32];
    }
    select(x > -0.5, -x * series, 1.0 - x.exp())
}
