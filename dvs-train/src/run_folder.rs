//! The folder of a run: found, made or reopened, and never one that holds another run.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::checkpoint::{self, LATEST, MAX};
use crate::options::TrainOptions;
use crate::settings::{Settings, folder_name};

/// The run's settings.
pub const SETTINGS: &str = "settings.json";
/// A row of numbers for each epoch.
pub const METRICS: &str = "metrics.csv";
/// Loss, accuracy, learning rate and firing rates over the epochs.
pub const CURVES: &str = "curves.png";
/// The best network's confusion matrix.
pub const CONFUSION: &str = "confusion.png";
/// What the run came to.
pub const SUMMARY: &str = "summary.json";

/// Held, while a run works in the folder, by its process; the system lets go of it however the process ends.
const LOCK: &str = ".lock";

/// A run's folder.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
}

impl RunFolder {
    /// The folder for a new run as `options` ask for; it is empty of runs.
    ///
    /// # Errors
    /// Where it holds a checkpoint and `--force` is not given, another process works in it, or it cannot be made.
    pub fn create(options: &TrainOptions) -> Result<Self> {
        let path = options.args.out_dir.join(folder_name(options)?);
        let shown = path.display();
        let there = files(&path).with_context(|| format!("cannot read {shown}"))?;
        let holds_a_run = there
            .iter()
            .any(|name| [LATEST, MAX].contains(&name.as_str()));
        if holds_a_run && !options.args.force {
            bail!(
                "{shown} holds a run already: go on with it by --resume {shown}, replace it with --force, or name another \
                 place with --out-dir"
            );
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {shown}"))?;
        let folder = Self::enter(path)?;
        folder.remove(is_ours)?;
        Ok(folder)
    }

    /// The folder for a run that goes on from the checkpoint file `from`: the one it lies in, unless it lies in no
    /// run's folder or `elsewhere` asks for a new one.
    ///
    /// # Errors
    /// As [`RunFolder::create`]; or where the best checkpoint so far cannot be taken along.
    pub fn reopen(options: &TrainOptions, from: &Path, elsewhere: bool) -> Result<Self> {
        let old = from.parent().unwrap_or(Path::new(""));
        if !elsewhere && old.join(SETTINGS).is_file() {
            let folder = Self::enter(old.to_owned())?;
            // What was made at the end of the run is of its end so far.
            folder.remove(|name| [SUMMARY, CURVES, CONFUSION].contains(&name))?;
            return Ok(folder);
        }
        let folder = Self::create(options)?;
        let best = Some(old.join(MAX)).filter(|best| best.is_file());
        let (best, to) = (best.unwrap_or(from.to_owned()), folder.file(MAX));
        fs::copy(&best, &to)
            .with_context(|| format!("cannot copy {} to {}", best.display(), to.display()))?;
        Ok(folder)
    }

    /// Takes possession of a folder, and clears away what runs that were killed left half-written.
    fn enter(path: PathBuf) -> Result<Self> {
        let file = path.join(LOCK);
        let lock = File::create(&file);
        let lock = lock.with_context(|| format!("cannot write {}", file.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another dvs-train works in {}; wait for it, or name another place with --out-dir",
                path.display()
            ),
            // A file system without locks.
            Err(TryLockError::Error(error)) => {
                eprintln!("dvs-train: cannot lock {}: {error}", file.display());
            }
        }
        let folder = Self { path, _lock: lock };
        folder.remove(checkpoint::is_half_written)?;
        Ok(folder)
    }

    /// Removes the files whose names are `unwanted`.
    fn remove(&self, unwanted: impl Fn(&str) -> bool) -> Result<()> {
        let there = files(&self.path);
        let there = there.with_context(|| format!("cannot read {}", self.path.display()))?;
        for name in there.iter().filter(|name| unwanted(name)) {
            let file = self.file(name);
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of this name in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Saves the settings.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn save_settings(&self, settings: &Settings) -> Result<()> {
        let path = self.file(SETTINGS);
        let text = serde_json::to_string_pretty(settings)? + "\n";
        checkpoint::write_whole(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Names of what is in a folder, in order; none where it does not exist.
fn files(path: &Path) -> io::Result<Vec<String>> {
    let listing = match fs::read_dir(path) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in listing {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Whether a file of this name is one that runs make.
fn is_ours(name: &str) -> bool {
    let fixed = [SETTINGS, METRICS, CURVES, CONFUSION, SUMMARY, LATEST, MAX];
    fixed.contains(&name)
        || (name.starts_with("events.out.tfevents.") && name.contains(".dvs-train."))
}
