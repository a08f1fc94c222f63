//! The kinds of neurons.

use std::fmt;

use super::surrogate::Surrogate;

/// Kind and parameters of a layer's neurons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neuron {
    /// How the current charges the membrane potential.
    pub charge: Charge,
    /// Potential at which a neuron spikes.
    pub threshold: f64,
    /// Potential after a spike (hard reset). If `None`, a spike subtracts the threshold (soft
    /// reset).
    pub reset: Option<f64>,
    /// Whether no gradient flows through the spike into the reset.
    pub detach_reset: bool,
    /// Replaces the derivative of a spike in the backward pass.
    pub surrogate: Surrogate,
}

/// How the current charges the membrane potential.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Charge {
    /// Leaky integrate-and-fire (LIF): the potential decays to rest.
    Leaky {
        /// Membrane time constant, in time steps.
        tau: f64,
        /// Whether the current is divided by tau too.
        decay_input: bool,
    },
    /// Parametric LIF (PLIF): each layer learns w, with 1 / tau = sigmoid(w).
    Learnt {
        /// Time constant at the start of training, in time steps.
        initial_tau: f64,
        /// Whether the current is divided by tau too.
        decay_input: bool,
    },
    /// Integrate-and-fire (IF): the potential does not decay.
    Integrate,
}

impl Neuron {
    /// A LIF neuron as in SpikingJelly's tutorials: tau 2, threshold 1, hard reset to 0,
    /// ATan surrogate.
    pub const LIF: Self = Self {
        charge: Charge::Leaky {
            tau: 2.0,
            decay_input: true,
        },
        threshold: 1.0,
        reset: Some(0.0),
        detach_reset: true,
        surrogate: Surrogate::ATAN,
    };

    /// Returns the potential before the first step, to which the potential decays.
    pub fn rest(&self) -> f64 {
        self.reset.unwrap_or(0.0)
    }

    /// Returns the abbreviation of the model.
    pub fn name(&self) -> &'static str {
        match self.charge {
            Charge::Leaky { .. } => "LIF",
            Charge::Learnt { .. } => "PLIF",
            Charge::Integrate => "IF",
        }
    }
}

/// Settings of a layer's operations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer {
    /// Kind of the neurons.
    pub neuron: Neuron,
    /// Whether the output has the potentials after the last step as one more row.
    pub keep_potential: bool,
}

impl fmt::Display for Neuron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.name())?;
        match self.charge {
            Charge::Leaky { tau, decay_input } => {
                write!(f, "tau={tau}, decay_input={decay_input}, ")?
            }
            Charge::Learnt {
                initial_tau,
                decay_input,
            } => write!(f, "initial tau={initial_tau}, decay_input={decay_input}, ")?,
            Charge::Integrate => {}
        }
        write!(f, "v_threshold={}, ", self.threshold)?;
        match self.reset {
            Some(reset) => write!(f, "v_reset={reset}, ")?,
            None => write!(f, "v_reset=none (soft), ")?,
        }
        let Surrogate { shape, alpha } = self.surrogate;
        write!(
            f,
            "detach_reset={}, surrogate={shape}, alpha={alpha}",
            self.detach_reset
        )
    }
}
