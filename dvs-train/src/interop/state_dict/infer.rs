//! Finds the layers of a network from the places and shapes of its tensors.
//!
//! Neurons other than PLIF, pooling, flatten and dropout have no tensors. They are known from the
//! places that they leave free in the `Sequential`, if there is only one way to fill them.

mod walk;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::labels::CLASSES;

use self::walk::Walk;
use super::{Asked, Tensors};
use crate::config::options::{MAX_CHANNELS, within};
use crate::interop::classes::voters;
use crate::interop::naming::{Naming, SEQUENTIAL};
use crate::nn::architecture::Architecture;
use crate::nn::network_name::NetworkName;
use crate::nn::notation::{MAX_KERNEL, NeuronName, Pool, PoolKind, WrittenLayer};
use crate::run_dir::weight_layout::Weight;

/// Height and width of a frame, if nothing says them: the first that fits. The second is N-MNIST's.
const USUAL_SIZES: [[usize; 2]; 2] = [[128, 128], [34, 34]];
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
    let voters = voters(outputs, asked.classes)?;
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
    fitting(&[notation.to_owned()], asked.size, bias, &name, inputs)
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
    let classes = asked.classes.unwrap_or(CLASSES);
    let notation = NetworkName::Gesture.notation(channels, hidden, classes, neuron);
    let (bias, name) = (is_there(Weight::Bias(0)), names.name(Weight::Matrix(0)));
    fitting(&[notation], asked.size, bias, &name, inputs)
}

/// The first network of these notations and of the usual sizes of frames whose first linear layer
/// takes `inputs`. If the user has said a size and no network fits, returns the first one, for a
/// comparison of its shapes.
fn fitting(
    notations: &[String],
    asked: Option<[usize; 2]>,
    linear_bias: bool,
    linear: &str,
    inputs: usize,
) -> Result<Architecture> {
    let sizes = asked.map_or(USUAL_SIZES.to_vec(), |size| vec![size]);
    let (mut made, mut why) = (Vec::new(), None);
    for size in sizes {
        for notation in notations {
            match Architecture::build(notation, size, None, linear_bias) {
                Ok(network) if takes(&network) == inputs => return Ok(network),
                Ok(network) => made.push(network),
                Err(error) => why = why.or(Some((notation, error))),
            }
        }
    }
    let given = made.iter().map(|network| {
        let [height, width] = network.size;
        format!("{} from frames of {height} x {width}", takes(network))
    });
    let given = given.collect::<Vec<_>>().join(", ");
    match (asked, made.into_iter().next(), why) {
        (Some(_), Some(network), _) => Ok(network),
        (_, None, Some((notation, error))) => {
            bail!("its network {notation} is not possible: {}", error.why())
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
