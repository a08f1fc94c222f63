//! The configuration of the neurons.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use burn_snn::{Charge, Neuron, Surrogate, SurrogateShape};
use serde::{Deserialize, Serialize};

use crate::nn::notation::NeuronName;

/// The neuron model. Names and defaults are SpikingJelly's, as set in the tutorial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NeuronConfig {
    /// Neuron model.
    pub neuron: NeuronName,
    /// Membrane time constant in time steps, above 1; for PLIF the initial value. `None` is 2.
    pub tau: Option<f64>,
    /// Membrane potential at which a neuron spikes.
    pub v_threshold: f64,
    /// Membrane potential after a spike.
    pub v_reset: VReset,
    /// Whether the input is divided by tau too. `None` is true.
    pub decay_input: Option<bool>,
    /// Whether the spike in the reset is a constant, so that no gradient flows through the reset.
    pub detach_reset: bool,
    /// Shape of the surrogate gradient.
    pub surrogate: SurrogateShape,
    /// Steepness of the surrogate gradient. `None` is SpikingJelly's for the shape.
    pub alpha: Option<f64>,
}

impl Default for NeuronConfig {
    fn default() -> Self {
        Self {
            neuron: NeuronName::Lif,
            tau: None,
            v_threshold: 1.0,
            v_reset: VReset(Some(0.0)),
            decay_input: None,
            detach_reset: true,
            surrogate: SurrogateShape::ATan,
            alpha: None,
        }
    }
}

/// A reset potential; `None` is a soft reset.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct VReset(pub Option<f64>);

impl FromStr for VReset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        let number = text
            .parse()
            .map_err(|_| format!("{text:?} is neither a number nor none"))?;
        Ok(Self(Some(number)))
    }
}

impl fmt::Display for VReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(reset) => write!(f, "{reset}"),
            None => write!(f, "none"),
        }
    }
}

impl From<VReset> for String {
    fn from(reset: VReset) -> Self {
        reset.to_string()
    }
}

impl TryFrom<String> for VReset {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl NeuronConfig {
    /// The neuron model of each layer, for layers with neurons of these `kinds`.
    ///
    /// # Errors
    /// Returns an error if a value is out of range, or if values contradict each other.
    pub fn resolve_layers(&self, kinds: &[NeuronName]) -> Result<Vec<Neuron>> {
        let leaks = kinds.iter().any(|kind| *kind != NeuronName::If);
        let layers = kinds.iter().map(|kind| {
            let mut layer = Self {
                neuron: *kind,
                ..self.clone()
            };
            // The leak that the flags describe is that of the other layers.
            if *kind == NeuronName::If && leaks {
                (layer.tau, layer.decay_input) = (None, None);
            }
            layer.resolve()
        });
        layers.collect()
    }

    /// The neuron model.
    ///
    /// # Errors
    /// Returns an error if a value is out of range, or if values contradict each other.
    pub fn resolve(&self) -> Result<Neuron> {
        let tau = self.tau.unwrap_or(2.0);
        let decay_input = self.decay_input.unwrap_or(true);
        // With a tau of 1 or less, no potential would be left for the next step.
        ensure!(
            tau > 1.0 && tau <= 1e6,
            "--tau {tau} is not within 1 (exclusive) and 1000000"
        );
        let (threshold, reset) = (self.v_threshold, self.v_reset.0);
        ensure!(
            threshold.abs() <= 1e6,
            "--v-threshold {threshold} is not within -1000000 and 1000000"
        );
        match reset {
            Some(reset) => ensure!(
                reset < threshold && reset >= -1e6,
                "--v-reset {reset} is not within -1000000 and --v-threshold {threshold} (exclusive): a neuron would \
                 spike again at once, for ever"
            ),
            None => ensure!(
                threshold > 0.0,
                "--v-threshold {threshold} is not above 0, so --v-reset none, which subtracts it, would not lower the \
                 potential"
            ),
        }
        let alpha = self.alpha.unwrap_or(self.surrogate.default_alpha());
        ensure!(
            alpha > 0.0 && alpha <= 1e4,
            "--alpha {alpha} is not within 0 (exclusive) and 10000"
        );
        let charge = match self.neuron {
            NeuronName::Lif => Charge::Leaky { tau, decay_input },
            NeuronName::Plif => Charge::Learnt {
                initial_tau: tau,
                decay_input,
            },
            NeuronName::If => {
                let unused = [
                    ("--tau", self.tau.is_some()),
                    ("--decay-input", self.decay_input.is_some()),
                ];
                for (flag, given) in unused {
                    ensure!(
                        !given,
                        "{flag} says how a potential leaks, and IF neurons have no leak; leave it out"
                    );
                }
                Charge::Integrate
            }
        };
        Ok(Neuron {
            charge,
            threshold,
            reset,
            detach_reset: self.detach_reset,
            surrogate: Surrogate {
                shape: self.surrogate,
                alpha,
            },
        })
    }
}
