//! Reads a NIR graph from HDF5, as `nir.write` of the Python package and [`write`](super::write)
//! lay it out. Sizes are limited before anything of that size is allocated.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::cache_format::HDF5_SIGNATURE;
use dvs_shared::file_kind::irregular;
use dvs_shared::words::printable;
use hdf5::plist::dataset_create::Layout;
use hdf5::types::{FloatSize, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Dataset, Group, LinkType};

use super::stored::{Field, Numbers, Precision, StoredGraph, StoredLayer, StoredNode};

/// Maximum number of nodes, those in nested graphs included. The network for gestures has 28.
const MAX_NODES: usize = 2048;
/// Maximum number of edges.
const MAX_EDGES: usize = 2 * MAX_NODES;
/// Maximum number of fields of a node, or of texts about a graph.
const MAX_FIELDS: u64 = 64;
/// Maximum depth of graphs in graphs.
const MAX_DEPTH: usize = 8;
/// Maximum count of numbers in a field.
pub const MAX_NUMBERS: usize = 1 << 27;
/// Maximum count of numbers in all fields. The neurons of 512 channels of 128 x 128 have a quarter
/// of it.
pub const MAX_ALL_NUMBERS: usize = 1 << 28;

/// Whether the file at `path` begins as HDF5 files do.
///
/// # Errors
/// Returns an error if the file cannot be read, or is a pipe or a device.
pub fn is_hdf5(path: &Path) -> Result<bool> {
    if let Some(kind) = irregular(path)? {
        bail!("it is {kind}, not a file");
    }
    let mut start = [0; HDF5_SIGNATURE.len()];
    match File::open(path)?.read_exact(&mut start) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        read => Ok(read.map(|()| start == *HDF5_SIGNATURE)?),
    }
}

/// Reads the graph in the file at `path`.
///
/// # Errors
/// Returns an error if the file has no NIR graph, is damaged, or is beyond the limits.
pub fn read(path: &Path) -> Result<StoredGraph> {
    // HDF5's own lock is not used, because some file systems have none.
    let file = hdf5::File::with_options()
        .with_fapl(|access| access.file_locking(false))
        .open(path)
        .context("HDF5 cannot open it")?;
    let root = (file.group("node"))
        .context("it is an HDF5 file without a NIR graph: it has no group /node")?;
    let mut reader = Reader {
        nodes: MAX_NODES,
        numbers: MAX_ALL_NUMBERS,
    };
    match reader.node(&root, 0)? {
        StoredNode::Graph(graph) => Ok(graph),
        StoredNode::Layer(layer) => bail!(
            "/node is a single {}, not a NIRGraph",
            printable(&layer.kind, 40)
        ),
    }
}

/// What may still be read.
struct Reader {
    nodes: usize,
    numbers: usize,
}

impl Reader {
    fn node(&mut self, group: &Group, depth: usize) -> Result<StoredNode> {
        let members = members(group)?;
        let kind = group.dataset("type").context("it has no type")?;
        let kind = text(&kind).context("its type is not text")?;
        if kind == "NIRGraph" {
            ensure!(
                depth < MAX_DEPTH,
                "graphs are nested deeper than {MAX_DEPTH}"
            );
            return Ok(StoredNode::Graph(self.graph(group, depth)?));
        }
        ensure!(
            members.len() as u64 <= MAX_FIELDS,
            "it has {} fields, beyond the limit of {MAX_FIELDS}",
            members.len()
        );
        let mut fields = BTreeMap::new();
        for name in members {
            // Texts about a node, which no program computes with.
            if name == "type" || name == "metadata" {
                continue;
            }
            let read = self.field(group, &name);
            let read = read.with_context(|| format!("cannot read {}", printable(&name, 60)))?;
            fields.extend(read.map(|field| (name, field)));
        }
        Ok(StoredNode::Layer(StoredLayer { kind, fields }))
    }

    fn graph(&mut self, group: &Group, depth: usize) -> Result<StoredGraph> {
        let stored = group.group("nodes").context("the graph has no nodes")?;
        let mut nodes = BTreeMap::new();
        for name in members(&stored)? {
            let left = self.nodes.checked_sub(1);
            self.nodes = left.with_context(|| format!("it has more than {MAX_NODES} nodes"))?;
            let node = stored.group(&name).map_err(anyhow::Error::from);
            let node = node.and_then(|node| self.node(&node, depth + 1));
            let node =
                node.with_context(|| format!("cannot read the node {}", printable(&name, 60)))?;
            nodes.insert(name, node);
        }
        Ok(StoredGraph {
            nodes,
            edges: edges(&group.dataset("edges").context("the graph has no edges")?)?,
            facts: facts(group)?,
        })
    }

