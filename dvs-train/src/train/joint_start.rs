//! How all ranks of a run start with the same settings and the same checkpoint: those that rank 0
//! resolved and read.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::config::cache_request::CacheRequest;
use crate::config::options::{Destination, TrainOptions};
use crate::config::settings::Settings;
use crate::device::{Device, DeviceName};
use crate::run_dir::checkpoint::Checkpoint;
use crate::train::resume::Resumption;
use crate::train::run_ranks::RunRanks;

/// The options of a run, and the checkpoint that it resumes from, if any.
pub type Started = (TrainOptions, Option<Resumption>);

/// What rank 0 tells the others.
#[derive(Serialize, Deserialize)]
struct Message {
    settings: Settings,
    /// The device that `auto` means on the others, apart from its number.
    device: DeviceName,
    resumption: Option<ResumptionMessage>,
}

/// A resumption without its checkpoint, whose bytes follow the message.
#[derive(Serialize, Deserialize)]
struct ResumptionMessage {
    file: PathBuf,
    changed: Vec<String>,
}

/// Gives what rank 0 starts with to the other ranks. `None` says that nothing is left to do.
///
/// # Errors
/// Returns an error if the batch cannot be divided between the ranks, or another rank failed.
pub fn lead(mut started: Option<Started>, ranks: &RunRanks) -> Result<Option<Started>> {
    let size = ranks.size();
    if let Some((options, resumption)) = &mut started {
        let batch_size = options.config.data.batch_size;
        ensure!(
            batch_size % size == 0,
            "--batch-size {batch_size} is not a multiple of the {size} ranks, which share each batch; take {} or {}",
            (batch_size / size).max(1) * size,
            (batch_size / size + 1) * size
        );
        if let Some(from) = resumption
            && from.checkpoint.state.ranks != size
        {
            let before = from.checkpoint.state.ranks;
            from.changed.push(format!("ranks {before} -> {size}"));
        }
    }
    if size == 1 {
        return Ok(started);
    }
    let message = started.as_ref().map(|(options, resumption)| Message {
        settings: Settings::of(options),
        device: match options.device {
            Device::Cpu => DeviceName::Cpu,
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => DeviceName::Cuda(0),
            #[cfg(feature = "vulkan")]
            Device::Vulkan(_, index) => DeviceName::Vulkan(index),
        },
        resumption: resumption.as_ref().map(|from| ResumptionMessage {
            file: from.file.clone(),
            changed: from.changed.clone(),
        }),
    });
    ranks.from_first(serde_json::to_vec(&message)?)?;
    if let Some((_, Some(from))) = &started {
        ranks.from_first(from.checkpoint.encode()?)?;
    }
    Ok(started)
}

/// Gets from rank 0 what this rank starts with. `request` is what this rank's command line says of
/// the cache, which may be another file with the same content.
///
/// # Errors
/// Returns an error if this machine cannot do the run, its cache has other content than that of
/// rank 0, or another rank failed.
pub fn follow(
    request: CacheRequest,
    destination: Destination,
    ranks: &RunRanks,
) -> Result<Option<Started>> {
    let unreadable =
        "cannot read what rank 0 sent; start the same version of dvs-train on all hosts";
    let message = ranks.from_first(Vec::new())?;
    let message: Option<Message> = serde_json::from_slice(&message).context(unreadable)?;
    let Some(message) = message else {
        return Ok(None);
    };
    let Settings { mut config, .. } = message.settings.clone();
    if config.device == DeviceName::Auto {
        config.device = match message.device {
            DeviceName::Cuda(_) => DeviceName::Cuda(ranks.local_rank()),
            other => other,
        };
    }
    let resumption = match message.resumption {
        None => None,
        Some(ResumptionMessage { file, changed }) => Some(Resumption {
            file,
            changed,
            checkpoint: Checkpoint::decode(&ranks.from_first(Vec::new())?).context(unreadable)?,
            lock: None,
        }),
    };
    let request = request.or(&config.data);
    let options = TrainOptions::resolve(config, &request, destination)?;
    let (own, first) = (Settings::of(&options), &message.settings);
    ensure!(
        own.is_same_data(first) && own.size == first.size && own.label_names == first.label_names,
        "the cache {} was made from other data than that of rank 0, {}, or counts other events of it",
        options.cache.path().display(),
        first
            .config
            .data
            .cache
            .clone()
            .unwrap_or_default()
            .display()
    );
    Ok(Some((options, resumption)))
}
