//! Networks as graphs of the Neuromorphic Intermediate Representation (Pedersen et al., Nature
//! Communications 15, 8122, 2024; nodes as in the Python package `nir` 1.0.8).
//!
//! NIR describes neurons by differential equations. A time step of this network is a forward Euler
//! step of dt seconds, as when SpikingJelly and snnTorch exchange networks with NIR; their default
//! dt is 0.0001.
//!
//! ```text
//! LIF  tau v' = (v_leak - v) + r I  v + dt / tau ((v_leak - v) + r I)  tau = dt times tau in steps
//! IF       v' = r I                 v + dt r I                         r = 1 / dt
//! ```
//!
//! NIR's neurons spike only above their threshold; the neurons of this program also spike exactly
//! at it. So each threshold is written as the next lower 32-bit floating-point number. Batch norm
//! is folded into the convolutions. The maximum of binary spikes is 1 if their sum is above 0.5. So
//! max pooling of spikes is written as two layers: sum pooling, and then integrate-and-fire neurons
//! with the threshold 0.5 that keep no potential.
//!
//! [`read`] reads a file into a [`stored`] graph of any nodes, and [`network`] makes this program's
//! network of it, or says why it cannot.

mod hdf5;

pub mod stored;

pub mod read;

mod fields;

mod chain;

mod roles;

mod neurons;

mod layers;

mod limits;

pub mod network;

use anyhow::{Result, bail, ensure};
use burn_snn::neuron::Neuron;
use burn_snn::neuron::model::Charge;
use dvs_shared::event::POLARITIES;

pub use self::hdf5::write;
use crate::interop::label_order::LabelOrder;
use crate::nn::architecture::BlockForm;
use crate::nn::notation::{Pool, PoolKind};
use crate::run_dir::weight_layout::{Weight, Weights};

/// What follows the number of seconds in the fact `dt` about an exported graph.
pub const DT: &str = " s a time step, forward Euler";
/// Epsilon that PyTorch adds to a variance before the square root.
const EPSILON: f64 = 1e-5;

/// A chain of nodes, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    /// Names and nodes.
    pub nodes: Vec<(String, Node)>,
}

/// A node; shapes are those of one sample at one time step.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// The input of frames.
    Input(Vec<usize>),
    /// The output of votes.
    Output(Vec<usize>),
    Conv2d {
        /// Height and width of the input.
        size: [usize; 2],
        stride: usize,
        padding: usize,
        /// Kernel `[outputs, inputs, K, K]`.
        weight: Array,
        /// Bias `[outputs]`.
        bias: Array,
    },
    /// The sum over each window.
    SumPool2d { kernel: usize, stride: usize },
    /// The mean over each window.
    AvgPool2d { kernel: usize, stride: usize },
    /// Flattens an input of this shape.
    Flatten(Vec<usize>),
    /// A matrix `[outputs, inputs]`.
    Linear(Array),
    /// A matrix and a bias.
    Affine(Array, Array),
    /// Integrate-and-fire neurons.
    If(Vec<usize>, Parameters),
    /// Leaky integrate-and-fire neurons, with their tau in seconds.
    Lif(Vec<usize>, f64, Parameters),
}

/// Numbers and their shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    /// The numbers in row-major order.
    pub values: Vec<f32>,
}

/// Parameters that all neurons of a layer share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// Resistance.
    pub r: f64,
    /// Potential above which a neuron spikes.
    pub v_threshold: f64,
    /// Potential after a spike, and the leak potential of LIF neurons.
    pub v_reset: f64,
}

impl Graph {
    /// The graph of a network with these `neurons` in each layer, outputs in `order` and time steps of
    /// `dt` seconds.
    ///
    /// # Errors
    /// Returns an error if NIR cannot represent a layer, or an import would refuse its size; the message
    /// says which layer and why.
    pub fn of(weights: &Weights, neurons: &[Neuron], order: LabelOrder, dt: f64) -> Result<Self> {
        ensure!(
            dt > 0.0 && dt <= 1e3,
            "--dt {dt} is not within 0 (exclusive) and 1000 seconds"
        );
        let architecture = &weights.architecture;
        limits::check(architecture, neurons)?;
        let [height, width] = architecture.size;
        let mut graph = Self { nodes: Vec::new() };
        let input = Node::Input(vec![POLARITIES as usize, height, width]);
        graph.add("input", input);
        let names = architecture.layer_names();
        let mut layers = names.iter().zip(neurons).enumerate();
        let mut flat = vec![POLARITIES as usize, height, width];
        for (block, (layer, (name, neuron))) in architecture.blocks.iter().zip(&mut layers) {
            let (weight, bias) = folded(weights, layer);
            let node = Node::Conv2d {
                size: block.size,
                stride: block.stride,
                padding: block.padding,
                weight,
                bias,
            };
            graph.add(name, node);
            let [height, width] = block.convolved();
            let shape = vec![block.channels, height, width];
            let node = neurons_node(weights, neuron, layer, name, shape, dt)?;
            graph.add(&format!("{name}_neurons"), node);
            graph.pools(block, name, dt)?;
            let [height, width] = block.pooled();
            flat = vec![block.channels, height, width];
        }
        graph.add("flatten", Node::Flatten(flat));
        let votes = architecture.voters > 1;
        for (linear, (layer, (name, neuron))) in (0..architecture.linears.len()).zip(layers) {
            let array = |part: Weight| {
                let values = weights.get(part);
                Array {
                    shape: part.shape(architecture),
                    values: match architecture.is_of_output(part) && !votes {
                        true => order.of_plain(values, architecture.classes),
                        false => values.to_vec(),
                    },
                }
            };
            let matrix = array(Weight::Matrix(linear));
            let shape = vec![architecture.linears[linear].outputs];
            graph.add(
                name,
                match architecture.linear_bias {
                    true => Node::Affine(matrix, array(Weight::Bias(linear))),
                    false => Node::Linear(matrix),
                },
            );
            let node = neurons_node(weights, neuron, layer, name, shape, dt)?;
            graph.add(&format!("{name}_neurons"), node);
        }
        let (classes, voters) = (architecture.classes, architecture.voters);
        if votes {
            graph.add("vote", Node::Linear(voting(classes, voters, order)));
        }
        graph.add("output", Node::Output(vec![classes]));
        Ok(graph)
    }

