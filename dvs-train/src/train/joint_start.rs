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

/// What may differ between the command lines of ranks, because it concerns their machines alone.
pub struct OwnOptions {
    /// The cache, which may be another file with the same content.
    pub cache: CacheRequest,
    pub device: Option<DeviceName>,
    /// Data loader threads.
    pub jobs: Option<usize>,
}

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
        let below = batch_size / size * size;
        let remedy = match below {
            0 => format!("use {size}"),
            _ => format!("use {below} or {}", below + size),
        };
        ensure!(
            batch_size == below,
            "--batch-size {batch_size} is not a multiple of the {size} ranks, which share each batch; {remedy}"
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
    ranks.broadcast(|| Ok(serde_json::to_vec(&message)?))?;
    if let Some((_, Some(from))) = &started {
        ranks.broadcast(|| from.checkpoint.encode())?;
    }
    Ok(started)
}

/// Gets from rank 0 what this rank starts with. `own` is what this rank's command line says of its
/// own machine. `ranks_here` ranks share the machine.
///
/// # Errors
/// Returns an error if this machine cannot do the run, its cache has other content than that of
/// rank 0, or another rank failed.
pub fn follow(
    own: OwnOptions,
    destination: Destination,
    ranks_here: usize,
    ranks: &RunRanks,
) -> Result<Option<Started>> {
    let unreadable =
        "cannot read what rank 0 sent; start the same version of dvs-train on all hosts";
    let message = ranks.broadcast(|| Ok(Vec::new()))?;
    let message: Option<Message> = serde_json::from_slice(&message).context(unreadable)?;
    let Some(message) = message else {
        return Ok(None);
    };
    let Settings { mut config, .. } = message.settings.clone();
    config.data.jobs = own.jobs.unwrap_or(config.data.jobs);
    config.device = match (own.device.unwrap_or(config.device), message.device) {
        (DeviceName::Auto, DeviceName::Cuda(_)) => DeviceName::Cuda(ranks.local_rank()),
        (DeviceName::Auto, other) => other,
        (typed, _) => typed,
    };
    let resumption = match message.resumption {
        None => None,
        Some(ResumptionMessage { file, changed }) => Some(Resumption {
            file,
            changed,
            checkpoint: Checkpoint::decode(&ranks.broadcast(|| Ok(Vec::new()))?)
                .context(unreadable)?,
            lock: None,
        }),
    };
    let request = own.cache.or(&config.data);
    let options = TrainOptions::resolve(config, &request, destination, ranks_here)?;
    let (here, first) = (Settings::of(&options), &message.settings);
    ensure!(
        here.is_same_data(first)
            && here.size == first.size
            && here.label_names == first.label_names,
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
