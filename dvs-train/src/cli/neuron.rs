//! The flags of the neuron model.

use burn_snn::SurrogateShape;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::cli::set;
use crate::config::neuron_config::{NeuronConfig, VReset};
use crate::nn::notation::NeuronName;

/// Flags of the neuron model.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Neurons")]
pub struct NeuronArgs {
    /// Neuron model [default: lif]
    #[arg(long, value_enum, ignore_case = true, value_name = "KIND")]
    pub neuron: Option<NeuronName>,

    /// Membrane time constant in time steps, above 1; for PLIF the initial value [default: 2]
    #[arg(long, value_name = "STEPS")]
    pub tau: Option<f64>,

    /// Membrane potential at which a neuron spikes [default: 1]
    #[arg(
        long,
        alias = "v_threshold",
        allow_negative_numbers = true,
        value_name = "V"
    )]
    pub v_threshold: Option<f64>,

    /// Membrane potential after a spike (hard reset); none subtracts the threshold instead (soft
    /// reset) [default: 0]
    #[arg(
        long,
        alias = "v_reset",
        allow_negative_numbers = true,
        value_name = "V|none"
    )]
    pub v_reset: Option<VReset>,

    /// Divide the input by tau too [default: true]
    #[arg(long, alias = "decay_input", value_name = "true|false")]
    pub decay_input: Option<bool>,

    /// Treat the spike in the reset as a constant, so that no gradient flows through the reset
    /// [default: true]
    #[arg(long, alias = "detach_reset", value_name = "true|false")]
    pub detach_reset: Option<bool>,

    /// Surrogate gradient: replaces the derivative of a spike in the backward pass [default: atan]
    #[arg(long, value_parser = surrogates(), ignore_case = true, value_name = "SHAPE")]
    pub surrogate: Option<SurrogateShape>,

    /// Steepness of the surrogate gradient [default: SpikingJelly's, such as 2 for atan and 4 for
    /// sigmoid]
    #[arg(long)]
    pub alpha: Option<f64>,
}

impl NeuronArgs {
    /// Sets what was typed.
    pub fn apply(&self, neurons: &mut NeuronConfig) {
        // The pattern names every flag, so that a new one cannot be forgotten here.
        let Self {
            neuron,
            tau,
            v_threshold,
            v_reset,
            decay_input,
            detach_reset,
            surrogate,
            alpha,
        } = self;
        set(&mut neurons.neuron, neuron);
        set(&mut neurons.tau, tau);
        set(&mut neurons.v_threshold, v_threshold);
        set(&mut neurons.v_reset, v_reset);
        set(&mut neurons.decay_input, decay_input);
        set(&mut neurons.detach_reset, detach_reset);
        set(&mut neurons.surrogate, surrogate);
        set(&mut neurons.alpha, alpha);
    }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use anyhow::Result;
    use burn_snn::{Charge, Neuron, Surrogate};
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        neuron: NeuronArgs,
    }

    fn config(args: &[&str]) -> NeuronConfig {
        let flags = Flags::try_parse_from(std::iter::once(&"t").chain(args)).unwrap();
        let mut neurons = NeuronConfig::default();
        flags.neuron.apply(&mut neurons);
        neurons
    }

    fn resolve(args: &[&str]) -> Result<Neuron> {
        config(args).resolve()
    }

    #[test]
    fn default_neuron_matches_the_tutorial() {
        assert_eq!(resolve(&[]).unwrap(), Neuron::LIF);
    }

    #[test]
    fn every_neuron_flag_takes_effect() {
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
    fn refuses_invalid_neuron_flags_with_the_reason() {
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
    fn neuron_configuration_round_trips_through_json() {
        let neurons = config(&["--v-reset", "none", "--surrogate", "soft-sign"]);
        let json = serde_json::to_string(&neurons).unwrap();
        let again: NeuronConfig = serde_json::from_str(&json).unwrap();
        assert_eq!(again, neurons);
        assert!(
            json.contains(r#""v_reset":"none""#) && json.contains(r#""surrogate":"soft-sign""#),
            "{json}"
        );
    }
}
