//! Reads the layers of a graph whose nodes have their roles, and checks that their shapes chain.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::event::{MAX_PIXELS, POLARITIES};
use dvs_shared::labels::CLASSES;

use super::fields::{Node, Problems};
use super::neurons::Equation;
use super::roles::Role;
use crate::config::options::{MAX_CHANNELS, MAX_HIDDEN, within};
use crate::nn::network::{BLOCKS, VOTERS};
use crate::run_dir::weight_layout::{Architecture, Weight};

/// A node and what it was read as.
pub type Named<'a, T> = (Node<'a>, T);

/// The layers of a graph.
#[derive(Debug)]
pub struct Layers<'a> {
    /// The form of the network, without learnt time constants.
    pub architecture: Architecture,
    /// Kernels, matrices, and biases. The bias of a convolution is batch norm's beta.
    pub weights: BTreeMap<Weight, Vec<f32>>,
    /// The neurons of each layer.
    pub neurons: Vec<Named<'a, Equation>>,
    /// Neurons after poolings, and what the pooling gives for one spike.
    pub pools: Vec<(Node<'a>, Equation, f64)>,
    /// The group of output neurons that votes for each output.
    pub votes: Vec<usize>,
    /// Names of the weights that were rounded to 32 bits.
    pub rounded: Vec<String>,
}

/// Reads layer by layer.
struct Reader<'a> {
    layers: Layers<'a>,
    /// Shape of what the node before gives.
    shape: Vec<usize>,
    /// What the pooling before gives for one spike.
    least: f64,
}

