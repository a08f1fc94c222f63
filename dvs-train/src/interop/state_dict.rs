//! State dicts of SpikingJelly's networks: recognises them, and makes them from networks of this
//! program.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::labels::CLASSES;
use dvs_shared::words::some_of;

use crate::config::options::{MAX_CHANNELS, MAX_HIDDEN, within};
use crate::interop::label_order::LabelOrder;
use crate::interop::named::{Named, Values};
use crate::interop::naming::Naming;
use crate::interop::pytorch::Tensor;
use crate::nn::network::BLOCKS;
use crate::run_dir::weight_layout::{Architecture, Weight, Weights};

/// Maximum names listed in an error; the others are counted.
const SHOWN: usize = 8;

/// Recognises the network and its naming by the names of `tensors`. Its outputs are in `order`, its
/// frames of `size`.
///
/// # Errors
/// Returns an error that names the tensors that are unknown, missing, or of another shape.
pub fn recognise(
    tensors: &BTreeMap<&str, Tensor<'_>>,
    order: LabelOrder,
    size: [usize; 2],
) -> Result<(Naming, Weights)> {
    let known = |naming: &Naming| {
        let names = naming.all_names();
        tensors.keys().filter(|name| names.contains(**name)).count()
    };
    let mut namings = Naming::ALL.to_vec();
    // The sort is stable, so the first of the best matches wins.
    namings.sort_by_key(|naming| Reverse(known(naming)));
    let naming = namings[0];
    ensure!(known(&naming) > 0, "{}", unlike_any(tensors));
    let architecture = architecture(naming, tensors, size)
        .with_context(|| format!("its weights are most like those of {naming}"))?;
    within("channels", architecture.channels, 1..=MAX_CHANNELS)?;
    within("hidden neurons", architecture.hidden, 1..=MAX_HIDDEN)?;
    let wanted: BTreeMap<String, Weight> = architecture
        .parts()
        .into_iter()
        .map(|part| (naming.name(part), part))
        .collect();
    let counts: BTreeSet<String> = (0..BLOCKS).map(|block| naming.count(block)).collect();
    let unknown = tensors
        .keys()
        .filter(|name| !wanted.contains_key(**name) && !counts.contains(**name));
    let unknown: Vec<&str> = unknown.copied().collect();
    let missing = wanted
        .keys()
        .filter(|name| !tensors.contains_key(name.as_str()));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    if !unknown.is_empty() || !missing.is_empty() {
        let mut problems = Vec::new();
        if !unknown.is_empty() {
            problems.push(format!("it has no {}", some_of(&unknown, SHOWN)));
        }
        if !missing.is_empty() {
            problems.push(format!(
                "{} missing",
                some_of(&missing, SHOWN) + is_or_are(&missing)
            ));
        }
        bail!(
            "its weights are most like those of {naming}, but {}",
            problems.join(", and ")
        );
    }
    let shapes = wanted.iter().filter_map(|(name, part)| {
        let (found, shape) = (
            &tensors.get(name.as_str())?.shape,
            part.shape(&architecture),
        );
        (*found != shape)
            .then(|| format!("{name} has the shape {found:?} where {shape:?} is expected"))
    });
    let shapes: Vec<String> = shapes.collect();
    if !shapes.is_empty() {
        let [height, width] = size;
        bail!(
            "its weights do not go together, taken as {naming} for frames of {height} x {width} with {} channels and {} \
             hidden neurons: {}",
            architecture.channels,
            architecture.hidden,
            shapes.join("; ")
        );
    }
    let mut parts = BTreeMap::new();
    for (name, part) in wanted {
        let Some(tensor) = tensors.get(name.as_str()) else {
            continue;
        };
        let mut values = tensor
            .values()
            .with_context(|| format!("cannot use {name}"))?;
        if part.is_of_output() {
            values = order.to_plain(&values, architecture.classes);
        }
        parts.insert(part, values);
    }
    Ok((
        naming,
        Weights {
            architecture,
            parts,
        },
    ))
}

/// The form of the network whose tensors have names of `naming`, for frames of `size`.
fn architecture(
    naming: Naming,
    tensors: &BTreeMap<&str, Tensor<'_>>,
    size: [usize; 2],
) -> Result<Architecture> {
    let get = |part| {
        let name = naming.name(part);
        let tensor = tensors.get(name.as_str());
        tensor.with_context(|| format!("{name} is missing"))
    };
    // These sizes are free; the comparison of all shapes checks later whether they match.
    let first = |part| Ok::<_, anyhow::Error>(get(part)?.shape.first().copied().unwrap_or(0));
    Ok(Architecture {
        channels: first(Weight::Kernel(0))?,
        hidden: first(Weight::Matrix(0))?,
        // The order of the outputs is known only for the gestures.
        classes: CLASSES,
        size,
        linear_bias: get(Weight::Bias(0)).is_ok(),
        learnt_tau: get(Weight::Tau(0)).is_ok(),
    })
}

/// The state dict of a network in PyTorch's order, with names of `naming` and outputs in `order`.
/// `batches` is the batch count of every batch norm.
///
/// # Errors
/// Returns an error if the network has a bias and `naming`'s network has none.
pub fn state_dict(
    weights: &Weights,
    naming: Naming,
    order: LabelOrder,
    batches: u64,
) -> Result<Vec<Named>> {
    let mut architecture = weights.architecture;
    ensure!(
        naming == Naming::Model || !architecture.linear_bias,
        "the linear layers have a bias, which {naming} has not; export with --names spikingjelly"
    );
    // DVSGestureNet always has a bias, and adding 0 changes nothing.
    architecture.linear_bias = naming == Naming::Model;
    let mut state = Vec::new();
    for part in architecture.parts() {
        let shape = part.shape(&architecture);
        let values = match part {
            Weight::Bias(_) if !weights.architecture.linear_bias => {
                vec![0.0; shape.iter().product()]
            }
            _ if part.is_of_output() => {
                order.of_plain(weights.get(part), weights.architecture.classes)
            }
            _ => weights.get(part).to_vec(),
        };
        let name = naming.name(part);
        state.push(Named {
            name,
            shape,
            values: Values::Floats(values),
        });
        if let Weight::Variance(block) = part {
            let count = Values::Count(i64::try_from(batches).unwrap_or(i64::MAX));
            state.push(Named {
                name: naming.count(block),
                shape: Vec::new(),
                values: count,
            });
        }
    }
    Ok(state)
}

fn unlike_any(tensors: &BTreeMap<&str, Tensor<'_>>) -> String {
    let there: Vec<&str> = tensors.keys().copied().collect();
    let expected = Naming::ALL.map(|naming| {
        format!(
            "{}, {}, ... {} ({naming})",
            naming.name(Weight::Kernel(0)),
            naming.name(Weight::Gamma(0)),
            naming.name(Weight::Matrix(1))
        )
    });
    format!(
        "its {} weights have names of another network: {}; expected are {}",
        there.len(),
        some_of(&there, SHOWN),
        expected.join(" or ")
    )
}

fn is_or_are(names: &[&str]) -> &'static str {
    if names.len() == 1 { " is" } else { " are" }
}
