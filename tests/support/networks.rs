//! Helpers of the tests that import and export networks.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{Place, run};

/// Returns the path of a file in `tests/data`.
pub fn data(name: &str) -> String {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    data.join(name).to_str().unwrap().to_owned()
}

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Imports a network of `tests/data`. Returns the path of the checkpoint.
pub fn import(place: &Place, network: &str, flags: &[&str]) -> String {
    let output = place.at(&format!("{network}.safetensors"));
    let file = data(&format!("{network}.pth"));
    run(&[&["import", &file, "--output", &output], flags].concat());
    output
}

/// Returns the name, shape and bytes of each tensor in a checkpoint, without the metadata.
pub fn tensors(checkpoint: &str) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let bytes = fs::read(checkpoint).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut all: Vec<_> = tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), view.shape().to_vec(), view.data().to_vec()))
        .collect();
    all.sort();
    all
}
