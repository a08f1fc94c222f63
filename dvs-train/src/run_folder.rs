//! The folder of a run: found, made or reopened, and never one that holds another run.

use std::fs;
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

/// A run's folder.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// The folder for a new run as `options` ask for; it is empty of runs.
    ///
    /// # Errors
    /// Where it holds a run and `--force` is not given, or cannot be made.
    pub fn create(options: &TrainOptions) -> Result<Self> {
        let path = options.args.out_dir.join(folder_name(options)?);
        let folder = Self { path };
        let path = folder.path.display();
        let there = folder
            .files()
            .with_context(|| format!("cannot read {path}"))?;
        if !there.is_empty() && !options.args.force {
            let resume = if there.iter().any(|name| name == LATEST) {
                format!("go on with it by --resume {path}, ")
            } else {
                String::new()
            };
            bail!(
                "{path} holds a run already: {resume}replace it with --force, or name another place with --out-dir"
            );
        }
        for name in there.iter().filter(|name| is_ours(name)) {
            let file = folder.file(name);
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        fs::create_dir_all(&folder.path)
            .with_context(|| format!("cannot make the folder {path}"))?;
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
            return Ok(Self {
                path: old.to_owned(),
            });
        }
        let folder = Self::create(options)?;
        let best = Some(old.join(MAX)).filter(|best| best.is_file());
        let (best, to) = (best.unwrap_or(from.to_owned()), folder.file(MAX));
        fs::copy(&best, &to)
            .with_context(|| format!("cannot copy {} to {}", best.display(), to.display()))?;
        Ok(folder)
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

    /// Names of what is in it, in order; none where it does not exist.
    fn files(&self) -> std::io::Result<Vec<String>> {
        let listing = match fs::read_dir(&self.path) {
            Ok(listing) => listing,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in listing {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

/// Whether a file of this name is one that runs make.
fn is_ours(name: &str) -> bool {
    let fixed = [SETTINGS, METRICS, CURVES, CONFUSION, SUMMARY, LATEST, MAX];
    fixed.contains(&name)
        || (name.starts_with("events.out.tfevents.") && name.contains(".dvs-train."))
}
