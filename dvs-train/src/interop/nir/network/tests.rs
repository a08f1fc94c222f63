//! Graphs of this program and of others become networks, and all else is refused with the reason.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use burn::backend::Flex;
use burn::backend::flex::FlexDevice;
use burn::tensor::{Tensor, TensorData};
use burn_snn::neuron::Neuron;
use burn_snn::testing::{Npz, values};
use dvs_shared::labels::CLASSES;
use proptest::prelude::*;

use super::*;
use crate::interop::nir::read::read;
use crate::interop::nir::stored::{Field, Numbers, Precision, StoredLayer, StoredNode};
use crate::interop::nir::{Graph, write};
use crate::nn::network::{Network, NetworkConfig, StepMode};

const ASKED: Asked = Asked {
    dt: None,
    at_threshold: false,
    order: LabelOrder::Plain,
    learnt_tau: None,
};

const ARCHITECTURE: Architecture = Architecture {
    channels: 2,
    hidden: 3,
    classes: CLASSES,
    size: [32, 64],
    linear_bias: true,
    learnt_tau: false,
};

/// Weights that all differ.
fn weights(architecture: Architecture) -> Weights {
    let parts = architecture.parts().into_iter().enumerate();
    let parts = parts.map(|(at, part)| {
        let count: usize = part.shape(&architecture).iter().product();
        let value = |i: usize| (i as f32).mul_add(0.37, at as f32).sin();
        let positive = matches!(part, Weight::Variance(_));
        let values = (0..count).map(|i| if positive { value(i).abs() } else { value(i) });
        (part, values.collect())
    });
    Weights {
        architecture,
        parts: parts.collect(),
    }
}

/// The graph as the file of an export has it.
fn stored(graph: &Graph) -> StoredGraph {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.nir");
    write(&path, graph, &[]).unwrap();
    read(&path).unwrap()
}

fn exported() -> StoredGraph {
    let weights = weights(ARCHITECTURE);
    stored(&Graph::of(&weights, &Neuron::LIF, LabelOrder::Plain, 1e-4).unwrap())
}

fn fixture(name: &str) -> StoredGraph {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    read(&folder.join(name)).unwrap()
}

fn neuron(found: &FromGraph) -> Neuron {
    Neuron {
        charge: found.charge,
        threshold: found.threshold,
        reset: Some(found.reset),
        ..Neuron::LIF
    }
}

fn layer<'a>(graph: &'a mut StoredGraph, name: &str) -> &'a mut StoredLayer {
    match graph.nodes.get_mut(name) {
        Some(StoredNode::Layer(layer)) => layer,
        _ => unreachable!("{name}"),
    }
}

fn one(value: f64) -> Field {
    all(&[1], vec![value])
}

fn all(shape: &[usize], values: Vec<f64>) -> Field {
    Field::Numbers(Numbers::new(shape.to_vec(), values, Precision::Double).unwrap())
}

fn set(graph: &mut StoredGraph, name: &str, field: &str, value: Field) {
    let fields = &mut layer(graph, name).fields;
    fields.insert(field.to_owned(), value);
}

fn refused(change: impl FnOnce(&mut StoredGraph)) -> String {
    let mut graph = exported();
    change(&mut graph);
    network(&graph, &ASKED).unwrap_err().to_string()
}

#[test]
fn batch_norm_of_unit_variance_changes_nothing() {
    assert_eq!(
        (UNIT_VARIANCE + 1e-5_f32).sqrt().recip().to_bits(),
        1.0_f32.to_bits()
    );
}

