//! Makes this program's network of a graph. Every node has to fit exactly; nothing is approximated.

mod kinds;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use self::kinds::{learning, shared};
use super::chain::chain;
use super::fields::Problems;
use super::layers::{Layers, Named};
use super::neurons::{Discrete, Equation, is_close};
use super::roles::assign;
use super::stored::StoredGraph;
use crate::interop::classes::{taken_as_votes, voters_of_graph};
use crate::interop::label_order::{LabelOrder, SAY_ORDER};
use crate::nn::architecture::Architecture;
use crate::nn::notation::NeuronName;
use crate::run_dir::weight_layout::{Weight, Weights};

/// The running variance for which batch norm with gamma 1 and mean 0 multiplies by exactly 1 in 32
/// bits: the sum with epsilon is 1. The bias of a convolution is its beta, so nothing is rounded.
const UNIT_VARIANCE: f32 = 0.99999;
/// Dropout before each linear layer, if a graph does not say its network: the literature's.
const DROPOUT: f64 = 0.5;

/// What a graph does not say.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Duration of a step in seconds; `None` if r says it.
    pub dt: Option<f64>,
    /// Whether neurons spike at their threshold too, unlike NIR's.
    pub at_threshold: bool,
    /// The order of the labels in the outputs. Few classes need none.
    pub order: Option<LabelOrder>,
    /// The number of classes, if it is known.
    pub classes: Option<usize>,
    /// Whether the neurons are PLIF; `None` if the notation or the layers' time constants decide.
    pub learnt_tau: Option<bool>,
    /// The notation of the network that the graph was made from.
    pub notation: Option<&'a str>,
}

/// A network from a graph.
#[derive(Clone, Debug)]
pub struct FromGraph {
    /// The weights; outputs are in the order of the labels.
    pub weights: Weights,
    /// Tau in steps of the LIF neurons, if there are any.
    pub tau: Option<f64>,
    /// Whether the input of LIF and PLIF neurons decays, if there are any.
    pub decay_input: Option<bool>,
    /// What was assumed because the graph does not say it.
    pub assumed: Vec<String>,
    /// Potential at which a neuron spikes.
    pub threshold: f64,
    pub reset: f64,
    /// Duration of a step in seconds.
    pub dt: f64,
    /// The order of the labels in the graph.
    pub order: LabelOrder,
    /// Names of the weights that were rounded to 32 bits.
    pub rounded: Vec<String>,
}

/// The network of a graph.
///
/// # Errors
/// Returns an error that names every node that does not fit, what was expected and what was found.
pub fn network(graph: &StoredGraph, asked: &Asked<'_>) -> Result<FromGraph> {
    let nodes = assign(chain(graph)?)?;
    let mut layers = Layers::read(nodes, |outputs| match asked.notation {
        // Graphs with their notation have a node that votes, if there is voting.
        Some(_) => Ok(1),
        None => voters_of_graph(outputs, asked.classes),
    })?;
    let dt = step(&layers, asked.dt)?;
    let found = discrete(&layers, dt, asked.at_threshold)?;
    let first = shared(&found)?;
    let written = asked.notation.and_then(|text| written(text, &layers));
    let has_no_notation = written.is_none();
    let learns = learning(
        &found,
        &layers.architecture,
        asked.learnt_tau,
        written.as_ref(),
    )?;
    let architecture = complete(layers.architecture, &learns, written)?;
    let classes = architecture.classes;
    if let Some(named) = asked.classes.filter(|named| *named != classes) {
        bail!("it tells {classes} classes apart, and there are names of {named} classes");
    }
    let order = match asked.order {
        Some(order) => order,
        None if LabelOrder::Folder.is_plain(classes) => LabelOrder::Plain,
        None => {
            bail!("the graph does not say which label each output stands for; {SAY_ORDER}")
        }
    };
    let groups = outputs(&layers.votes, order, classes);
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
        let values = match architecture.is_of_output(part) {
            true => reordered(&values, &groups),
            false => values,
        };
        parts.insert(part, values);
    }
    let mut assumed = Vec::new();
    if has_no_notation {
        assumed.push(format!(
            "in training, dropout of {DROPOUT} precedes each linear layer"
        ));
        if !architecture.blocks.is_empty() {
            let norm =
                "in training, batch norm follows each convolution, whose bias becomes its shift";
            assumed.push(norm.to_owned());
        }
    }
    if !layers.has_vote && asked.classes.is_none() && architecture.voters > 1 {
        assumed.push(taken_as_votes(&architecture));
    }
    let mut leaks = found.iter().zip(&learns);
    Ok(FromGraph {
        weights: Weights {
            architecture,
            parts,
        },
        tau: leaks.find_map(|((_, neurons), learns)| Some(neurons.leak.filter(|_| !*learns)?.0)),
        decay_input: found.iter().find_map(|(_, neurons)| Some(neurons.leak?.1)),
        assumed,
        threshold: first.threshold(asked.at_threshold),
        reset: first.v_reset,
        dt,
        order,
        rounded: layers.rounded,
    })
}

