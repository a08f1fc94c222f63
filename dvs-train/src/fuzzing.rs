//! Readers of untrusted files, for tests and fuzzing (`tests/fuzz`). Each encodes again what it has
//! read.

use anyhow::Result;

use crate::commands::import::Imported;
use crate::interop::naming::Naming;
use crate::interop::pytorch::write;
use crate::interop::state_dict::{Asked, state_dict};
use crate::run_dir::checkpoint::Checkpoint;

/// Reads a checkpoint and checks that it has the network of its settings.
///
/// # Errors
/// Returns an error if the bytes are not a checkpoint, are damaged, have another version, or lack
/// that network.
pub fn checkpoint(bytes: &[u8]) -> Result<Vec<u8>> {
    let checkpoint = Checkpoint::decode(bytes)?;
    let settings = &checkpoint.state.settings;
    let config = settings.network_config()?;
    config.architecture.check(&checkpoint.tensors)?;
    checkpoint.encode()
}

/// Reads a network from SpikingJelly's `.pth`, and writes it with the names of SpikingJelly's models.
///
/// # Errors
/// Returns an error if the bytes are not a `.pth`, are damaged, or hold another network.
pub fn pth(bytes: &[u8]) -> Result<Vec<u8>> {
    let Imported { weights, order, .. } = Imported::read(bytes, Asked::default())?;
    write::state_dict(&state_dict(&weights, Naming::Model, order, 0)?)
}
