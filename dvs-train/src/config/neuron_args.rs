//! The flags of the neuron model.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use burn_snn::{Charge, Neuron, Surrogate, SurrogateShape};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// Flags of the neuron model. Names and defaults are SpikingJelly's, as set in the tutorial.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Neurons")]
pub struct NeuronArgs {
    /// Neuron model
    #[arg(long, value_enum, default_value_t = NeuronName::Lif, ignore_case = true, value_name = "KIND")]
    pub neuron: NeuronName,

    /// Membrane time constant in time steps, above 1; for PLIF the initial value [default: 2]
    #[arg(long, value_name = "STEPS")]
    pub tau: Option<f64>,

    /// Membrane potential at which a neuron spikes
    #[arg(
        long,
        alias = "v_threshold",
        default_value_t = 1.0,
        allow_negative_numbers = true,
        value_name = "V"
    )]
    pub v_threshold: f64,

    /// Membrane potential after a spike (hard reset); none subtracts the threshold instead (soft
    /// reset)
    #[arg(
        long,
        alias = "v_reset",
        default_value = "0",
        allow_negative_numbers = true,
        value_name = "V|none"
    )]
    pub v_reset: VReset,

    /// Divide the input by tau too [default: true]
    #[arg(long, alias = "decay_input", value_name = "true|false")]
    pub decay_input: Option<bool>,

    /// Treat the spike in the reset as a constant, so that no gradient flows through the reset
    #[arg(long, alias = "detach_reset", action = ArgAction::Set, default_value_t = true, value_name = "true|false")]
    pub detach_reset: bool,

    /// Surrogate gradient: replaces the derivative of a spike in the backward pass
    #[arg(long, value_parser = surrogates(), default_value_t = SurrogateShape::ATan, ignore_case = true, value_name = "SHAPE")]
    pub surrogate: SurrogateShape,

    /// Steepness of the surrogate gradient [default: SpikingJelly's, such as 2 for atan and 4 for
    /// sigmoid]
    #[arg(long)]
    pub alpha: Option<f64>,
}

/// Reads the name of a surrogate gradient, in any case and with or without its hyphens.
fn surrogates() -> impl TypedValueParser<Value = SurrogateShape> {
    let value = |shape: SurrogateShape| {
        let (help, without_hyphens) = described(shape);
        let value = PossibleValue::new(shape.name()).help(help);
        value.aliases(without_hyphens)
    };
    PossibleValuesParser::new(SurrogateShape::ALL.map(value)).map(|typed| {
        let typed = typed.to_lowercase().replace('-', "");
        let named = |shape: &SurrogateShape| shape.name().replace('-', "") == typed;
        // PossibleValuesParser accepts no other names.
        let found = SurrogateShape::ALL.into_iter().find(named);
        found.unwrap_or(SurrogateShape::ATan)
    })
}

/// The `--help` text of a surrogate gradient, and its name without hyphens if it has any.
fn described(shape: SurrogateShape) -> (&'static str, Option<&'static str>) {
    match shape {
        SurrogateShape::ATan => ("The derivative of an arc tangent", None),
        SurrogateShape::Sigmoid => ("The derivative of a logistic function", None),
        SurrogateShape::PiecewiseQuadratic => ("A triangle", Some("piecewisequadratic")),
        SurrogateShape::PiecewiseExp => ("Falls exponentially on both sides", Some("piecewiseexp")),
        SurrogateShape::SoftSign => ("The derivative of a soft sign", Some("softsign")),
        SurrogateShape::SuperSpike => (
            "As SuperSpike (Zenke and Ganguli, 2018)",
            Some("superspike"),
        ),
        SurrogateShape::Erf => ("A Gauss curve", None),
        SurrogateShape::Rect => ("A rectangle", None),
    }
}

/// Neuron models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NeuronName {
    /// Leaky integrate-and-fire
    Lif,
    /// Parametric LIF: each layer learns its time constant
    Plif,
    /// Integrate-and-fire, without leak
    If,
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

impl NeuronArgs {
    /// The neuron model that the flags describe.
    ///
    /// # Errors
    /// Returns an error if a value is out of range, or if flags contradict each other.
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
                        "{flag} says how a potential leaks, and --neuron if has no leak; leave it out"
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        neuron: NeuronArgs,
    }

    fn resolve(args: &[&str]) -> Result<Neuron> {
        Flags::try_parse_from(std::iter::once(&"t").chain(args))
            .unwrap()
            .neuron
            .resolve()
    }

    #[test]
    fn the_tutorials_neuron_is_the_default() {
        assert_eq!(resolve(&[]).unwrap(), Neuron::LIF);
    }

    #[test]
    fn every_flag_counts() {
        let args = "--neuron plif --tau 3.5 --v-threshold 0.5 --v-reset none --decay-input false \
                    --detach-reset false --surrogate Sigmoid";
        let neuron = resolve(&args.split_whitespace().collect::<Vec<_>>()).unwrap();
        let expected = Neuron {
            charge: Charge::Learnt {
                initial_tau: 3.5,
                decay_input: false,
            },
            threshold: 0.5,
            reset: None,
            detach_reset: false,
            surrogate: Surrogate {
                shape: SurrogateShape::Sigmoid,
                alpha: 4.0,
            },
        };
        assert_eq!(neuron, expected);
        let neuron = resolve(&["--v-reset", "-0.5", "--neuron", "IF", "--alpha", "3"]).unwrap();
        assert_eq!(
            (neuron.charge, neuron.reset),
            (Charge::Integrate, Some(-0.5))
        );
        assert_eq!(neuron.surrogate.alpha, 3.0);
    }

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        for (args, reason) in [
            (
                &["--tau", "1"][..],
                "--tau 1 is not within 1 (exclusive) and 1000000",
            ),
            (&["--tau", "NaN"], "--tau NaN is not within"),
            (
                &["--neuron", "if", "--tau", "3"],
                "--tau says how a potential leaks",
            ),
            (
                &["--neuron", "if", "--decay-input", "true"],
                "--decay-input says how",
            ),
            (&["--v-reset", "1"], "a neuron would spike again at once"),
            (&["--v-reset", "NaN"], "--v-reset NaN is not within"),
            (
                &["--v-reset", "none", "--v-threshold", "-1"],
                "would not lower the potential",
            ),
            (
                &["--alpha", "0"],
                "--alpha 0 is not within 0 (exclusive) and 10000",
            ),
        ] {
            let error = resolve(args).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(Flags::try_parse_from(["t", "--v-reset", "soft"]).is_err());
    }

    #[test]
    fn settings_survive_json() {
        let flags =
            Flags::try_parse_from(["t", "--v-reset", "none", "--surrogate", "soft-sign"]).unwrap();
        let json = serde_json::to_string(&flags.neuron).unwrap();
        let again: NeuronArgs = serde_json::from_str(&json).unwrap();
        assert_eq!(again.resolve().unwrap(), flags.neuron.resolve().unwrap());
        assert!(
            json.contains(r#""v_reset":"none""#) && json.contains(r#""surrogate":"soft-sign""#),
            "{json}"
        );
    }
}