/// The neurons of each layer in steps of `dt` seconds. Checks that those after poolings make max
/// pooling.
fn discrete<'a>(
    layers: &Layers<'a>,
    dt: f64,
    at_threshold: bool,
) -> Result<Vec<Named<'a, Discrete>>> {
    let mut problems = Problems::default();
    for (node, neurons, least) in &layers.pools {
        let checked = neurons.discrete(dt);
        let checked = checked.and_then(|found| found.check_max_pooling(*least, at_threshold));
        problems.of(node, checked);
    }
    let found = layers.neurons.iter().filter_map(|(node, neurons)| {
        let neurons = problems.of(node, neurons.discrete(dt))?;
        Some((node.clone(), neurons))
    });
    let found = found.collect();
    problems.finish()?;
    Ok(found)
}

/// The network in `notation`, if the graph may have been made from it. Then both differ only in
/// dropout, in batch norm and in which layers learn tau. Without batch norm, a convolution has no bias.
fn written(notation: &str, layers: &Layers<'_>) -> Option<Architecture> {
    let graph = &layers.architecture;
    let made = Architecture::build(notation, graph.size, Some(graph.classes), graph.linear_bias);
    let made = made.ok()?;
    let has_bias = |block| {
        let bias = layers.weights.get(&Weight::Beta(block));
        bias.is_some_and(|bias| bias.iter().any(|value| *value != 0.0))
    };
    let mut blocks = made.blocks.iter().enumerate();
    if blocks.any(|(at, block)| !block.norm && has_bias(at)) {
        return None;
    }
    let mut bare = made.clone();
    let neuron = |neuron| match neuron {
        NeuronName::Plif => NeuronName::Lif,
        other => other,
    };
    for block in &mut bare.blocks {
        (block.dropout, block.norm, block.neuron) = (0.0, true, neuron(block.neuron));
    }
    for linear in &mut bare.linears {
        (linear.dropout, linear.neuron) = (0.0, neuron(linear.neuron));
    }
    (bare == *graph).then_some(made)
}

/// The form of the graph's network with what its nodes do not say: dropout, batch norm, and which of the
/// layers learn tau.
fn complete(
    mut architecture: Architecture,
    learns: &[bool],
    written: Option<Architecture>,
) -> Result<Architecture> {
    match written {
        Some(written) => {
            let blocks = architecture.blocks.iter_mut().zip(&written.blocks);
            blocks.for_each(|(block, written)| {
                (block.dropout, block.norm) = (written.dropout, written.norm);
            });
            let linears = architecture.linears.iter_mut().zip(&written.linears);
            linears.for_each(|(linear, written)| linear.dropout = written.dropout);
        }
        None => {
            let linears = architecture.linears.iter_mut();
            linears.for_each(|linear| linear.dropout = DROPOUT);
        }
    }
    let blocks = architecture
        .blocks
        .iter_mut()
        .map(|block| &mut block.neuron);
    let linears = architecture
        .linears
        .iter_mut()
        .map(|linear| &mut linear.neuron);
    for (neuron, learns) in blocks.chain(linears).zip(learns) {
        if *learns {
            *neuron = NeuronName::Plif;
        }
    }
    let notation = architecture.to_string();
    let Architecture {
        size,
        classes,
        linear_bias,
        ..
    } = architecture;
    match Architecture::build(&notation, size, Some(classes), linear_bias) {
        Ok(made) if made == architecture => Ok(made),
        Ok(_) => bail!("its layers are not those of its network {notation}"),
        Err(error) => bail!("its network {notation} is not possible: {}", error.why()),
    }
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

/// The group of output neurons in the file for each label.
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
