//! State dicts of SpikingJelly's networks: recognises them, and makes them from networks of this
//! program.

mod infer;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, bail, ensure};
use dvs_shared::labels::is_gestures;
use dvs_shared::words::some_of;

use crate::interop::classes::usual_names;
use crate::interop::known::PeerClass;
use crate::interop::label_order::{LabelOrder, SAY_ORDER};
use crate::interop::named::{Named, Values};
use crate::interop::naming::{Names, Naming};
use crate::interop::pytorch::Tensor;
use crate::nn::architecture::Architecture;
use crate::nn::network_name::NetworkName;
use crate::nn::notation::NeuronName;
use crate::run_dir::weight_layout::{Weight, Weights};

/// Maximum names listed in an error; the others are counted.
const SHOWN: usize = 8;
/// Maximum characters of a notation in an error.
const NOTATION: usize = 200;

/// What a state dict does not say, if the user does.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The network in notation.
    pub network: Option<String>,
    /// Height and width of a frame.
    pub size: Option<[usize; 2]>,
    /// The order of the labels in the outputs.
    pub order: Option<LabelOrder>,
    /// The names of the classes, in the order of the labels.
    pub label_names: Option<Vec<String>>,
    /// The neurons of the layers that have no weight of PLIF neurons. A notation says them itself.
    pub neuron: Option<NeuronName>,
}

impl Asked {
    /// The number of classes, if the user has said their names.
    fn classes(&self) -> Option<usize> {
        self.label_names.as_ref().map(Vec::len)
    }
}

/// A network from a state dict.
#[derive(Debug)]
pub struct Recognised {
    pub naming: Naming,
    /// The names of its parameters.
    pub names: Names,
    /// The weights; outputs are in the order of the labels.
    pub weights: Weights,
    /// The order of the labels in the file.
    pub order: LabelOrder,
}

/// The networks that are recognised by names of SpikingJelly's models.
const CLASSES_OF_PEER: &str = "SpikingJelly's DVSGestureNet, CIFAR10DVSNet and NMNISTNet";

type Tensors<'a> = BTreeMap<&'a str, Tensor<'a>>;

/// Recognises the network and its naming by the names and shapes of `tensors`. Unless the user has said
/// the network, it has to be of one of SpikingJelly's classes, or the tutorial's.
///
/// # Errors
/// Returns an error that names the tensors that are unknown, missing, or of another shape, or if the
/// network or the order of its outputs is unknown.
pub fn recognise(tensors: &Tensors<'_>, asked: Asked) -> Result<Recognised> {
    let naming = nearest(tensors)?;
    let architecture = match (naming, &asked.network) {
        (Naming::Model, Some(notation)) => infer::said(notation, tensors, &asked),
        (Naming::Model, None) => infer::architecture(tensors, &asked)
            .map_err(|error| {
                anyhow!("{error:#}; unless it is one of {CLASSES_OF_PEER}, say its layers with --network NOTATION")
            }),
        (_, Some(_)) => bail!(
            "its names are those of the tutorial's network, which needs no --network; leave it out"
        ),
        (_, None) => infer::tutorial(naming, tensors, &asked),
    };
    let like = || format!("its weights are most like those of {naming}");
    let architecture = architecture.with_context(like)?;
    check_neurons(tensors, &architecture, asked.neuron)?;
    let names = naming.names(&architecture)?;
    let wanted: BTreeMap<String, Weight> = architecture
        .parts()
        .into_iter()
        .map(|part| (names.name(part), part))
        .collect();
    check_names(naming, &names, &wanted, tensors)?;
    check_shapes(naming, &architecture, &wanted, tensors)?;
    ensure!(
        naming != Naming::Model
            || asked.network.is_some()
            || PeerClass::of(&architecture).is_some(),
        "it is none of {CLASSES_OF_PEER}, and its weights do not say the strides, the poolings, the dropout and the voting; \
         if these are usual, its network is '{architecture}'; say its layers with --network NOTATION"
    );
    let order = order(&architecture, &asked)?;
    let mut parts = BTreeMap::new();
    for (name, part) in wanted {
        let Some(tensor) = tensors.get(name.as_str()) else {
            continue;
        };
        let mut values = tensor
            .values()
            .with_context(|| format!("cannot use {name}"))?;
        if architecture.is_of_output(part) {
            values = order.to_plain(&values, architecture.classes);
        }
        parts.insert(part, values);
    }
    Ok(Recognised {
        naming,
        names,
        weights: Weights {
            architecture,
            parts,
        },
        order,
    })
}

