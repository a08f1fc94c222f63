//! Reads the files of a run folder.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use dvs_shared::limited_reader::read_bounded;
use serde::de::DeserializeOwned;

use crate::config::settings::Settings;
use crate::run_dir::epoch_log::{Columns, parse_columns};
use crate::run_dir::run_folder::{METRICS, SETTINGS, SUMMARY};
use crate::train::summary::Summary;

/// Maximum bytes of a file; rows for the maximum number of epochs fit.
const MAX_BYTES: u64 = 1 << 30;

/// The contents of a run folder.
#[derive(Debug)]
pub struct RunFiles {
    /// The folder's name.
    pub name: String,
    pub settings: Settings,
    /// Metrics of each epoch.
    pub columns: Columns,
    /// The summary, once the run has ended.
    pub summary: Option<Summary>,
}

impl RunFiles {
    /// Reads the folder of a run, which may still be going on.
    ///
    /// # Errors
    /// Returns an error if it is not a run folder, or a file in it cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        ensure!(
            folder.is_dir(),
            "{shown} is not a folder; name a run's folder"
        );
        let settings = read_json(&folder.join(SETTINGS))?;
        let settings = settings
            .ok_or_else(|| anyhow!("{shown} is not a run's folder: it has no {SETTINGS}"))?;
        let metrics = read_text(&folder.join(METRICS))?;
        let summary = read_json(&folder.join(SUMMARY))?;
        let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let name = real.file_name().unwrap_or(real.as_os_str());
        Ok(Self {
            name: name.to_string_lossy().into_owned(),
            settings,
            columns: parse_columns(&metrics.unwrap_or_default()),
            summary,
        })
    }

    /// The numbers of a column; empty if there is no such column.
    pub fn column(&self, name: &str) -> &[Option<f64>] {
        let found = self.columns.iter().find(|(column, _)| column == name);
        found.map_or(&[], |(_, numbers)| numbers)
    }
}

/// The value in a JSON file of a run folder; `None` if there is no such file.
///
/// # Errors
/// Returns an error if the file cannot be read, or does not hold such a value.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(text) = read_text(path)? else {
        return Ok(None);
    };
    let value = serde_json::from_str(&text);
    value.with_context(|| format!("{} is not as this version writes it", path.display()))
}

/// The text of a file; `None` if there is no such file.
fn read_text(path: &Path) -> Result<Option<String>> {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Opening a named pipe would wait for a writer.
        Ok(there) => ensure!(there.is_file(), "{shown} is not a file"),
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    }
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let bytes = read_bounded(file, MAX_BYTES).with_context(|| format!("cannot read {shown}"))?;
    let bytes =
        bytes.with_context(|| format!("{shown} has more than {MAX_BYTES} bytes, the limit"))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{shown} is not text"))?;
    Ok(Some(text))
}
