//! Files that are damaged or hostile are refused before they cost memory.

#![allow(clippy::unwrap_used)]

use std::str::FromStr;

use hdf5::File;

use super::*;

/// Reads a file with a graph without nodes and edges, after `change` had its group.
fn refused(change: impl FnOnce(&Group)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("graph.nir");
    let file = File::create(&path).unwrap();
    let root = file.create_group("node").unwrap();
    graph(&root);
    change(&root);
    drop(root);
    file.close().unwrap();
    assert!(is_hdf5(&path).unwrap());
    format!("{:#}", read(&path).unwrap_err())
}

fn graph(group: &Group) -> Group {
    say(group, "type", "NIRGraph");
    let edges = group.new_dataset::<VarLenUnicode>().shape([0, 2]);
    edges.create("edges").unwrap();
    group.create_group("nodes").unwrap()
}

fn say(group: &Group, name: &str, text: &str) {
    let data = group.new_dataset::<VarLenUnicode>().create(name).unwrap();
    let text = VarLenUnicode::from_str(text).unwrap();
    data.write_scalar(&text).unwrap();
}

fn node(root: &Group) -> Group {
    let node = root.create_group("nodes/a").unwrap();
    say(&node, "type", "LIF");
    node
}

#[test]
fn refuses_claims_that_no_file_fulfils() {
    let text = refused(|root| {
        let tau = node(root).new_dataset::<f64>().chunk([1 << 10, 1 << 10]);
        tau.shape([1 << 20, 1 << 20]).create("tau").unwrap();
    });
    assert!(
        text.starts_with("cannot read the node a: cannot read tau: its shape [1048576, 1048576] is beyond the limits of"),
        "{text}"
    );
    let text = refused(|root| {
        let mut inner = root.group("nodes").unwrap();
        for _ in 0..MAX_DEPTH {
            inner = graph(&inner.create_group("g").unwrap());
        }
    });
    assert!(text.ends_with("graphs are nested deeper than 8"), "{text}");
    let text = refused(|root| {
        let nodes = root.group("nodes").unwrap();
        // The same group under another name, so that the graph is in itself.
        nodes.link_hard("/node", "self").unwrap();
    });
    assert!(text.ends_with("graphs are nested deeper than 8"), "{text}");
}

#[test]
fn refuses_links_and_what_is_no_number() {
    let text = refused(|root| {
        root.group("nodes")
            .unwrap()
            .link_soft("/node", "b")
            .unwrap()
    });
    assert!(text.contains("its member b is a link"), "{text}");
    let text = refused(|root| {
        let data = node(root).new_dataset::<bool>().create("tau").unwrap();
        data.write_scalar(&true).unwrap();
    });
    assert!(
        text.contains("cannot read tau: it is of the type"),
        "{text}"
    );
    let text = refused(|root| {
        root.create_group("nodes/a").unwrap();
    });
    assert!(
        text.starts_with("cannot read the node a: it has no type"),
        "{text}"
    );
    let text = refused(|root| root.unlink("edges").unwrap());
    assert!(text.starts_with("the graph has no edges"), "{text}");
}
