//! Reads a run and says whether it has finished.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};
use dvs_shared::words::printable;

use crate::commands::run_files::RunFiles;
use crate::config::settings::Settings;
use crate::run_dir::epoch_log::EvaluatedOn;
use crate::run_dir::run_folder::{METRICS, SUMMARY};
use crate::train::summary::Summary;

/// Maximum characters of the reason why a run is damaged.
const MOST_CHARACTERS: usize = 500;

/// The state of a run.
#[derive(Debug)]
pub enum Status {
    /// It has a summary.
    Finished(Run, Summary),
    /// It has none yet, because it is going on or was interrupted.
    Unfinished(Run),
    /// A file is missing, or is not as `train` leaves it.
    Damaged(Damaged),
}

/// A run that can be read.
#[derive(Debug)]
pub struct Run {
    pub folder: PathBuf,
    pub settings: Settings,
    /// Its epochs, in order.
    pub epochs: Vec<Epoch>,
}

/// A run that cannot be read.
#[derive(Debug)]
pub struct Damaged {
    pub folder: PathBuf,
    /// What is wrong, in one line.
    pub reason: String,
}

/// Numbers of an epoch. Accuracy and loss are those on the set that the best network is chosen on.
/// They may be infinite or NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Epoch, from 0.
    pub epoch: u32,
    pub accuracy: f64,
    pub loss: f64,
    /// Duration.
    pub seconds: f64,
}

impl Run {
    /// The set that the best network is chosen on.
    pub fn evaluated_on(&self) -> EvaluatedOn {
        match self.settings.config.data.validation {
            None => EvaluatedOn::Test,
            Some(_) => EvaluatedOn::Validation,
        }
    }

    /// The number of epochs done. A run that began from another's checkpoint counts those too.
    pub fn done(&self) -> u64 {
        self.epochs.last().map_or(0, |of| u64::from(of.epoch) + 1)
    }

    /// The highest accuracy of an epoch so far.
    pub fn best(&self) -> Option<f64> {
        let finite = self.epochs.iter().map(|of| of.accuracy);
        finite.filter(|of| of.is_finite()).max_by(f64::total_cmp)
    }
}

/// Reads the run in `folder`.
pub fn read(folder: &Path) -> Status {
    let run = || -> Result<(Run, Option<Summary>)> {
        let files = RunFiles::read(folder)?;
        let mut run = Run {
            folder: folder.to_owned(),
            settings: files.settings.clone(),
            epochs: Vec::new(),
        };
        run.epochs = epochs(&files, run.evaluated_on())?;
        if let Some(summary) = &files.summary {
            check(summary)?;
            ensure!(
                !run.epochs.is_empty(),
                "it has a {SUMMARY}, but no epoch in {METRICS}"
            );
        }
        Ok((run, files.summary))
    };
    match run() {
        Ok((run, Some(summary))) => Status::Finished(run, summary),
        Ok((run, None)) => Status::Unfinished(run),
        Err(error) => {
            // The folder is named beside the reason.
            let within = format!("{}/", folder.display());
            let reason = format!("{error:#}").replace(&within, "");
            Status::Damaged(Damaged {
                folder: folder.to_owned(),
                reason: printable(&reason, MOST_CHARACTERS),
            })
        }
    }
}

