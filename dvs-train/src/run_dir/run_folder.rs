//! The folder of a run. It never replaces another run without `--force`.

use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::output::{is_unfinished, write_file};
use thiserror::Error;

use crate::config::options::TrainOptions;
use crate::config::settings::Settings;
use crate::run_dir::checkpoint::{Checkpoint, LATEST, MAX};

/// Settings of the run.
pub const SETTINGS: &str = "settings.json";
/// A row of numbers for each epoch.
pub const METRICS: &str = "metrics.csv";
/// Plot of loss, accuracy, learning rate and firing rates over the epochs.
pub const CURVES: &str = "curves.png";
/// Plot of the best network's confusion matrix.
pub const CONFUSION: &str = "confusion.png";
/// Results of the run.
pub const SUMMARY: &str = "summary.json";
/// Cost of the best network, written only on request.
pub const PROFILE: &str = "profile.json";
/// All of this in one page, written only on request.
pub const REPORT: &str = "report.html";

/// File that the process of a run locks. The system unlocks it however the process ends.
const LOCK: &str = ".lock";

/// Another process has the lock of a run's folder.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct FolderInUse(String);

impl FolderInUse {
    fn new(folder: &Path) -> Self {
        Self(format!(
            "another dvs-train works in {}; wait for it, or name another place with --out-dir",
            folder.display()
        ))
    }

    /// The same error on a rank that heard the reason from another.
    pub fn elsewhere(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

/// Lock of a run's folder, released when all clones are dropped.
#[derive(Clone, Debug)]
pub struct FolderLock(Arc<File>);

impl FolderLock {
    /// Locks `folder`.
    ///
    /// # Errors
    /// Returns [`FolderInUse`] if another process has the lock, and another error if the folder is not
    /// writable.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = File::create(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(FolderInUse::new(folder)),
            // The file system has no locks.
            Err(TryLockError::Error(error)) => {
                eprintln!("dvs-train: cannot lock {}: {error}", path.display());
            }
        }
        Ok(Self(Arc::new(file)))
    }

    /// Whether `folder` is still the one that was locked.
    fn is_of(&self, folder: &Path) -> bool {
        let id = |of: Metadata| (of.dev(), of.ino());
        let locked = self.0.metadata().map(id);
        let there = fs::metadata(folder.join(LOCK)).map(id);
        matches!((locked, there), (Ok(locked), Ok(there)) if locked == there)
    }
}

/// A run's folder.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    lock: FolderLock,
}

impl RunFolder {
    /// Makes the folder for a new run with `options` and removes files of earlier runs.
    ///
    /// # Errors
    /// Returns an error if the folder has a run and `--force` is not given, another process uses
    /// it, or it cannot be made.
    pub fn create(options: &TrainOptions) -> Result<Self> {
        let path = options.run_folder();
        let shown = path.display();
        fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {shown}"))?;
        let folder = Self {
            lock: FolderLock::take(&path)?,
            path: path.clone(),
        };
        let there = folder.files()?;
        let holds = |name: &str| there.iter().any(|there| there == name);
        if [LATEST, MAX, SUMMARY].into_iter().any(holds) && !options.destination.force {
            let resume = if holds(LATEST) || holds(MAX) {
                format!("resume it with --resume {shown}, ")
            } else {
                String::new()
            };
            bail!(
                "{shown} holds a run already: {resume}replace it with --force, or name another place with --out-dir"
            );
        }
        folder.remove(|name| is_ours(name) || is_unfinished(name))?;
        Ok(folder)
    }

    /// Returns the folder for a run that resumes from `checkpoint` in the file `from`. With a `lock`,
    /// the run resumes in the file's folder, which the lock is of. Otherwise it is a new folder with
    /// copies of the checkpoints.
    ///
    /// # Errors
    /// Returns an error as [`RunFolder::create`] does, or if the checkpoints cannot be copied.
    pub fn reopen(
        options: &TrainOptions,
        from: &Path,
        checkpoint: &Checkpoint,
        lock: Option<&FolderLock>,
    ) -> Result<Self> {
        let old = from.parent().unwrap_or(Path::new("."));
        if let Some(lock) = lock {
            let folder = Self {
                path: old.to_owned(),
                lock: lock.clone(),
            };
            // The files from the end of the earlier run are outdated now. Half-written files are
            // from runs that were killed.
            let ended = [SUMMARY, CURVES, CONFUSION, PROFILE, REPORT];
            folder.remove(|name| ended.contains(&name) || is_unfinished(name))?;
            return Ok(folder);
        }
        let read =
            |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let latest = read(from)?;
        let best = old.join(MAX);
        let best = match checkpoint.state.best {
            None => None,
            Some(_) if best.is_file() => Some(read(&best)?),
            Some(_) => Some(latest.clone()),
        };
        let folder = Self::create(options)?;
        let kept = [(LATEST, Some(latest)), (MAX, best)];
        for (name, bytes) in kept {
            let Some(bytes) = bytes else { continue };
            let path = folder.file(name);
            write_file(&path, &bytes)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(folder)
    }

    /// Removes the files with `unwanted` names.
    fn remove(&self, unwanted: impl Fn(&str) -> bool) -> Result<()> {
        for name in self.files()?.iter().filter(|name| unwanted(name)) {
            let file = self.file(name);
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        Ok(())
    }

    /// Checks that the folder is still there. If somebody deleted or moved it, another run may work
    /// in a new folder of the same name.
    ///
    /// # Errors
    /// Returns an error if it is not.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.lock.is_of(&self.path),
            "the folder {} was deleted, moved or replaced while the run worked in it, so the run ends and writes nothing more",
            self.path.display()
        );
        Ok(())
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Saves the settings.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn save_settings(&self, settings: &Settings) -> Result<()> {
        let path = self.file(SETTINGS);
        let text = serde_json::to_string_pretty(settings)? + "\n";
        write_file(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Returns the sorted names of the files in the folder.
    fn files(&self) -> Result<Vec<String>> {
        let names = || {
            let names = fs::read_dir(&self.path)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            names.collect::<io::Result<Vec<_>>>()
        };
        let mut names = names().with_context(|| format!("cannot read {}", self.path.display()))?;
        names.sort();
        Ok(names)
    }
}

/// Whether runs make files of this name.
fn is_ours(name: &str) -> bool {
    let fixed = [
        SETTINGS, METRICS, CURVES, CONFUSION, SUMMARY, PROFILE, REPORT, LATEST, MAX,
    ];
    fixed.contains(&name)
        || (name.starts_with("events.out.tfevents.") && name.contains(".dvs-train."))
}
