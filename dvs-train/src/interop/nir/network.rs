//! Makes this program's network of a graph. Every node has to fit exactly; nothing is approximated.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use burn_snn::neuron::model::Charge;

use super::chain::chain;
use super::fields::Problems;
use super::layers::{Layers, Named};
use super::neurons::{Discrete, Equation, is_close};
use super::roles::assign;
use super::stored::StoredGraph;
use crate::interop::label_order::LabelOrder;
use crate::nn::network::LAYERS;
use crate::run_dir::weight_layout::{Architecture, Weight, Weights};

/// The running variance for which batch norm with gamma 1 and mean 0 multiplies by exactly 1 in 32
/// bits: the sum with epsilon is 1. The bias of a convolution is its beta, so nothing is rounded.
const UNIT_VARIANCE: f32 = 0.99999;

/// What a graph does not say.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Duration of a step in seconds; `None` if r says it.
    pub dt: Option<f64>,
    /// Whether neurons spike at their threshold too, unlike NIR's.
    pub at_threshold: bool,
    /// The order of the labels in the outputs.
    pub order: LabelOrder,
    /// Whether the neurons are PLIF; `None` if the layers' time constants decide.
    pub learnt_tau: Option<bool>,
}

/// A network from a graph.
#[derive(Clone, Debug)]
pub struct FromGraph {
    /// The weights; outputs are in the order of the labels.
    pub weights: Weights,
    pub charge: Charge,
    /// Potential at which a neuron spikes.
    pub threshold: f64,
    pub reset: f64,
    /// Duration of a step in seconds.
    pub dt: f64,
    /// Names of the weights that were rounded to 32 bits.
    pub rounded: Vec<String>,
}

/// The network of a graph.
///
/// # Errors
/// Returns an error that names every node that does not fit, what was expected and what was found.
pub fn network(graph: &StoredGraph, asked: &Asked) -> Result<FromGraph> {
    let mut layers = Layers::read(assign(chain(graph)?)?)?;
    let dt = step(&layers, asked.dt)?;
    let mut problems = Problems::default();
    for (node, neurons, least) in &layers.pools {
        let checked = neurons.discrete(dt);
        let checked = checked.and_then(|found| found.check_max_pooling(*least, asked.at_threshold));
        problems.of(node, checked);
    }
    let found = layers.neurons.iter().filter_map(|(node, neurons)| {
        let neurons = problems.of(node, neurons.discrete(dt))?;
        Some((node.clone(), neurons))
    });
    let found: Vec<Named<'_, Discrete>> = found.collect();
    problems.finish()?;
    let (charge, first) = shared(&found, asked.learnt_tau)?;
    let learnt_tau = matches!(charge, Charge::Learnt { .. });
    let architecture = Architecture {
        learnt_tau,
        ..layers.architecture
    };
    let order = outputs(&layers.votes, asked.order, architecture.classes);
    let mut parts = BTreeMap::new();
    for part in architecture.parts() {
        let count: usize = part.shape(&architecture).iter().product();
        let values = match part {
            Weight::Gamma(_) => vec![1.0; count],
            Weight::Mean(_) => vec![0.0; count],
            Weight::Variance(_) => vec![UNIT_VARIANCE; count],
            Weight::Tau(layer) => {
                let leak = found.get(layer).and_then(|(_, neurons)| neurons.leak);
                let (tau, _) = leak.context("neurons without a leak have no tau")?;
                vec![-(tau - 1.0).ln() as f32]
            }
            // Of the linear layers, one may have a bias and the other none: adding 0 changes nothing.
            _ => layers
                .weights
                .remove(&part)
                .unwrap_or_else(|| vec![0.0; count]),
        };
        let values = match part.is_of_output() {
            true => reordered(&values, &order),
            false => values,
        };
        parts.insert(part, values);
    }
    Ok(FromGraph {
        weights: Weights {
            architecture,
            parts,
        },
        charge,
        threshold: first.threshold(asked.at_threshold),
        reset: first.v_reset,
        dt,
        rounded: layers.rounded,
    })
}

