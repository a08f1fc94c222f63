//! Graphs of this program and of others become networks.

#![allow(clippy::unwrap_used)]

mod properties;
mod refusals;

use std::path::Path;

use burn::backend::Flex;
use burn::backend::flex::FlexDevice;
use burn::tensor::{Tensor, TensorData};
use burn_snn::neuron::Neuron;
use burn_snn::testing::{Npz, values};
use dvs_shared::labels::CLASSES;

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
