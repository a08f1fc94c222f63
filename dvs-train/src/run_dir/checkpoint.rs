//! Checkpoints: everything that a run needs to resume, in one file that is written atomically.
//!
//! A checkpoint is a safetensors file, so that Python can read the weights without this program.
//! Its metadata has one entry, [`KEY`], with a [`State`] in JSON. Random numbers need no state
//! beyond the seed and the epoch, because each epoch has a separate seed.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use dvs_shared::file_kind::irregular;
use dvs_shared::limited_reader::read_bounded;
use dvs_shared::output::write_file;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::config::settings::Settings;
use crate::metrics::Sums;
use crate::optim::loss_scale::LossScale;
use crate::run_dir::weights::{Array, Tensors};

/// Progress of an epoch of training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochProgress {
    /// Batches done.
    pub batches: usize,
    /// Loss and accuracy on these batches, each before its step.
    pub sums: Sums,
}

/// File name of the checkpoint of the last epoch, or of the batch after which the run was stopped.
pub const LATEST: &str = "checkpoint_latest.safetensors";
/// File name of the checkpoint of the best epoch.
pub const MAX: &str = "checkpoint_max.safetensors";
/// Version of the format. Version 1 stored flags instead of a configuration. Versions 1 and 2 had
/// networks with two linear layers under other names. All can be read.
const FORMAT_VERSION: u32 = 3;
/// Name of the metadata entry.
const KEY: &str = "dvs_train_checkpoint";
/// Limit of a checkpoint's size in bytes, far above the largest possible network.
const MAX_BYTES: u64 = 64 << 30;

/// A run after an epoch, or after the batch at which it was interrupted.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Everything except the arrays.
    pub state: State,
    /// Weights and the optimizer's state.
    pub tensors: Tensors,
}

/// State of a run, without its arrays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Settings of the run, including the seed.
    pub settings: Settings,
    /// Last epoch that changed the weights, from 0.
    pub epoch: u32,
    /// Progress of that epoch, if it was interrupted.
    #[serde(default, rename = "begun")]
    pub progress: Option<EpochProgress>,
    /// Number of steps of the optimizer.
    pub steps: u64,
    /// Best epoch so far; `None` within the first epoch.
    pub best: Option<Best>,
    /// State of loss scaling, if used.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
    /// Number of ranks that trained.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub ranks: usize,
}

fn one() -> usize {
    1
}

// serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_one(ranks: &usize) -> bool {
    *ranks == 1
}

impl State {
    /// Returns the number of complete epochs.
    pub fn epochs_done(&self) -> u32 {
        self.epoch + u32::from(self.progress.is_none())
    }
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epoch, from 0.
    pub epoch: u32,
    /// Accuracy on the set that the best epoch is chosen on.
    pub accuracy: f64,
}

/// The metadata entry.
#[derive(Serialize, Deserialize)]
struct Header {
    format_version: u32,
    /// CRC-32 of the state and of all tensors in the order of their names; see [`crc`].
    crc32: u32,
    state: serde_json::Value,
}

impl Checkpoint {
    /// Writes the checkpoint and replaces an existing file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written. An existing file is then unchanged.
    pub fn write(&self, path: &Path) -> Result<()> {
        let context = || format!("cannot write the checkpoint {}", path.display());
        write_file(path, &self.encode().with_context(context)?).with_context(context)
    }

    /// Encodes the content of the file.
    ///
    /// # Errors
    /// Returns an error if the number of values of a tensor does not match its shape.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let tensors = &self.tensors.0;
        let raw: Vec<(&str, &[usize], Vec<u8>)> = tensors
            .iter()
            .map(|(name, Array { shape, values })| {
                let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                (name.as_str(), shape.as_slice(), raw)
            })
            .collect();
        let state = serde_json::to_value(&self.state)?;
        let parts = raw
            .iter()
            .map(|(name, shape, raw)| (*name, *shape, raw.as_slice()));
        let header = Header {
            format_version: FORMAT_VERSION,
            crc32: crc(&state, parts),
            state,
        };
        let views = raw.iter().map(|(name, shape, raw)| {
            Ok((*name, TensorView::new(Dtype::F32, shape.to_vec(), raw)?))
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        let metadata = HashMap::from([(KEY.to_owned(), serde_json::to_string(&header)?)]);
        Ok(safetensors::serialize(views, Some(metadata))?)
    }

    /// Reads a checkpoint and verifies every byte.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, is from another program or version, or is
    /// damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read_network_file(path)
            .with_context(|| format!("cannot read the checkpoint {}", path.display()))?;
        Self::decode(&bytes)
            .with_context(|| format!("cannot use {} as a checkpoint", path.display()))
    }

