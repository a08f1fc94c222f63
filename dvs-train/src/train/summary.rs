//! What a run came to: a line to read, a file to parse, and pictures.

use std::fmt;

use anyhow::{Context, Result};
use dvs_shared::labels::gestures;
use dvs_shared::words::some_of;
use serde::{Deserialize, Serialize};

use crate::metrics::confusion::Confusion;
use crate::run_dir::checkpoint::{Best, write_whole};
use crate::run_dir::epoch_log::{JudgedOn, read_columns};
use crate::run_dir::plots::{confusion, curves};
use crate::run_dir::run_folder::{CONFUSION, CURVES, METRICS, RunFolder, SUMMARY};
use crate::train::evaluate::EvalResult;

/// Names that are shown of what was held out, at most.
const SHOWN: usize = 10;

/// What a run came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// "accuracy-A" where the best network was chosen on the test set, "accuracy-B" where on users held out.
    pub protocol: String,
    /// The best epoch, from 0.
    pub best_epoch: u32,
    /// Its accuracy on what it was chosen on.
    pub chosen_with: f64,
    /// Users or recordings held out of training; none with accuracy-A.
    pub validation_users: Vec<String>,
    /// The best network's accuracy on the test set.
    pub test_acc: f64,
    /// Its loss there.
    pub test_loss: f64,
    /// Test samples.
    pub test_samples: usize,
    /// Names of the classes by label.
    #[serde(default = "gestures")]
    pub label_names: Vec<String>,
    /// Which class was taken for which.
    pub confusion: Confusion,
}

impl Summary {
    /// The summary of a run on classes of these names, whose best epoch is `best`, and whose best network is `judged` on the
    /// test set.
    pub fn new(
        judged_on: JudgedOn,
        users: Vec<String>,
        label_names: Vec<String>,
        best: Best,
        judged: EvalResult,
    ) -> Self {
        Self {
            protocol: match judged_on {
                JudgedOn::Test => "accuracy-A".to_owned(),
                JudgedOn::Validation => "accuracy-B".to_owned(),
            },
            best_epoch: best.epoch,
            chosen_with: best.accuracy,
            validation_users: users,
            test_acc: judged.metrics.accuracy,
            test_loss: judged.metrics.loss,
            test_samples: judged.metrics.samples,
            label_names,
            confusion: judged.confusion,
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

/// Leaves the pictures and the summary in the run's folder; the summary last, because it tells that the run is whole.
///
/// # Errors
/// Where a file cannot be written.
pub fn leave(folder: &RunFolder, summary: &Summary) -> Result<()> {
    let columns = read_columns(&folder.file(METRICS))?;
    curves::draw(&folder.file(CURVES), &columns)?;
    let path = folder.file(CONFUSION);
    confusion::draw(&path, &summary.confusion, &summary.label_names)?;
    let path = folder.file(SUMMARY);
    let text = serde_json::to_string_pretty(summary)? + "\n";
    write_whole(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
