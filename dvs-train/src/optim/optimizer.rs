//! Adam and SGD with momentum, by PyTorch's formulas.
//!
//! burn's optimizers keep their state under ids that are new in every process, and SGD's state is
//! inaccessible. Here a checkpoint can save and restore the state under the weights' names.

pub mod adam;
#[cfg(feature = "gpu")]
pub mod gpu;

use std::collections::HashMap;

use adam::{AdamBackend, AdamStep};
use anyhow::{Context, Result, ensure};
use burn::module::{AutodiffModule, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor};
use burn_snn::backend::primitive::{primitive, tensor};

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
    /// State of every weight, in the order of [`Rule::slots`], as `[elements]`.
    pub state: HashMap<ParamId, Vec<Tensor<B::InnerBackend, 1>>>,
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
    B::InnerBackend: AdamBackend,
{
    /// Updates every weight of `module` that has a gradient. If the loss is scaled, `gradients` and
    /// `square_sum` are those of the scaled loss; if `square_sum` is then not finite, the step is
    /// skipped.
    ///
    /// # Errors
    /// Returns an error if the device failed, or the gradients are not finite even at the smallest
    /// scale.
    pub fn step<M: AutodiffModule<B>>(
        &mut self,
        rate: f64,
        module: M,
        gradients: GradientsParams,
        square_sum: &Tensor<B::InnerBackend, 1>,
    ) -> Result<M> {
        let mut factor = None;
        if let Some(scale) = &mut self.loss_scale {
            factor = Some(scale.factor);
            let square_sum = square_sum.clone().try_into_scalar();
            let square_sum = square_sum.context("the device failed while it computed")?;
            let finite = square_sum.elem::<f32>().is_finite();
            ensure!(
                finite || !scale.is_exhausted(),
                "gradients are infinite or no numbers though the loss is not scaled up any more (step {}, {} left out)",
                self.steps,
                scale.skipped
            );
            scale.note(finite);
            if !finite {
                return Ok(module);
            }
        }
        self.steps += 1;
        Ok(module.map(&mut Step {
            optimizer: self,
            rate,
            factor,
            gradients,
        }))
    }

    /// Returns a weight after its step.
    fn moved<const D: usize>(
        &mut self,
        id: ParamId,
        rate: f64,
        weight: Tensor<B::InnerBackend, D>,
        gradient: Tensor<B::InnerBackend, D>,
    ) -> Tensor<B::InnerBackend, D> {
        let shape = weight.shape();
        let (weight, gradient) = (weight.flatten(0, D - 1), gradient.flatten(0, D - 1));
        let kept = self.state.remove(&id).unwrap_or_default();
        let (weight, kept) = match self.rule {
            Rule::Adam => adam(weight, gradient, kept, AdamStep::new(rate, self.steps)),
            Rule::Sgd { momentum } => sgd(weight, gradient, kept, rate, momentum),
        };
        self.state.insert(id, kept);
        weight.reshape(shape)
    }
}

type Moved<B> = (Tensor<B, 1>, Vec<Tensor<B, 1>>);

fn adam<B: AdamBackend>(
    weight: Tensor<B, 1>,
    gradient: Tensor<B, 1>,
    kept: Vec<Tensor<B, 1>>,
    step: AdamStep,
) -> Moved<B> {
    let kept = <[_; 2]>::try_from(kept).unwrap_or_else(|_| {
        let zeros = Tensor::zeros(weight.shape(), &weight.device());
        [zeros.clone(), zeros]
    });
    let [weight, mean, square] = B::adam(
        primitive(weight),
        primitive(gradient),
        kept.map(primitive),
        step,
    );
    (tensor(weight), vec![tensor(mean), tensor(square)])
}

fn sgd<B: Backend>(
    weight: Tensor<B, 1>,
    gradient: Tensor<B, 1>,
    kept: Vec<Tensor<B, 1>>,
    rate: f64,
    momentum: f64,
) -> Moved<B> {
    let direction = match kept.into_iter().next() {
        Some(old) => old.mul_scalar(momentum) + gradient,
        None => gradient,
    };
    (weight - direction.clone().mul_scalar(rate), vec![direction])
}

/// Updates the weights of a module.
struct Step<'a, B: AutodiffBackend> {
    optimizer: &'a mut Optimizer<B>,
    rate: f64,
    /// Factor by which loss scaling made the gradients too large.
    factor: Option<f64>,
    gradients: GradientsParams,
}

impl<B> ModuleMapper<B> for Step<'_, B>
where
    B: AutodiffBackend,
    B::InnerBackend: AdamBackend,
{
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, weight, mapper) = param.consume();
        let Some(gradient) = self.gradients.remove::<B::InnerBackend, D>(id) else {
            return Param::from_mapped_value(id, weight, mapper);
        };
        let gradient = match self.factor {
            Some(factor) => gradient.div_scalar(factor),
            None => gradient,
        };
        let moved = self
            .optimizer
            .moved(id, self.rate, weight.inner(), gradient);
        // A new leaf, so that each step begins a new autodiff graph.
        let weight = Tensor::from_inner(moved).require_grad();
        Param::from_mapped_value(id, weight, mapper)
    }
}

#[cfg(test)]
mod tests;
