//! Graphs of networks of other forms than that for gestures.

use super::*;
use crate::testing::fixtures::general;

#[test]
fn general_networks_have_the_same_rates_after_export_and_import() {
    let mut npz = Npz::open("networks.npz");
    for network_of in general() {
        let config = network_config(&network_of.notation, network_of.size);
        let graph = Graph::of(
            &network_of.weights(),
            &config.neurons,
            LabelOrder::Plain,
            1e-4,
        );
        let graph = graph.unwrap();
        for notation in [Some(network_of.notation.as_str()), None] {
            let asked = Asked {
                notation,
                order: None,
                // Without the notation, the number of classes decides whether outputs vote.
                classes: Some(config.architecture.classes),
                ..ASKED
            };
            let found = network(&stored(&graph), &asked).unwrap();
            let expected = npz.values(&format!("{}|eval_rate", network_of.name));
            let off = distance(&rates(&found, network_of.frames()), &expected);
            assert!(off < 1e-6, "{}: rates off by {off:e}", network_of.notation);
            let again = Graph::of(&found.weights, &neurons(&found), LabelOrder::Plain, 1e-4);
            assert!(again.unwrap() == graph, "{}", network_of.notation);
            if notation.is_some() {
                assert_eq!(found.weights.architecture, config.architecture);
                assert!(found.assumed.is_empty());
            }
        }
    }
}

#[test]
fn a_general_graph_of_spikingjelly_has_its_firing_rates() {
    let networks = general();
    let made_of = networks.iter().find(|made_of| made_of.name == "3").unwrap();
    let asked = Asked {
        at_threshold: true,
        order: None,
        ..ASKED
    };
    let found = network(&fixture("general.nir"), &asked).unwrap();
    let expected = "c3k1s1-BN-LIF-c4k7s1-BN-LIF-MPk2s2-DP-FC30-LIF-APk3s3";
    assert_eq!(found.weights.architecture.to_string(), expected);
    assert_eq!(found.assumed.len(), 2, "{:?}", found.assumed);
    let expected = Npz::open("networks.npz").values("nir|eval_rate");
    assert!(distance(&rates(&found, made_of.frames()), &expected) < 1e-6);
}

/// Without max pooling and IF neurons, no node says how long a step is.
const STEP: Asked<'_> = Asked {
    dt: Some(1e-4),
    ..ASKED
};

/// The graph of a network in `notation` with weights that all differ.
fn graph_of(notation: &str, order: LabelOrder) -> (StoredGraph, Weights) {
    let config = network_config(notation, [20, 18]);
    let weights = weights(config.architecture);
    let graph = Graph::of(&weights, &config.neurons, order, 1e-4).unwrap();
    (stored(&graph), weights)
}

#[test]
fn layers_with_neurons_of_their_own_round_trip() {
    for notation in [
        "DP0.2-c2k4s3p1-BN-IF-APk2s1-APk2s2-DP-FC5-PLIF-FC12-LIF-APk4s4",
        "c2k3s1-BN-PLIF-MPk2s2-MPk3s1-FC5-IF-DP0.1-FC3-IF",
        "FC4-LIF",
    ] {
        let (graph, weights) = graph_of(notation, LabelOrder::Plain);
        let asked = Asked {
            notation: Some(notation),
            ..STEP
        };
        let found = network(&graph, &asked).unwrap();
        assert_eq!(found.weights.architecture, weights.architecture);
        for part in weights.architecture.parts() {
            if matches!(part, Weight::Matrix(_)) {
                assert_eq!(found.weights.get(part), weights.get(part), "{part:?}");
            }
        }
    }
    // Another notation is none of this graph.
    let (graph, _) = graph_of("FC4-LIF", LabelOrder::Plain);
    let asked = Asked {
        notation: Some("FC5-PLIF"),
        ..STEP
    };
    let found = network(&graph, &asked).unwrap();
    assert_eq!(found.weights.architecture.to_string(), "DP-FC4-LIF");
}

