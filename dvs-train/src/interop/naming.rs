//! Parameter names of SpikingJelly's networks. They follow from the place of each module in its
//! `Sequential`.

use std::fmt;

use anyhow::{Result, ensure};

use crate::interop::known::KnownNetwork;
use crate::interop::sequential::{Module, modules};
use crate::nn::architecture::Architecture;
use crate::nn::network_name::NetworkName;
use crate::run_dir::weight_layout::Weight;

/// The `Sequential` of SpikingJelly's classes of networks.
pub const SEQUENTIAL: &str = "conv_fc";
/// Batch norm's count of batches, which is not a weight and not needed.
const COUNT: &str = "num_batches_tracked";
/// Modules of the tutorial's `Sequential` of convolutions: five times convolution, batch norm,
/// neurons and pooling. The other modules have a `Sequential` of their own.
const TUTORIAL_CONVOLUTIONS: usize = 20;

/// How a network of SpikingJelly names its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// The networks of SpikingJelly's models since 0.0.0.0.13 (conv_fc.0.weight, ...)
    Model,
    /// The tutorial's step-by-step network (conv.0.weight, fc.2.weight, ...); no bias
    Tutorial,
    /// The tutorial's layer-by-layer network (conv.0.0.weight, ...)
    LayerByLayer,
    /// The same in versions whose containers have a `module` field (conv.0.module.0.weight, ...)
    Container,
}

impl fmt::Display for Naming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "a network of SpikingJelly's models",
            Self::Tutorial => "the tutorial's step-by-step network",
            Self::LayerByLayer | Self::Container => "the tutorial's layer-by-layer network",
        })
    }
}

/// The names of a network's parameters.
#[derive(Debug)]
pub struct Names(Vec<(Module, String)>);

impl Naming {
    pub const ALL: [Self; 4] = [
        Self::Model,
        Self::Tutorial,
        Self::LayerByLayer,
        Self::Container,
    ];

    /// The names of the parameters of a network.
    ///
    /// # Errors
    /// Returns an error if only the tutorial's network has such names, and this is another one.
    pub fn names(self, architecture: &Architecture) -> Result<Names> {
        let known = KnownNetwork::of(architecture);
        ensure!(
            self == Self::Model || known.is_some_and(|known| known.name == NetworkName::Gesture),
            "the names of {self} fit only networks of its form, and this network is {architecture}; export with --names \
             spikingjelly"
        );
        let modules = modules(architecture).into_iter().enumerate();
        let named = modules.map(|(at, module)| (module, self.module(at)));
        Ok(Names(named.collect()))
    }

    /// The name of a module, by its place in the `Sequential` of SpikingJelly's classes.
    fn module(self, at: usize) -> String {
        let linear = at.checked_sub(TUTORIAL_CONVOLUTIONS);
        match (self, linear) {
            (Self::Model, _) => format!("{SEQUENTIAL}.{at}"),
            (Self::Tutorial, None) => format!("conv.{at}"),
            // The first two modules of a block are in a container.
            (Self::LayerByLayer, None) if at % 4 < 2 => format!("conv.{}.{}", at / 4 * 3, at % 4),
            (Self::Container, None) if at % 4 < 2 => {
                format!("conv.{}.module.{}", at / 4 * 3, at % 4)
            }
            (Self::LayerByLayer | Self::Container, None) => {
                format!("conv.{}", at / 4 * 3 + at % 4 - 1)
            }
            // So are the linear layers, behind flatten and dropout.
            (Self::LayerByLayer, Some(at @ (2 | 5))) => format!("fc.{at}.0"),
            (Self::Container, Some(at @ (2 | 5))) => format!("fc.{at}.module"),
            (_, Some(at)) => format!("fc.{at}"),
        }
    }
}

impl Names {
    /// The name of a parameter.
    pub fn name(&self, part: Weight) -> String {
        let (module, field) = match part {
            Weight::Kernel(block) => (Module::Convolution(block), "weight"),
            Weight::Gamma(block) => (Module::BatchNorm(block), "weight"),
            Weight::Beta(block) => (Module::BatchNorm(block), "bias"),
            Weight::Mean(block) => (Module::BatchNorm(block), "running_mean"),
            Weight::Variance(block) => (Module::BatchNorm(block), "running_var"),
            Weight::Matrix(layer) => (Module::Linear(layer), "weight"),
            Weight::Bias(layer) => (Module::Linear(layer), "bias"),
            Weight::Tau(layer) => (Module::Neurons(layer), "w"),
        };
        format!("{}.{field}", self.module(module))
    }

    /// The name of the count of batches of a batch norm.
    pub fn count(&self, block: usize) -> String {
        format!("{}.{COUNT}", self.module(Module::BatchNorm(block)))
    }

    /// The name of a module.
    pub fn module(&self, module: Module) -> &str {
        let mut named = self.0.iter();
        let found = named.find(|(other, _)| *other == module);
        found.map_or("", |(_, name)| name)
    }
}