    /// Decodes the content of a file and verifies every byte.
    ///
    /// # Errors
    /// Returns an error as [`Checkpoint::read`] does.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| {
            anyhow!(
                "it is not a whole safetensors file ({error}): either another program's file or a damaged one"
            )
        })?;
        let entry = metadata.metadata().as_ref().and_then(|map| map.get(KEY));
        let entry = entry.with_context(|| {
            format!("it is a safetensors file of another program: its metadata has no {KEY:?}")
        })?;
        let damaged = "its metadata is damaged";
        let header: Header = serde_json::from_str(entry).context(damaged)?;
        ensure!(
            (1..=FORMAT_VERSION).contains(&header.format_version),
            "it has checkpoint format version {}; this program reads versions 1 to {FORMAT_VERSION}",
            header.format_version
        );
        let views = SafeTensors::deserialize(bytes)?;
        let mut tensors = Tensors::default();
        for (name, view) in views.iter() {
            ensure!(
                view.dtype() == Dtype::F32,
                "{name} is {:?}, not F32",
                view.dtype()
            );
            let values = view.data().chunks_exact(4).map(|raw| {
                let mut value = [0; 4];
                value.copy_from_slice(raw);
                f32::from_le_bytes(value)
            });
            let array = Array {
                shape: view.shape().to_vec(),
                values: values.collect(),
            };
            tensors.0.insert(name.to_owned(), array);
        }
        let raw = tensors.0.iter().map(|(name, array)| {
            Ok((
                name.as_str(),
                array.shape.as_slice(),
                views.tensor(name)?.data(),
            ))
        });
        let found = crc(&header.state, raw.collect::<Result<Vec<_>>>()?.into_iter());
        // A fuzzer would hardly ever find a matching checksum.
        ensure!(
            found == header.crc32 || cfg!(fuzzing),
            "it is damaged: its content has the CRC-32 {found:08x} where {:08x} was written; use another checkpoint \
             of the run",
            header.crc32
        );
        let state = serde_json::from_value(header.state).context(
            "another version of dvs-train wrote it, whose settings this version cannot read",
        )?;
        if header.format_version < 3 {
            tensors.rename_old_linears();
        }
        Ok(Self { state, tensors })
    }
}

/// Finds the checkpoint at `path`, which is a file, or a run's folder with a file `name`.
///
/// # Errors
/// Returns an error if there is no checkpoint.
pub fn find(path: &Path, name: &str) -> Result<PathBuf> {
    if !path.is_dir() {
        ensure!(path.exists(), "there is no checkpoint {}", path.display());
        // Callers use the parent folder, which is empty for a bare name.
        let bare = path.parent() == Some(Path::new(""));
        return Ok(if bare {
            Path::new(".").join(path)
        } else {
            path.to_owned()
        });
    }
    let file = path.join(name);
    if !file.exists() {
        bail!("there is no {name} in the folder {}", path.display());
    }
    Ok(file)
}

/// Protects an existing file from being replaced.
///
/// # Errors
/// Returns an error if `path` exists and `force` is false.
pub fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    ensure!(
        force || !path.exists(),
        "{} exists; name another --output, or replace it with --force",
        path.display()
    );
    Ok(())
}

/// Reads a file with a network.
///
/// # Errors
/// Returns an error if the file cannot be read or is too large.
pub fn read_network_file(path: &Path) -> Result<Vec<u8>> {
    if let Some(kind) = irregular(path)? {
        bail!("it is {kind}, not a file");
    }
    let bytes = read_bounded(File::open(path)?, MAX_BYTES)?;
    bytes.with_context(|| format!("it has more than {MAX_BYTES} bytes, the limit"))
}

/// Returns the CRC-32 of the state and of each tensor's name, shape and values.
fn crc<'a>(
    state: &serde_json::Value,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    // serde_json sorts the members by name, so the same state gives the same text.
    hasher.update(state.to_string().as_bytes());
    for (name, shape, raw) in tensors {
        hasher.update(format!("{name}{shape:?}").as_bytes());
        hasher.update(raw);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests;
