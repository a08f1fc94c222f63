//! Finds and opens the frame cache that a command line asks for.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use dvs_shared::split_mode::{MAX_FRAMES, SplitBy};
use dvs_shared::{CacheFile, SplitMode};

use crate::config::options::within;
use crate::config::train_config::{DEFAULT_FRAMES, DataConfig};

/// A frame cache, by its file or by its content. A field is `None` if it was not asked for.
#[derive(Clone, Debug, Default)]
pub struct CacheRequest {
    /// Directory of a cache that has the file name that dvs-prep gives it.
    pub data_dir: Option<PathBuf>,
    /// File of the cache, instead of `data_dir`.
    pub cache: Option<PathBuf>,
    /// Frames per sample.
    pub frames: Option<u32>,
    /// How samples are divided into frames, number or time.
    pub split: Option<SplitBy>,
}

impl CacheRequest {
    /// Fills in what was not asked for from the `saved` configuration of a run.
    pub fn or(self, saved: &DataConfig) -> Self {
        let cache = match self.data_dir {
            Some(_) => self.cache,
            None => self.cache.or_else(|| saved.cache.clone()),
        };
        Self {
            data_dir: self.data_dir,
            cache,
            frames: self.frames.or(Some(saved.split.frames())),
            split: self.split.or(Some(saved.split.split_by())),
        }
    }

    /// Finds and opens the cache, and checks that it holds what was asked for.
    ///
    /// # Errors
    /// Returns an error if there is no cache, it does not match, or T differs between samples; the
    /// message says how to fix it.
    pub fn open(&self) -> Result<CacheFile> {
        let frames = self.frames.unwrap_or(DEFAULT_FRAMES);
        within("-T", frames as usize, 1..=MAX_FRAMES as usize)?;
        let asked = fixed_split(self.split.unwrap_or(SplitBy::Number), frames);
        let (path, input) = match &self.cache {
            Some(path) => (path.clone(), None),
            None => {
                let dir = data_dir(
                    self.data_dir.as_deref(),
                    env::var_os("DVS_DATA").map(PathBuf::from),
                );
                (dir.join(asked.file_name()), Some(dir))
            }
        };
        if !path.exists() {
            bail!(missing_cache(&path, input.as_deref(), asked));
        }
        let cache = CacheFile::open(&path)?;
        let found = cache.header.split;
        if let SplitMode::Duration { .. } = found {
            bail!(
                "{} holds {found}, whose number differs from sample to sample, so that they cannot share a \
                 batch; make a cache with a fixed number: {}",
                path.display(),
                prepare_command(input.as_deref(), asked, None)
            );
        }
        // A --cache file only has to match the flags that were typed; a cache found by its name
        // must match that name.
        let (asked, remedy) = match input {
            Some(_) => (asked, "name it with --cache"),
            None => (self.over(found), "leave -T and --split out"),
        };
        ensure!(
            found == asked,
            "{} holds {found}, not {asked}; {remedy}, or make the other cache: {}",
            path.display(),
            prepare_command(input.as_deref(), asked, None)
        );
        Ok(cache)
    }

    /// The split into frames that was asked for; what was not is as in `split`.
    pub fn over(&self, split: SplitMode) -> SplitMode {
        fixed_split(
            self.split.unwrap_or(split.split_by()),
            self.frames.unwrap_or(split.frames()),
        )
    }
}

/// A split into a fixed number of frames.
fn fixed_split(by: SplitBy, frames: u32) -> SplitMode {
    match by {
        SplitBy::Time => SplitMode::Time { frames },
        SplitBy::Number | SplitBy::Duration => SplitMode::Number { frames },
    }
}

fn data_dir(flag: Option<&Path>, variable: Option<PathBuf>) -> PathBuf {
    flag.map(Path::to_owned)
        .or(variable.filter(|dir| !dir.as_os_str().is_empty()))
        .unwrap_or_else(|| PathBuf::from("DVS128Gesture"))
}

fn missing_cache(path: &Path, input: Option<&Path>, split: SplitMode) -> String {
    let place = match input {
        Some(dir) if !dir.is_dir() => format!(
            "the data directory {} does not exist; name the directory with --data-dir or $DVS_DATA, \
             the cache with --cache, or",
            dir.display()
        ),
        _ => format!("there is no frame cache {};", path.display()),
    };
    format!(
        "{place} make it: {}",
        prepare_command(input, split, Some(path))
    )
}

/// The `dvs-prep` command that makes a cache.
fn prepare_command(input: Option<&Path>, split: SplitMode, output: Option<&Path>) -> String {
    let mut command = format!(
        "dvs-prep --frames {} --split {}",
        split.frames(),
        split.split_by().name()
    );
    if let Some(input) = input {
        command += &format!(" --input {}", input.display());
    }
    if let Some(output) = output {
        command += &format!(" --output {}", output.display());
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_directory_prefers_flag_then_variable_then_default() {
        let (flag, variable) = (Path::new("a"), Some(PathBuf::from("b")));
        assert_eq!(data_dir(Some(flag), variable.clone()), flag);
        assert_eq!(data_dir(None, variable), Path::new("b"));
        assert_eq!(
            data_dir(None, Some(PathBuf::new())),
            Path::new("DVS128Gesture")
        );
        assert_eq!(data_dir(None, None), Path::new("DVS128Gesture"));
    }
}
