//! Linear layers and voting.

use anyhow::{Result, bail, ensure};

use super::Reader;
use crate::config::options::{MAX_HIDDEN, within};
use crate::interop::nir::fields::Node;
use crate::nn::architecture::LinearForm;
use crate::nn::notation::NeuronName;
use crate::run_dir::weight_layout::Weight;

/// Largest difference between a share and that of an equal vote.
const CLOSE: f32 = 1e-6;

impl Reader<'_> {
    pub(super) fn linear(&mut self, node: &Node<'_>) -> Result<()> {
        let inputs = self.shape().iter().product();
        self.shape = None;
        let outputs = rows(node)?;
        within("outputs", outputs, 1..=MAX_HIDDEN)?;
        self.shape = Some(vec![outputs]);
        let architecture = &mut self.layers.architecture;
        let layer = architecture.linears.len();
        architecture.linears.push(LinearForm {
            // A graph says nothing of it.
            dropout: 0.0,
            inputs,
            outputs,
            neuron: NeuronName::Lif,
        });
        let has_bias = check_linear(node)?;
        self.layers.architecture.linear_bias |= has_bias;
        self.weights(node, "weight", &[outputs, inputs], Weight::Matrix(layer))?;
        if has_bias {
            self.weights(node, "bias", &[outputs], Weight::Bias(layer))?;
        }
        Ok(())
    }

    pub(super) fn vote(&mut self, node: &Node<'_>) -> Result<()> {
        let neurons = self.layers.outputs();
        self.shape = None;
        let classes = rows(node)?;
        ensure!(
            classes > 0 && neurons.is_multiple_of(classes),
            "it has {classes} outputs, and {neurons} neurons before it do not divide into as many groups; after the last \
             neurons, this program's network has nothing but voting"
        );
        let voters = neurons / classes;
        self.shape = Some(vec![classes]);
        self.layers.has_vote = true;
        self.layers.architecture.classes = classes;
        self.layers.architecture.voters = voters;
        if check_linear(node)? {
            let (bias, _) = node.weights("bias", &[classes])?;
            ensure!(
                bias.iter().all(|bias| *bias == 0.0),
                "its bias is not 0, where voting is the mean over {voters} neurons"
            );
        }
        let (weights, _) = node.weights("weight", &[classes, neurons])?;
        let mut votes = Vec::new();
        for (output, row) in weights.chunks_exact(neurons).enumerate() {
            let groups = row.chunks_exact(voters).enumerate();
            let voting: Vec<(usize, &[f32])> = groups
                .filter(|(_, group)| group.iter().any(|weight| *weight != 0.0))
                .collect();
            let share = 1.0 / voters as f32;
            let is_mean = |group: &[f32]| group.iter().all(|weight| (weight - share).abs() < CLOSE);
            match voting.as_slice() {
                [(group, weights)] if is_mean(weights) && !votes.contains(group) => {
                    votes.push(*group);
                }
                _ => bail!(
                    "row {output} of weight is not the mean over {voters} neurons in a row that no other output has; this \
                     program's network votes so, without other weights"
                ),
            }
        }
        self.layers.votes = votes;
        Ok(())
    }
}

/// The number of outputs of a matrix.
fn rows(node: &Node<'_>) -> Result<usize> {
    let shape = node.numbers("weight")?.shape();
    ensure!(
        shape.len() == 2,
        "weight has the shape {shape:?} where a matrix is expected"
    );
    Ok(shape.first().copied().unwrap_or(0))
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