/// Folding batch norm rounds once. From then on, import and export change no bit.
#[test]
fn importing_an_export_and_exporting_it_again_changes_nothing() {
    let leaky = |tau, decay_input| Charge::Leaky { tau, decay_input };
    let learnt = |decay_input| Charge::Learnt {
        initial_tau: 2.0,
        decay_input,
    };
    let charges = [
        leaky(2.0, true),
        leaky(2.3, true),
        leaky(7.1, false),
        learnt(true),
        learnt(false),
        Charge::Integrate,
    ];
    for charge in charges {
        for (threshold, reset, dt) in [(1.0, 0.0, 1e-4), (0.3, -0.7, 0.0003), (1.1, 0.1, 1.0)] {
            let made = Neuron {
                charge,
                threshold,
                reset: Some(reset),
                ..Neuron::LIF
            };
            let learnt_tau = matches!(charge, Charge::Learnt { .. });
            let mut weights = weights(Architecture {
                learnt_tau,
                ..ARCHITECTURE
            });
            for order in [LabelOrder::Plain, LabelOrder::Folder] {
                let graph = Graph::of(&weights, &made, order, dt).unwrap();
                let asked = Asked { order, ..ASKED };
                let found = network(&stored(&graph), &asked).unwrap();
                assert_eq!(neuron(&found), made);
                let again = Graph::of(&found.weights, &made, order, dt).unwrap();
                assert!(again == graph, "{made} {order:?} {dt}");
                // Everything but batch norm is that of the network.
                for (part, values) in &found.weights.parts {
                    if !matches!(
                        part,
                        Weight::Kernel(_)
                            | Weight::Gamma(_)
                            | Weight::Beta(_)
                            | Weight::Mean(_)
                            | Weight::Variance(_)
                    ) {
                        assert_eq!(values, weights.get(*part), "{part:?}");
                    }
                }
                weights = found.weights;
            }
        }
    }
}

/// Networks that SpikingJelly, snnTorch and the package nir wrote have the firing rates that these
/// programs computed.
#[test]
fn networks_of_other_programs_have_their_firing_rates() {
    let mut npz = Npz::open("graphs.npz");
    let x = npz.array::<u8>("x"); // [T, B, 2, H, W]
    let shape = x.shape().to_vec();
    let frames: Vec<f32> = x.iter().map(|count| f32::from(*count)).collect();
    for (name, at_threshold, decay_input, tau) in [
        ("spikingjelly", true, Some(true), None),
        ("snntorch", false, Some(false), Some(4.0)),
        ("nested", false, None, None),
    ] {
        let asked = Asked {
            at_threshold,
            ..ASKED
        };
        let found = network(&fixture(&format!("{name}.nir")), &asked).unwrap();
        assert_eq!(
            match found.charge {
                Charge::Leaky { tau, decay_input } => (Some(decay_input), Some(tau)),
                Charge::Learnt { decay_input, .. } => (Some(decay_input), None),
                Charge::Integrate => (None, None),
            },
            (decay_input, tau),
            "{name}"
        );
        assert!((found.dt - 1e-4).abs() < 1e-10 && found.rounded.is_empty());
        let Architecture {
            channels,
            hidden,
            linear_bias,
            size,
            ..
        } = found.weights.architecture;
        assert_eq!((channels, hidden, size), (3, 10, [32, 32]), "{name}");
        let config = NetworkConfig {
            channels,
            linear_bias,
            hidden: Some(hidden),
            classes: CLASSES,
            size,
            neuron: neuron(&found),
            step_mode: StepMode::M,
            dropout: 0.5,
            half: None,
        };
        let made = Network::<Flex>::new(&config, &FlexDevice);
        let made = found.weights.into_checkpoint().network(made).unwrap();
        let x = Tensor::from_data(TensorData::new(frames.clone(), shape.clone()), &FlexDevice);
        let (rates, expected) = (values(made.forward(x)), npz.values(name)); // [B, classes]
        assert_eq!(rates.len(), expected.len());
        for (rate, expected) in rates.iter().zip(&expected) {
            assert!(
                (rate - expected).abs() < 1e-6,
                "{name}: {rates:?} {expected}"
            );
        }
    }
}

