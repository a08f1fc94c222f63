//! The cost of a network per sample: operations, energy, memory.

use serde::{Deserialize, Serialize};

use super::synapses::Synapses;

/// Bytes of a single-precision number.
const BYTES: usize = 4;

/// Energy per operation in pJ. The literature on spiking networks takes 32-bit floating point in 45
/// nm CMOS: 3.7 pJ for a multiplication and 0.9 pJ for an addition (M. Horowitz, Computing's energy
/// problem (and what we can do about it), ISSCC 2014, doi:10.1109/ISSCC.2014.6757323).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// Energy of a multiply-accumulate.
    pub mac_pj: f64,
    /// Energy of an accumulate.
    pub ac_pj: f64,
}

impl Energy {
    /// The energy of these operations, in microjoules.
    pub fn microjoules(self, macs: f64, acs: f64) -> f64 {
        (macs * self.mac_pj + acs * self.ac_pj) * 1e-6
    }
}

/// The cost of one layer, as a mean over samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerCost {
    /// Short name of the layer.
    pub layer: String,
    /// Share of the inputs that are not zero.
    pub active_inputs: f64,
    /// Spikes per neuron and time step.
    pub firing_rate: f64,
    pub neurons: usize,
    /// Trainable parameters.
    pub parameters: usize,
    /// Multiply-accumulates per sample.
    pub macs: f64,
    /// Accumulates per sample.
    pub acs: f64,
    /// Multiply-accumulates of the dense network per frame.
    pub dense_macs_per_frame: u64,
}

impl LayerCost {
    /// Computes the cost from the `synapses` of samples with `steps` time steps. A spike costs an
    /// accumulate at each synapse, another input a multiply-accumulate. `firing` is the firing rate
    /// and the number of neurons.
    pub fn new(
        layer: String,
        takes_spikes: bool,
        synapses: &Synapses,
        steps: usize,
        (firing_rate, neurons): (f64, usize),
        parameters: usize,
    ) -> Self {
        let operations = per_sample(synapses.operations, synapses, steps);
        let inputs = (synapses.seen * synapses.inputs).max(1);
        Self {
            layer,
            active_inputs: synapses.active as f64 / inputs as f64,
            firing_rate,
            neurons,
            parameters,
            macs: if takes_spikes { 0.0 } else { operations },
            acs: if takes_spikes { operations } else { 0.0 },
            dense_macs_per_frame: synapses.dense,
        }
    }
}

/// The mean of `count` over samples of `steps` time steps.
pub fn per_sample(count: u64, synapses: &Synapses, steps: usize) -> f64 {
    count as f64 * steps as f64 / synapses.seen.max(1) as f64
}

/// The cost of a network, as a mean over samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Time steps per sample.
    pub steps: usize,
    pub layers: Vec<LayerCost>,
    /// Multiply-accumulates per sample, in the layers whose inputs are not spikes: the first takes
    /// counts.
    pub macs: f64,
    /// Accumulates per sample, in the layers whose inputs are spikes.
    pub acs: f64,
    /// Accumulates that would replace the first layer's part of `macs` if every event were a separate
    /// spike.
    pub event_acs: f64,
    /// Multiply-accumulates of the dense network per frame; a sample takes `steps` times as many.
    pub dense_macs_per_frame: u64,
    /// Energy per operation.
    pub energy: Energy,
    /// Energy per sample, in microjoules.
    pub energy_uj: f64,
    /// Energy of the dense network for all frames of a sample, in microjoules.
    pub dense_energy_uj: f64,
    /// Neurons; each is updated once per time step.
    pub neurons: usize,
    /// Trainable parameters.
    pub parameters: usize,
    pub parameter_bytes: u64,
    /// Bytes of the running statistics of batch norm.
    pub statistics_bytes: u64,
    /// Bytes of the membrane potentials of all neurons, which single-step mode needs for one
    /// sample.
    pub potential_bytes: u64,
}

impl Cost {
    /// Sums up `layers`; `statistics` is the number of values that batch norm keeps.
    pub fn new(
        steps: usize,
        layers: Vec<LayerCost>,
        event_acs: f64,
        statistics: usize,
        energy: Energy,
    ) -> Self {
        let sum = |of: fn(&LayerCost) -> f64| layers.iter().map(of).sum::<f64>();
        let (macs, acs) = (sum(|layer| layer.macs), sum(|layer| layer.acs));
        let dense = layers.iter().map(|layer| layer.dense_macs_per_frame).sum();
        let count = |of: fn(&LayerCost) -> usize| layers.iter().map(of).sum::<usize>();
        let (neurons, parameters) = (count(|l| l.neurons), count(|l| l.parameters));
        Self {
            steps,
            macs,
            acs,
            event_acs,
            dense_macs_per_frame: dense,
            energy,
            energy_uj: energy.microjoules(macs, acs),
            dense_energy_uj: energy.microjoules(dense as f64 * steps as f64, 0.0),
            neurons,
            parameters,
            parameter_bytes: (parameters * BYTES) as u64,
            statistics_bytes: (statistics * BYTES) as u64,
            potential_bytes: (neurons * BYTES) as u64,
            layers,
        }
    }
}
