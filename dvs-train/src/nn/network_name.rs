//! Networks by name, as the literature uses them for each dataset, or by their notation.
//!
//! Source: Table 1 of Fang et al., [Incorporating Learnable Membrane Time Constant to Enhance
//! Learning of Spiking Neural Networks](https://arxiv.org/abs/2007.05785) (2021).

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::nn::notation::{NeuronName, WrittenLayer};

/// Output neurons that vote for one class in the networks with a name.
pub const VOTERS: usize = 10;

/// A network, as the user names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum NetworkName {
    /// `gesture`: the network for DVS128 Gesture.
    #[default]
    Gesture,
    /// `cifar10dvs`: the network for CIFAR10-DVS.
    Cifar10Dvs,
    /// `nmnist`: the network for N-MNIST.
    NMnist,
    /// `cifar10`: the network for CIFAR-10.
    Cifar10,
    /// Any other network, in the literature's notation.
    Notation(String),
}

impl NetworkName {
    /// The networks that have a name.
    pub const NAMED: [Self; 4] = [Self::Gesture, Self::Cifar10Dvs, Self::NMnist, Self::Cifar10];

    /// Whether the network has a name, and no notation of its own.
    pub fn is_named(&self) -> bool {
        !matches!(self, Self::Notation(_))
    }

    /// The literature's number of channels, or `None` for a notation, which says it.
    pub fn channels(&self) -> Option<usize> {
        match self {
            Self::Gesture | Self::Cifar10Dvs | Self::NMnist => Some(128),
            Self::Cifar10 => Some(256),
            Self::Notation(_) => None,
        }
    }

    /// The literature's number of hidden neurons for this number of channels. It is in proportion to
    /// the channels.
    pub fn hidden(&self, channels: usize) -> usize {
        match self {
            Self::NMnist => channels.saturating_mul(16),
            Self::Cifar10 => channels.saturating_mul(8),
            Self::Gesture | Self::Cifar10Dvs | Self::Notation(_) => channels.saturating_mul(4),
        }
    }

    /// The notation of the network with this number of channels, hidden neurons and classes.
    pub fn notation(
        &self,
        channels: usize,
        hidden: usize,
        classes: usize,
        neuron: NeuronName,
    ) -> String {
        let neuron = WrittenLayer::Neurons(neuron);
        let block = format!("c{channels}k3s1-BN-{neuron}");
        let blocks = match self {
            Self::Notation(notation) => return notation.clone(),
            Self::Gesture => format!("{{{block}-MPk2s2}}*5"),
            Self::Cifar10Dvs => format!("{{{block}-MPk2s2}}*4"),
            Self::NMnist => format!("{{{block}-MPk2s2}}*2"),
            Self::Cifar10 => format!("{{{{{block}}}*3-MPk2s2}}*2"),
        };
        let outputs = VOTERS * classes;
        format!("{blocks}-DP-FC{hidden}-{neuron}-DP-FC{outputs}-{neuron}-APk{VOTERS}s{VOTERS}")
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gesture => "gesture",
            Self::Cifar10Dvs => "cifar10dvs",
            Self::NMnist => "nmnist",
            Self::Cifar10 => "cifar10",
            Self::Notation(notation) => notation,
        })
    }
}

impl From<String> for NetworkName {
    fn from(text: String) -> Self {
        let named = Self::NAMED.into_iter();
        let mut named = named.filter(|named| named.to_string() == text);
        named.next().unwrap_or(Self::Notation(text))
    }
}

impl FromStr for NetworkName {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text.to_owned().into())
    }
}

impl From<NetworkName> for String {
    fn from(name: NetworkName) -> Self {
        name.to_string()
    }
}
