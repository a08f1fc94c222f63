//! Reads the layers of a graph whose nodes have their roles, and checks that their shapes chain.

mod convolutional;
mod linear;

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use dvs_shared::event::{MAX_PIXELS, POLARITIES};

use super::fields::{Node, Problems};
use super::neurons::Equation;
use super::roles::Role;
use crate::nn::architecture::{Architecture, BlockForm, LinearForm};
use crate::nn::notation::NeuronName;
use crate::run_dir::weight_layout::Weight;

/// A node and what it was read as.
pub type Named<'a, T> = (Node<'a>, T);

/// The layers of a graph.
#[derive(Debug)]
pub struct Layers<'a> {
    /// The form of the network. Its neurons are LIF or IF, without learnt time constants.
    pub architecture: Architecture,
    /// Kernels, matrices, and biases. The bias of a convolution is batch norm's beta.
    pub weights: BTreeMap<Weight, Vec<f32>>,
    /// The neurons of each layer.
    pub neurons: Vec<Named<'a, Equation>>,
    /// Neurons after poolings, and what the pooling gives for one spike.
    pub pools: Vec<(Node<'a>, Equation, f64)>,
    /// The group of output neurons that votes for each output.
    pub votes: Vec<usize>,
    /// Whether the graph has a node that votes.
    pub has_vote: bool,
    /// Names of the weights that were rounded to 32 bits.
    pub rounded: Vec<String>,
}

/// Reads layer by layer.
struct Reader<'a> {
    layers: Layers<'a>,
    /// Shape of what the node before gives; `None` if the node before does not say it.
    shape: Option<Vec<usize>>,
    /// What the pooling before gives for one spike.
    least: f64,
}

impl<'a> Layers<'a> {
    /// Reads the nodes. Without a node that votes, `voters` says how many of the outputs vote for a
    /// class.
    ///
    /// # Errors
    /// Returns an error that names each node whose shape, numbers or fields do not fit.
    pub fn read(
        nodes: Vec<(Role, Node<'a>)>,
        voters: impl Fn(usize) -> Result<usize>,
    ) -> Result<Self> {
        let mut reader = Reader {
            layers: Self {
                architecture: Architecture {
                    size: [0, 0],
                    classes: 0,
                    voters: 1,
                    linear_bias: false,
                    blocks: Vec::new(),
                    linears: Vec::new(),
                },
                weights: BTreeMap::new(),
                neurons: Vec::new(),
                pools: Vec::new(),
                votes: Vec::new(),
                has_vote: false,
                rounded: Vec::new(),
            },
            shape: None,
            least: 0.0,
        };
        let mut problems = Problems::default();
        for (role, node) in nodes {
            problems.of(&node, reader.node(role, &node));
            // All other shapes follow from this one.
            if reader.shape.is_none() {
                break;
            }
        }
        problems.finish()?;
        let mut layers = reader.layers;
        if !layers.has_vote {
            let outputs = layers.outputs();
            let voters = voters(outputs)?;
            layers.architecture.voters = voters;
            layers.architecture.classes = outputs / voters;
            layers.votes = (0..layers.architecture.classes).collect();
        }
        Ok(layers)
    }

    /// The number of outputs of the last linear layer.
    fn outputs(&self) -> usize {
        let last = self.architecture.linears.last();
        last.map_or(0, |linear| linear.outputs)
    }
}

impl<'a> Reader<'a> {
    fn node(&mut self, role: Role, node: &Node<'a>) -> Result<()> {
        match role {
            Role::Input => self.input(node),
            Role::Convolution => self.convolution(node),
            Role::Neurons | Role::LinearNeurons => self.neurons(node),
            Role::AveragePool => self.average_pool(node),
            Role::MaxPool => self.max_pool(node),
            Role::PoolNeurons => {
                let neurons = Equation::read(node, self.shape())?;
                self.layers.pools.push((node.clone(), neurons, self.least));
                Ok(())
            }
            Role::Flatten => self.flatten(node),
            Role::Linear => self.linear(node),
            Role::Vote => self.vote(node),
            Role::Output | Role::Port => {
                node.check_fields(&["shape"])?;
                self.check_shape(node, "shape")
            }
        }
    }

    fn input(&mut self, node: &Node<'_>) -> Result<()> {
        node.check_fields(&["shape"])?;
        let shape = node.list("shape")?;
        let side = |side: usize| (1..=MAX_PIXELS as usize).contains(&side);
        match shape.as_slice() {
            [channels, height, width]
                if *channels == POLARITIES as usize && side(*height) && side(*width) =>
            {
                self.layers.architecture.size = [*height, *width];
                self.shape = Some(shape);
                Ok(())
            }
            _ => bail!(
                "its shape is {shape:?}, where [{POLARITIES}, height, width] is expected, with up to {MAX_PIXELS} pixels \
                 each way (frames of both polarities)"
            ),
        }
    }

    fn neurons(&mut self, node: &Node<'a>) -> Result<()> {
        let neurons = Equation::read(node, self.shape())?;
        self.layers.neurons.push((node.clone(), neurons));
        if node.kind() == "IF" {
            let Architecture {
                blocks, linears, ..
            } = &mut self.layers.architecture;
            let neuron = match linears.last_mut() {
                Some(LinearForm { neuron, .. }) => Some(neuron),
                None => blocks.last_mut().map(|BlockForm { neuron, .. }| neuron),
            };
            if let Some(neuron) = neuron {
                *neuron = NeuronName::If;
            }
        }
        Ok(())
    }

    /// Shape of what the node before gives.
    fn shape(&self) -> &[usize] {
        self.shape.as_deref().unwrap_or_default()
    }

    fn check_shape(&self, node: &Node<'_>, name: &str) -> Result<()> {
        let (found, expected) = (node.list(name)?, self.shape());
        ensure!(
            found == expected,
            "its {name} is {found:?} where {expected:?} is expected"
        );
        Ok(())
    }

    fn weights(
        &mut self,
        node: &Node<'_>,
        field: &str,
        shape: &[usize],
        part: Weight,
    ) -> Result<()> {
        let (weights, rounded) = node.weights(field, shape)?;
        if rounded {
            self.layers.rounded.push(format!("{}.{field}", node.name()));
        }
        self.layers.weights.insert(part, weights);
        Ok(())
    }
}

/// All problems of a node in one error.
fn all(problems: &[anyhow::Error]) -> Result<()> {
    let texts: Vec<String> = problems
        .iter()
        .map(|problem| format!("{problem:#}"))
        .collect();
    ensure!(texts.is_empty(), "{}", texts.join(", "));
    Ok(())
}
