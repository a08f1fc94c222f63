#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::BTreeMap;

use super::*;
use crate::nn::architecture::Architecture;

fn weights() -> Weights {
    let notation = "{c1k3s1-BN-PLIF-MPk2s2}*5-FC2-PLIF-FC110-PLIF-APk10s10";
    let architecture = Architecture::build(notation, [32, 32], None, false).unwrap();
    let parts = architecture.parts().into_iter().map(|part| {
        let count = part.shape(&architecture).iter().product();
        let value = match part {
            Weight::Variance(_) => 4.0,
            _ => 2.0,
        };
        (part, vec![value; count])
    });
    let parts = parts.collect::<BTreeMap<_, _>>();
    Weights {
        architecture,
        parts,
    }
}

fn graph(neuron: Neuron, dt: f64) -> Result<Graph> {
    Graph::of(&weights(), &[neuron; 7], LabelOrder::Plain, dt)
}

fn neurons_of(graph: &Graph) -> &Node {
    &graph
        .nodes
        .iter()
        .find(|(name, _)| name == "fc1_neurons")
        .unwrap()
        .1
}

#[test]
fn batch_norm_is_folded_into_the_convolutions() {
    let (weight, bias) = folded(&weights(), 0);
    let scale = 2.0 / (4.0 + 1e-5_f64).sqrt();
    assert_eq!(weight.values, vec![(2.0 * scale) as f32; 18]);
    assert_eq!(bias.values, [(2.0 - 2.0 * scale) as f32]);
}

#[test]
fn nir_parameters_match_the_discrete_neurons() {
    let tau = 1.0 + (-2.0_f64).exp();
    let learnt = |decay_input| Neuron {
        charge: Charge::Learnt {
            initial_tau: 2.0,
            decay_input,
        },
        ..Neuron::LIF
    };
    let Node::Lif(shape, seconds, parameters) =
        neurons_of(&graph(learnt(true), 1e-3).unwrap()).clone()
    else {
        panic!("no LIF");
    };
    assert_eq!((shape, seconds, parameters.r), (vec![2], tau * 1e-3, 1.0));
    // NIR's neurons spike only above the threshold. A threshold just below 1 makes them spike
    // at 1.
    assert_eq!(parameters.v_threshold as f32, 1.0 - f32::EPSILON / 2.0);
    let Node::Lif(_, _, parameters) = neurons_of(&graph(learnt(false), 1e-3).unwrap()).clone()
    else {
        panic!("no LIF");
    };
    assert_eq!(parameters.r, tau);
    let integrate = Neuron {
        charge: Charge::Integrate,
        ..Neuron::LIF
    };
    let Node::If(_, parameters) = neurons_of(&graph(integrate, 1e-3).unwrap()).clone() else {
        panic!("no IF");
    };
    assert_eq!(parameters.r, 1000.0);
}

#[test]
fn refuses_soft_reset_and_invalid_dt() {
    let error = graph(
        Neuron {
            reset: None,
            ..Neuron::LIF
        },
        1e-4,
    )
    .unwrap_err();
    assert!(error.to_string().starts_with("layer conv1: "), "{error}");
    assert!(graph(Neuron::LIF, 0.0).is_err());
    assert!(graph(Neuron::LIF, f64::NAN).is_err());
}
