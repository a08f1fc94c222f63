//! Logs of each epoch: a row of `metrics.csv` and TensorBoard's scalars.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use dvs_shared::output::write_file;

use crate::nn::architecture::Architecture;
use crate::optim::loss_scale::LossScale;
use crate::run_dir::run_folder::{METRICS, RunFolder};
use crate::run_dir::tensorboard::EventFile;

/// Columns of `metrics.csv` by name.
pub type Columns = Vec<(String, Vec<Option<f64>>)>;

/// Numbers of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochRecord {
    /// Epoch, from 0.
    pub epoch: u32,
    /// Mean loss of the training samples.
    pub train_loss: f64,
    /// Accuracy on the training samples.
    pub train_acc: f64,
    /// Set that the network was evaluated on after the epoch.
    pub evaluated_on: EvaluatedOn,
    /// Mean loss on that set.
    pub loss: f64,
    /// Accuracy on that set.
    pub acc: f64,
    /// Best accuracy on that set so far.
    pub max_acc: f64,
    /// Learning rate.
    pub lr: f64,
    /// Training samples per second.
    pub train_speed: f64,
    /// Evaluated samples per second.
    pub test_speed: f64,
    /// Duration of the epoch.
    pub seconds: f64,
    /// Share of the duration spent waiting for batches.
    pub waiting: f64,
    /// Share of the duration spent on sums over all ranks and on waiting for other ranks; `None`
    /// without other ranks. It is printed, but is not in the logs.
    pub waiting_for_ranks: Option<f64>,
    /// Share of the neurons that never fired in the evaluation.
    pub silent: f64,
    /// Spikes per neuron and step in each layer, with the layer's name.
    pub firing: Vec<(String, f64)>,
    /// tau after the epoch of each layer that learns it, with the layer's name.
    pub taus: Vec<(String, f64)>,
    /// State of loss scaling after the epoch, if used.
    pub loss_scale: Option<LossScale>,
}

/// The set that the best network is chosen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluatedOn {
    /// The test set, as in the tutorial.
    Test,
    /// Users or recordings held out of the training set.
    Validation,
}

impl EvaluatedOn {
    /// Returns the name in the logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Validation => "validation",
        }
    }
}

impl EpochRecord {
    /// Returns the columns in order. A number is `None` if this run does not have it.
    pub fn columns(&self) -> Vec<(String, Option<f64>)> {
        let of = |set, number| (self.evaluated_on == set).then_some(number);
        let [test, validation] = [EvaluatedOn::Test, EvaluatedOn::Validation];
        let fixed = [
            ("train_loss", Some(self.train_loss)),
            ("train_acc", Some(self.train_acc)),
            ("test_loss", of(test, self.loss)),
            ("test_acc", of(test, self.acc)),
            ("max_test_acc", of(test, self.max_acc)),
            ("lr", Some(self.lr)),
            ("train_samples_per_s", Some(self.train_speed)),
            ("test_samples_per_s", Some(self.test_speed)),
            ("seconds", Some(self.seconds)),
            ("validation_loss", of(validation, self.loss)),
            ("validation_acc", of(validation, self.acc)),
            ("max_validation_acc", of(validation, self.max_acc)),
            ("waiting_for_data", Some(self.waiting)),
            ("silent_neurons", Some(self.silent)),
            ("loss_scale", self.loss_scale.map(|scale| scale.factor)),
            (
                "skipped_steps",
                self.loss_scale.map(|scale| scale.skipped as f64),
            ),
        ];
        let fixed = fixed.map(|(name, number)| (name.to_owned(), number));
        let of_layers = |name: &'static str, numbers: &[(String, f64)]| {
            let numbers = numbers.iter();
            let numbers =
                numbers.map(move |(layer, number)| (format!("{name}_{layer}"), Some(*number)));
            numbers.collect::<Vec<_>>()
        };
        let firing = of_layers("firing_rate", &self.firing);
        let taus = of_layers("tau", &self.taus);
        fixed.into_iter().chain(firing).chain(taus).collect()
    }

    /// Formats the tutorial's line, followed by further numbers.
    pub fn line(&self) -> String {
        let set = self.evaluated_on.name();
        let mut line = format!(
            "epoch={}, train_loss={}, train_acc={}, {set}_loss={}, {set}_acc={}, max_{set}_acc={}, \
             total_time={:.3}, lr={}, train_samples_per_s={:.1}, test_samples_per_s={:.1}, \
             waiting_for_data={:.1}%",
            self.epoch,
            self.train_loss,
            self.train_acc,
            self.loss,
            self.acc,
            self.max_acc,
            self.seconds,
            self.lr,
            self.train_speed,
            self.test_speed,
            100.0 * self.waiting
        );
        if let Some(share) = self.waiting_for_ranks {
            line += &format!(", waiting_for_ranks={:.1}%", 100.0 * share);
        }
        if let Some(scale) = self.loss_scale {
            line += &format!(
                ", loss_scale={}, skipped_steps={}",
                scale.factor, scale.skipped
            );
        }
        line + "\n"
    }
}

