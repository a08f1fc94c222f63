//! What an import reads of a graph at most. A graph beyond it is not exported.

use anyhow::{Context, Result, ensure};
use burn_snn::neuron::Neuron;
use burn_snn::neuron::model::Charge;

use super::read::{MAX_ALL_NUMBERS, MAX_NUMBERS};
use crate::config::options::{MAX_CHANNELS, MAX_HIDDEN, within};
use crate::nn::architecture::{Architecture, BlockForm};
use crate::nn::notation::PoolKind;

/// No node has more numbers than this in its fields of fixed size, such as strides.
const SMALL: usize = 16;
/// Fields of IF neurons: r, threshold and reset.
const IF_FIELDS: usize = 3;
/// Fields of LIF neurons, which also have tau and the leak potential.
const LIF_FIELDS: usize = 5;

/// Checks that an import accepts the sizes of a network with these `neurons`.
///
/// # Errors
/// Returns an error that names the first layer beyond a limit, its number and the limit.
pub fn check(architecture: &Architecture, neurons: &[Neuron]) -> Result<()> {
    numbers(architecture, neurons).context("import would refuse its graph")
}

fn numbers(architecture: &Architecture, neurons: &[Neuron]) -> Result<()> {
    let mut total = Total(0);
    let names = architecture.layer_names();
    let mut layers = names.iter().zip(neurons);
    for (block, (name, neuron)) in architecture.blocks.iter().zip(&mut layers) {
        let BlockForm {
            inputs,
            channels,
            kernel,
            ..
        } = *block;
        within(
            &format!("layer {name}: the number of channels"),
            channels,
            1..=MAX_CHANNELS,
        )?;
        total.add(name, 1, &[channels, inputs, kernel, kernel])?;
        total.add(name, 1, &[channels])?;
        let [height, width] = block.convolved();
        total.add(name, fields(neuron), &[channels, height, width])?;
        let mut before = BlockForm {
            pools: Vec::new(),
            ..block.clone()
        };
        for pool in &block.pools {
            before.pools.push(*pool);
            let [height, width] = before.pooled();
            match pool.kind {
                PoolKind::Average => total.add(name, 0, &[])?,
                PoolKind::Max => total.add(name, IF_FIELDS, &[channels, height, width])?,
            }
        }
    }
    for (linear, (name, neuron)) in architecture.linears.iter().zip(layers) {
        within(
            &format!("layer {name}: the number of outputs"),
            linear.outputs,
            1..=MAX_HIDDEN,
        )?;
        total.add(name, 1, &[linear.outputs, linear.inputs])?;
        // Its bias, if it has one, and its neurons.
        total.add(name, 1 + fields(neuron), &[linear.outputs])?;
    }
    if architecture.voters > 1 {
        let outputs = architecture.classes * architecture.voters;
        total.add("vote", 1, &[architecture.classes, outputs])?;
    }
    Ok(())
}

/// How many fields of the size of their layer these neurons have.
fn fields(neuron: &Neuron) -> usize {
    match neuron.charge {
        Charge::Integrate => IF_FIELDS,
        Charge::Leaky { .. } | Charge::Learnt { .. } => LIF_FIELDS,
    }
}

/// The count of all numbers so far.
struct Total(usize);

impl Total {
    /// Adds `fields` fields of this shape, which belong to the layer `name`.
    fn add(&mut self, name: &str, fields: usize, shape: &[usize]) -> Result<()> {
        let count = shape
            .iter()
            .fold(1, |count: usize, side| count.saturating_mul(*side));
        ensure!(
            count <= MAX_NUMBERS,
            "layer {name} has a field of {count} numbers, and {MAX_NUMBERS} are the limit of a field"
        );
        let all = count.saturating_mul(fields).saturating_add(SMALL);
        self.0 = self.0.saturating_add(all);
        ensure!(
            self.0 <= MAX_ALL_NUMBERS,
            "up to layer {name} it has {} numbers, and {MAX_ALL_NUMBERS} are the limit of a graph",
            self.0
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The limits of the network in `notation` for frames of `size`, whose weights are not needed.
    fn checked(notation: &str, size: [usize; 2], charge: Charge) -> Result<()> {
        let architecture = Architecture::build(notation, size, None, false).unwrap();
        let neuron = Neuron {
            charge,
            ..Neuron::LIF
        };
        let neurons = vec![neuron; architecture.neurons().count()];
        check(&architecture, &neurons)
    }

    #[test]
    fn networks_beyond_the_limits_are_refused_by_layer() {
        let refused = |notation: &str, size, expected: &str| {
            let error = format!(
                "{:#}",
                checked(notation, size, Neuron::LIF.charge).unwrap_err()
            );
            assert!(error.contains(expected), "{error}");
        };
        refused(
            "c64k3s1-LIF-MPk7s7-FC4-LIF",
            [2048, 2048],
            "layer conv1 has a field of 268435456 numbers, and 134217728 are the limit of a field",
        );
        refused(
            "c32k3s1-LIF-MPk7s7-FC4-LIF",
            [2048, 2048],
            "up to layer conv1 it has 671",
        );
        refused(
            "c4k3s1-LIF-c5000k1s1-LIF-MPk7s7-FC4-LIF",
            [8, 8],
            "layer conv2: the number of channels 5000 is not within 1 and 4096",
        );
        refused(
            "FC20000-LIF-FC4-LIF",
            [8, 8],
            "layer fc1: the number of outputs 20000 is not within 1 and 16384",
        );
        // LIF neurons have more fields than IF neurons.
        let (notation, size) = ("c16k3s1-LIF-FC1-LIF", [2048, 1600]);
        assert!(checked(notation, size, Neuron::LIF.charge).is_err());
        checked(notation, size, Charge::Integrate).unwrap();
        let wide = "c512k3s1-BN-LIF-MPk2s2-FC4-LIF";
        checked(wide, [128, 128], Neuron::LIF.charge).unwrap();
    }
}
