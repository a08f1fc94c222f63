//! The folder of a run: found, made or reopened, and never one that holds another run.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::config::options::TrainOptions;
use crate::config::settings::{Settings, folder_name};
use crate::run_dir::checkpoint::{self, Checkpoint, LATEST, MAX};

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
/// What the best network costs, where that was asked.
pub const PROFILE: &str = "profile.json";
/// All of this in one page, where that was asked.
pub const REPORT: &str = "report.html";

/// Held, while a run works in the folder, by its process; the system lets go of it however the process ends.
const LOCK: &str = ".lock";

/// The right to work in a folder, given back when dropped.
#[derive(Debug)]
pub struct FolderLock(#[expect(dead_code, reason = "held, not used")] File);

impl FolderLock {
    /// Takes possession of `folder`.
    ///
    /// # Errors
    /// Where another process has it, or nothing can be written there.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(LOCK);
        let file = File::create(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another dvs-train works in {}; wait for it, or name another place with --out-dir",
                folder.display()
            ),
            // A file system without locks.
            Err(TryLockError::Error(error)) => {
                eprintln!("dvs-train: cannot lock {}: {error}", path.display());
            }
        }
        Ok(Self(file))
    }
}

/// A run's folder.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// None where the run that goes on in it holds it.
    _lock: Option<FolderLock>,
}

impl RunFolder {
    /// The folder for a new run as `options` ask for; it is empty of runs.
    ///
    /// # Errors
    /// Where it holds a run and `--force` is not given, another process works in it, or it cannot be made.
    pub fn create(options: &TrainOptions) -> Result<Self> {
        let path = options.args.out_dir.join(folder_name(options)?);
        let shown = path.display();
        fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {shown}"))?;
        let folder = Self {
            _lock: Some(FolderLock::take(&path)?),
            path: path.clone(),
        };
        let there = folder.files()?;
        let holds = |name: &str| there.iter().any(|there| there == name);
        if [LATEST, MAX, SUMMARY].into_iter().any(holds) && !options.args.force {
            let resume = if holds(LATEST) || holds(MAX) {
                format!("go on with it by --resume {shown}, ")
            } else {
                String::new()
            };
            bail!(
                "{shown} holds a run already: {resume}replace it with --force, or name another place with --out-dir"
            );
        }
        folder.remove(|name| is_ours(name) || checkpoint::is_half_written(name))?;
        Ok(folder)
    }

    /// The folder for a run that goes on from `checkpoint`, which lies in the file `from`: the file's own, which the caller
    /// has locked, if it goes on `in_place`; else a new one, which begins with the checkpoints that there are.
    ///
    /// # Errors
    /// As [`RunFolder::create`]; or where the checkpoints cannot be taken along.
    pub fn reopen(
        options: &TrainOptions,
        from: &Path,
        checkpoint: &Checkpoint,
        in_place: bool,
    ) -> Result<Self> {
        let old = from.parent().unwrap_or(Path::new("."));
        if in_place {
            let folder = Self {
                path: old.to_owned(),
                _lock: None,
            };
            // What was made at the end of the run is of its end so far; what is half-written, of runs that were killed.
            let ended = [SUMMARY, CURVES, CONFUSION, PROFILE, REPORT];
            folder.remove(|name| ended.contains(&name) || checkpoint::is_half_written(name))?;
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
            checkpoint::write_whole(&path, &bytes)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(folder)
    }

    /// Removes the files whose names are `unwanted`.
    fn remove(&self, unwanted: impl Fn(&str) -> bool) -> Result<()> {
        for name in self.files()?.iter().filter(|name| unwanted(name)) {
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

    /// Names of what is in it, in order.
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

/// Whether a file of this name is one that runs make.
fn is_ours(name: &str) -> bool {
    let fixed = [
        SETTINGS, METRICS, CURVES, CONFUSION, SUMMARY, PROFILE, REPORT, LATEST, MAX,
    ];
    fixed.contains(&name)
        || (name.starts_with("events.out.tfevents.") && name.contains(".dvs-train."))
}
