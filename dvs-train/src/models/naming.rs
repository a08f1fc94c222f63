//! The names that weights have in SpikingJelly's networks of this architecture.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use super::label_order::LabelOrder;
use super::parts::{Form, Part, Weights};
use super::pth::Tensor;
use crate::network::BLOCKS;
use crate::options::{MAX_CHANNELS, MAX_HIDDEN, within};

/// Batch norm's count of batches: no weight, and not needed.
const COUNT: &str = "num_batches_tracked";
/// Names of an error's list that are shown; the others are counted.
const SHOWN: usize = 8;

/// A tensor of a state dict.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its numbers, row by row.
    pub values: Values,
}

/// Numbers of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Floats of 32 bits.
    Floats(Vec<f32>),
    /// One integer of 64 bits.
    Count(i64),
}

impl Values {
    /// Their little-endian bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Floats(values) => values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
            Self::Count(count) => count.to_le_bytes().to_vec(),
        }
    }
}

/// A network of SpikingJelly's with names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Naming {
    /// `DVSGestureNet` of SpikingJelly's models since 0.0.0.0.13, as conv_fc.0.weight; its linear layers have a bias
    #[value(name = "spikingjelly")]
    Model,
    /// The tutorial's network that works step by step, as conv.0.weight and fc.2.weight; no bias
    #[value(name = "tutorial")]
    Tutorial,
    /// The tutorial's network that works layer by layer, as conv.0.0.weight
    #[value(skip)]
    LayerByLayer,
    /// The same in versions whose containers have a field, as conv.0.module.0.weight
    #[value(skip)]
    Container,
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "SpikingJelly's DVSGestureNet",
            Self::Tutorial => "the tutorial's step-by-step network",
            Self::LayerByLayer | Self::Container => "the tutorial's layer-by-layer network",
        })
    }
}

impl Naming {
    /// All of them.
    const ALL: [Self; 4] = [
        Self::Model,
        Self::Tutorial,
        Self::LayerByLayer,
        Self::Container,
    ];

    /// The name of a part.
    pub fn name(self, part: Part) -> String {
        match part {
            Part::Kernel(block) => self.convolution(block) + ".weight",
            Part::Gamma(block) => self.norm(block) + ".weight",
            Part::Beta(block) => self.norm(block) + ".bias",
            Part::Mean(block) => self.norm(block) + ".running_mean",
            Part::Variance(block) => self.norm(block) + ".running_var",
            Part::Matrix(layer) => self.linear(layer) + ".weight",
            Part::Bias(layer) => self.linear(layer) + ".bias",
            Part::Tau(layer) => self.neurons(layer) + ".w",
        }
    }

    /// The name of the count of batches of a batch norm.
    pub fn count(self, block: usize) -> String {
        format!("{}.{COUNT}", self.norm(block))
    }

    /// A convolution, batch norm, neurons and pooling follow each other; the layer-by-layer network has the first two in
    /// a container.
    fn convolution(self, block: usize) -> String {
        match self {
            Self::Model => format!("conv_fc.{}", 4 * block),
            Self::Tutorial => format!("conv.{}", 4 * block),
            Self::LayerByLayer => format!("conv.{}.0", 3 * block),
            Self::Container => format!("conv.{}.module.0", 3 * block),
        }
    }

    fn norm(self, block: usize) -> String {
        match self {
            Self::Model => format!("conv_fc.{}", 4 * block + 1),
            Self::Tutorial => format!("conv.{}", 4 * block + 1),
            Self::LayerByLayer => format!("conv.{}.1", 3 * block),
            Self::Container => format!("conv.{}.module.1", 3 * block),
        }
    }

    /// Flatten, dropout, linear, neurons, dropout, linear, neurons.
    fn linear(self, layer: usize) -> String {
        match self {
            Self::Model => format!("conv_fc.{}", 22 + 3 * layer),
            Self::Tutorial => format!("fc.{}", 2 + 3 * layer),
            Self::LayerByLayer => format!("fc.{}.0", 2 + 3 * layer),
            Self::Container => format!("fc.{}.module", 2 + 3 * layer),
        }
    }

    fn neurons(self, layer: usize) -> String {
        match (self, layer.checked_sub(BLOCKS)) {
            (Self::Model, None) => format!("conv_fc.{}", 4 * layer + 2),
            (Self::Model, Some(layer)) => format!("conv_fc.{}", 23 + 3 * layer),
            (Self::Tutorial, None) => format!("conv.{}", 4 * layer + 2),
            (Self::LayerByLayer | Self::Container, None) => format!("conv.{}", 3 * layer + 1),
            (_, Some(layer)) => format!("fc.{}", 3 + 3 * layer),
        }
    }