    /// A field; `None` if it is empty, as h5py stores Python's None.
    fn field(&mut self, group: &Group, name: &str) -> Result<Option<Field>> {
        let data = group.dataset(name)?;
        let precision = match data.dtype()?.to_descriptor()? {
            TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) => Precision::Whole,
            TypeDescriptor::Float(FloatSize::U8) => Precision::Double,
            TypeDescriptor::Float(_) => Precision::Single,
            TypeDescriptor::VarLenUnicode | TypeDescriptor::VarLenAscii => {
                return Ok(Some(Field::Text(text(&data)?)));
            }
            other => bail!("it is of the type {other}, neither a number nor text"),
        };
        if data.space()?.is_null() {
            return Ok(None);
        }
        let shape = data.shape();
        let count = shape
            .iter()
            .try_fold(1usize, |count, size| count.checked_mul(*size));
        let count = count.filter(|count| *count <= MAX_NUMBERS);
        let left = count.and_then(|count| self.numbers.checked_sub(count));
        self.numbers = left.with_context(|| {
            format!(
                "its shape {shape:?} is beyond the limits of {MAX_NUMBERS} numbers in a field and {MAX_ALL_NUMBERS} in all"
            )
        })?;
        check_own(&data)?;
        let values = data.read_raw::<f64>()?;
        let numbers = Numbers::new(shape, values, precision);
        Ok(Some(Field::Numbers(numbers.context(
            "it has not as many numbers as its shape says",
        )?)))
    }
}

/// Names of the members of a group. Links are refused: they may lead to another file or back.
fn members(group: &Group) -> Result<Vec<String>> {
    let most = MAX_NODES as u64;
    ensure!(
        group.len() <= most,
        "it has {} members, beyond the limit of {most}",
        group.len()
    );
    let mut link = None;
    group.iter_visit_default(|name, info| {
        if info.link_type != LinkType::Hard {
            link = Some(printable(name, 60));
        }
        Ok(())
    })?;
    if let Some(name) = link {
        bail!("its member {name} is a link");
    }
    Ok(group.member_names()?)
}

/// Checks that the bytes of a dataset are in the file itself and not in another one.
fn check_own(data: &Dataset) -> Result<()> {
    let layout = data.layout();
    let external = data.dcpl().map_or(true, |list| !list.external().is_empty());
    ensure!(
        !external
            && matches!(
                layout,
                Layout::Compact | Layout::Contiguous | Layout::Chunked
            ),
        "its numbers are not in this file"
    );
    Ok(())
}

/// A single text.
fn text(data: &Dataset) -> Result<String> {
    ensure!(
        data.size() == 1,
        "it has {} texts where one is expected",
        data.size()
    );
    let all = texts(data)?;
    all.into_iter().next().context("it has no text")
}

fn texts(data: &Dataset) -> Result<Vec<String>> {
    check_own(data)?;
    let raw: Vec<Vec<u8>> = match data.dtype()?.to_descriptor()? {
        TypeDescriptor::VarLenUnicode => {
            let all = data.read_raw::<VarLenUnicode>()?;
            all.iter().map(|text| text.as_bytes().to_vec()).collect()
        }
        TypeDescriptor::VarLenAscii => {
            let all = data.read_raw::<VarLenAscii>()?;
            all.iter().map(|text| text.as_bytes().to_vec()).collect()
        }
        other => bail!("it is of the type {other}, not text of any length"),
    };
    let all = raw.into_iter().map(String::from_utf8);
    all.collect::<Result<_, _>>().context("it is not UTF-8")
}

fn edges(data: &Dataset) -> Result<Vec<[String; 2]>> {
    let shape = data.shape();
    ensure!(
        matches!(shape.as_slice(), [0..=MAX_EDGES, 2]),
        "the shape of the edges is {shape:?}, not [N, 2] with N at most {MAX_EDGES}"
    );
    let mut names = texts(data).context("cannot read the edges")?.into_iter();
    let mut edges = Vec::new();
    while let (Some(from), Some(to)) = (names.next(), names.next()) {
        edges.push([from, to]);
    }
    Ok(edges)
}

/// The texts about a graph. What else its metadata has says nothing to this program.
fn facts(group: &Group) -> Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::new();
    let Ok(metadata) = group.group("metadata") else {
        return Ok(facts);
    };
    for name in members(&metadata)?.into_iter().take(MAX_FIELDS as usize) {
        let fact = metadata.dataset(&name).map_err(anyhow::Error::from);
        if let Ok(fact) = fact.and_then(|data| text(&data)) {
            facts.insert(name, fact);
        }
    }
    Ok(facts)
}

#[cfg(test)]
mod tests;