    fn add(&mut self, name: &str, node: Node) {
        self.nodes.push((name.to_owned(), node));
    }

    /// Adds the poolings of a block, whose layer has this `name`.
    fn pools(&mut self, block: &BlockForm, name: &str, dt: f64) -> Result<()> {
        let mut averages = false;
        let mut before = BlockForm {
            pools: Vec::new(),
            ..block.clone()
        };
        for (at, pool) in block.pools.iter().enumerate() {
            let number = if at > 0 {
                (at + 1).to_string()
            } else {
                String::new()
            };
            let name = format!("{name}_pool{number}");
            before.pools.push(*pool);
            let [height, width] = before.pooled();
            let Pool {
                kind,
                kernel,
                stride,
            } = *pool;
            match kind {
                PoolKind::Average => {
                    averages = true;
                    self.add(&name, Node::AvgPool2d { kernel, stride });
                }
                PoolKind::Max => {
                    ensure!(
                        !averages,
                        "layer {name}: its inputs are means, not spikes, and NIR has max pooling only as a sum of spikes"
                    );
                    self.add(&name, Node::SumPool2d { kernel, stride });
                    let parameters = Parameters {
                        r: 1.0 / dt,
                        v_threshold: 0.5,
                        v_reset: 0.0,
                    };
                    let shape = vec![block.channels, height, width];
                    self.add(&format!("{name}_neurons"), Node::If(shape, parameters));
                }
            }
        }
        Ok(())
    }
}

/// A convolution with the running statistics of batch norm folded in, if it has batch norm.
fn folded(weights: &Weights, block: usize) -> (Array, Array) {
    let kernel = Weight::Kernel(block);
    let shape = kernel.shape(&weights.architecture);
    let form = &weights.architecture.blocks[block];
    let each = shape[1..].iter().product::<usize>().max(1);
    let (mut values, mut bias) = (weights.get(kernel).to_vec(), vec![0.0; form.channels]);
    if form.norm {
        let channels = values.chunks_exact_mut(each).zip(&mut bias);
        for (channel, (kernel, bias)) in channels.enumerate() {
            let of = |part| f64::from(weights.get(part)[channel]);
            let scale = of(Weight::Gamma(block)) / (of(Weight::Variance(block)) + EPSILON).sqrt();
            for value in kernel {
                *value = (f64::from(*value) * scale) as f32;
            }
            *bias = (of(Weight::Beta(block)) - of(Weight::Mean(block)) * scale) as f32;
        }
    }
    let bias = Array {
        shape: vec![form.channels],
        values: bias,
    };
    (Array { shape, values }, bias)
}

/// The neurons of a layer, in this shape.
fn neurons_node(
    weights: &Weights,
    neuron: &Neuron,
    layer: usize,
    name: &str,
    shape: Vec<usize>,
    dt: f64,
) -> Result<Node> {
    let Some(reset) = neuron.reset else {
        bail!(
            "layer {name}: its neurons subtract the threshold when they spike (soft reset, --v-reset none), and those of NIR \
             fall to a given potential"
        );
    };
    let parameters = |r| Parameters {
        r,
        v_threshold: f64::from((neuron.threshold as f32).next_down()),
        v_reset: reset,
    };
    let leaky = |shape, tau: f64, decay_input| {
        let r = if decay_input { 1.0 } else { tau };
        Node::Lif(shape, tau * dt, parameters(r))
    };
    Ok(match neuron.charge {
        Charge::Leaky { tau, decay_input } => leaky(shape, tau, decay_input),
        Charge::Learnt { decay_input, .. } => {
            let w = weights
                .get(Weight::Tau(layer))
                .first()
                .copied()
                .unwrap_or_default();
            leaky(shape, 1.0 + (-f64::from(w)).exp(), decay_input)
        }
        Charge::Integrate => Node::If(shape, parameters(1.0 / dt)),
    })
}

/// A matrix that takes the mean over each label's output neurons.
fn voting(classes: usize, voters: usize, order: LabelOrder) -> Array {
    let outputs = classes * voters;
    let labels = order.labels(classes).into_iter();
    let all = labels.flat_map(|label| (0..outputs).map(move |neuron| neuron / voters == label));
    Array {
        shape: vec![classes, outputs],
        values: all
            .map(|votes| if votes { 1.0 / voters as f32 } else { 0.0 })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