    /// The form of the network that tensors of these names make up. Frames are of `size`.
    fn form(self, tensors: &BTreeMap<&str, Tensor<'_>>, size: [usize; 2]) -> Result<Form> {
        let get = |part| {
            let name = self.name(part);
            let tensor = tensors.get(name.as_str());
            tensor.with_context(|| format!("{name} is missing"))
        };
        // The sizes that are free; whether they go together is seen when every shape is compared.
        let first = |part| Ok::<_, anyhow::Error>(get(part)?.shape.first().copied().unwrap_or(0));
        Ok(Form {
            channels: first(Part::Kernel(0))?,
            hidden: first(Part::Matrix(0))?,
            size,
            linear_bias: get(Part::Bias(0)).is_ok(),
            learnt_tau: get(Part::Tau(0)).is_ok(),
        })
    }
}

/// The network that `tensors` are, found by their names, and the naming it was found by. Its outputs are in `order`,
/// its frames of `size`.
///
/// # Errors
/// Names the tensors that are unknown, missing, or of another shape.
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
    // The first of those that know most: the sort keeps their order.
    namings.sort_by_key(|naming| std::cmp::Reverse(known(naming)));
    let naming = namings[0];
    ensure!(known(&naming) > 0, "{}", unlike_any(tensors));
    let form = naming
        .form(tensors, size)
        .with_context(|| format!("its weights are most like those of {naming}"))?;
    within("channels", form.channels, 1..=MAX_CHANNELS)?;
    within("hidden neurons", form.hidden, 1..=MAX_HIDDEN)?;
    let wanted: BTreeMap<String, Part> = form
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
            problems.push(format!("it has no {}", listed(&unknown)));
        }
        if !missing.is_empty() {
            problems.push(format!(
                "{} missing",
                listed(&missing) + is_or_are(&missing)
            ));
        }
        bail!(
            "its weights are most like those of {naming}, but {}",
            problems.join(", and ")
        );
    }
    let shapes = wanted.iter().filter_map(|(name, part)| {
        let (found, shape) = (&tensors.get(name.as_str())?.shape, part.shape(&form));
        // PLIF's weight had one dimension once.
        let same = *found == shape || (matches!(part, Part::Tau(_)) && *found == [1]);
        (!same).then(|| format!("{name} has the shape {found:?} where {shape:?} is expected"))
    });
    let shapes: Vec<String> = shapes.collect();
    if !shapes.is_empty() {
        let [height, width] = size;
        bail!(
            "its weights do not go together, taken as {naming} for frames of {height} x {width} with {} channels and {} \
             hidden neurons: {}",
            form.channels,
            form.hidden,
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
            values = order.to_plain(&values);
        }
        parts.insert(part, values);
    }
    Ok((naming, Weights { form, parts }))
}

/// The state dict of a network under names of `naming`'s, outputs in `order`, in PyTorch's order. `batches` is what every
/// batch norm says it has seen.
///
/// # Errors
/// Where the network has a bias, and `naming`'s network none.
pub fn state_dict(
    weights: &Weights,
    naming: Naming,
    order: LabelOrder,
    batches: u64,
) -> Result<Vec<Named>> {
    let mut form = weights.form;
    ensure!(
        naming == Naming::Model || !form.linear_bias,
        "the linear layers have a bias, which {naming} has not; export with --names spikingjelly"
    );
    // DVSGestureNet always has a bias, and adding 0 changes nothing.
    form.linear_bias = naming == Naming::Model;
    let mut state = Vec::new();
    for part in form.parts() {
        let shape = part.shape(&form);
        let values = match part {
            Part::Bias(_) if !weights.form.linear_bias => vec![0.0; shape.iter().product()],
            _ if part.is_of_output() => order.of_plain(weights.get(part)),
            _ => weights.get(part).to_vec(),
        };
        let name = naming.name(part);
        state.push(Named {
            name,
            shape,
            values: Values::Floats(values),
        });
        if let Part::Variance(block) = part {
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

impl Naming {
    /// Every name that it has for anything.
    fn all_names(self) -> BTreeSet<String> {
        let form = Form {
            channels: 1,
            hidden: 1,
            size: [128, 128],
            linear_bias: true,
            learnt_tau: true,
        };
        form.parts()
            .into_iter()
            .map(|part| self.name(part))
            .collect()
    }
}

fn unlike_any(tensors: &BTreeMap<&str, Tensor<'_>>) -> String {
    let there: Vec<&str> = tensors.keys().copied().collect();
    let expected = Naming::ALL.map(|naming| {
        format!(
            "{}, {}, ... {} ({naming})",
            naming.name(Part::Kernel(0)),
            naming.name(Part::Gamma(0)),
            naming.name(Part::Matrix(1))
        )
    });
    format!(
        "its {} weights have names of another network: {}; expected are {}",
        there.len(),
        listed(&there),
        expected.join(" or ")
    )
}

fn is_or_are(names: &[&str]) -> &'static str {
    if names.len() == 1 { " is" } else { " are" }
}

/// The first of some names.
fn listed(names: &[&str]) -> String {
    let mut text = names
        .iter()
        .take(SHOWN)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
