//! What the neurons of all layers have to share, and which layers learn tau.

use anyhow::{Context, Result, bail};

use crate::interop::nir::fields::Problems;
use crate::interop::nir::layers::Named;
use crate::interop::nir::neurons::Discrete;
use crate::nn::architecture::Architecture;
use crate::nn::notation::NeuronName;

/// Checks that the neurons have all in common but their leak and tau, and returns the first.
pub fn shared(found: &[Named<'_, Discrete>]) -> Result<Discrete> {
    let (first_node, first) = found.first().context("there are no neurons")?;
    let leaky = found.iter().find_map(|(node, neurons)| {
        let (_, decays) = neurons.leak?;
        Some((node, decays))
    });
    let mut problems = Problems::default();
    for (node, neurons) in found {
        for (what, value, expected) in [
            ("v_threshold", neurons.v_threshold, first.v_threshold),
            ("v_reset", neurons.v_reset, first.v_reset),
        ] {
            if value != expected {
                problems.add(format!(
                    "{} has {what} {value}, and {} has {expected}; in this program all layers share it",
                    node.shown(),
                    first_node.shown()
                ));
            }
        }
        if let (Some((_, decays)), Some((leaky, expected))) = (neurons.leak, leaky)
            && decays != expected
        {
            let text = |decays| if decays { "1" } else { "tau / dt" };
            problems.add(format!(
                "{} has r {}, and {} has {}; in this program all layers share it",
                node.shown(),
                text(decays),
                leaky.shown(),
                text(expected)
            ));
        }
    }
    problems.finish()?;
    Ok(*first)
}

/// Which layers learn tau: what was `asked`, else those of the network that the graph was made from,
/// else all if their taus differ. All others have the same tau.
pub fn learning(
    found: &[Named<'_, Discrete>],
    architecture: &Architecture,
    asked: Option<bool>,
    written: Option<&Architecture>,
) -> Result<Vec<bool>> {
    let taus: Vec<Option<f64>> = found
        .iter()
        .map(|(_, neurons)| neurons.leak.map(|(tau, _)| tau))
        .collect();
    let share_tau = |learns: &Vec<bool>| {
        let others = taus.iter().zip(learns).filter(|(_, learns)| !**learns);
        let mut others = others.filter_map(|(tau, _)| *tau);
        let first = others.next();
        others.all(|tau| Some(tau) == first)
    };
    let none = vec![false; taus.len()];
    let all = || taus.iter().map(Option::is_some).collect();
    match asked {
        Some(true) => Ok(all()),
        Some(false) if share_tau(&none) => Ok(none),
        Some(false) => {
            let taus = taus.iter().zip(architecture.layer_names());
            let taus = taus.filter_map(|(tau, layer)| Some(format!("{} in {layer}", (*tau)?)));
            let taus = taus.collect::<Vec<_>>().join(", ");
            bail!(
                "tau differs between the layers ({taus} steps), as PLIF neurons have it; leave --neuron out, or make it plif"
            )
        }
        None => {
            let written = written.map(|written| {
                let learns = written.neurons().map(|neuron| neuron == NeuronName::Plif);
                learns.collect()
            });
            let mut choices = written.into_iter().chain([none]);
            Ok(choices.find(share_tau).unwrap_or_else(all))
        }
    }
}
