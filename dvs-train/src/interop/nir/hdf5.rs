//! Writes a NIR graph to HDF5, as `nir.read` of the Python package expects it: a group per node,
//! with its type and parameters.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use hdf5::types::VarLenUnicode;
use hdf5::{Dataset, FileBuilder, Group, H5Type};

use super::{Array, Graph, Node, Parameters};

/// Version of NIR's nodes.
const VERSION: &str = "1.0.8";
/// Numbers per chunk: whole parameters of most layers, a megabyte at most.
const CHUNK: usize = 1 << 17;

/// Writes `graph` to the file at `path`, with `facts` as its metadata. The same graph gives the
/// same bytes.
///
/// # Errors
/// Returns an error if HDF5 cannot write.
pub fn write(path: &Path, graph: &Graph, facts: &[(&str, String)]) -> Result<()> {
    // Later file layouts store the creation time of each group.
    let file = FileBuilder::new()
        .with_fapl(|access| access.libver_earliest())
        .create(path)?;
    text(&file, "version", VERSION)?;
    let root = file.create_group("node")?;
    text(&root, "type", "NIRGraph")?;
    let nodes = root.create_group("nodes")?;
    for (name, node) in &graph.nodes {
        let group = nodes.create_group(name)?;
        write_node(&group, node).with_context(|| format!("cannot write the node {name}"))?;
    }
    let names = graph.nodes.iter().map(|(name, _)| name);
    let edges = names
        .clone()
        .zip(names.skip(1))
        .flat_map(|(from, to)| [from, to]);
    let edges = edges
        .map(|name| Ok(VarLenUnicode::from_str(name)?))
        .collect::<Result<Vec<_>>>()?;
    let pairs = [edges.len() / 2, 2];
    create::<VarLenUnicode>(&root, "edges", &pairs)?.write_raw(&edges)?;
    let metadata = root.create_group("metadata")?;
    for (name, fact) in facts {
        text(&metadata, name, fact)?;
    }
    file.close()?;
    Ok(())
}

fn write_node(group: &Group, node: &Node) -> Result<()> {
    text(group, "type", kind(node))?;
    match node {
        Node::Input(shape) | Node::Output(shape) => whole(group, "shape", shape)?,
        Node::Conv2d {
            size,
            stride,
            padding,
            weight,
            bias,
        } => {
            whole(group, "input_shape", size)?;
            array(group, "weight", weight)?;
            array(group, "bias", bias)?;
            for (name, number) in [("stride", *stride), ("padding", *padding), ("dilation", 1)] {
                whole(group, name, &[number, number])?;
            }
            scalar(group, "groups", 1)?;
        }
        Node::SumPool2d { kernel, stride } | Node::AvgPool2d { kernel, stride } => {
            for (name, number) in [
                ("kernel_size", *kernel),
                ("stride", *stride),
                ("padding", 0),
            ] {
                whole(group, name, &[number, number])?;
            }
        }
        Node::Flatten(shape) => {
            whole(group, "input_type", shape)?;
            scalar(group, "start_dim", 0)?;
            scalar(group, "end_dim", -1)?;
        }
        Node::Linear(weight) => array(group, "weight", weight)?,
        Node::Affine(weight, bias) => {
            array(group, "weight", weight)?;
            array(group, "bias", bias)?;
        }
        Node::If(shape, parameters) => neurons(group, shape, parameters)?,
        Node::Lif(shape, tau, parameters) => {
            neurons(group, shape, parameters)?;
            full(group, "tau", shape, *tau)?;
            full(group, "v_leak", shape, parameters.v_reset)?;
        }
    }
    Ok(())
}

/// NIR's name of a node's type.
fn kind(node: &Node) -> &'static str {
    match node {
        Node::Input(_) => "Input",
        Node::Output(_) => "Output",
        Node::Conv2d { .. } => "Conv2d",
        Node::SumPool2d { .. } => "SumPool2d",
        Node::AvgPool2d { .. } => "AvgPool2d",
        Node::Flatten(_) => "Flatten",
        Node::Linear(_) => "Linear",
        Node::Affine(..) => "Affine",
        Node::If(..) => "IF",
        Node::Lif(..) => "LIF",
    }
}

fn neurons(group: &Group, shape: &[usize], parameters: &Parameters) -> Result<()> {
    full(group, "r", shape, parameters.r)?;
    full(group, "v_threshold", shape, parameters.v_threshold)?;
    full(group, "v_reset", shape, parameters.v_reset)
}

/// Writes a parameter as an array of the layer's shape, because readers take the shape from it. All
/// neurons have the same value, so the array takes almost no space once it is compressed.
fn full(group: &Group, name: &str, shape: &[usize], value: f64) -> Result<()> {
    let mut chunk = shape.to_vec();
    let mut at = 0;
    while chunk.iter().product::<usize>() > CHUNK && at < chunk.len() {
        let rest: usize = chunk[at + 1..].iter().product();
        chunk[at] = (CHUNK / rest.max(1)).clamp(1, chunk[at]);
        at += 1;
    }
    let builder = group.new_dataset::<f64>().obj_track_times(false);
    let data = builder.chunk(chunk).deflate(6).shape(shape).create(name)?;
    data.write_raw(&vec![value; shape.iter().product()])?;
    Ok(())
}

fn array(group: &Group, name: &str, array: &Array) -> Result<()> {
    Ok(create::<f32>(group, name, &array.shape)?.write_raw(&array.values)?)
}

fn whole(group: &Group, name: &str, numbers: &[usize]) -> Result<()> {
    let numbers: Vec<i64> = numbers.iter().map(|number| *number as i64).collect();
    Ok(create::<i64>(group, name, &[numbers.len()])?.write_raw(&numbers)?)
}

fn scalar(group: &Group, name: &str, number: i64) -> Result<()> {
    let data = group
        .new_dataset::<i64>()
        .obj_track_times(false)
        .create(name)?;
    Ok(data.write_scalar(&number)?)
}

fn text(group: &Group, name: &str, value: &str) -> Result<()> {
    let data = group
        .new_dataset::<VarLenUnicode>()
        .obj_track_times(false)
        .create(name)?;
    Ok(data.write_scalar(&VarLenUnicode::from_str(value)?)?)
}

fn create<T: H5Type>(group: &Group, name: &str, shape: &[usize]) -> Result<Dataset> {
    Ok(group
        .new_dataset::<T>()
        .obj_track_times(false)
        .shape(shape)
        .create(name)?)
}
