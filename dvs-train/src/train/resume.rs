//! Resuming a run from a checkpoint, with flags that may have changed.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dvs_shared::labels::listed;

use crate::config::cache_request::CacheRequest;
use crate::config::options::{Destination, TrainOptions, network_config};
use crate::config::settings::{Settings, changes};
use crate::config::train_config::TrainConfig;
use crate::run_dir::checkpoint::{self, Checkpoint, EpochProgress, LATEST, MAX};
use crate::run_dir::file_reader::read_json;
use crate::run_dir::run_folder::{FolderLock, SETTINGS, SUMMARY};
use crate::train::summary::Summary;

/// The checkpoint that a run resumes from.
#[derive(Debug)]
pub struct Resumption {
    /// The checkpoint's file.
    pub file: PathBuf,
    /// Its content.
    pub checkpoint: Checkpoint,
    /// Differences to the earlier run, in words.
    pub changed: Vec<String>,
    /// Lock of the checkpoint's folder, if the run resumes there.
    pub lock: Option<FolderLock>,
}

impl Resumption {
    fn epochs_done(&self) -> u32 {
        self.checkpoint.state.epochs_done()
    }

    /// Whether nothing of the epochs done is missing: a run that was interrupted after its last epoch
    /// still lacks its summary.
    fn is_complete(&self) -> bool {
        self.lock.is_none() || self.file.with_file_name(SUMMARY).exists()
    }

    /// Checks that the network of the checkpoint can go on with these options.
    fn check(&self, options: &TrainOptions) -> Result<()> {
        let shown = self.file.display();
        let state = &self.checkpoint.state;
        let of_file = || format!("cannot resume from {shown}");
        let network = state.settings.network_config().with_context(of_file)?;
        network
            .architecture
            .check(&self.checkpoint.tensors)
            .with_context(of_file)?;
        let now = Settings::of(options);
        let ([height, width], [old_height, old_width]) = (now.size, state.settings.size);
        ensure!(
            now.size == state.settings.size,
            "cannot resume from {shown}: its network takes frames of {old_height} x {old_width}, but the cache {} holds \
             {height} x {width}",
            options.cache.path().display()
        );
        ensure!(
            now.label_names == state.settings.label_names,
            "cannot resume from {shown}: its network tells other classes apart than the cache {} holds: {}, not {}",
            options.cache.path().display(),
            listed(&state.settings.label_names),
            listed(&now.label_names)
        );
        let batch_size = state.settings.config.data.batch_size;
        let same_batches =
            now.is_same_data(&state.settings) && options.config.data.batch_size == batch_size;
        ensure!(
            state.progress.is_none() || same_batches,
            "cannot resume from {shown} with another --batch-size or another dataset: the run was stopped within epoch {}, \
             which has to end as it began",
            state.epoch
        );
        Ok(())
    }
}

impl fmt::Display for Resumption {
    /// Formats where the run resumes and the differences.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, state) = (self.file.display(), &self.checkpoint.state);
        match state.progress {
            None => write!(f, "resuming from {file} after epoch {}", state.epoch)?,
            Some(EpochProgress { batches, .. }) => {
                let epoch = state.epoch;
                write!(
                    f,
                    "resuming from {file} within epoch {epoch}, after batch {batches}"
                )?;
            }
        }
        if !self.changed.is_empty() {
            write!(f, "; not as before: {}", self.changed.join(", "))?;
        }
        Ok(())
    }
}

