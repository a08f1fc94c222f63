//! Parameter names of SpikingJelly's networks of this architecture.

use std::collections::BTreeSet;
use std::fmt;

use crate::nn::network::BLOCKS;
use crate::run_dir::weight_layout::{Architecture, Weight};

/// Batch norm's count of batches, which is not a weight and not needed.
const COUNT: &str = "num_batches_tracked";
/// A network of SpikingJelly with its own parameter names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// `DVSGestureNet` of SpikingJelly's models since 0.0.0.0.13 (conv_fc.0.weight, ...); its
    /// linear layers have a bias
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
            Self::Model => "SpikingJelly's DVSGestureNet",
            Self::Tutorial => "the tutorial's step-by-step network",
            Self::LayerByLayer | Self::Container => "the tutorial's layer-by-layer network",
        })
    }
}

impl Naming {
    pub const ALL: [Self; 4] = [
        Self::Model,
        Self::Tutorial,
        Self::LayerByLayer,
        Self::Container,
    ];

    /// The name of a parameter.
    pub fn name(self, part: Weight) -> String {
        match part {
            Weight::Kernel(block) => self.convolution(block) + ".weight",
            Weight::Gamma(block) => self.norm(block) + ".weight",
            Weight::Beta(block) => self.norm(block) + ".bias",
            Weight::Mean(block) => self.norm(block) + ".running_mean",
            Weight::Variance(block) => self.norm(block) + ".running_var",
            Weight::Matrix(layer) => self.linear(layer) + ".weight",
            Weight::Bias(layer) => self.linear(layer) + ".bias",
            Weight::Tau(layer) => self.neurons(layer) + ".w",
        }
    }

    /// The name of the count of batches of a batch norm.
    pub fn count(self, block: usize) -> String {
        format!("{}.{COUNT}", self.norm(block))
    }

    /// Each block is a convolution, batch norm, neurons and pooling; the layer-by-layer network has
    /// the first two in a container.
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

    /// The layers are flatten, dropout, linear, neurons, dropout, linear, neurons.
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

    /// All parameter names.
    pub fn all_names(self) -> BTreeSet<String> {
        let architecture = Architecture {
            channels: 1,
            hidden: 1,
            classes: 11,
            size: [128, 128],
            linear_bias: true,
            learnt_tau: true,
        };
        architecture
            .parts()
            .into_iter()
            .map(|part| self.name(part))
            .collect()
    }
}