#[test]
fn outputs_without_voting_are_in_their_order_too() {
    for notation in ["FC3-LIF-FC12-LIF", "FC3-LIF-FC24-LIF-APk2s2"] {
        let (graph, weights) = graph_of(notation, LabelOrder::Folder);
        let asked = Asked {
            order: Some(LabelOrder::Folder),
            notation: Some(notation),
            ..STEP
        };
        let found = network(&graph, &asked).unwrap();
        assert_eq!(found.weights, weights);
        let unknown = Asked {
            order: None,
            ..asked
        };
        let error = network(&graph, &unknown).unwrap_err().to_string();
        assert!(error.contains("say it with --label-order"), "{error}");
    }
}

#[test]
fn outputs_without_voting_or_notation_vote_if_the_names_say_so() {
    let (graph, _) = graph_of("FC20-LIF", LabelOrder::Plain);
    let voters = |asked: &Asked<'_>| network(&graph, asked).unwrap().weights.architecture.voters;
    let error = network(&graph, &STEP).unwrap_err().to_string();
    assert!(
        error.contains("whether its 20 outputs stand for as many classes"),
        "{error}"
    );
    let classes = |classes| Asked {
        classes: Some(classes),
        ..STEP
    };
    assert_eq!(voters(&classes(20)), 1);
    assert_eq!(voters(&classes(4)), 5);
    let error = network(&graph, &classes(3)).unwrap_err().to_string();
    assert!(
        error.contains("20 outputs do not divide into 3 classes"),
        "{error}"
    );
    let (graph, _) = graph_of("FC20-LIF-APk2s2", LabelOrder::Plain);
    let error = network(&graph, &classes(5)).unwrap_err().to_string();
    assert!(
        error.contains("it tells 10 classes apart, and there are names of 5"),
        "{error}"
    );
}

#[test]
fn convolutions_have_batch_norm_unless_the_notation_says_not() {
    let notation = "c2k3s1-LIF-c2k3s1-BN-LIF-FC4-LIF";
    let (mut graph, weights) = graph_of(notation, LabelOrder::Plain);
    let asked = Asked {
        notation: Some(notation),
        ..STEP
    };
    let found = network(&graph, &asked).unwrap();
    assert_eq!(found.weights.architecture, weights.architecture);
    assert_eq!(
        found.weights.get(Weight::Kernel(0)),
        weights.get(Weight::Kernel(0))
    );
    let with_norm = "{c2k3s1-BN-LIF}*2-DP-FC4-LIF";
    let foreign = network(&graph, &STEP).unwrap();
    assert_eq!(foreign.weights.architecture.to_string(), with_norm);
    assert!(foreign.assumed[1].contains("batch norm"));
    // A bias is none of a convolution without batch norm.
    set(&mut graph, "conv1", "bias", all(&[2], vec![0.0, 0.5]));
    let found = network(&graph, &asked).unwrap();
    assert_eq!(found.weights.architecture.to_string(), with_norm);
    assert_eq!(found.weights.get(Weight::Beta(0)), [0.0, 0.5]);
}

#[test]
fn max_pooling_of_means_is_refused() {
    let config = network_config("c2k3s1-BN-LIF-APk2s2-MPk2s2-FC4-LIF", [20, 18]);
    let weights = weights(config.architecture);
    let error = Graph::of(&weights, &config.neurons, LabelOrder::Plain, 1e-4).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("layer conv1_pool2: its inputs are means"),
        "{error}"
    );
    let (mut graph, _) = graph_of("c2k3s1-BN-LIF-MPk2s2-MPk2s2-FC4-LIF", LabelOrder::Plain);
    layer(&mut graph, "conv1_pool").kind = "AvgPool2d".to_owned();
    graph.nodes.remove("conv1_pool_neurons");
    graph
        .edges
        .retain(|edge| !edge.contains(&"conv1_pool_neurons".to_owned()));
    graph
        .edges
        .push(["conv1_pool".to_owned(), "conv1_pool2".to_owned()]);
    let error = network(&graph, &ASKED).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "node 'conv1_pool2' (SumPool2d): neurons follow it, and its inputs are means"
        ),
        "{error}"
    );
}
