//! A run that goes on from a checkpoint: its flags, and whether they can be what is asked for now.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::checkpoint::{self, Checkpoint, LATEST};
use crate::cli::{TrainArgs, Typed};
use crate::options::TrainOptions;
use crate::run_folder::SUMMARY;
use crate::settings::Settings;
use crate::training::Begun;

/// Where a run goes on.
#[derive(Debug)]
pub struct Resumption {
    /// The checkpoint's file.
    pub file: PathBuf,
    /// What is in it.
    pub checkpoint: Checkpoint,
    /// What differs from before, in words.
    pub changed: Vec<String>,
    /// Whether another folder was asked for.
    pub elsewhere: bool,
}

impl fmt::Display for Resumption {
    /// Where the run goes on and what is not as it was.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, state) = (self.file.display(), &self.checkpoint.state);
        match state.begun {
            None => write!(f, "going on from {file} after epoch {}", state.epoch)?,
            Some(Begun { batches, .. }) => {
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
    let file = checkpoint::find(path, LATEST)?;
    let checkpoint = Checkpoint::read(&file)?;
    let state = &checkpoint.state;
    let of_file = || format!("cannot go on from {}", file.display());
    let resumed = state.settings.resumed(args, typed).with_context(of_file)?;
    let mut changed = resumed.changed;
    let options = TrainOptions::resolve(resumed.args).with_context(of_file)?;
    let now = Settings::of(&options)?;
    let ([height, width], [old_height, old_width]) = (now.size, state.settings.size);
    ensure!(
        now.size == state.settings.size,
        "cannot go on from {}: its network takes frames of {old_height} x {old_width}, but the cache {} holds \
         {height} x {width}",
        file.display(),
        options.cache.path().display()
    );
    if now.source_sha256 != state.settings.source_sha256 {
        changed.push(format!(
            "the cache {} was made from other data than the run began with",
            options.cache.path().display()
        ));
    }
    let resized = changed
        .iter()
        .any(|change| change.starts_with("--batch-size "));
    ensure!(
        state.begun.is_none() || !resized,
        "cannot go on from {} with another --batch-size: the run was interrupted within epoch {}, which has to end as it \
         began",
        file.display(),
        state.epoch
    );
    let done = state.epochs_done();
    // What was interrupted after its last epoch has its summary yet to come.
    let whole = file.with_file_name(SUMMARY).exists();
    ensure!(
        options.epochs > done || (options.epochs == done && !whole),
        "cannot go on from {}: it has all {done} of --epochs {}; ask for more with --epochs",
        file.display(),
        options.epochs
    );
    let elsewhere = typed.contains("out_dir");
    let resumption = Resumption {
        file,
        checkpoint,
        changed,
        elsewhere,
    };
    Ok((options, resumption))
}
