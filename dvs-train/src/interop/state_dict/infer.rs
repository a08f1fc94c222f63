//! Finds the layers of a network from the places and shapes of its tensors.
//!
//! Neurons other than PLIF, pooling, flatten and dropout have no tensors, but each takes a place in the
//! `Sequential`. This module assumes that they stand in the order of SpikingJelly's classes. Other
//! networks may have another order. For them the result is only a suggestion.

mod walk;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::labels::CLASSES;
use dvs_shared::words::counted;

use self::walk::Walk;
use super::{Asked, Tensors, shortened};
use crate::config::options::{MAX_CHANNELS, within};
use crate::interop::classes::voters;
use crate::interop::known::PeerClass;
use crate::interop::naming::{Naming, SEQUENTIAL};
use crate::nn::architecture::Architecture;
use crate::nn::network_name::NetworkName;
use crate::nn::notation::{MAX_KERNEL, NeuronName, NotationError, Pool, PoolKind, WrittenLayer};
use crate::run_dir::weight_layout::Weight;

/// Height and width of a frame in most of SpikingJelly's classes.
const USUAL_SIZE: [usize; 2] = [128, 128];
/// Most modules of a `Sequential`.
const MAX_MODULES: usize = 1 << 16;

/// Whether a parameter with this name may be of a module of SpikingJelly's `Sequential`.
pub fn is_module(name: &str) -> bool {
    module_and_field(name).is_some()
}

/// Whether this is the name of the weight of PLIF neurons.
pub fn is_of_plif(name: &str) -> bool {
    name.ends_with(".w")
}

/// The number of a module, and the field of a parameter.
fn module_and_field(name: &str) -> Option<(usize, &str)> {
    let (number, field) = name
        .strip_prefix(SEQUENTIAL)?
        .strip_prefix('.')?
        .split_once('.')?;
    let module: usize = number.parse().ok()?;
    (module < MAX_MODULES && module.to_string() == number).then_some((module, field))
}

/// A module with tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Module {
    Convolution {
        channels: usize,
        kernel: usize,
    },
    BatchNorm,
    Plif,
    Linear {
        outputs: usize,
        inputs: usize,
        has_bias: bool,
    },
}

impl Module {
    fn words(self) -> &'static str {
        match self {
            Self::Convolution { .. } => "a convolution",
            Self::BatchNorm => "batch norm",
            Self::Plif => "PLIF neurons",
            Self::Linear { .. } => "a linear layer",
        }
    }
}

/// The form of a network whose tensors have the names of SpikingJelly's `Sequential`. The comparison
/// of all names and shapes checks later whether the tensors match it.
pub fn architecture(tensors: &Tensors<'_>, asked: &Asked) -> Result<Architecture> {
    let mut walk = Walk {
        modules: modules(tensors)?.into_iter().peekable(),
        next: 0,
        others: asked.neuron.unwrap_or(NeuronName::Lif),
        layers: Vec::new(),
    };
    walk.blocks()?;
    let (heads, first) = walk.head()?;
    let before = std::mem::take(&mut walk.layers);
    let (outputs, linear_bias) = walk.linears()?;
    if let Some((at, module)) = walk.modules.next() {
        bail!(
            "{SEQUENTIAL}.{at} ({}) is out of place; the layers of this program's networks are convolution, batch norm, \
             neurons, pooling; flatten; dropout, linear, neurons; voting",
            module.words()
        );
    }
    let voters = voters(outputs, asked.classes())?;
    walk.layers
        .extend((voters > 1).then_some(WrittenLayer::Pool(Pool {
            kind: PoolKind::Average,
            kernel: voters,
            stride: voters,
        })));
    let notations = heads.iter().map(|head| {
        let layers = before.iter().chain(head).chain(&walk.layers);
        layers
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("-")
    });
    let (at, inputs) = first;
    let name = format!("{SEQUENTIAL}.{at}.weight");
    fitting(
        &notations.collect::<Vec<_>>(),
        asked.size,
        linear_bias,
        &name,
        inputs,
    )
}

/// The form of the network in `notation`, which the user said. Everything that the tensors say is
/// compared with it later.
///
/// # Errors
/// Returns an error if the network is not possible, takes frames of an unknown size, or has another
/// number of classes than the user has said.
pub fn said(notation: &str, tensors: &Tensors<'_>, asked: &Asked) -> Result<Architecture> {
    let linears = |(at, module): (usize, Module)| match module {
        Module::Linear {
            inputs, has_bias, ..
        } => Some((at, inputs, has_bias)),
        _ => None,
    };
    let (at, inputs, bias) = modules(tensors)?
        .into_iter()
        .find_map(linears)
        .context("it has no linear layer")?;
    let name = format!("{SEQUENTIAL}.{at}.weight");
    let network = fitting(&[notation.to_owned()], asked.size, bias, &name, inputs)?;
    if let Some(named) = asked.classes().filter(|named| *named != network.classes) {
        bail!(
            "the network of --network tells {} classes apart, and --label-names has {}",
            network.classes,
            counted(named as u64, "name")
        );
    }
    Ok(network)
}