/// The order of the labels in the outputs: what was `asked`, or else what follows from the names of
/// the classes.
fn order(architecture: &Architecture, asked: &Asked) -> Result<LabelOrder> {
    Ok(match (asked.order, &asked.label_names) {
        (Some(order), _) => order,
        (None, Some(names)) => LabelOrder::usual(names),
        (None, None) => {
            let (classes, names) = (architecture.classes, usual_names(architecture));
            ensure!(
                LabelOrder::Folder.is_plain(classes) || is_gestures(&names),
                "it tells {classes} classes apart, and does not say which label each output stands for; {SAY_ORDER}"
            );
            LabelOrder::usual(&names)
        }
    })
}

/// The network for gestures, with everything that its weights may have.
fn gestures() -> Result<Architecture> {
    let notation = NetworkName::Gesture.notation(1, 1, 1, NeuronName::Plif);
    Ok(Architecture::build(&notation, [128, 128], None, true)?)
}

/// The naming that most names of `tensors` follow.
fn nearest(tensors: &Tensors<'_>) -> Result<Naming> {
    let gestures = gestures()?;
    let mut best = Vec::new();
    for naming in Naming::ALL {
        let names = naming.names(&gestures)?;
        let all = gestures.parts().into_iter().map(|part| names.name(part));
        let all: BTreeSet<String> = all.collect();
        let is_known = |name: &str| match naming {
            Naming::Model => infer::is_module(name),
            _ => all.contains(name),
        };
        let known = tensors.keys().filter(|name| is_known(name)).count();
        best.push((naming, known));
    }
    // The sort is stable, so the first of the best matches wins.
    best.sort_by_key(|(_, known)| Reverse(*known));
    match best.first() {
        Some((naming, 1..)) => Ok(*naming),
        _ => bail!("{}", unlike_any(tensors, &gestures)?),
    }
}

fn unlike_any(tensors: &Tensors<'_>, gestures: &Architecture) -> Result<String> {
    let there: Vec<&str> = tensors.keys().copied().collect();
    let mut expected = Vec::new();
    for naming in Naming::ALL {
        let names = naming.names(gestures)?;
        expected.push(format!(
            "{}, {}, ... {} ({naming})",
            names.name(Weight::Kernel(0)),
            names.name(Weight::Gamma(0)),
            names.name(Weight::Matrix(1))
        ));
    }
    Ok(format!(
        "its {} weights have names of another network: {}; expected are {}",
        there.len(),
        some_of(&there, SHOWN),
        expected.join(" or ")
    ))
}

/// Refuses --neuron plif if no layer has the weight of PLIF neurons, and another --neuron if all have it.
fn check_neurons(
    tensors: &Tensors<'_>,
    architecture: &Architecture,
    asked: Option<NeuronName>,
) -> Result<()> {
    let learnt = tensors.keys().any(|name| infer::is_of_plif(name));
    let all_learn = architecture
        .neurons()
        .all(|neuron| neuron == NeuronName::Plif);
    match asked {
        Some(NeuronName::Plif) if !learnt => {
            bail!("it has no weights of PLIF neurons; leave --neuron plif out")
        }
        Some(NeuronName::Lif | NeuronName::If) if all_learn => {
            bail!("it has weights of PLIF neurons; leave --neuron out, or make it plif")
        }
        _ => Ok(()),
    }
}

