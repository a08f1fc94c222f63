//! What unit tests of several modules share.

pub mod fixtures;

use crate::config::neuron_config::NeuronConfig;
use crate::nn::architecture::Architecture;
use crate::nn::network::StepMode;
use crate::nn::network_config::NetworkConfig;
use crate::nn::network_name::NetworkName;
use crate::nn::notation::NeuronName;

/// The network in `notation` for frames of `size` (height and width), with the tutorial's neurons
/// wherever the notation says LIF.
///
/// # Panics
/// Panics if the notation is not of a network that fits.
#[allow(clippy::unwrap_used)]
pub fn network_config(notation: &str, size: [usize; 2]) -> NetworkConfig {
    let architecture = Architecture::build(notation, size, None, false).unwrap();
    let kinds: Vec<_> = architecture.neurons().collect();
    let neurons = NeuronConfig::default();
    NetworkConfig {
        neurons: neurons.resolve_layers(&kinds).unwrap(),
        architecture,
        step_mode: StepMode::M,
        recompute: false,
        chunk_steps: None,
        half: None,
    }
}

/// The network for DVS128 Gesture with this number of channels, with or without dropout.
pub fn gesture(channels: usize, dropout: bool) -> String {
    let network = NetworkName::Gesture;
    let notation = network.notation(channels, network.hidden(channels), 11, NeuronName::Lif);
    match dropout {
        true => notation,
        false => notation.replace("DP-", ""),
    }
}
