//! Adam and SGD with momentum, by PyTorch's formulas.
//!
//! burn's optimizers keep their state under ids that are new in every process, and SGD's state is
//! inaccessible. Here a checkpoint can save and restore the state under the weights' names.

pub mod adam;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod update;

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use burn::module::{AutodiffModule, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{ElementConversion, Tensor};
use burn_snn::backend::primitive::{primitive, tensor};

use self::adam::AdamStep;
use self::update::{OptimizerBackend, Update, WeightState};

use crate::optim::loss_scale::LossScale;

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
    /// Number of steps taken.
    pub steps: u64,
    /// Loss scaling, if used.
    pub loss_scale: Option<LossScale>,
    /// State of every weight, in the order of [`Rule::slots`], in the weight's shape.
    pub state: HashMap<ParamId, Vec<FloatTensor<B::InnerBackend>>>,
}

impl<B: AutodiffBackend> Optimizer<B> {
    /// Makes an optimizer that has taken no step.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            steps: 0,
            loss_scale: None,
            state: HashMap::new(),
        }
    }
}

impl<B> Optimizer<B>
where
    B: AutodiffBackend,
    B::InnerBackend: OptimizerBackend,
{
    /// Updates every weight of `module` that has a gradient. Also returns the sum `[1]` of the
    /// squares of all gradients. If the loss is scaled, `gradients` are those of the scaled loss; if
    /// their sum is then not finite, the step is skipped.
    ///
    /// # Errors
    /// Returns an error if the device failed, or the gradients are not finite even at the smallest
    /// scale.
    pub fn step<M: AutodiffModule<B>>(
        &mut self,
        rate: f64,
        module: M,
        mut gradients: GradientsParams,
    ) -> Result<(M, Tensor<B::InnerBackend, 1>)> {
        let mut collect = Collect {
            gradients: &mut gradients,
            kept: &self.state,
            ids: Vec::new(),
            weights: Vec::new(),
        };
        module.visit(&mut collect);
        let Collect { ids, weights, .. } = collect;
        if weights.is_empty() {
            let device = module.devices().into_iter().next().unwrap_or_default();
            return Ok((module, Tensor::zeros([1], &device)));
        }
        let all = weights.iter().map(|state| state.gradient.clone());
        let square_sum = tensor::<B::InnerBackend, 1>(B::InnerBackend::square_sum(all.collect()));
        let factor = self.loss_scale.map(|scale| scale.factor);
        if let Some(scale) = &mut self.loss_scale {
            let sum = square_sum.clone().try_into_scalar();
            let sum = sum.context("the device failed while it computed")?;
            let finite = sum.elem::<f32>().is_finite();
            ensure!(
                finite || !scale.is_exhausted(),
                "gradients are infinite or no numbers though the loss is not scaled up any more (step {}, {} left out)",
                self.steps,
                scale.skipped
            );
            scale.note(finite);
            if !finite {
                return Ok((module, square_sum));
            }
        }
        self.steps += 1;
        let update = match self.rule {
            Rule::Adam => Update::Adam(AdamStep::new(rate, self.steps)),
            Rule::Sgd { momentum } => Update::Sgd {
                rate: rate as f32,
                momentum: momentum as f32,
            },
        };
        let updated = B::InnerBackend::update(weights, update, factor);
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
