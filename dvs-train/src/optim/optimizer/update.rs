//! A step of the optimizer for all weights, as one operation of the backend.
//!
//! A network has 19 weights, most of them with few values. A GPU updates all of them in one launch.

use anyhow::{Context, Result};
use burn::backend::flex::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{ElementConversion, Scalar, Shape, Tensor, TensorMetadata};
use burn_snn::backend::primitive::{primitive, tensor};

use super::Rule;
use super::adam::{self, AdamStep};
use crate::optim::loss_scale::DeviceScale;

/// A step of an optimizer, the same for every weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// Adam.
    Adam(AdamStep),
    /// Gradient descent with momentum.
    ///
    /// ```text
    /// direction = momentum direction + g
    /// w         = w - rate direction
    /// ```
    Sgd {
        /// Learning rate.
        rate: f32,
        /// Factor of the last step's direction.
        momentum: f32,
    },
}

impl Update {
    /// Returns step number `steps` of `rule`, from 1 on, at the learning rate `rate`.
    pub fn new(rule: Rule, rate: f64, steps: u64) -> Self {
        match rule {
            Rule::Adam => Self::Adam(AdamStep::new(rate, steps)),
            Rule::Sgd { momentum } => Self::Sgd {
                rate: rate as f32,
                momentum: momentum as f32,
            },
        }
    }
}

/// A step of an optimizer if the loss is scaled. The device knows whether the step is skipped, and
/// how many were skipped before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaledUpdate {
    /// Optimization algorithm.
    pub rule: Rule,
    /// Learning rate.
    pub rate: f64,
    /// Number of this step, from 1 on, if skipped steps are counted too.
    pub attempt: u64,
}

/// Each weight after a step, and what is kept for it.
pub type Updated<T> = Vec<(T, Vec<T>)>;

/// A weight, its gradient, and what the optimizer keeps for it. All have the same shape.
#[derive(Clone, Debug)]
pub struct WeightState<T> {
    /// Weight.
    pub weight: T,
    /// Its gradient.
    pub gradient: T,
    /// The mean of gradients and the mean of their squares for Adam, the direction for SGD.
    pub kept: Vec<T>,
}

/// A backend with steps of optimizers. The default methods update one weight after the other.
pub trait OptimizerBackend: Backend {
    /// Takes a step. Gradients are those of the loss.
    fn update(
        weights: Vec<WeightState<FloatTensor<Self>>>,
        update: Update,
    ) -> Updated<FloatTensor<Self>> {
        let each = |state: WeightState<FloatTensor<Self>>| {
            let shape = state.weight.shape();
            let [weight, gradient] = [state.weight, state.gradient].map(flat::<Self>);
            let kept = state.kept.into_iter().map(flat::<Self>).collect();
            let (weight, kept) = match update {
                Update::Adam(step) => adam_one(weight, gradient, kept, step),
                Update::Sgd { rate, momentum } => sgd_one(weight, gradient, kept, rate, momentum),
            };
            let whole = |values| Self::float_reshape(primitive::<Self, 1>(values), shape.clone());
            (whole(weight), kept.into_iter().map(whole).collect())
        };
        weights.into_iter().map(each).collect()
    }

    /// Takes a step if all gradients are finite. Gradients are those of the loss times the factor of
    /// `scale`. Also returns the scale for the next step. There is at least one weight.
    ///
    /// # Errors
    /// Returns an error if the device failed.
    fn scaled_update(
        mut weights: Vec<WeightState<FloatTensor<Self>>>,
        update: ScaledUpdate,
        scale: DeviceScale<Self>,
    ) -> Result<(Updated<FloatTensor<Self>>, DeviceScale<Self>)> {
        let gradients = weights.iter().map(|state| state.gradient.clone());
        let sum = tensor::<Self, 1>(Self::square_sum(gradients.collect()));
        let sum = sum.try_into_scalar();
        let sum: f32 = sum.context("the device failed while it computed")?.elem();
        let finite = sum.is_finite();
        let (before, lost) = scale.fetch()?;
        let lost = lost + u64::from(!finite && before.is_exhausted());
        let mut now = before;
        now.note(finite);
        let scale = DeviceScale::new(now, lost, &scale.factor.device());
        if !finite {
            let same = |state: WeightState<_>| (state.weight, state.kept);
            return Ok((weights.into_iter().map(same).collect(), scale));
        }
        for state in &mut weights {
            let gradient = state.gradient.clone();
            state.gradient = Self::float_div_scalar(gradient, Scalar::from(before.factor));
        }
        let steps = update.attempt.saturating_sub(before.skipped);
        let update = Update::new(update.rule, update.rate, steps);
        Ok((Self::update(weights, update), scale))
    }

    /// Returns the weight, the mean of gradients and the mean of their squares after a step of
    /// Adam, `[N]` each.
    fn adam(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        kept: [FloatTensor<Self>; 2],
        step: AdamStep,
    ) -> [FloatTensor<Self>; 3] {
        adam::reference::<Self>(weight, gradient, kept, step)
    }

    /// Squares all values of `gradients` and returns their sum `[1]`. There is at least one gradient.
    /// The sum is infinite or NaN if a value is, or if a value is beyond 1e19.
    fn square_sum(gradients: Vec<FloatTensor<Self>>) -> FloatTensor<Self> {
        let all = Tensor::cat(gradients.into_iter().map(flat::<Self>).collect(), 0);
        primitive((all.clone() * all).sum())
    }
}

impl OptimizerBackend for Flex {
    fn adam(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        kept: [FloatTensor<Self>; 2],
        step: AdamStep,
    ) -> [FloatTensor<Self>; 3] {
        adam::on_cpu(weight, gradient, kept, step)
    }
}

/// Returns all values of a tensor of any shape, `[N]`.
fn flat<B: Backend>(values: FloatTensor<B>) -> Tensor<B, 1> {
    let length = values.shape().num_elements();
    tensor(B::float_reshape(values, Shape::new([length])))
}

fn adam_one<B: OptimizerBackend>(
    weight: Tensor<B, 1>,
    gradient: Tensor<B, 1>,
    kept: Vec<Tensor<B, 1>>,
    step: AdamStep,
) -> (Tensor<B, 1>, Vec<Tensor<B, 1>>) {
    let kept = <[_; 2]>::try_from(kept).unwrap_or_else(|_| {
        let zeros = Tensor::zeros(weight.shape(), &weight.device());
        [zeros.clone(), zeros]
    });
    let (weight, gradient) = (primitive(weight), primitive(gradient));
    let [weight, mean, square] = B::adam(weight, gradient, kept.map(primitive), step).map(tensor);
    (weight, vec![mean, square])
}

fn sgd_one<B: Backend>(
    weight: Tensor<B, 1>,
    gradient: Tensor<B, 1>,
    kept: Vec<Tensor<B, 1>>,
    rate: f32,
    momentum: f32,
) -> (Tensor<B, 1>, Vec<Tensor<B, 1>>) {
    let direction = match kept.into_iter().next() {
        Some(old) => old.mul_scalar(momentum) + gradient,
        None => gradient,
    };
    (weight - direction.clone().mul_scalar(rate), vec![direction])
}