impl<'a> Layers<'a> {
    /// Reads the nodes.
    ///
    /// # Errors
    /// Returns an error that names each node whose shape, numbers or fields do not fit.
    pub fn read(nodes: Vec<(Role, Node<'a>)>) -> Result<Self> {
        let architecture = Architecture {
            channels: 0,
            hidden: 0,
            classes: CLASSES,
            size: [0, 0],
            linear_bias: false,
            learnt_tau: false,
        };
        let mut reader = Reader {
            layers: Self {
                architecture,
                weights: BTreeMap::new(),
                neurons: Vec::new(),
                pools: Vec::new(),
                votes: (0..CLASSES).collect(),
                rounded: Vec::new(),
            },
            shape: Vec::new(),
            least: 0.0,
        };
        let mut problems = Problems::default();
        for (role, node) in nodes {
            let read = problems.of(&node, reader.node(role, &node));
            let Architecture {
                channels, hidden, ..
            } = reader.layers.architecture;
            // All other shapes follow from these.
            let is_known = match role {
                Role::Input => read.is_some(),
                Role::Conv(_) => channels > 0,
                Role::Linear(_) => hidden > 0,
                _ => true,
            };
            if !is_known {
                break;
            }
        }
        problems.finish()?;
        Ok(reader.layers)
    }
}

impl<'a> Reader<'a> {
    fn node(&mut self, role: Role, node: &Node<'a>) -> Result<()> {
        match role {
            Role::Input => self.input(node),
            Role::Conv(block) => self.convolution(node, block),
            Role::Neurons(_) => {
                let neurons = Equation::read(node, &self.shape)?;
                self.layers.neurons.push((node.clone(), neurons));
                Ok(())
            }
            Role::Pool => self.pool(node),
            Role::PoolNeurons => {
                let neurons = Equation::read(node, &self.shape)?;
                self.layers.pools.push((node.clone(), neurons, self.least));
                Ok(())
            }
            Role::Flatten => self.flatten(node),
            Role::Linear(layer) => self.linear(node, layer),
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
        let side = |side: usize| {
            side.is_multiple_of(1 << BLOCKS) && (1..=MAX_PIXELS as usize).contains(&side)
        };
        match shape.as_slice() {
            [channels, height, width]
                if *channels == POLARITIES as usize && side(*height) && side(*width) =>
            {
                self.layers.architecture.size = [*height, *width];
                self.shape = shape;
                Ok(())
            }
            _ => bail!(
                "its shape is {shape:?}, where [{POLARITIES}, height, width] is expected, with multiples of 32 up to \
                 {MAX_PIXELS} (frames of both polarities)"
            ),
        }
    }

    fn convolution(&mut self, node: &Node<'_>, block: usize) -> Result<()> {
        node.check_fields(&[
            "input_shape",
            "weight",
            "bias",
            "stride",
            "padding",
            "dilation",
            "groups",
        ])?;
        let architecture = &mut self.layers.architecture;
        if block == 0 {
            let channels = node.numbers("weight")?.shape().first().copied();
            let channels = channels.unwrap_or(0);
            within("channels", channels, 1..=MAX_CHANNELS)?;
            architecture.channels = channels;
        }
        let channels = architecture.channels;
        let before = self.shape.first_mut().context("it has no input")?;
        let shape = [channels, std::mem::replace(before, channels), 3, 3];
        let mut problems = Vec::new();
        let mut check = |result: Result<()>| problems.extend(result.err());
        for name in ["stride", "dilation", "groups"] {
            check(node.check(name, &[1.0]));
        }
        // In Python, the padding of a convolution that keeps the size may have this name.
        if !node.is_text("padding", "same") {
            check(node.check("padding", &[1.0]));
        }
        if let Some(expected) = self.shape.get(1..)
            && node
                .optional("input_shape")
                .is_ok_and(|field| field.is_some())
        {
            check(node.list("input_shape").and_then(|found| {
                ensure!(
                    found == expected,
                    "input_shape is {found:?} where {expected:?} is expected"
                );
                Ok(())
            }));
        }
        check(self.weights(node, "weight", &shape, Weight::Kernel(block)));
        check(self.weights(node, "bias", &[channels], Weight::Beta(block)));
        all(&problems)
    }

    fn pool(&mut self, node: &Node<'_>) -> Result<()> {
        node.check_fields(&["kernel_size", "stride", "padding"])?;
        self.least = if node.kind() == "AvgPool2d" {
            0.25
        } else {
            1.0
        };
        for side in self.shape.iter_mut().skip(1) {
            *side /= 2;
        }
        let mut problems = Vec::new();
        for (name, expected) in [("kernel_size", 2.0), ("stride", 2.0), ("padding", 0.0)] {
            problems.extend(node.check(name, &[expected]).err());
        }
        all(&problems)
    }

    fn flatten(&mut self, node: &Node<'_>) -> Result<()> {
        node.check_fields(&["input_type", "start_dim", "end_dim"])?;
        if node.optional("input_type")?.is_some() {
            self.check_shape(node, "input_type")?;
        }
        // Negative numbers count from the last of the three dimensions.
        node.check("start_dim", &[0.0, -3.0])?;
        node.check("end_dim", &[-1.0, 2.0])?;
        self.shape = vec![self.shape.iter().product()];
        Ok(())
    }

    fn linear(&mut self, node: &Node<'_>, layer: usize) -> Result<()> {
        let inputs = self.shape.iter().product();
        let found = node.numbers("weight")?.shape();
        let outputs = found.first().copied().unwrap_or(0);
        let architecture = &mut self.layers.architecture;
        if layer == 0 {
            within("hidden neurons", outputs, 1..=MAX_HIDDEN)?;
            architecture.hidden = outputs;
        }
        let [_, expected] = architecture.linear(layer);
        self.shape = vec![expected];
        let has_bias = check_linear(node)?;
        self.layers.architecture.linear_bias |= has_bias;
        ensure!(
            outputs == expected,
            "weight has the shape {found:?} where [{expected}, {inputs}] is expected: {VOTERS} output neurons for each of the \
             {CLASSES} gestures"
        );
        self.weights(node, "weight", &[outputs, inputs], Weight::Matrix(layer))?;
        if has_bias {
            self.weights(node, "bias", &[outputs], Weight::Bias(layer))?;
        }
        Ok(())
    }

    fn vote(&mut self, node: &Node<'_>) -> Result<()> {
        let neurons = CLASSES * VOTERS;
        self.shape = vec![CLASSES];
        if check_linear(node)? {
            let (bias, _) = node.weights("bias", &[CLASSES])?;
            ensure!(
                bias.iter().all(|bias| *bias == 0.0),
                "its bias is not 0, where voting is the mean over {VOTERS} neurons"
            );
        }
        let (weights, _) = node.weights("weight", &[CLASSES, neurons])?;
        let mut votes = Vec::new();
        for (output, row) in weights.chunks_exact(neurons).enumerate() {
            let groups = row.chunks_exact(VOTERS).enumerate();
            let voting: Vec<(usize, &[f32])> = groups
                .filter(|(_, group)| group.iter().any(|weight| *weight != 0.0))
                .collect();
            let share = 1.0 / VOTERS as f32;
            let is_mean = |group: &[f32]| group.iter().all(|weight| (weight - share).abs() < 1e-6);
            match voting.as_slice() {
                [(group, weights)] if is_mean(weights) && !votes.contains(group) => {
                    votes.push(*group);
                }
                _ => bail!(
                    "row {output} of weight is not the mean over {VOTERS} neurons in a row that no other output has; this \
                     program's network votes so, without other weights"
                ),
            }
        }
        self.layers.votes = votes;
        Ok(())
    }

    fn check_shape(&self, node: &Node<'_>, name: &str) -> Result<()> {
        let found = node.list(name)?;
        ensure!(
            found == self.shape,
            "its {name} is {found:?} where {:?} is expected",
            self.shape
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

/// Whether a node multiplies by a matrix and adds a bias, or only multiplies.
fn check_linear(node: &Node<'_>) -> Result<bool> {
    let has_bias = node.kind() == "Affine";
    node.check_fields(if has_bias {
        &["weight", "bias"]
    } else {
        &["weight"]
    })?;
    Ok(has_bias)
}
