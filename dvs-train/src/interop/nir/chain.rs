//! Puts the nodes of a graph in the order of its edges. The network of this program is a chain, so
//! every node but the ends has one input and one output.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use dvs_shared::words::some_of;

use super::fields::{Node, Problems};
use super::stored::{StoredGraph, StoredNode};

/// Nodes and edges without nested graphs.
#[derive(Default)]
struct Flat<'a> {
    nodes: BTreeMap<String, Node<'a>>,
    edges: Vec<[String; 2]>,
    problems: Problems,
}

/// The ends of a graph.
struct Ends {
    input: String,
    output: String,
}

/// The nodes of `graph` from its input to its output. Names of nodes in nested graphs have the name
/// of that graph before a dot.
///
/// # Errors
/// Returns an error if the graph is not a chain; the message names the nodes.
pub fn chain(graph: &StoredGraph) -> Result<Vec<Node<'_>>> {
    let mut flat = Flat::default();
    let ends = flat.add(graph, "");
    flat.problems.finish()?;
    let Some(ends) = ends else {
        bail!("the graph has no input and output");
    };
    let Flat {
        mut nodes, edges, ..
    } = flat;
    let mut after: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut before: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for [from, to] in &edges {
        after.entry(from).or_default().push(to);
        before.entry(to).or_default().push(from);
    }
    check_branches(&nodes, &before, &after)?;
    let mut names = vec![ends.input.as_str()];
    while let Some(next) = names.last().and_then(|name| after.get(name)?.first()) {
        // Each node has one input at most and the first has none, so no name comes twice.
        names.push(next);
    }
    if names.last() != Some(&ends.output.as_str()) {
        bail!(
            "the graph ends with {}, not with its output {}",
            named(&nodes, names.last().copied().unwrap_or_default()),
            named(&nodes, &ends.output)
        );
    }
    let reached: BTreeSet<&str> = names.iter().copied().collect();
    let apart = nodes.keys().filter(|name| !reached.contains(name.as_str()));
    let apart: Vec<String> = apart.map(|name| named(&nodes, name)).collect();
    ensure!(
        apart.is_empty(),
        "no edges lead from the input to {}; remove what is not part of the network",
        some_of(&apart, 8)
    );
    Ok(names
        .into_iter()
        .filter_map(|name| nodes.remove(name))
        .collect())
}

impl<'a> Flat<'a> {
    /// Adds the nodes and edges of a graph whose names begin with `prefix`.
    fn add(&mut self, graph: &'a StoredGraph, prefix: &str) -> Option<Ends> {
        let mut nested = BTreeMap::new();
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for (name, node) in &graph.nodes {
            let whole = format!("{prefix}{name}");
            match node {
                StoredNode::Graph(inner) => {
                    if let Some(ends) = self.add(inner, &format!("{whole}.")) {
                        nested.insert(name.as_str(), ends);
                    }
                }
                StoredNode::Layer(layer) => {
                    match layer.kind.as_str() {
                        "Input" => inputs.push(whole.clone()),
                        "Output" => outputs.push(whole.clone()),
                        _ => {}
                    }
                    let node = Node::new(whole.clone(), layer);
                    if self.nodes.insert(whole, node).is_some() {
                        self.problems
                            .add(format!("two nodes have the name {prefix}{name}"));
                    }
                }
            }
        }
        for [from, to] in &graph.edges {
            let missing = [from, to]
                .into_iter()
                .find(|name| !graph.nodes.contains_key(*name));
            if let Some(name) = missing {
                self.problems.add(format!(
                    "an edge names the node '{prefix}{name}', which the graph has not"
                ));
                continue;
            }
            let out = nested.get(from.as_str()).map(|ends| ends.output.clone());
            let into = nested.get(to.as_str()).map(|ends| ends.input.clone());
            self.edges.push([
                out.unwrap_or_else(|| format!("{prefix}{from}")),
                into.unwrap_or_else(|| format!("{prefix}{to}")),
            ]);
        }
        let whose = match prefix.strip_suffix('.') {
            None => "the graph".to_owned(),
            Some(name) => format!("the graph in the node '{name}'"),
        };
        match (inputs.as_slice(), outputs.as_slice()) {
            ([input], [output]) => Some(Ends {
                input: input.clone(),
                output: output.clone(),
            }),
            _ => {
                self.problems.add(format!(
                    "{whose} has {} and {}, where one of each is expected",
                    listed(&inputs, "input"),
                    listed(&outputs, "output")
                ));
                None
            }
        }
    }
}

/// Names every node where edges join or part, and says if they close a loop.
fn check_branches(
    nodes: &BTreeMap<String, Node<'_>>,
    before: &BTreeMap<&str, Vec<&str>>,
    after: &BTreeMap<&str, Vec<&str>>,
) -> Result<()> {
    let mut problems = Problems::default();
    let each = [(before, "comes after"), (after, "leads to")];
    for name in nodes.keys() {
        for (neighbours, how) in each {
            let Some(found) = neighbours.get(name.as_str()).filter(|all| all.len() > 1) else {
                continue;
            };
            let found: Vec<String> = found.iter().map(|name| named(nodes, name)).collect();
            let mut text = format!("{} {how} {}", named(nodes, name), some_of(&found, 8));
            if is_in_loop(name, after) {
                text += ", in a loop; this program's network has no recurrent connections";
            } else {
                text += "; this program's network is a chain, and each node has one input and one output";
            }
            problems.add(text);
        }
    }
    problems.finish()?;
    let loops = nodes.keys().filter(|name| is_in_loop(name, after));
    let loops: Vec<String> = loops.map(|name| named(nodes, name)).collect();
    ensure!(
        loops.is_empty(),
        "the edges of {} form a loop; this program's network has no recurrent connections",
        some_of(&loops, 8)
    );
    Ok(())
}

/// Whether edges lead from a node back to it.
fn is_in_loop(start: &str, after: &BTreeMap<&str, Vec<&str>>) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(name) = open.pop() {
        for next in after.get(name).into_iter().flatten() {
            if *next == start {
                return true;
            }
            if seen.insert(*next) {
                open.push(next);
            }
        }
    }
    false
}

fn named(nodes: &BTreeMap<String, Node<'_>>, name: &str) -> String {
    nodes
        .get(name)
        .map_or_else(|| format!("'{name}'"), Node::shown)
}

fn listed(names: &[String], thing: &str) -> String {
    match names {
        [] => format!("no {thing}"),
        [name] => format!("the {thing} '{name}'"),
        _ => format!("the {thing}s {}", some_of(names, 8)),
    }
}
