//! Imports a NIR graph.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use dvs_shared::labels::{CLASSES, LABEL_NAMES};
use dvs_shared::split_mode::SplitBy;
use serde_json::from_str;

use super::Imported;
use crate::cli::ImportArgs;
use crate::config::neuron_config::{NeuronConfig, VReset};
use crate::interop::classes::check_names;
use crate::interop::label_order::LabelOrder;
use crate::interop::nir::DT;
use crate::interop::nir::network::{Asked, FromGraph, network};
use crate::interop::nir::read::read;
use crate::interop::nir::stored::StoredGraph;
use crate::nn::notation::NeuronName;

/// Texts about a graph.
type Facts = BTreeMap<String, String>;

const ORDERS: [LabelOrder; 2] = [LabelOrder::Plain, LabelOrder::Folder];

/// Reads the graph in the file that `args` name, with this number of classes if it is known.
///
/// # Errors
/// Returns an error if the file cannot be read, this program's network cannot express its graph, or
/// a flag contradicts it.
pub fn read_graph(args: &ImportArgs, classes: Option<usize>) -> Result<Imported> {
    ensure!(
        args.network.is_none(),
        "--network is for .pth files, and a NIR graph says its layers itself; leave it out"
    );
    let graph = read(&args.checkpoint)?;
    let facts = own_facts(&graph);
    let fact = |name: &str| facts.get(name).map(String::as_str);
    // Graphs of older versions do not say their notation.
    let made_as_plif = || fact("neuron").is_some_and(|neuron| neuron.starts_with("PLIF: "));
    let notation = fact("network");
    // What the nodes say of it is rounded, and some say nothing.
    let own_dt = || fact("dt")?.strip_suffix(DT)?.parse().ok();
    let asked = Asked {
        dt: args.dt.or_else(own_dt),
        at_threshold: args.spike_at_threshold,
        order: args.label_order.or_else(|| label_order(&facts)),
        classes,
        learnt_tau: match args.neuron.neuron {
            Some(NeuronName::Plif) => Some(true),
            Some(NeuronName::Lif) => Some(false),
            Some(NeuronName::If) => None,
            None if notation.is_some() => None,
            None => made_as_plif().then_some(true),
        },
        notation,
    };
    let found = network(&graph, &asked)?;
    let architecture = &found.weights.architecture;
    if let Some([height, width]) = args.frame_size() {
        let [graph_height, graph_width] = architecture.size;
        ensure!(
            [height, width] == architecture.size,
            "its frames have {graph_width}x{graph_height} pixels, and --sensor says {width}x{height}; leave it out"
        );
    }
    let label_names = match args.label_names {
        Some(_) => None,
        None => label_names(&facts, found.order, architecture.classes)?,
    };
    let (frames, split) = frames(&facts).unzip();
    Ok(Imported {
        network: "a NIR graph".to_owned(),
        neurons: Some(neurons(args, &found)?),
        label_names,
        weights: found.weights,
        order: found.order,
        assumed: found.assumed,
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
    let mut kinds: Vec<NeuronName> = Vec::new();
    for kind in found.weights.architecture.neurons() {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if let Some(asked) = args.neuron.neuron {
        let names = kinds.iter().map(NeuronName::to_string);
        ensure!(
            kinds == [asked],
            "its neurons are {}, and --neuron says {asked}; leave it out",
            names.collect::<Vec<_>>().join(" and ")
        );
    }
    neurons.tau = found.tau;
    neurons.decay_input = found.decay_input;
    neurons.v_threshold = found.threshold;
    neurons.v_reset = VReset(Some(found.reset));
    neurons
        .resolve_layers(&kinds)
        .context("this program has no such neurons")?;
    Ok(neurons)
}

/// The texts about a graph of this program. Texts of other programs may mean anything.
fn own_facts(graph: &StoredGraph) -> Facts {
    let by = graph.facts.get("created_by");
    match by.is_some_and(|by| by.starts_with("dvs-train ")) {
        true => graph.facts.clone(),
        false => Facts::new(),
    }
}

/// The order of the outputs, if the graph says it. Graphs of older versions have the names of the
/// gestures in this order.
fn label_order(facts: &Facts) -> Option<LabelOrder> {
    let (order, labels) = (facts.get("label_order"), facts.get("labels"));
    let is_said = |wanted: &LabelOrder| match (order, labels) {
        (Some(order), _) => order == wanted.name(),
        (None, Some(labels)) => {
            let names = wanted.labels(CLASSES).into_iter();
            let names = names.filter_map(|label| LABEL_NAMES.get(label).copied());
            names.collect::<Vec<_>>().join(", ") == *labels
        }
        (None, None) => false,
    };
    ORDERS.into_iter().find(is_said)
}

/// The name of each label, if the graph says them.
fn label_names(facts: &Facts, order: LabelOrder, classes: usize) -> Result<Option<Vec<String>>> {
    let names = match (facts.get("label_names"), facts.get("labels")) {
        (Some(list), _) => from_str::<Vec<String>>(list).map_err(anyhow::Error::from),
        (None, Some(labels)) => older_names(labels, order, classes),
        (None, None) => return Ok(None),
    };
    let checked = names.and_then(|names| {
        let found = names.len();
        ensure!(
            found == classes,
            "it has {found} names for {classes} classes"
        );
        check_names(&names)?;
        Ok(names)
    });
    let unreadable = "the graph's names of its classes cannot be read; say them with --label-names";
    checked.map(Some).context(unreadable)
}

/// The name of each label in a graph of an older version. Such a graph has the names in the `order` of
/// its outputs, with commas between them.
fn older_names(labels: &str, order: LabelOrder, classes: usize) -> Result<Vec<String>> {
    let outputs: Vec<&str> = labels.split(", ").collect();
    let found = outputs.len();
    ensure!(
        found == classes,
        "it has {found} names for {classes} classes"
    );
    let mut names: Vec<_> = order.labels(classes).into_iter().zip(outputs).collect();
    names.sort_unstable();
    Ok(names.into_iter().map(|(_, name)| name.to_owned()).collect())
}

/// T and how samples were split into frames, if the graph is one of this program.
fn frames(facts: &Facts) -> Option<(u32, SplitBy)> {
    let (frames, split) = facts.get("frames")?.split_once(", split by ")?;
    let splits = [SplitBy::Number, SplitBy::Time];
    let split = splits.into_iter().find(|by| by.name() == split)?;
    Some((frames.parse().ok()?, split))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn facts(pairs: &[(&str, &str)]) -> Facts {
        let pairs = pairs.iter();
        pairs
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn names_of_classes_are_read_or_refused() {
        let names = |pairs: &[(&str, &str)]| label_names(&facts(pairs), LabelOrder::Folder, 11);
        let list = r#"["a, b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"]"#;
        let found = names(&[("label_names", list), ("labels", "a, b, c")]);
        assert_eq!(found.unwrap().unwrap()[..2], ["a, b", "c"]);
        // Graphs of older versions have the names in the order of their outputs.
        let older = names(&[("labels", "a, b, k, c, d, e, f, g, h, i, j")]);
        assert_eq!(older.unwrap().unwrap()[9..], ["j", "k"]);
        assert_eq!(names(&[("label_order", "plain")]).unwrap(), None);
        for (fact, text) in [
            ("label_names", "a, b"),
            ("label_names", r#"["a", "b"]"#),
            ("labels", "a, b, c"),
            ("labels", "a, a, k, c, d, e, f, g, h, i, j"),
        ] {
            let error = names(&[(fact, text)]).unwrap_err().to_string();
            assert!(error.ends_with("say them with --label-names"), "{error}");
        }
    }

    #[test]
    fn texts_of_other_programs_are_not_read() {
        let texts = |by: &str| StoredGraph {
            facts: facts(&[("created_by", by), ("label_order", "folder")]),
            ..StoredGraph::default()
        };
        let order = |by: &str| label_order(&own_facts(&texts(by)));
        assert_eq!(order("dvs-train 0.1.0"), Some(LabelOrder::Folder));
        assert_eq!(order("another program"), None);
    }
}