/// Reads the checkpoint at `path` and resolves the options of the resumed run: as saved, apart from
/// those that `apply_typed` sets and from the cache that `request` names. `ranks_here` ranks share
/// this machine.
///
/// # Errors
/// Returns an error if the checkpoint cannot be used, or not with these options.
pub fn resume(
    path: &Path,
    apply_typed: impl FnOnce(&mut TrainConfig),
    request: CacheRequest,
    destination: Destination,
    ranks_here: usize,
) -> Result<(TrainOptions, Resumption)> {
    // A run that was killed while it wrote its first checkpoints has only the best checkpoint,
    // which is then also the latest.
    let found = checkpoint::find(path, LATEST);
    let file = found.or_else(|error| checkpoint::find(path, MAX).map_err(|_| error))?;
    let old = file.parent().unwrap_or(Path::new("."));
    let of_a_run = old.join(SETTINGS).is_file();
    // Lock before reading the checkpoint, because another process may be writing the next.
    let mut lock = None;
    if of_a_run && destination.out_dir.is_none() {
        lock = Some(FolderLock::take(old)?);
    }
    let checkpoint = Checkpoint::read(&file)?;
    let state = &checkpoint.state;
    let of_file = || format!("cannot resume from {}", file.display());
    let saved = &state.settings.config;
    let mut config = saved.clone();
    apply_typed(&mut config);
    config.data.split = request.over(saved.data.split);
    if let Some(cache) = &request.cache {
        let same = saved
            .data
            .cache
            .as_ref()
            .is_some_and(|saved| is_same(saved, cache));
        if !same {
            config.data.cache = Some(cache.clone());
        }
    }
    if config.network.network != saved.network.network && !config.network.network.is_named() {
        // The same network may be written in another way.
        let classes = state.settings.label_names.len();
        let network = network_config(&config, state.settings.size, Some(classes));
        config.describe_notation(&network.with_context(of_file)?.architecture);
    }
    let mut changed = changes(saved, &config).with_context(of_file)?;
    let options = TrainOptions::resolve(config, &request.or(&saved.data), destination, ranks_here);
    let options = options.with_context(of_file)?;
    if of_a_run && lock.is_none() && is_same(old, &options.run_folder()) {
        lock = Some(FolderLock::take(old)?);
    }
    if !Settings::of(&options).is_same_data(&checkpoint.state.settings) {
        changed.push(format!(
            "the cache {} was made from other data than the run began with, or counts other events of it",
            options.cache.path().display()
        ));
    }
    let resumption = Resumption {
        file,
        checkpoint,
        changed,
        lock,
    };
    resumption.check(&options)?;
    let (done, epochs) = (resumption.epochs_done(), options.config.schedule.epochs);
    ensure!(
        epochs > done || (epochs == done && !resumption.is_complete()),
        "cannot resume from {}: it has all {done} of --epochs {epochs}; ask for more with --epochs",
        resumption.file.display()
    );
    Ok((options, resumption))
}

/// How a run with `--resume auto` starts.
#[derive(Debug)]
pub enum AutoStart {
    /// Its folder has no checkpoint.
    Anew,
    /// Its folder has a checkpoint.
    Resumed(Box<Resumption>),
    /// Its folder holds the whole run, with this summary.
    Complete(Box<Summary>),
}

/// Finds out whether the folder of the run that `options` describe has a checkpoint to resume from.
///
/// # Errors
/// Returns an error if the checkpoint there cannot be used, is of another run, or was trained on
/// other data, or if another process works in the folder.
pub fn resume_auto(options: &TrainOptions) -> Result<AutoStart> {
    let folder = options.run_folder();
    let there = [LATEST, MAX].map(|name| folder.join(name));
    if !there.iter().any(|file| file.exists()) {
        return Ok(AutoStart::Anew);
    }
    let lock = FolderLock::take(&folder)?;
    // As in `resume`, a run may have been killed before its first latest checkpoint.
    let [latest, best] = there;
    let file = if latest.exists() { latest } else { best };
    let checkpoint = Checkpoint::read(&file)?;
    let changed = changes(&checkpoint.state.settings.config, &options.config);
    let resumption = Resumption {
        changed: changed.with_context(|| format!("cannot resume from {}", file.display()))?,
        file,
        checkpoint,
        lock: Some(lock),
    };
    let shown = resumption.file.display();
    ensure!(
        Settings::of(options).is_same_data(&resumption.checkpoint.state.settings),
        "cannot resume from {shown}: the cache {} was made from other data than the run began with, or counts other events \
         of it; begin another run with another --out-dir",
        options.cache.path().display()
    );
    resumption.check(options)?;
    let (done, epochs) = (resumption.epochs_done(), options.config.schedule.epochs);
    ensure!(
        epochs >= done,
        "cannot resume from {shown}: the run has {done} epochs already, more than --epochs {epochs}; ask for {done} or more"
    );
    if epochs == done && resumption.is_complete() {
        let file = folder.join(SUMMARY);
        let summary = read_json(&file)?;
        let summary = summary.with_context(|| format!("there is no {}", file.display()))?;
        return Ok(AutoStart::Complete(Box::new(summary)));
    }
    Ok(AutoStart::Resumed(Box::new(resumption)))
}

/// Whether both paths are the same file or folder.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