fn check_names(
    naming: Naming,
    names: &Names,
    wanted: &BTreeMap<String, Weight>,
    tensors: &Tensors<'_>,
) -> Result<()> {
    let counts = wanted.values().filter_map(|part| match part {
        Weight::Gamma(block) => Some(names.count(*block)),
        _ => None,
    });
    let counts: BTreeSet<String> = counts.collect();
    let unknown = tensors
        .keys()
        .filter(|name| !wanted.contains_key(**name) && !counts.contains(**name));
    let unknown: Vec<&str> = unknown.copied().collect();
    let missing = wanted
        .keys()
        .filter(|name| !tensors.contains_key(name.as_str()));
    let missing: Vec<&str> = missing.map(String::as_str).collect();
    let mut problems = Vec::new();
    if !unknown.is_empty() {
        let unknown = some_of(&unknown, SHOWN);
        problems.push(format!("that network has no {unknown}"));
    }
    if !missing.is_empty() {
        let are = if missing.len() == 1 { "is" } else { "are" };
        problems.push(format!("{} {are} missing", some_of(&missing, SHOWN)));
    }
    ensure!(
        problems.is_empty(),
        "its weights are most like those of {naming}, but {}",
        problems.join(", and ")
    );
    Ok(())
}

fn check_shapes(
    naming: Naming,
    architecture: &Architecture,
    wanted: &BTreeMap<String, Weight>,
    tensors: &Tensors<'_>,
) -> Result<()> {
    let shapes = wanted.iter().filter_map(|(name, part)| {
        let (found, shape) = (&tensors.get(name.as_str())?.shape, part.shape(architecture));
        (*found != shape)
            .then(|| format!("{name} has the shape {found:?} where {shape:?} is expected"))
    });
    let shapes: Vec<String> = shapes.collect();
    let [height, width] = architecture.size;
    ensure!(
        shapes.is_empty(),
        "its weights do not go together, taken as {naming} for frames of {height} x {width}, {}: {}",
        shortened(&architecture.to_string()),
        some_of(&shapes, SHOWN)
    );
    Ok(())
}

/// The beginning of a long notation.
fn shortened(notation: &str) -> String {
    match notation.char_indices().nth(NOTATION) {
        Some((end, _)) => format!("{}...", &notation[..end]),
        None => notation.to_owned(),
    }
}

/// Whether the linear layers of a network have a bias in a state dict with names of `naming`.
/// SpikingJelly's classes always have one, and adding 0 changes nothing.
pub fn has_bias(architecture: &Architecture, naming: Naming) -> bool {
    let is_class = || naming == Naming::Model && PeerClass::of(architecture).is_some();
    architecture.linear_bias || is_class()
}

/// The state dict of a network in PyTorch's order, with names of `naming` and outputs in `order`.
/// `batches` is the batch count of every batch norm.
///
/// # Errors
/// Returns an error if `naming` is of another network, or of one without a bias that this network
/// has.
pub fn state_dict(
    weights: &Weights,
    naming: Naming,
    order: LabelOrder,
    batches: u64,
) -> Result<Vec<Named>> {
    let names = naming.names(&weights.architecture)?;
    ensure!(
        naming == Naming::Model || !weights.architecture.linear_bias,
        "the linear layers have a bias, which {naming} has not; export with --names spikingjelly"
    );
    let architecture = Architecture {
        linear_bias: has_bias(&weights.architecture, naming),
        ..weights.architecture.clone()
    };
    let mut state = Vec::new();
    for part in architecture.parts() {
        let shape = part.shape(&architecture);
        let values = match part {
            Weight::Bias(_) if !weights.architecture.linear_bias => {
                vec![0.0; shape.iter().product()]
            }
            _ if architecture.is_of_output(part) => {
                order.of_plain(weights.get(part), architecture.classes)
            }
            _ => weights.get(part).to_vec(),
        };
        state.push(Named {
            name: names.name(part),
            shape,
            values: Values::Floats(values),
        });
        if let Weight::Variance(block) = part {
            let count = Values::Count(i64::try_from(batches).unwrap_or(i64::MAX));
            state.push(Named {
                name: names.count(block),
                shape: Vec::new(),
                values: count,
            });
        }
    }
    Ok(state)
}

#[cfg(test)]
mod tests;
