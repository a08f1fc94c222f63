//! What a run prints: text for people, or a line of JSON for each epoch and one at the end.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::config::train_config::TrainConfig;
use crate::console::interrupt::StopReason;
use crate::console::print;
use crate::run_dir::epoch_log::EpochRecord;
use crate::train::summary::Summary;

/// Prints the results of a run.
#[derive(Clone, Copy, Debug)]
pub struct RunOutput<'a> {
    /// Whether results are lines of JSON. Everything else then goes to standard error.
    pub json: bool,
    /// The run's folder.
    pub folder: &'a Path,
    /// The run's configuration.
    pub config: &'a TrainConfig,
}

impl RunOutput<'_> {
    /// Prints a text for people.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written.
    pub fn text(&self, text: &str) -> Result<()> {
        if self.json {
            // Ignore errors: nobody may read standard error.
            let _ = io::stderr().lock().write_all(text.as_bytes());
            return Ok(());
        }
        print(text)
    }

    /// Prints the numbers of an epoch.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written.
    pub fn epoch(&self, record: &EpochRecord) -> Result<()> {
        if !self.json {
            return print(&record.line());
        }
        let mut line = self.line("epoch");
        let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
        put("epoch", record.epoch.into());
        put("evaluated_on", record.evaluated_on.name().into());
        // Under names that do not depend on the set.
        put("loss", record.loss.into());
        put("acc", record.acc.into());
        put("max_acc", record.max_acc.into());
        if let Some(share) = record.waiting_for_ranks {
            put("waiting_for_ranks", share.into());
        }
        for (name, number) in record.columns() {
            if let Some(number) = number {
                put(&name, number.into());
            }
        }
        print_line(line)
    }

    /// Prints the results of a whole run.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written.
    pub fn finished(&self, summary: &Summary) -> Result<()> {
        if !self.json {
            return print(&summary.to_string());
        }
        let mut line = self.line("end");
        let fields = json!({
            "status": "finished",
            "epochs_done": self.config.schedule.epochs,
            "protocol": summary.protocol,
            "best_epoch": summary.best_epoch,
            "max_acc": summary.chosen_with,
            "test_acc": summary.test_acc,
            "test_loss": summary.test_loss,
            "test_samples": summary.test_samples,
        });
        line.extend(fields.as_object().cloned().unwrap_or_default());
        print_line(line)
    }

    /// Says on standard error where the run stopped and how to resume it. With JSON, also prints the
    /// last line. `at` names the place, and `epochs` are done.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written.
    pub fn stopped(&self, reason: StopReason, at: &str, epochs: u32) -> Result<()> {
        // Ignore errors, because the reader of stderr may have got the same signal.
        let _ = writeln!(
            io::stderr(),
            "dvs-train: {reason}: stopped {at}; resume with: dvs-train --resume {}",
            self.folder.display()
        );
        if !self.json {
            return Ok(());
        }
        let mut line = self.line("end");
        line.insert("status".to_owned(), "stopped".into());
        line.insert("reason".to_owned(), reason.to_string().into());
        line.insert("epochs_done".to_owned(), epochs.into());
        print_line(line)
    }

    /// The fields of every line.
    fn line(&self, event: &str) -> Map<String, Value> {
        let fields = json!({
            "event": event,
            "run": self.folder,
            "seed": self.config.seed,
            "epochs": self.config.schedule.epochs,
        });
        fields.as_object().cloned().unwrap_or_default()
    }
}

fn print_line(line: Map<String, Value>) -> Result<()> {
    print(&format!("{}\n", Value::Object(line)))
}