/// The form of the tutorial's network.
pub fn tutorial(naming: Naming, tensors: &Tensors<'_>, asked: &Asked) -> Result<Architecture> {
    let names = naming.names(&super::gestures()?)?;
    let side = |part, at: usize| {
        let name = names.name(part);
        let tensor = tensors.get(name.as_str());
        let tensor = tensor.with_context(|| format!("{name} is missing"))?;
        Ok::<_, anyhow::Error>(tensor.shape.get(at).copied().unwrap_or(0))
    };
    let is_there = |part| tensors.contains_key(names.name(part).as_str());
    let channels = side(Weight::Kernel(0), 0)?;
    let (hidden, inputs) = (side(Weight::Matrix(0), 0)?, side(Weight::Matrix(0), 1)?);
    within("channels", channels, 1..=MAX_CHANNELS)?;
    let neuron = match is_there(Weight::Tau(0)) {
        true => NeuronName::Plif,
        false => asked.neuron.unwrap_or(NeuronName::Lif),
    };
    let classes = asked.classes().unwrap_or(CLASSES);
    let notation = NetworkName::Gesture.notation(channels, hidden, classes, neuron);
    let (bias, name) = (is_there(Weight::Bias(0)), names.name(Weight::Matrix(0)));
    fitting(&[notation], asked.size, bias, &name, inputs)
}

/// The first network of these notations whose first linear layer takes `inputs` from frames of the
/// size that was `asked`, or else of the usual size. If the user has said a size and no network fits,
/// returns the first one, for a comparison of its shapes.
fn fitting(
    notations: &[String],
    asked: Option<[usize; 2]>,
    linear_bias: bool,
    linear: &str,
    inputs: usize,
) -> Result<Architecture> {
    let (mut made, mut why) = (Vec::new(), None);
    for notation in notations {
        match sized(notation, asked, linear_bias) {
            Ok(network) if takes(&network) == inputs => return Ok(network),
            Ok(network) => made.push(network),
            Err(error) => why = why.or(Some((notation, error))),
        }
    }
    let given = made.iter().map(|network| {
        let [height, width] = network.size;
        format!("{} from frames of {height} x {width}", takes(network))
    });
    let given = given.collect::<Vec<_>>().join(" or ");
    match (asked, made.into_iter().next(), why) {
        (Some(_), Some(network), _) => Ok(network),
        (_, None, Some((notation, error))) => {
            bail!(
                "its network {} is not possible: {}",
                shortened(notation),
                error.why()
            )
        }
        (_, network, _) => {
            let last = network.as_ref().and_then(|network| network.blocks.last());
            let channels = last.map_or(2, |block| block.channels);
            let cells = match inputs.is_multiple_of(channels) {
                true => format!(", {channels} channels of {} cells", inputs / channels),
                false => String::new(),
            };
            bail!(
                "{linear} takes {inputs} inputs{cells}, and its network gives {given}; say the size of its frames with \
                 --sensor WIDTHxHEIGHT"
            )
        }
    }
}

/// The network in `notation` for frames of the size that was `asked`. The usual size is that of
/// SpikingJelly's class of the same form, or else that of its other classes.
fn sized(
    notation: &str,
    asked: Option<[usize; 2]>,
    linear_bias: bool,
) -> Result<Architecture, NotationError> {
    let build = |size| Architecture::build(notation, size, None, linear_bias);
    let network = build(asked.unwrap_or(USUAL_SIZE))?;
    match PeerClass::of(&network) {
        Some(class) if asked.is_none() && class.size != USUAL_SIZE => build(class.size),
        _ => Ok(network),
    }
}

/// What the first linear layer takes.
fn takes(network: &Architecture) -> usize {
    network.linears.first().map_or(0, |linear| linear.inputs)
}

/// The modules that have tensors, by their places.
fn modules(tensors: &Tensors<'_>) -> Result<BTreeMap<usize, Module>> {
    let mut fields: BTreeMap<usize, BTreeMap<&str, &[usize]>> = BTreeMap::new();
    for (name, tensor) in tensors {
        if let Some((at, field)) = module_and_field(name) {
            fields.entry(at).or_default().insert(field, &tensor.shape);
        }
    }
    let modules = fields
        .iter()
        .map(|(at, fields)| Ok((*at, module(*at, fields)?)));
    modules.collect()
}

fn module(at: usize, fields: &BTreeMap<&str, &[usize]>) -> Result<Module> {
    if fields.contains_key("running_mean") || fields.contains_key("running_var") {
        return Ok(Module::BatchNorm);
    }
    if fields.contains_key("w") {
        return Ok(Module::Plif);
    }
    let name = format!("{SEQUENTIAL}.{at}.weight");
    let Some(shape) = fields.get("weight") else {
        bail!("{name} is missing");
    };
    match **shape {
        [outputs, inputs] => Ok(Module::Linear {
            outputs,
            inputs,
            has_bias: fields.contains_key("bias"),
        }),
        [channels, inputs, height, width] => {
            within(
                &format!("the channels of {name},"),
                channels,
                1..=MAX_CHANNELS,
            )?;
            ensure!(
                at > 0 || inputs == 2,
                "{name} takes {inputs} channels, where frames of events have 2, one of each polarity"
            );
            ensure!(
                height == width && (1..=MAX_KERNEL).contains(&height),
                "{name} has the shape {shape:?}; kernels are square, from 1 x 1 to {MAX_KERNEL} x {MAX_KERNEL}"
            );
            Ok(Module::Convolution {
                channels,
                kernel: height,
            })
        }
        [_] => bail!(
            "{name} has the shape {shape:?}, as batch norm has, but {SEQUENTIAL}.{at}.running_mean is missing"
        ),
        _ => bail!(
            "{name} has the shape {shape:?}, and weights of convolutions have 4 dimensions, those of linear layers 2"
        ),
    }
}