#[test]
fn what_the_network_has_not_is_refused_by_name() {
    let text = refused(|graph| {
        let cuba = layer(graph, "conv3_neurons");
        cuba.kind = "CubaLIF".to_owned();
        cuba.fields.insert("tau_syn".to_owned(), one(0.002));
        layer(graph, "conv2_pool").kind = "MaxPool2d".to_owned();
    });
    for part in [
        "node 'conv3_neurons' (CubaLIF) is of no type that can be imported with",
        "tau_syn=0.002",
        "this program has the neurons LIF and IF",
        "node 'conv2_pool' (MaxPool2d)",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = refused(|graph| layer(graph, "conv2_pool").kind = "Conv2d".to_owned());
    assert!(
        text.starts_with(
            "node 'conv2_pool' (Conv2d) comes after node 'conv2_neurons' (LIF), where SumPool2d or AvgPool2d is expected"
        ),
        "{text}"
    );
}

#[test]
fn every_field_that_does_not_fit_is_named() {
    let shape = [2, 8, 16];
    let count = shape.iter().product();
    let mut thresholds = vec![1.0; count];
    thresholds[5] = 0.75;
    let text = refused(|graph| {
        set(
            graph,
            "conv3_neurons",
            "v_threshold",
            all(&shape, thresholds),
        );
        set(graph, "conv1", "stride", all(&[2], vec![2.0, 2.0]));
        set(graph, "conv1", "groups", one(2.0));
        set(graph, "conv2", "bias", all(&[2], vec![0.5, f64::NAN]));
        set(graph, "conv4", "weight", all(&[2, 1, 3, 3], vec![1.0; 18]));
        set(graph, "fc1", "delay", one(1.0));
        set(graph, "fc2_neurons", "tau", Field::Text("long".to_owned()));
        set(graph, "flatten", "start_dim", one(1.0));
        set(graph, "vote", "weight", all(&[11, 110], vec![0.1; 1210]));
    });
    for part in [
        "node 'conv3_neurons' (LIF): v_threshold is 1 for some neurons and 0.75 for others",
        "node 'conv1' (Conv2d): stride is [2.0, 2.0] where 1 is expected, groups is [2.0]",
        "node 'conv2' (Conv2d): bias has the value NaN at place 1",
        "node 'conv4' (Conv2d): weight has the shape [2, 1, 3, 3] where [2, 2, 3, 3] is expected",
        "node 'fc1' (Affine): its field delay is unknown",
        "node 'fc2_neurons' (LIF): tau is \"long\", not a number",
        "node 'flatten' (Flatten): start_dim is [1.0] where 0 or -3 is expected",
        "node 'vote' (Linear): row 0 of weight is not the mean over 10 neurons",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = refused(|graph| set(graph, "input", "shape", all(&[3], vec![2.0, 30.0, 32.0])));
    assert!(
        text.contains("[2, 30, 32], where [2, height, width]"),
        "{text}"
    );
    let text = refused(|graph| set(graph, "fc2", "weight", all(&[40, 3], vec![0.0; 120])));
    assert!(
        text.contains("where [110, 3] is expected: 10 output neurons"),
        "{text}"
    );
    let text = refused(|graph| set(graph, "conv1", "weight", all(&[0, 2, 3, 3], Vec::new())));
    assert!(text.contains("node 'conv1' (Conv2d): channels 0"), "{text}");
}

#[test]
fn neurons_that_are_not_those_of_this_program_are_refused() {
    let near = |text: String, part: &str| assert!(text.contains(part), "{part} in {text}");
    near(
        refused(|graph| set(graph, "conv2_neurons", "v_leak", one(0.5))),
        "node 'conv2_neurons' (LIF): v_leak is 0.5 and v_reset 0",
    );
    near(
        refused(|graph| set(graph, "conv2_neurons", "tau", one(1e-4))),
        "tau has to be above one step",
    );
    near(
        refused(|graph| set(graph, "conv2_neurons", "r", one(3.0))),
        "node 'conv2_neurons' (LIF) has an r for steps of 6.666667e-5 s, and",
    );
    near(
        refused(|graph| set(graph, "conv2_neurons", "v_threshold", one(2.0))),
        "node 'conv2_neurons' (LIF) has v_threshold 2, and node 'conv1_neurons' (LIF) has 0.99999",
    );
    near(
        refused(|graph| set(graph, "conv2_pool_neurons", "v_threshold", one(1.0))),
        "to make max pooling of the pooling before, it has to be between 0 and 1, the potential after one spike, or \
         --spike-at-threshold if",
    );
    near(
        refused(|graph| layer(graph, "fc1_neurons").kind = "IF".to_owned()),
        "node 'fc1_neurons' (IF): its field tau, v_leak is unknown",
    );
    near(
        refused(|graph| {
            let neurons = layer(graph, "fc1_neurons");
            neurons.kind = "IF".to_owned();
            neurons
                .fields
                .retain(|name, _| name != "tau" && name != "v_leak");
            set(graph, "fc1_neurons", "r", one(1e4));
        }),
        "node 'fc1_neurons' (IF) has the type IF, and node 'conv1_neurons' (LIF) has LIF",
    );
    let mut graph = exported();
    set(&mut graph, "fc1_neurons", "tau", one(3e-4));
    let plif = network(&graph, &ASKED).unwrap();
    let w = plif.weights.get(Weight::Tau(5));
    assert_eq!(w, [-(2.0_f32.ln())]);
    let asked = Asked {
        learnt_tau: Some(false),
        ..ASKED
    };
    near(
        network(&graph, &asked).unwrap_err().to_string(),
        "tau differs between the layers (2 in conv1, 2 in conv2, 2 in conv3, 2 in conv4, 2 in conv5, 3 in fc1, 2 in fc2 steps)",
    );
}

#[test]
fn a_graph_without_a_step_needs_one() {
    let mut graph = exported();
    for block in ["conv1", "conv2", "conv3", "conv4", "conv5"] {
        let name = format!("{block}_pool_neurons");
        layer(&mut graph, &name).kind = "LIF".to_owned();
        for (field, value) in [
            ("r", 1.0),
            ("tau", 4e-4),
            ("v_leak", 0.0),
            ("v_threshold", 0.2),
        ] {
            set(&mut graph, &name, field, one(value));
        }
    }
    let text = network(&graph, &ASKED).unwrap_err().to_string();
    assert!(text.contains("say it with --dt"), "{text}");
    for (dt, tau) in [(1e-4, 2.0), (5e-5, 4.0)] {
        let asked = Asked {
            dt: Some(dt),
            ..ASKED
        };
        let found = network(&graph, &asked);
        // In steps of half the length, one spike charges the neurons half as much: 1/8 is too little.
        match found {
            Ok(found) => assert_eq!(
                neuron(&found).charge,
                Charge::Leaky {
                    tau,
                    decay_input: true
                }
            ),
            Err(error) => assert!(
                dt < 1e-4 && error.to_string().contains("between 0 and 0.125"),
                "{error}"
            ),
        }
    }
}

#[test]
fn graphs_that_are_no_chains_are_refused() {
    let edge = |from: &str, to: &str| [from.to_owned(), to.to_owned()];
    let near = |text: String, part: &str| assert!(text.contains(part), "{part} in {text}");
    near(
        refused(|graph| graph.edges.push(edge("fc1_neurons", "fc1"))),
        "node 'fc1' (Affine) comes after node 'flatten' (Flatten), node 'fc1_neurons' (LIF), in a loop",
    );
    near(
        refused(|graph| graph.edges.push(edge("conv1", "vote"))),
        "node 'conv1' (Conv2d) leads to node 'conv1_neurons' (LIF), node 'vote' (Linear); this program's network is a chain",
    );
    near(
        refused(|graph| graph.edges.push(edge("output", "input"))),
        "form a loop",
    );
    near(
        refused(|graph| graph.edges.retain(|[from, _]| from != "conv4")),
        "the graph ends with node 'conv4' (Conv2d), not with its output node 'output' (Output)",
    );
    near(
        refused(|graph| graph.edges.push(edge("fc1", "fc9"))),
        "an edge names the node 'fc9', which the graph has not",
    );
    near(
        refused(|graph| {
            let copy = graph.nodes.get("fc1").unwrap().clone();
            graph.nodes.insert("spare".to_owned(), copy);
        }),
        "no edges lead from the input to node 'spare' (Affine)",
    );
    near(
        refused(|graph| {
            let copy = graph.nodes.get("input").unwrap().clone();
            graph.nodes.insert("second".to_owned(), copy);
        }),
        "the graph has the inputs input, second and the output 'output', where one of each is expected",
    );
    near(
        network(&StoredGraph::default(), &ASKED)
            .unwrap_err()
            .to_string(),
        "the graph has no input and no output",
    );
    near(
        refused(|graph| {
            let inner = StoredNode::Graph(StoredGraph::default());
            graph.nodes.insert("flatten".to_owned(), inner);
        }),
        "the graph in the node 'flatten' has no input and no output",
    );
}

/// A field that may mean anything.
fn any_field() -> impl Strategy<Value = Option<Field>> {
    let number = prop_oneof![
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-1.0),
        Just(0.0),
        Just(1e300),
        any::<f64>()
    ];
    let numbers = (prop::collection::vec(0..4usize, 0..5), number).prop_map(|(shape, number)| {
        let count: usize = shape.iter().product();
        Field::Numbers(Numbers::new(shape, vec![number; count], Precision::Double).unwrap())
    });
    prop_oneof![
        Just(None),
        numbers.prop_map(Some),
        ".{0,9}".prop_map(|text| Some(Field::Text(text)))
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn names_and_the_order_of_edges_do_not_matter(
        names in prop::collection::hash_set("\\PC{1,12}", 30),
        order in prop::collection::vec(any::<u64>(), 27),
    ) {
        let graph = exported();
        let expected = network(&graph, &ASKED).unwrap();
        let names: BTreeMap<&String, &String> = graph.nodes.keys().zip(&names).collect();
        let renamed = |name: &String| names[name].clone();
        let edges = graph.edges.iter().map(|edge| edge.each_ref().map(renamed));
        let mut edges: Vec<_> = order.iter().zip(edges).collect();
        edges.sort();
        let nodes = graph.nodes.iter();
        let nodes = nodes.map(|(name, node)| (renamed(name), node.clone()));
        let graph = StoredGraph {
            nodes: nodes.collect(),
            edges: edges.into_iter().map(|(_, edge)| edge).collect(),
            ..StoredGraph::default()
        };
        let found = network(&graph, &ASKED).unwrap();
        prop_assert!(found.weights == expected.weights && neuron(&found) == neuron(&expected));
    }

    #[test]
    fn no_graph_makes_the_import_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any_field()), 1..4),
        kinds in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..2),
        edges in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..3),
    ) {
        let mut graph = exported();
        let names: Vec<String> = graph.nodes.keys().cloned().collect();
        let all_kinds = ["Input", "Output", "Conv2d", "AvgPool2d", "Flatten", "Linear", "Affine", "IF", "LIF", "Scale"];
        for (node, field, value) in changes {
            let fields = &mut layer(&mut graph, node.get::<String>(&names)).fields;
            let keys: Vec<String> = fields.keys().cloned().collect();
            let key = field.get(&keys).clone();
            match value {
                Some(value) => fields.insert(key, value),
                None => fields.remove(&key),
            };
            if fields.is_empty() {
                fields.insert("shape".to_owned(), one(1.0));
            }
        }
        for (node, kind) in kinds {
            layer(&mut graph, node.get::<String>(&names)).kind = (*kind.get(&all_kinds)).to_owned();
        }
        for (from, to) in edges {
            graph.edges.push([from.get(&names).clone(), to.get(&names).clone()]);
        }
        let _ = network(&graph, &ASKED);
    }
}
