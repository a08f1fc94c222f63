//! Adam and SGD with momentum, by PyTorch's formulas.
//!
//! burn's optimizers keep their state under ids that are new in every process, and SGD's state is
//! inaccessible. Here a checkpoint can save and restore the state under the weights' names.

pub mod adam;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "gpu")]
pub mod gpu_squares;
pub mod update;

use std::collections::HashMap;

use anyhow::Result;
use burn::module::{AutodiffModule, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::ops::{FloatTensor, FloatTensorOps as _};
use burn_snn::backend::primitive::{primitive, tensor};

use self::update::{OptimizerBackend, ScaledUpdate, Update, WeightState};

use crate::optim::loss_scale::{DeviceScale, LossScale};

/// Optimization algorithm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Adam with PyTorch's defaults.
    Adam,
    /// Gradient descent with momentum, without dampening or Nesterov's method.
    Sgd {
        /// Factor of the last step's direction.
        momentum: f64,
    },
}

impl Rule {
    /// Returns PyTorch's names of the state kept for every weight.
    pub fn slots(self) -> &'static [&'static str] {
        match self {
            Self::Adam => &["exp_avg", "exp_avg_sq"],
            Self::Sgd { .. } => &["momentum_buffer"],
        }
    }
}

/// An optimizer and its state.
#[derive(Clone, Debug)]
pub struct Optimizer<B: AutodiffBackend> {
    /// Optimization algorithm.
    pub rule: Rule,
    /// Number of steps taken, without those that [`ScaledSteps`] counts.
    pub steps: u64,
    /// Loss scaling, if used, before the steps that [`ScaledSteps`] counts.
    pub loss_scale: Option<LossScale>,
    scaled: Option<ScaledSteps<B::InnerBackend>>,
    /// State of every weight, in the order of [`Rule::slots`], in the weight's shape.
    pub state: HashMap<ParamId, Vec<FloatTensor<B::InnerBackend>>>,
}

/// Steps with a scaled loss since the host last asked the device which of them were skipped.
#[derive(Clone, Debug)]
struct ScaledSteps<B: Backend> {
    /// Loss scaling after these steps.
    scale: DeviceScale<B>,
    /// Number of these steps, with those that were skipped.
    attempts: u64,
}

impl<B: AutodiffBackend> Optimizer<B> {
    /// Makes an optimizer that has taken no step.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            steps: 0,
            loss_scale: None,
            scaled: None,
            state: HashMap::new(),
        }
    }

    /// Returns the factor `[1]` by which to multiply the loss of the next step, if the loss is
    /// scaled.
    pub fn loss_factor(&mut self, device: &B::Device) -> Option<Tensor<B, 1>> {
        let scaled = self.scaled_steps(device)?;
        Some(Tensor::from_inner(scaled.scale.factor.clone()))
    }

    fn scaled_steps(&mut self, device: &B::Device) -> Option<&mut ScaledSteps<B::InnerBackend>> {
        let scale = self.loss_scale?;
        let new = || ScaledSteps {
            scale: DeviceScale::new(scale, 0, device),
            attempts: 0,
        };
        Some(self.scaled.get_or_insert_with(new))
    }

    /// Waits for the device and brings [`steps`](Self::steps) and
    /// [`loss_scale`](Self::loss_scale) up to date.
    ///
    /// # Errors
    /// Returns an error if the device failed, or the gradients were not finite even at the smallest
    /// scale.
    pub fn settle(&mut self) -> Result<()> {
        if let (Some(before), Some(scaled)) = (self.loss_scale, self.scaled.take()) {
            let now = scaled.scale.check()?;
            self.steps += scaled.attempts - (now.skipped - before.skipped);
            self.loss_scale = Some(now);
        }
        Ok(())
    }
}

impl<B> Optimizer<B>
where
    B: AutodiffBackend,
    B::InnerBackend: OptimizerBackend,
{
    /// Updates every weight of `module` that has a gradient. Returns the sum `[1]` of the squares of
    /// all gradients too.
    ///
    /// If the loss is scaled, `gradients` are those of the scaled loss. If they are not all finite,
    /// the step is skipped, and the sum is not needed.
    ///
    /// # Errors
    /// Returns an error if the device failed.
    pub fn step<M: AutodiffModule<B>>(
        &mut self,
        rate: f64,
        module: M,
        mut gradients: GradientsParams,
    ) -> Result<(M, Option<Tensor<B::InnerBackend, 1>>)> {
        let mut collect = Collect {
            gradients: &mut gradients,
            kept: &self.state,
            ids: Vec::new(),
            weights: Vec::new(),
        };
        module.visit(&mut collect);
        let Collect { ids, weights, .. } = collect;
        let Some(first) = weights.first() else {
            return Ok((module, None));
        };
        let device = B::InnerBackend::float_device(&first.weight);
        let (rule, steps) = (self.rule, self.steps);
        let skipped = self.loss_scale.map_or(0, |scale| scale.skipped);
        let (updated, square_sum) = match self.scaled_steps(&device) {
            Some(scaled) => {
                scaled.attempts += 1;
                let update = ScaledUpdate {
                    rule,
                    rate,
                    attempt: steps + skipped + scaled.attempts,
                };
                let scale = scaled.scale.clone();
                let (updated, scale) = B::InnerBackend::scaled_update(weights, update, scale)?;
                scaled.scale = scale;
                (updated, None)
            }
            None => {
                self.steps += 1;
                let update = Update::new(rule, rate, self.steps);
                let gradients = weights.iter().map(|state| state.gradient.clone());
                let square_sum = B::InnerBackend::square_sum(gradients.collect());
                let updated = B::InnerBackend::update(weights, update);
                (updated, Some(tensor(square_sum)))
            }
        };
        let mut replace = Replace::<B> {
            weights: HashMap::with_capacity(ids.len()),
        };
        for (id, (weight, kept)) in ids.into_iter().zip(updated) {
            replace.weights.insert(id, weight);
            self.state.insert(id, kept);
        }
        Ok((module.map(&mut replace), square_sum))
    }
}

/// Collects the weights that have a gradient.
struct Collect<'a, B: AutodiffBackend> {
    gradients: &'a mut GradientsParams,
    kept: &'a HashMap<ParamId, Vec<FloatTensor<B::InnerBackend>>>,
    ids: Vec<ParamId>,
    weights: Vec<WeightState<FloatTensor<B::InnerBackend>>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Collect<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let Some(gradient) = self.gradients.remove::<B::InnerBackend, D>(param.id) else {
            return;
        };
        self.ids.push(param.id);
        self.weights.push(WeightState {
            weight: primitive(param.val().inner()),
            gradient: primitive(gradient),
            kept: self.kept.get(&param.id).cloned().unwrap_or_default(),
        });
    }
}

/// Puts new weights into a module.
struct Replace<B: AutodiffBackend> {
    weights: HashMap<ParamId, FloatTensor<B::InnerBackend>>,
}

impl<B: AutodiffBackend> ModuleMapper<B> for Replace<B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, old, mapper) = param.consume();
        // A new leaf, so that each step begins a new autodiff graph.
        let weight = match self.weights.remove(&id) {
            Some(weight) => Tensor::from_inner(tensor(weight)).require_grad(),
            None => old,
        };
        Param::from_mapped_value(id, weight, mapper)
    }
}

#[cfg(test)]
mod tests;
