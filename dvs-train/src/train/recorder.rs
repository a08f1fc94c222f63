//! What a run leaves: its folder with logs, checkpoints and results, and what it prints.

use std::path::Path;

use anyhow::{Context, Result};
use burn::tensor::backend::AutodiffBackend;

use crate::config::options::TrainOptions;
use crate::config::settings::Settings;
use crate::console::interrupt::StopReason;
use crate::nn::network::{Network, SnnBackend};
use crate::optim::optimizer::update::OptimizerBackend;
use crate::run_dir::checkpoint::{Checkpoint, LATEST, MAX};
use crate::run_dir::epoch_log::{EpochLog, EpochRecord};
use crate::run_dir::run_folder::RunFolder;
use crate::train::resume::Resumption;
use crate::train::run_output::RunOutput;
use crate::train::summary::{self, Summary};
use crate::train::train_state::TrainState;

/// Writes and prints what a run leaves. Only rank 0 has a recorder.
pub struct Recorder<'a> {
    options: &'a TrainOptions,
    settings: Settings,
    folder: RunFolder,
    log: EpochLog,
    json: bool,
}

impl<'a> Recorder<'a> {
    /// Makes the folder of the run, or opens that of `resumption`. The log continues after the
    /// epochs that `state` has done. Prints results as lines of JSON if `json` says so.
    ///
    /// # Errors
    /// Returns an error if the folder has another run, another process uses it, or a file cannot be
    /// written.
    pub fn open<B: AutodiffBackend + SnnBackend>(
        options: &'a TrainOptions,
        resumption: Option<&Resumption>,
        state: &TrainState<B>,
        json: bool,
    ) -> Result<Self> {
        let folder = match resumption {
            Some(from) => {
                RunFolder::reopen(options, &from.file, &from.checkpoint, from.lock.as_ref())?
            }
            None => RunFolder::create(options)?,
        };
        let settings = Settings::of(options);
        folder.save_settings(&settings)?;
        Ok(Self {
            options,
            settings,
            log: EpochLog::open(&folder, state.epoch, state.network.architecture())?,
            folder,
            json,
        })
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Prints a text for people.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written.
    pub fn text(&self, text: &str) -> Result<()> {
        self.output().text(text)
    }

    /// Writes and prints the results of an epoch, and saves `state`, which is the `best` so far or
    /// not.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written, or the device fails.
    pub fn epoch<B>(
        &mut self,
        record: &EpochRecord,
        state: &TrainState<B>,
        best: bool,
    ) -> Result<()>
    where
        B: AutodiffBackend + SnnBackend,
        B::InnerBackend: SnnBackend + OptimizerBackend,
    {
        self.folder.check()?;
        // Write the row before the checkpoint: resuming drops a row without a checkpoint, but
        // cannot restore a missing row.
        self.log.add(record).with_context(|| {
            let folder = self.folder.path().display();
            format!("cannot write the logs in {folder}")
        })?;
        let checkpoint = state.checkpoint(&self.settings)?;
        if best {
            checkpoint.write(&self.folder.file(MAX))?;
        }
        checkpoint.write(&self.folder.file(LATEST))?;
        self.output().epoch(record)
    }

    /// Saves `state`, which is within an epoch.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written, or the device fails.
    pub fn interrupted<B>(&self, state: &TrainState<B>) -> Result<()>
    where
        B: AutodiffBackend + SnnBackend,
        B::InnerBackend: SnnBackend + OptimizerBackend,
    {
        let checkpoint = state.checkpoint(&self.settings)?;
        self.folder.check()?;
        checkpoint.write(&self.folder.file(LATEST))
    }

    /// Says where the run stopped, with this number of epochs done.
    ///
    /// # Errors
    /// Returns an error if standard output cannot be written.
    pub fn stopped(&self, reason: StopReason, at: &str, epochs: u32) -> Result<()> {
        self.output().stopped(reason, at, epochs)
    }

    /// Reads the best checkpoint and puts its weights into `network`. Returns them as a checkpoint
    /// for the other ranks too, without the optimizer's state.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or is not of this network.
    pub fn best_network<B: SnnBackend>(
        &self,
        network: Network<B>,
    ) -> Result<(Network<B>, Checkpoint)> {
        let path = self.folder.file(MAX);
        let mut checkpoint = Checkpoint::read(&path)?;
        let network = checkpoint.tensors.network(network);
        let network = network.with_context(|| format!("cannot use {}", path.display()))?;
        checkpoint.tensors.drop_optimizer();
        Ok((network, checkpoint))
    }

    /// Writes and prints the results of the whole run.
    ///
    /// # Errors
    /// Returns an error if a file cannot be written.
    pub fn finish(&self, summary: &Summary) -> Result<()> {
        self.folder.check()?;
        summary::leave(&self.folder, summary)?;
        self.output().finished(summary)
    }

    fn output(&self) -> RunOutput<'_> {
        RunOutput {
            json: self.json,
            folder: self.folder.path(),
            config: &self.options.config,
        }
    }
}