/// Takes the epochs from the columns of `metrics.csv`.
///
/// # Errors
/// Returns an error if a column is missing, or a row is incomplete or out of order.
fn epochs(files: &RunFiles, evaluated_on: EvaluatedOn) -> Result<Vec<Epoch>> {
    let column = |name: &str| -> Result<&[Option<f64>]> {
        let there = files.columns.iter().any(|(column, _)| column == name);
        ensure!(there, "{METRICS} has no column {name}");
        Ok(files.column(name))
    };
    let is_empty = files.columns.iter().all(|(name, _)| name.is_empty());
    if is_empty {
        // There is no file yet, or nothing in it.
        return Ok(Vec::new());
    }
    let set = evaluated_on.name();
    let (numbers, seconds) = (column("epoch")?, files.column("seconds"));
    let (accuracies, losses) = (
        column(&format!("{set}_acc"))?,
        column(&format!("{set}_loss"))?,
    );
    let mut epochs: Vec<Epoch> = Vec::with_capacity(numbers.len());
    for (row, ((epoch, accuracy), loss)) in numbers.iter().zip(accuracies).zip(losses).enumerate() {
        // With one row for each epoch and the names above them, row 0 is in line 2.
        let line = row + 2;
        let epoch = epoch.filter(|epoch| (0.0..f64::from(u32::MAX)).contains(epoch));
        let epoch = epoch.filter(|epoch| epoch.fract() == 0.0);
        let (Some(epoch), Some(accuracy), &Some(loss)) = (epoch, *accuracy, loss) else {
            // The row may be half written, or the run was killed then.
            if files.summary.is_none() && row + 1 == numbers.len() {
                break;
            }
            bail!("line {line} of {METRICS} has no epoch, no {set}_acc or no {set}_loss");
        };
        let epoch = epoch as u32;
        if let Some(last) = epochs.last() {
            let (last, next) = (last.epoch, last.epoch.saturating_add(1));
            ensure!(
                last < epoch,
                "line {line} of {METRICS} repeats epoch {epoch}"
            );
            ensure!(
                epoch == next,
                "line {line} of {METRICS} is epoch {epoch}, and epoch {next} is missing"
            );
        }
        epochs.push(Epoch {
            epoch,
            accuracy,
            loss,
            seconds: seconds.get(row).copied().flatten().unwrap_or(f64::NAN),
        });
    }
    Ok(epochs)
}

/// Checks that a summary's numbers can be those of a run.
fn check(summary: &Summary) -> Result<()> {
    let (accuracy, loss) = (summary.test_acc, summary.test_loss);
    ensure!(
        (0.0..=1.0).contains(&accuracy),
        "test_acc {accuracy} in {SUMMARY} is not within 0 and 1"
    );
    ensure!(
        loss >= 0.0 && loss.is_finite(),
        "test_loss {loss} in {SUMMARY} is not a loss"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use dvs_shared::labels::gestures;

    use super::*;
    use crate::config::train_config::TrainConfig;
    use crate::run_dir::epoch_log::parse_columns;

    fn read_metrics(metrics: &str) -> Result<Vec<Epoch>> {
        let files = RunFiles {
            name: String::new(),
            settings: Settings::of_import(TrainConfig::default(), [128, 128], gestures()),
            columns: parse_columns(metrics),
            summary: None,
        };
        epochs(&files, EvaluatedOn::Test)
    }

    #[test]
    fn a_row_being_written_is_no_epoch_yet() {
        let names = "epoch,test_loss,test_acc,seconds\n";
        let whole = read_metrics(&format!("{names}0,0.5,0.25,2\n1,NaN,0.5,2\n")).unwrap();
        assert_eq!((whole.len(), whole[1].accuracy), (2, 0.5));
        assert!(whole[1].loss.is_nan());
        let cut = read_metrics(&format!("{names}0,0.5,0.25,2\n1,0.4")).unwrap();
        assert_eq!(cut.len(), 1);
        assert!(read_metrics("").unwrap().is_empty());
        assert!(read_metrics(names).unwrap().is_empty());
    }

    #[test]
    fn rows_that_train_does_not_write_are_damage() {
        let names = "epoch,test_loss,test_acc\n";
        for (rows, reason) in [
            ("0,0.5\n1,0.5,0.25\n", "line 2 of metrics.csv has no epoch"),
            ("0,1,1\n0,1,1\n", "line 3 of metrics.csv repeats epoch 0"),
            (
                "4,1,1\n5,1,1\n20,1,1\n",
                "line 4 of metrics.csv is epoch 20, and epoch 6 is missing",
            ),
            ("0.5,1,1\n1,1,1\n", "line 2"),
            ("1e300,1,1\n1,1,1\n", "line 2"),
            ("-1,1,1\n1,1,1\n", "line 2"),
            ("NaN,1,1\n1,1,1\n", "line 2"),
        ] {
            let error = read_metrics(&format!("{names}{rows}")).unwrap_err();
            assert!(error.to_string().contains(reason), "{rows}: {error}");
        }
        let error = read_metrics("epoch,loss\n0,1\n").unwrap_err().to_string();
        assert_eq!(error, "metrics.csv has no column test_acc");
    }
}
