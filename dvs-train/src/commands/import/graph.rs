//! Imports a NIR graph.

use anyhow::{Context, Result, bail, ensure};
use burn_snn::neuron::model::Charge;
use dvs_shared::labels::{CLASSES, LABEL_NAMES};
use dvs_shared::split_mode::SplitBy;

use super::Imported;
use crate::cli::ImportArgs;
use crate::config::neuron_config::{NeuronConfig, VReset};
use crate::nn::notation::NeuronName;
use crate::interop::label_order::LabelOrder;
use crate::interop::nir::network::{Asked, FromGraph, network};
use crate::interop::nir::read::read;
use crate::interop::nir::stored::StoredGraph;

/// Reads the graph in the file that `args` name.
///
/// # Errors
/// Returns an error if the file cannot be read, this program's network cannot express its graph, or
/// a flag contradicts it.
pub fn read_graph(args: &ImportArgs) -> Result<Imported> {
    let graph = read(&args.checkpoint)?;
    let order = match args.label_order.or_else(|| label_order(&graph)) {
        Some(order) => order,
        None => bail!(
            "the graph does not say which label each output stands for; say it with --label-order: plain for the order of \
             the labels, folder for that of SpikingJelly's folders"
        ),
    };
    let made_as_plif = graph
        .facts
        .get("neuron")
        .is_some_and(|neuron| neuron.starts_with("PLIF: "));
    let asked = Asked {
        dt: args.dt,
        at_threshold: args.spike_at_threshold,
        order,
        learnt_tau: match args.neuron.neuron {
            Some(NeuronName::Plif) => Some(true),
            Some(NeuronName::Lif) => Some(false),
            Some(NeuronName::If) => None,
            None => made_as_plif.then_some(true),
        },
    };
    let found = network(&graph, &asked)?;
    let architecture = found.weights.architecture;
    if let Some([height, width]) = args.frame_size() {
        let [graph_height, graph_width] = architecture.size;
        ensure!(
            [height, width] == architecture.size,
            "its frames have {graph_width}x{graph_height} pixels, and --sensor says {width}x{height}; leave it out"
        );
    }
    let (frames, split) = frames(&graph).unzip();
    Ok(Imported {
        network: "a NIR graph".to_owned(),
        neurons: Some(neurons(args, &found)?),
        weights: found.weights,
        order,
        dt: Some(found.dt),
        rounded: found.rounded,
        epoch: None,
        max_test_acc: None,
        frames,
        split,
    })
}

/// The neurons of the graph; flags say only how they learn.
fn neurons(args: &ImportArgs, found: &FromGraph) -> Result<NeuronConfig> {
    let in_graph = [
        ("--tau", args.neuron.tau.is_some()),
        ("--v-threshold", args.neuron.v_threshold.is_some()),
        ("--v-reset", args.neuron.v_reset.is_some()),
        ("--decay-input", args.neuron.decay_input.is_some()),
    ];
    for (flag, given) in in_graph {
        ensure!(!given, "the graph says what {flag} would; leave it out");
    }
    let mut neurons = NeuronConfig::default();
    args.neuron.apply(&mut neurons);
    let (name, tau, decay_input) = match found.charge {
        Charge::Leaky { tau, decay_input } => (NeuronName::Lif, Some(tau), Some(decay_input)),
        Charge::Learnt { decay_input, .. } => (NeuronName::Plif, None, Some(decay_input)),
        Charge::Integrate => (NeuronName::If, None, None),
    };
    if let Some(asked) = args.neuron.neuron {
        ensure!(
            asked == name,
            "its neurons are {name}, and --neuron says {asked}; leave it out"
        );
    }
    neurons.neuron = name;
    neurons.tau = tau;
    neurons.decay_input = decay_input;
    neurons.v_threshold = found.threshold;
    neurons.v_reset = VReset(Some(found.reset));
    neurons
        .resolve()
        .context("this program has no such neurons")?;
    Ok(neurons)
}

/// The order of the outputs, if the graph has the names of the gestures, as this program's graphs
/// do.
fn label_order(graph: &StoredGraph) -> Option<LabelOrder> {
    let labels = graph.facts.get("labels")?;
    let orders = [LabelOrder::Plain, LabelOrder::Folder];
    orders.into_iter().find(|order| {
        let names = order.labels(CLASSES).into_iter();
        let names = names.filter_map(|label| LABEL_NAMES.get(label).copied());
        names.collect::<Vec<_>>().join(", ") == *labels
    })
}

/// T and how samples were split into frames, if the graph is one of this program.
fn frames(graph: &StoredGraph) -> Option<(u32, SplitBy)> {
    let (frames, split) = graph.facts.get("frames")?.split_once(", split by ")?;
    let splits = [SplitBy::Number, SplitBy::Time];
    let split = splits.into_iter().find(|by| by.name() == split)?;
    Some((frames.parse().ok()?, split))
}
