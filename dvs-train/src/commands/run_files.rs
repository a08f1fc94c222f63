//! Reads the files of a run folder.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow, ensure};

use crate::config::settings::Settings;
use crate::run_dir::epoch_log::{Columns, parse_columns};
use crate::run_dir::file_reader::{read_json, read_text};
use crate::run_dir::run_folder::{METRICS, SETTINGS, SUMMARY};
use crate::train::summary::Summary;

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
