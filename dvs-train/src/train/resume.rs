//! A run that goes on from a checkpoint: its flags, and whether they can be what is asked for now.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dvs_shared::labels::listed;

use crate::config::Typed;
use crate::config::options::TrainOptions;
use crate::config::settings::{Settings, folder_name};
use crate::config::train_args::TrainArgs;
use crate::run_dir::checkpoint::EpochProgress;
use crate::run_dir::checkpoint::{self, Checkpoint, LATEST, MAX};
use crate::run_dir::run_folder::{FolderLock, SETTINGS, SUMMARY};
use crate::run_dir::weight_layout::Form;

/// Where a run goes on.
#[derive(Debug)]
pub struct Resumption {
    /// The checkpoint's file.
    pub file: PathBuf,
    /// What is in it.
    pub checkpoint: Checkpoint,
    /// What differs from before, in words.
    pub changed: Vec<String>,
    /// Held where the run goes on in the folder that the checkpoint lies in.
    lock: Option<FolderLock>,
}

impl Resumption {
    /// Whether the run goes on in the folder that the checkpoint lies in.
    pub fn in_place(&self) -> bool {
        self.lock.is_some()
    }
}

impl fmt::Display for Resumption {
    /// Where the run goes on and what is not as it was.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, state) = (self.file.display(), &self.checkpoint.state);
        match state.begun {
            None => write!(f, "going on from {file} after epoch {}", state.epoch)?,
            Some(EpochProgress { batches, .. }) => {
                let epoch = state.epoch;
                write!(
                    f,
                    "going on from {file} within epoch {epoch}, after batch {batches}"
                )?;
            }
        }
        if !self.changed.is_empty() {
            write!(f, "; not as before: {}", self.changed.join(", "))?;
        }
        Ok(())
    }
}

/// Reads the checkpoint at `path` and resolves the flags of the run that goes on from it: those in `typed` as they are
/// in `args`, the others as they were.
///
/// # Errors
/// Where the checkpoint cannot be used, or not with what is asked for.
pub fn resume(path: &Path, args: &TrainArgs, typed: &Typed) -> Result<(TrainOptions, Resumption)> {
    // A run that was killed while it wrote its first checkpoints has the best one only, which is the latest too.
    let found = checkpoint::find(path, LATEST);
    let file = found.or_else(|error| checkpoint::find(path, MAX).map_err(|_| error))?;
    let old = file.parent().unwrap_or(Path::new("."));
    let of_a_run = old.join(SETTINGS).is_file();
    // Before the checkpoint is read: another process may be about to write the next.
    let mut lock = None;
    if of_a_run && !typed.contains("out_dir") {
        lock = Some(FolderLock::take(old)?);
    }
    let checkpoint = Checkpoint::read(&file)?;
    let state = &checkpoint.state;
    let of_file = || format!("cannot go on from {}", file.display());
    let resumed = state.settings.resumed(args, typed).with_context(of_file)?;
    let mut changed = resumed.changed;
    let options = TrainOptions::resolve(resumed.args).with_context(of_file)?;
    if of_a_run
        && lock.is_none()
        && is_same(old, &options.args.out_dir.join(folder_name(&options)?))
    {
        lock = Some(FolderLock::take(old)?);
    }
    let now = Settings::of(&options)?;
    let ([height, width], [old_height, old_width]) = (now.size, state.settings.size);
    let config = state.settings.network_config(&options.args);
    let config = config.with_context(of_file)?;
    Form::of(&config)
        .check(&checkpoint.tensors)
        .with_context(of_file)?;
    ensure!(
        now.size == state.settings.size,
        "cannot go on from {}: its network takes frames of {old_height} x {old_width}, but the cache {} holds \
         {height} x {width}",
        file.display(),
        options.cache.path().display()
    );
    ensure!(
        now.label_names == state.settings.label_names,
        "cannot go on from {}: its network tells other classes apart than the cache {} holds: {}, not {}",
        file.display(),
        options.cache.path().display(),
        listed(&state.settings.label_names),
        listed(&now.label_names)
    );
    // Each of these changes which samples there are, or their frames.
    let same_data = now.source_sha256 == state.settings.source_sha256
        && now.keep_invalid == state.settings.keep_invalid
        && now.reading == state.settings.reading;
    if !same_data {
        changed.push(format!(
            "the cache {} was made from other data than the run began with, or counts other events of it",
            options.cache.path().display()
        ));
    }
    let same_batches = same_data && options.batch_size == state.settings.args()?.batch_size;
    ensure!(
        state.begun.is_none() || same_batches,
        "cannot go on from {} with another --batch-size or another dataset: the run was stopped within epoch {}, which has \
         to end as it began",
        file.display(),
        state.epoch
    );
    let done = state.epochs_done();
    // What was interrupted after its last epoch has its summary yet to come.
    let whole = lock.is_none() || file.with_file_name(SUMMARY).exists();
    ensure!(
        options.epochs > done || (options.epochs == done && !whole),
        "cannot go on from {}: it has all {done} of --epochs {}; ask for more with --epochs",
        file.display(),
        options.epochs
    );
    let resumption = Resumption {
        file,
        checkpoint,
        changed,
        lock,
    };
    Ok((options, resumption))
}

/// Whether both paths lead to the same folder.
fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}