/// The duration of a step that most neurons have. The others are refused with their own parameters.
fn step(layers: &Layers<'_>, asked: Option<f64>) -> Result<f64> {
    let neurons = layers.neurons.iter().map(|(_, neurons)| neurons);
    let pools = layers.pools.iter().map(|(_, neurons, _)| neurons);
    let said: Vec<f64> = neurons.chain(pools).filter_map(Equation::dt).collect();
    let agree = |dt: f64| said.iter().filter(|other| is_close(**other, dt)).count();
    // Of equals, the last one would win, so the order is turned.
    let most = said.iter().copied().rev().max_by_key(|dt| agree(*dt));
    let dt = asked.or(most).context(
        "the graph does not say how long a step is: r is 1 for all its neurons; say it with --dt, such as --dt 0.0001",
    )?;
    ensure!(
        dt > 0.0 && dt <= 1e3,
        "a step of {dt} s is not within 0 (exclusive) and 1000 seconds"
    );
    Ok(dt)
}

/// How all neurons charge, and those of the first layer. Only tau may differ between layers: the
/// neurons are PLIF then.
fn shared(found: &[Named<'_, Discrete>], learnt: Option<bool>) -> Result<(Charge, Discrete)> {
    let ((first_node, first), rest) = found.split_first().context("there are no neurons")?;
    let mut problems = Problems::default();
    let mut same_tau = true;
    for (node, neurons) in rest {
        let mut differ = |what: &str, found: String, expected: String| {
            problems.add(format!(
                "{} has {what} {found}, and {} has {expected}; in this program all layers share it",
                node.shown(),
                first_node.shown()
            ));
        };
        if neurons.v_threshold != first.v_threshold {
            differ(
                "v_threshold",
                neurons.v_threshold.to_string(),
                first.v_threshold.to_string(),
            );
        }
        if neurons.v_reset != first.v_reset {
            differ(
                "v_reset",
                neurons.v_reset.to_string(),
                first.v_reset.to_string(),
            );
        }
        match (first.leak, neurons.leak) {
            (None, None) => {}
            (Some((expected, decays)), Some((tau, decays_too))) => {
                same_tau &= tau == expected;
                if decays != decays_too {
                    let text = |decays| if decays { "1" } else { "tau / dt" };
                    differ("r", text(decays_too).to_owned(), text(decays).to_owned());
                }
            }
            _ => differ(
                "the type",
                node.kind().to_owned(),
                first_node.kind().to_owned(),
            ),
        }
    }
    problems.finish()?;
    let charge = match (first.leak, learnt) {
        (None, _) => Charge::Integrate,
        (Some((tau, decay_input)), None | Some(false)) if same_tau => {
            Charge::Leaky { tau, decay_input }
        }
        (Some((_, decay_input)), None | Some(true)) => Charge::Learnt {
            initial_tau: 2.0,
            decay_input,
        },
        (Some(_), Some(false)) => {
            let taus = found
                .iter()
                .zip(LAYERS)
                .filter_map(|((_, neurons), layer)| {
                    Some(format!("{} in {layer}", neurons.leak?.0))
                });
            let taus = taus.collect::<Vec<_>>().join(", ");
            bail!(
                "tau differs between the layers ({taus} steps), as PLIF neurons have it; leave --neuron out, or make it plif"
            )
        }
    };
    Ok((charge, *first))
}

/// The group of ten output neurons in the file for each label.
fn outputs(votes: &[usize], order: LabelOrder, classes: usize) -> Vec<usize> {
    let mut groups: Vec<usize> = (0..classes).collect();
    for (output, label) in order.labels(classes).into_iter().enumerate() {
        if let (Some(group), Some(vote)) = (groups.get_mut(label), votes.get(output)) {
            *group = *vote;
        }
    }
    groups
}

/// The weights of the output layer with its groups of neurons in this order.
fn reordered(weights: &[f32], groups: &[usize]) -> Vec<f32> {
    let each = weights.len() / groups.len().max(1);
    let group = |at: &usize| weights.get(at * each..(at + 1) * each).unwrap_or_default();
    groups.iter().flat_map(group).copied().collect()
}

#[cfg(test)]
mod tests;
