//! The readers of files that may come from anywhere, alone: tests and fuzzing (`tests/fuzz`) feed them. What they return is
//! what they read, written again.

use anyhow::Result;

use crate::commands::import::Imported;
use crate::interop::label_order::LabelOrder;
use crate::interop::naming::Naming;
use crate::interop::pytorch::write;
use crate::interop::state_dict::state_dict;
use crate::run_dir::checkpoint::Checkpoint;
use crate::run_dir::weight_layout::Form;

/// A checkpoint of this program, with the network that its settings ask for.
///
/// # Errors
/// Where the bytes are none, damaged, of another version, or without that network.
pub fn checkpoint(bytes: &[u8]) -> Result<Vec<u8>> {
    let checkpoint = Checkpoint::decode(bytes)?;
    let settings = &checkpoint.state.settings;
    let config = settings.network_config(&settings.args()?)?;
    Form::of(&config).check(&checkpoint.tensors)?;
    checkpoint.encode()
}

/// A network in a `.pth` of SpikingJelly's, for frames of 128 x 128; written with the names of its `DVSGestureNet`.
///
/// # Errors
/// Where the bytes are none, damaged, or hold another network.
pub fn pth(bytes: &[u8]) -> Result<Vec<u8>> {
    let imported = Imported::read(bytes, LabelOrder::Folder, [128, 128])?;
    write::state_dict(&state_dict(
        &imported.weights,
        Naming::Model,
        LabelOrder::Folder,
        0,
    )?)
}
