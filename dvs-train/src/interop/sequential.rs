//! A network as one `Sequential` of SpikingJelly's modules, as its classes of networks are.

use burn_snn::neuron::Neuron;
use burn_snn::neuron::model::Charge;

use crate::nn::architecture::Architecture;
use crate::nn::notation::{Pool, PoolKind};

/// A module of the `Sequential`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Module {
    /// Dropout with this probability.
    Dropout(f64),
    /// The convolution of a block.
    Convolution(usize),
    /// The batch norm of a block.
    BatchNorm(usize),
    /// The neurons of a layer.
    Neurons(usize),
    Pool(Pool),
    Flatten,
    /// A linear layer.
    Linear(usize),
    /// The mean over this number of outputs.
    Voting(usize),
}

/// The modules of a network, in order.
pub fn modules(architecture: &Architecture) -> Vec<Module> {
    let dropout = |probability| (probability > 0.0).then_some(Module::Dropout(probability));
    let mut modules = Vec::new();
    for (at, block) in architecture.blocks.iter().enumerate() {
        modules.extend(dropout(block.dropout));
        modules.push(Module::Convolution(at));
        modules.extend(block.norm.then_some(Module::BatchNorm(at)));
        modules.push(Module::Neurons(at));
        modules.extend(block.pools.iter().map(|pool| Module::Pool(*pool)));
    }
    modules.push(Module::Flatten);
    for (at, linear) in architecture.linears.iter().enumerate() {
        modules.extend(dropout(linear.dropout));
        modules.push(Module::Linear(at));
        modules.push(Module::Neurons(architecture.blocks.len() + at));
    }
    let voters = architecture.voters;
    modules.extend((voters > 1).then_some(Module::Voting(voters)));
    modules
}

/// The Python expression that makes the `Sequential`. `neurons` are those of each layer, in order.
pub fn in_python(architecture: &Architecture, neurons: &[Neuron]) -> String {
    let modules = modules(architecture);
    let modules = modules.into_iter().map(|module| match module {
        Module::Dropout(probability) => format!("layer.Dropout({probability})"),
        Module::Convolution(at) => convolution(architecture, at),
        Module::BatchNorm(at) => {
            format!("layer.BatchNorm2d({})", architecture.blocks[at].channels)
        }
        Module::Neurons(layer) => neurons.get(layer).map_or_else(String::new, neuron),
        Module::Pool(Pool {
            kind,
            kernel,
            stride,
        }) => {
            let kind = match kind {
                PoolKind::Max => "Max",
                PoolKind::Average => "Avg",
            };
            format!("layer.{kind}Pool2d({kernel}, {stride})")
        }
        Module::Flatten => "layer.Flatten()".to_owned(),
        Module::Linear(at) => {
            let linear = &architecture.linears[at];
            let bias = match architecture.linear_bias {
                true => "",
                false => ", bias=False",
            };
            format!("layer.Linear({}, {}{bias})", linear.inputs, linear.outputs)
        }
        Module::Voting(voters) => format!("layer.VotingLayer({voters})"),
    });
    let modules: Vec<String> = modules.collect();
    format!("torch.nn.Sequential({})", modules.join(", "))
}

fn convolution(architecture: &Architecture, at: usize) -> String {
    let block = &architecture.blocks[at];
    let mut text = format!(
        "layer.Conv2d({}, {}, {}",
        block.inputs, block.channels, block.kernel
    );
    for (name, value, usual) in [("stride", block.stride, 1), ("padding", block.padding, 0)] {
        if value != usual {
            text += &format!(", {name}={value}");
        }
    }
    text + ", bias=False)"
}

/// The neurons in Python. Of what matters in evaluation, it says all that is not SpikingJelly's
/// default.
fn neuron(neuron: &Neuron) -> String {
    let mut options = Vec::new();
    let class = match neuron.charge {
        Charge::Leaky { tau, decay_input } => {
            options.extend((tau != 2.0).then(|| format!("tau={tau:?}")));
            options.extend((!decay_input).then(|| "decay_input=False".to_owned()));
            "LIFNode"
        }
        Charge::Learnt { decay_input, .. } => {
            options.extend((!decay_input).then(|| "decay_input=False".to_owned()));
            "ParametricLIFNode"
        }
        Charge::Integrate => "IFNode",
    };
    let threshold = neuron.threshold;
    options.extend((threshold != 1.0).then(|| format!("v_threshold={threshold:?}")));
    match neuron.reset {
        Some(0.0) => {}
        Some(reset) => options.push(format!("v_reset={reset:?}")),
        None => options.push("v_reset=None".to_owned()),
    }
    format!("neuron.{class}({})", options.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::network_config;

    #[test]
    fn writes_the_layers_in_python() {
        let mut config = network_config(
            "c4k5s2-BN-LIF-APk2s2-c6k1s1-IF-MPk3s2-DP0.2-FC12-PLIF-FC4-LIF-APk2s2",
            [33, 20],
        );
        config.neurons[3].threshold = 0.5;
        config.neurons[3].reset = None;
        assert_eq!(
            in_python(&config.architecture, &config.neurons),
            "torch.nn.Sequential(layer.Conv2d(2, 4, 5, stride=2, padding=2, bias=False), layer.BatchNorm2d(4), \
             neuron.LIFNode(), layer.AvgPool2d(2, 2), layer.Conv2d(4, 6, 1, bias=False), neuron.IFNode(), \
             layer.MaxPool2d(3, 2), layer.Flatten(), layer.Dropout(0.2), layer.Linear(36, 12, bias=False), \
             neuron.ParametricLIFNode(), layer.Linear(12, 4, bias=False), \
             neuron.LIFNode(v_threshold=0.5, v_reset=None), layer.VotingLayer(2))"
        );
    }
}
