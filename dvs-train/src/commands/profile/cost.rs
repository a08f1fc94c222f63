//! What a network costs a sample: operations, energy, memory.

use serde::{Deserialize, Serialize};

use super::synapses::Synapses;

/// Bytes of a number in single precision.
const BYTES: usize = 4;

/// Energy of an operation in pJ. As the literature on spiking networks has it: 32-bit floating point in 45 nm CMOS, 3.7 pJ
/// for a multiplication and 0.9 pJ for an addition (M. Horowitz, Computing's energy problem (and what we can do about
/// it), ISSCC 2014, doi:10.1109/ISSCC.2014.6757323).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Energy {
    /// A multiply-accumulate.
    pub mac_pj: f64,
    /// An accumulate.
    pub ac_pj: f64,
}

impl Energy {
    /// Microjoules of so many operations.
    pub fn microjoules(self, macs: f64, acs: f64) -> f64 {
        (macs * self.mac_pj + acs * self.ac_pj) * 1e-6
    }
}

/// What one layer costs, a mean over samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerCost {
    /// Its short name.
    pub layer: String,
    /// Share of its inputs that are not zero.
    pub active_inputs: f64,
    /// Spikes of a neuron in a step.
    pub firing_rate: f64,
    /// Its neurons.
    pub neurons: usize,
    /// Weights that are learnt.
    pub parameters: usize,
    /// Multiply-accumulates of a sample.
    pub macs: f64,
    /// Accumulates of a sample.
    pub acs: f64,
    /// Multiply-accumulates of the dense network for one frame.
    pub dense_macs_per_frame: u64,
}

impl LayerCost {
    /// Of what `synapses` did in samples of `steps`. The `first` layer's inputs are counts, those of all others spikes.
    pub fn new(
        layer: &str,
        first: bool,
        synapses: &Synapses,
        steps: usize,
        firing_rate: f64,
        neurons: usize,
        parameters: usize,
    ) -> Self {
        let operations = per_sample(synapses.operations, synapses, steps);
        let inputs = (synapses.seen * synapses.inputs).max(1);
        Self {
            layer: layer.to_owned(),
            active_inputs: synapses.active as f64 / inputs as f64,
            firing_rate,
            neurons,
            parameters,
            macs: if first { operations } else { 0.0 },
            acs: if first { 0.0 } else { operations },
            dense_macs_per_frame: synapses.dense,
        }
    }
}

/// The mean of `count` over samples of `steps`.
pub fn per_sample(count: u64, synapses: &Synapses, steps: usize) -> f64 {
    count as f64 * steps as f64 / synapses.seen.max(1) as f64
}

/// What a network costs, a mean over samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Steps of a sample.
    pub steps: usize,
    /// Layer by layer.
    pub layers: Vec<LayerCost>,
    /// Multiply-accumulates of a sample: the first layer's, whose inputs are counts.
    pub macs: f64,
    /// Accumulates of a sample: all others', whose inputs are spikes.
    pub acs: f64,
    /// Accumulates that would take the place of `macs` if every event came as a spike of its own.
    pub event_acs: f64,
    /// Multiply-accumulates of the dense network for one frame; for a sample of all steps, times these.
    pub dense_macs_per_frame: u64,
    /// Energy of an operation.
    pub energy: Energy,
    /// Energy of a sample, in microjoules.
    pub energy_uj: f64,
    /// Energy of the dense network for all frames of a sample.
    pub dense_energy_uj: f64,
    /// Neurons; each is updated once a step.
    pub neurons: usize,
    /// Weights that are learnt.
    pub parameters: usize,
    /// Bytes of these.
    pub parameter_bytes: usize,
    /// Bytes of batch norm's running statistics.
    pub statistics_bytes: usize,
    /// Bytes of the potentials of all neurons, which one sample needs that is worked through step by step.
    pub potential_bytes: usize,
}

impl Cost {
    /// The sum over `layers`; `statistics` are the numbers that batch norm keeps.
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
            parameter_bytes: parameters * BYTES,
            statistics_bytes: statistics * BYTES,
            potential_bytes: neurons * BYTES,
            layers,
        }
    }
}
