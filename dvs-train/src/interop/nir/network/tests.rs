//! Graphs of this program and of others become networks.

#![allow(clippy::unwrap_used)]

mod general;
mod properties;
mod refusals;

use std::path::Path;

use burn::backend::Flex;
use burn::backend::flex::FlexDevice;
use burn::tensor::{Tensor, TensorData};
use burn_snn::neuron::Neuron;
use burn_snn::neuron::model::Charge;
use burn_snn::testing::{Npz, distance, values};
use dvs_shared::labels::CLASSES;

use super::*;
use crate::interop::nir::read::read;
use crate::interop::nir::stored::{Field, Numbers, Precision, StoredLayer, StoredNode};
use crate::interop::nir::{Graph, write};
use crate::nn::network::Network;
use crate::nn::network_config::NetworkConfig;
use crate::nn::network_name::NetworkName;
use crate::testing::network_config;

const ASKED: Asked<'_> = Asked {
    dt: None,
    at_threshold: false,
    order: Some(LabelOrder::Plain),
    classes: None,
    learnt_tau: None,
    notation: None,
};

/// The network for gestures with 2 channels and 3 hidden neurons.
fn gestures(neuron: NeuronName) -> Architecture {
    let notation = NetworkName::Gesture.notation(2, 3, CLASSES, neuron);
    Architecture::build(&notation, [32, 64], None, true).unwrap()
}

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
    let parts = parts.collect();
    Weights {
        architecture,
        parts,
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
    let weights = weights(gestures(NeuronName::Lif));
    stored(&Graph::of(&weights, &[Neuron::LIF; 7], LabelOrder::Plain, 1e-4).unwrap())
}

fn fixture(name: &str) -> StoredGraph {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    read(&folder.join(name)).unwrap()
}

/// The neurons of each layer.
fn neurons(found: &FromGraph) -> Vec<Neuron> {
    let kinds = found.weights.architecture.neurons();
    let neurons = kinds.map(|kind| Neuron {
        charge: match kind {
            NeuronName::Lif => Charge::Leaky {
                tau: found.tau.unwrap(),
                decay_input: found.decay_input.unwrap(),
            },
            NeuronName::Plif => Charge::Learnt {
                initial_tau: 2.0,
                decay_input: found.decay_input.unwrap(),
            },
            NeuronName::If => Charge::Integrate,
        },
        threshold: found.threshold,
        reset: Some(found.reset),
        ..Neuron::LIF
    });
    neurons.collect()
}

/// The firing rates of a network from a graph, `[B, classes]`.
fn rates(found: &FromGraph, frames: TensorData) -> Vec<f32> {
    let config = NetworkConfig {
        neurons: neurons(found),
        architecture: found.weights.architecture.clone(),
        ..network_config("FC2-LIF", [8, 8])
    };
    let made = Network::<Flex>::new(&config, &FlexDevice);
    let weights = found.weights.clone().into_checkpoint();
    let made = weights.network(made).unwrap();
    values(made.forward(Tensor::from_data(frames, &FlexDevice)))
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
            let kind = match charge {
                Charge::Leaky { .. } => NeuronName::Lif,
                Charge::Learnt { .. } => NeuronName::Plif,
                Charge::Integrate => NeuronName::If,
            };
            let all = [made; 7];
            let mut weights = weights(gestures(kind));
            for order in [LabelOrder::Plain, LabelOrder::Folder] {
                let graph = Graph::of(&weights, &all, order, dt).unwrap();
                let asked = Asked {
                    order: Some(order),
                    ..ASKED
                };
                let found = network(&stored(&graph), &asked).unwrap();
                assert_eq!(neurons(&found), all);
                assert_eq!(found.weights.architecture, gestures(kind));
                let again = Graph::of(&found.weights, &all, order, dt).unwrap();
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
        assert_eq!((found.decay_input, found.tau), (decay_input, tau), "{name}");
        assert!((found.dt - 1e-4).abs() < 1e-10 && found.rounded.is_empty());
        let kind = found.weights.architecture.neurons().next().unwrap();
        let notation = NetworkName::Gesture.notation(3, 10, CLASSES, kind);
        assert_eq!(
            found.weights.architecture,
            Architecture {
                linear_bias: found.weights.architecture.linear_bias,
                ..Architecture::build(&notation, [32, 32], None, false).unwrap()
            }
        );
        let (rates, expected) = (
            rates(&found, TensorData::new(frames.clone(), shape.clone())),
            npz.values(name), // [B, classes]
        );
        assert!(distance(&rates, &expected) < 1e-6, "{name}: {rates:?}");
    }
}
