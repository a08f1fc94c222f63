//! Finds the layer that each node of a chain is. What a node is follows from its type, from the node
//! before it and, for poolings and voting, from the node after it.

use anyhow::{Result, bail};

use super::fields::{Node, Problems};

/// What a node is in the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Input,
    Convolution,
    /// The neurons of a convolution or of a linear layer.
    Neurons,
    LinearNeurons,
    AveragePool,
    /// A pooling that the neurons after it make max pooling.
    MaxPool,
    PoolNeurons,
    Flatten,
    Linear,
    /// The mean over the neurons that vote for a class.
    Vote,
    Output,
    /// The input or output of a nested graph.
    Port,
}

/// The types of nodes that some network has.
const KINDS: [&str; 9] = [
    "Input",
    "Conv2d",
    "LIF",
    "IF",
    "SumPool2d",
    "AvgPool2d",
    "Flatten",
    "Affine",
    "Linear",
];
const OUTPUT: &str = "Output";

impl Role {
    /// The role of a node of this `kind`, between a node with the role `before` and one of the kind
    /// `after`; `None` if no network has it there.
    fn of(before: Option<Self>, kind: &str, after: Option<&str>) -> Option<Self> {
        use Role::{
            AveragePool, Convolution, Flatten, Input, Linear, LinearNeurons, MaxPool, Neurons,
            Output, PoolNeurons, Vote,
        };
        let is_neurons = |kind: &str| matches!(kind, "LIF" | "IF");
        let Some(before) = before else {
            return (kind == "Input").then_some(Input);
        };
        Some(match (before, kind) {
            (Input | Neurons | AveragePool | PoolNeurons, "Conv2d") => Convolution,
            (Input | Neurons | AveragePool | PoolNeurons, "Flatten") => Flatten,
            (Neurons | AveragePool | PoolNeurons, "SumPool2d") => MaxPool,
            (Neurons | AveragePool | PoolNeurons, "AvgPool2d") => match after {
                Some(after) if is_neurons(after) => MaxPool,
                _ => AveragePool,
            },
            (Convolution, kind) if is_neurons(kind) => Neurons,
            (MaxPool, kind) if is_neurons(kind) => PoolNeurons,
            (Linear, kind) if is_neurons(kind) => LinearNeurons,
            (LinearNeurons, "Affine" | "Linear") if after == Some(OUTPUT) => Vote,
            (Flatten | LinearNeurons, "Affine" | "Linear") => Linear,
            (LinearNeurons | Vote, OUTPUT) => Output,
            _ => return None,
        })
    }

    /// The types of nodes that may come after a node with the role `before`.
    fn after(before: Option<Self>) -> String {
        let kinds = KINDS.into_iter().chain([OUTPUT]);
        let kinds = kinds.filter(|kind| Self::of(before, kind, None).is_some());
        let text = match kinds.collect::<Vec<_>>().as_slice() {
            [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
            kinds => kinds.concat(),
        };
        match before {
            Some(Self::MaxPool) => text + " (neurons that make the pooling max pooling)",
            Some(Self::Output) => "nothing".to_owned(),
            _ => text,
        }
    }
}

/// The nodes of a chain with their roles.
///
/// # Errors
/// Returns an error that names all nodes of types that no network has, or else the first node that
/// comes where another is expected.
pub fn assign(chain: Vec<Node<'_>>) -> Result<Vec<(Role, Node<'_>)>> {
    let mut problems = Problems::default();
    for node in &chain {
        if !KINDS.contains(&node.kind()) && node.kind() != OUTPUT {
            problems.add(unknown(node));
        }
    }
    problems.finish()?;
    let last = chain.len().saturating_sub(1);
    let is_port =
        |at: usize, node: &Node<'_>| at > 0 && at < last && matches!(node.kind(), "Input" | OUTPUT);
    let kinds: Vec<Option<&str>> = chain
        .iter()
        .enumerate()
        .map(|(at, node)| (!is_port(at, node)).then(|| node.kind()))
        .collect();
    let mut before = None;
    let mut assigned: Vec<(Role, Node<'_>)> = Vec::new();
    for (at, node) in chain.into_iter().enumerate() {
        if is_port(at, &node) {
            assigned.push((Role::Port, node));
            continue;
        }
        let after = kinds.iter().skip(at + 1).copied().flatten().next();
        let Some(role) = Role::of(before, node.kind(), after) else {
            let place = assigned.last().map_or_else(String::new, |(_, before)| {
                format!(" after {}", before.shown())
            });
            bail!(
                "{} comes{place}, where {} is expected; {}",
                node.shown(),
                Role::after(before),
                networks()
            )
        };
        before = Some(role);
        assigned.push((role, node));
    }
    Ok(assigned)
}

fn networks() -> &'static str {
    "this program's networks are {Conv2d, LIF or IF, and poolings or none} any number of times, Flatten, {Affine or \
     Linear, LIF or IF} at least once, and voting or not"
}

/// What a node of a type that no network has should be instead.
fn unknown(node: &Node<'_>) -> String {
    let values = match node.values() {
        values if values.is_empty() => values,
        values => format!(" with {values}"),
    };
    let advice = match node.kind() {
        "CubaLIF" | "CubaLI" | "LI" | "I" | "Threshold" => {
            "this program has the neurons LIF and IF, without a synaptic current"
        }
        "Scale" => "multiply the weights of the layer before it instead",
        "Delay" => "this program's networks have no delays",
        _ => networks(),
    };
    format!(
        "{} is of no type that can be imported{values}; {advice}",
        node.shown()
    )
}