/// The logs of a run.
#[derive(Debug)]
pub struct EpochLog {
    csv: File,
    events: EventFile,
}

impl EpochLog {
    /// Opens the logs in `folder` for epochs from `first` on and drops existing rows of these
    /// epochs. The columns are those of a network of this form.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written, or `metrics.csv` has different columns.
    pub fn open(folder: &RunFolder, first: u32, network: &Architecture) -> Result<Self> {
        let path = folder.file(METRICS);
        let header = header(network);
        let kept = kept_rows(&path, &header, first)?;
        let text = [header]
            .into_iter()
            .chain(kept)
            .collect::<Vec<_>>()
            .join("\n")
            + "\n";
        let cannot = || format!("cannot write {}", path.display());
        write_file(&path, text.as_bytes()).with_context(cannot)?;
        let csv = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(cannot)?;
        let events = EventFile::create(folder.path(), first).with_context(|| {
            format!("cannot write an event file in {}", folder.path().display())
        })?;
        Ok(Self { csv, events })
    }

    /// Adds an epoch to both files without buffering.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub fn add(&mut self, record: &EpochRecord) -> io::Result<()> {
        let columns = record.columns();
        let mut row = record.epoch.to_string();
        for (_, number) in &columns {
            row.push(',');
            if let Some(number) = number {
                row += &number.to_string();
            }
        }
        row.push('\n');
        self.csv.write_all(row.as_bytes())?;
        let there = columns
            .into_iter()
            .filter_map(|(name, number)| Some((name, number?)));
        self.events.add(record.epoch, &there.collect::<Vec<_>>())
    }
}

/// Returns the first line of `metrics.csv`.
fn header(network: &Architecture) -> String {
    let nothing = |layer: String| (layer, 0.0);
    let record = EpochRecord {
        epoch: 0,
        train_loss: 0.0,
        train_acc: 0.0,
        evaluated_on: EvaluatedOn::Test,
        loss: 0.0,
        acc: 0.0,
        max_acc: 0.0,
        lr: 0.0,
        train_speed: 0.0,
        test_speed: 0.0,
        seconds: 0.0,
        waiting: 0.0,
        waiting_for_ranks: None,
        silent: 0.0,
        firing: network.layer_names().into_iter().map(nothing).collect(),
        taus: network.learning_layers().map(nothing).collect(),
        loss_scale: None,
    };
    let columns = record.columns().into_iter().map(|(name, _)| name);
    let names: Vec<String> = [String::from("epoch")].into_iter().chain(columns).collect();
    names.join(",")
}

/// Returns the rows of `path` for epochs before `first`. Empty if there is no file.
fn kept_rows(path: &Path, header: &str, first: u32) -> Result<Vec<String>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut lines = text.lines();
    let found = lines.next().unwrap_or_default();
    ensure!(
        found == header,
        "{} has the columns {found:?}, not those that this version writes; move it away",
        path.display()
    );
    let before = |row: &&str| {
        let epoch = row
            .split(',')
            .next()
            .and_then(|epoch| epoch.parse::<u32>().ok());
        epoch.is_some_and(|epoch| epoch < first)
    };
    Ok(lines.filter(before).map(str::to_owned).collect())
}

/// Reads the columns of `metrics.csv`. A field that is empty or not a number is `None`.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn read_columns(path: &Path) -> Result<Columns> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(parse_columns(&text))
}

/// Parses the text of a `metrics.csv`, as in [`read_columns`]. A row that is cut short has no number
/// in its other columns.
pub fn parse_columns(text: &str) -> Columns {
    let mut lines = text.lines();
    let names = lines.next().unwrap_or_default().split(',');
    let mut columns: Columns = names.map(|name| (name.to_owned(), Vec::new())).collect();
    for row in lines {
        let mut fields = row.split(',');
        for (_, numbers) in &mut columns {
            numbers.push(fields.next().and_then(|field| field.parse().ok()));
        }
    }
    columns
}
