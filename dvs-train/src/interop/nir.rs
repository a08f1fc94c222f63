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
//! max pooling is written as two layers: sum pooling, and then integrate-and-fire neurons with the
//! threshold 0.5 that keep no potential.
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

pub mod network;

use anyhow::{Result, bail, ensure};
use burn_snn::neuron::Neuron;
use burn_snn::neuron::model::Charge;
use dvs_shared::event::POLARITIES;

pub use self::hdf5::write;
use crate::interop::label_order::LabelOrder;
use crate::nn::network::{BLOCKS, LAYERS, VOTERS};
use crate::run_dir::weight_layout::{Weight, Weights};

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
    /// A 3x3 convolution with padding 1.
    Conv2d {
        /// Height and width of the input.
        size: [usize; 2],
        /// Kernel `[outputs, inputs, 3, 3]`.
        weight: Array,
        /// Bias `[outputs]`.
        bias: Array,
    },
    /// The sum over 2 x 2 cells.
    SumPool2d,
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
    /// The graph of a network with neurons like `neuron`, outputs in `order` and time steps of `dt`
    /// seconds.
    ///
    /// # Errors
    /// Returns an error if NIR cannot represent a layer; the message says which and why.
    pub fn of(weights: &Weights, neuron: &Neuron, order: LabelOrder, dt: f64) -> Result<Self> {
        ensure!(
            dt > 0.0 && dt <= 1e3,
            "--dt {dt} is not within 0 (exclusive) and 1000 seconds"
        );
        let architecture = &weights.architecture;
        let [mut height, mut width] = architecture.size;
        let mut nodes = Vec::new();
        let mut add = |name: &str, node| nodes.push((name.to_owned(), node));
        add(
            "input",
            Node::Input(vec![POLARITIES as usize, height, width]),
        );
        for (block, layer) in LAYERS.into_iter().enumerate().take(BLOCKS) {
            let (weight, bias) = folded(weights, block);
            add(
                layer,
                Node::Conv2d {
                    size: [height, width],
                    weight,
                    bias,
                },
            );
            let shape = vec![architecture.channels, height, width];
            add(
                &format!("{layer}_neurons"),
                neurons(weights, neuron, block, shape, dt)?,
            );
            (height, width) = (height / 2, width / 2);
            add(&format!("{layer}_pool"), Node::SumPool2d);
            let pool = Parameters {
                r: 1.0 / dt,
                v_threshold: 0.5,
                v_reset: 0.0,
            };
            add(
                &format!("{layer}_pool_neurons"),
                Node::If(vec![architecture.channels, height, width], pool),
            );
        }
        add(
            "flatten",
            Node::Flatten(vec![architecture.channels, height, width]),
        );
        for (linear, layer) in LAYERS.into_iter().skip(BLOCKS).enumerate() {
            let array = |part: Weight| Array {
                shape: part.shape(architecture),
                values: weights.get(part).to_vec(),
            };
            let matrix = array(Weight::Matrix(linear));
            add(
                layer,
                match architecture.linear_bias {
                    true => Node::Affine(matrix, array(Weight::Bias(linear))),
                    false => Node::Linear(matrix),
                },
            );
            let shape = vec![architecture.linear(linear)[1]];
            add(
                &format!("{layer}_neurons"),
                neurons(weights, neuron, BLOCKS + linear, shape, dt)?,
            );
        }
        add("vote", Node::Linear(voting(architecture.classes, order)));
        add("output", Node::Output(vec![architecture.classes]));
        Ok(Self { nodes })
    }
}

/// A convolution with the running statistics of batch norm folded in.
fn folded(weights: &Weights, block: usize) -> (Array, Array) {
    let kernel = Weight::Kernel(block);
    let shape = kernel.shape(&weights.architecture);
    let each = shape[1..].iter().product::<usize>().max(1);
    let (mut values, mut bias) = (Vec::new(), Vec::new());
    for (channel, kernel) in weights.get(kernel).chunks_exact(each).enumerate() {
        let of = |part| f64::from(weights.get(part)[channel]);
        let scale = of(Weight::Gamma(block)) / (of(Weight::Variance(block)) + EPSILON).sqrt();
        values.extend(
            kernel
                .iter()
                .map(|value| (f64::from(*value) * scale) as f32),
        );
        bias.push((of(Weight::Beta(block)) - of(Weight::Mean(block)) * scale) as f32);
    }
    let outputs = vec![weights.architecture.channels];
    (
        Array { shape, values },
        Array {
            shape: outputs,
            values: bias,
        },
    )
}

/// The neurons of a layer, in this shape.
fn neurons(
    weights: &Weights,
    neuron: &Neuron,
    layer: usize,
    shape: Vec<usize>,
    dt: f64,
) -> Result<Node> {
    let Some(reset) = neuron.reset else {
        bail!(
            "layer {}: its neurons subtract the threshold when they spike (soft reset, --v-reset none), and those of NIR \
             fall to a given potential",
            LAYERS[layer]
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
fn voting(classes: usize, order: LabelOrder) -> Array {
    let outputs = classes * VOTERS;
    let labels = order.labels(classes).into_iter();
    let all = labels.flat_map(|label| (0..outputs).map(move |neuron| neuron / VOTERS == label));
    Array {
        shape: vec![classes, outputs],
        values: all
            .map(|votes| if votes { 1.0 / VOTERS as f32 } else { 0.0 })
            .collect(),
    }
}

#[cfg(test)]
mod tests;
