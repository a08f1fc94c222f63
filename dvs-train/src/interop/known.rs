//! The networks of the literature, and the classes that SpikingJelly has for them.

use crate::nn::architecture::Architecture;
use crate::nn::network_name::NetworkName;

/// A network with a name, and what the name leaves open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNetwork {
    pub name: NetworkName,
    /// Channels of the convolutions.
    pub channels: usize,
    /// Neurons of the hidden layer.
    pub hidden: usize,
}

/// A class of `spikingjelly.activation_based.model.parametric_lif_net` for events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerClass {
    pub name: &'static str,
    /// Neurons of its hidden layer, for any number of channels.
    pub hidden: usize,
    pub classes: usize,
    /// Height and width of its frames.
    pub size: [usize; 2],
}

impl KnownNetwork {
    /// The network with a name that has exactly these layers.
    pub fn of(architecture: &Architecture) -> Option<Self> {
        let channels = architecture.blocks.first()?.channels;
        let hidden = architecture.linears.first()?.outputs;
        let neuron = architecture.neurons().next()?;
        let Architecture {
            size,
            classes,
            linear_bias,
            ..
        } = *architecture;
        let is_same = |name: &NetworkName| {
            let notation = name.notation(channels, hidden, classes, neuron);
            let made = Architecture::build(&notation, size, Some(classes), linear_bias);
            made.is_ok_and(|made| made == *architecture)
        };
        let name = NetworkName::NAMED.into_iter().find(is_same)?;
        Some(Self {
            name,
            channels,
            hidden,
        })
    }
}

impl PeerClass {
    /// The class that has these layers, though perhaps of other sizes.
    pub fn of(architecture: &Architecture) -> Option<Self> {
        let (name, hidden, classes, size) = match KnownNetwork::of(architecture)?.name {
            NetworkName::Gesture => ("DVSGestureNet", 512, 11, [128, 128]),
            NetworkName::Cifar10Dvs => ("CIFAR10DVSNet", 512, 10, [128, 128]),
            NetworkName::NMnist => ("NMNISTNet", 2048, 10, [34, 34]),
            // SpikingJelly's CIFAR10Net takes pictures of three colours.
            NetworkName::Cifar10 | NetworkName::Notation(_) => return None,
        };
        Some(Self {
            name,
            hidden,
            classes,
            size,
        })
    }
}
