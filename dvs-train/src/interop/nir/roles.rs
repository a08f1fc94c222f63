//! Finds the layer of this program's network that each node of a chain is.

use anyhow::{Result, bail};

use super::fields::{Node, Problems};
use crate::nn::network::BLOCKS;

/// What a node is in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Input,
    /// The convolution of a block.
    Conv(usize),
    /// The neurons of a layer.
    Neurons(usize),
    Pool,
    /// Neurons that make the pooling before them max pooling.
    PoolNeurons,
    Flatten,
    /// A linear layer.
    Linear(usize),
    /// The mean over the neurons that vote for a class.
    Vote,
    Output,
    /// The input or output of a nested graph.
    Port,
}

/// The types of neurons.
const NEURONS: &[&str] = &["LIF", "IF"];

impl Role {
    /// The types of nodes that fit.
    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Input => &["Input"],
            Self::Conv(_) => &["Conv2d"],
            Self::Neurons(_) | Self::PoolNeurons => NEURONS,
            Self::Pool => &["SumPool2d", "AvgPool2d"],
            Self::Flatten => &["Flatten"],
            Self::Linear(_) | Self::Vote => &["Affine", "Linear"],
            Self::Output => &["Output"],
            Self::Port => &["Input", "Output"],
        }
    }

    fn text(self) -> String {
        let kinds = self.kinds().join(" or ");
        match self {
            Self::PoolNeurons => format!("{kinds} (neurons that make the pooling max pooling)"),
            Self::Vote => "Output, or Linear (voting by tens)".to_owned(),
            _ => kinds,
        }
    }

    /// Describes the place of this layer in the network, to follow its name in a message.
    fn place(self) -> String {
        match self {
            Self::Conv(block) => format!(" of block {} of {BLOCKS}", block + 1),
            Self::Linear(layer) => format!(", linear layer {} of 2", layer + 1),
            _ => String::new(),
        }
    }

    /// The layers of the network in order. Voting may be absent.
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Input];
        for block in 0..BLOCKS {
            all.extend([
                Self::Conv(block),
                Self::Neurons(block),
                Self::Pool,
                Self::PoolNeurons,
            ]);
        }
        all.push(Self::Flatten);
        for layer in 0..2 {
            all.extend([Self::Linear(layer), Self::Neurons(BLOCKS + layer)]);
        }
        all.extend([Self::Vote, Self::Output]);
        all
    }
}

/// The nodes of a chain with their roles.
///
/// # Errors
/// Returns an error that names all nodes of types that the network has not, or else the first node
/// that comes where another is expected.
pub fn assign(chain: Vec<Node<'_>>) -> Result<Vec<(Role, Node<'_>)>> {
    let mut problems = Problems::default();
    let roles = Role::all();
    for node in &chain {
        if !roles.iter().any(|role| role.kinds().contains(&node.kind())) {
            problems.add(unknown(node));
        }
    }
    problems.finish()?;
    let last = chain.len().saturating_sub(1);
    let mut roles = roles.into_iter().peekable();
    let mut assigned: Vec<(Role, Node<'_>)> = Vec::new();
    for (at, node) in chain.into_iter().enumerate() {
        if at > 0 && at < last && Role::Port.kinds().contains(&node.kind()) {
            assigned.push((Role::Port, node));
            continue;
        }
        if node.kind() == "Output" {
            roles.next_if_eq(&Role::Vote);
        }
        match roles.next() {
            Some(role) if role.kinds().contains(&node.kind()) => assigned.push((role, node)),
            Some(role) => {
                let before = assigned.last().map_or_else(String::new, |(_, before)| {
                    format!(" after {}", before.shown())
                });
                bail!(
                    "{} comes{before}, where {}{} is expected; this program's network is {}",
                    node.shown(),
                    role.text(),
                    role.place(),
                    network()
                )
            }
            None => bail!("{} comes after the output", node.shown()),
        }
    }
    Ok(assigned)
}

fn network() -> String {
    format!(
        "{{Conv2d, LIF or IF, SumPool2d or AvgPool2d, LIF or IF}} x {BLOCKS}, Flatten, {{Affine or Linear, LIF or IF}} \
         x 2, and voting or not"
    )
}

/// What a node of a type that the network has not should be instead.
fn unknown(node: &Node<'_>) -> String {
    let values = match node.values() {
        values if values.is_empty() => values,
        values => format!(" with {values}"),
    };
    let advice = match node.kind() {
        "CubaLIF" | "CubaLI" | "LI" | "I" | "Threshold" => {
            "this program has the neurons LIF and IF, without a synaptic current".to_owned()
        }
        "Scale" => "multiply the weights of the layer before it instead".to_owned(),
        "Delay" => "this program's network has no delays".to_owned(),
        _ => format!("this program's network is {}", network()),
    };
    format!(
        "{} is of no type that can be imported{values}; {advice}",
        node.shown()
    )
}
