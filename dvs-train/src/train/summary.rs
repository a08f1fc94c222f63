//! The results of a run: a line to read, a file to parse, and plots.

use std::fmt;

use anyhow::{Context, Result};
use dvs_shared::labels::gestures;
use dvs_shared::output::write_file;
use dvs_shared::words::some_of;
use serde::{Deserialize, Serialize};

use crate::metrics::confusion::Confusion;
use crate::run_dir::checkpoint::Best;
use crate::run_dir::epoch_log::{EvaluatedOn, read_columns};
use crate::run_dir::plots::{confusion, curves};
use crate::run_dir::run_folder::{CONFUSION, CURVES, METRICS, RunFolder, SUMMARY};
use crate::train::evaluate::EvalResult;

/// Maximum number of names of held-out users in the line.
const SHOWN: usize = 10;

/// Results of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// "accuracy-A" if the best network was chosen on the test set, "accuracy-B" if on a validation
    /// set.
    pub protocol: String,
    /// Best epoch, from 0.
    pub best_epoch: u32,
    /// Accuracy of the best epoch on the set that it was chosen on.
    pub chosen_with: f64,
    /// Users or recordings held out of training; empty with accuracy-A.
    pub validation_users: Vec<String>,
    /// Accuracy of the best network on the test set.
    pub test_acc: f64,
    /// Loss of the best network on the test set.
    pub test_loss: f64,
    /// Number of test samples.
    pub test_samples: usize,
    /// Names of the classes by label.
    #[serde(default = "gestures")]
    pub label_names: Vec<String>,
    /// Confusion matrix of the test set.
    pub confusion: Confusion,
}

impl Summary {
    /// Makes the summary of a run. `users` were held out of training, and `evaluated` is the
    /// evaluation of the best network on the test set.
    pub fn new(
        evaluated_on: EvaluatedOn,
        users: Vec<String>,
        label_names: Vec<String>,
        best: Best,
        evaluated: EvalResult,
    ) -> Self {
        Self {
            protocol: match evaluated_on {
                EvaluatedOn::Test => "accuracy-A".to_owned(),
                EvaluatedOn::Validation => "accuracy-B".to_owned(),
            },
            best_epoch: best.epoch,
            chosen_with: best.accuracy,
            validation_users: users,
            test_acc: evaluated.metrics.accuracy,
            test_loss: evaluated.metrics.loss,
            test_samples: evaluated.metrics.samples,
            label_names,
            confusion: evaluated.confusion,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "best: epoch={}, test_acc={}, test_loss={}, test_samples={} ({}: ",
            self.best_epoch, self.test_acc, self.test_loss, self.test_samples, self.protocol
        )?;
        if self.validation_users.is_empty() {
            writeln!(
                f,
                "chosen on the test set itself, as in the tutorial; --validation chooses on users held out)"
            )
        } else {
            writeln!(
                f,
                "chosen on {}, held out of training, validation_acc={}; the test set was judged once)",
                some_of(&self.validation_users, SHOWN),
                self.chosen_with
            )
        }
    }
}

/// Writes the plots and then the summary to the run's folder. The summary is last because it marks
/// the run as complete.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub fn leave(folder: &RunFolder, summary: &Summary) -> Result<()> {
    let columns = read_columns(&folder.file(METRICS))?;
    curves::draw(&folder.file(CURVES), &columns)?;
    let path = folder.file(CONFUSION);
    confusion::draw(&path, &summary.confusion, &summary.label_names)?;
    let path = folder.file(SUMMARY);
    let text = serde_json::to_string_pretty(summary)? + "\n";
    write_file(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
