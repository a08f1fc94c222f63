//! A training run, from its first epoch or a checkpoint to the files in its folder.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;

use crate::config::options::TrainOptions;
use crate::config::settings::Settings;
use crate::console::interrupt::{Interrupt, StopReason};
use crate::data::data_loader::{test_batches, train_batches};
use crate::data::device_loader::DeviceLoader;
use crate::data::seed::{Purpose, derive};
use crate::device;
use crate::nn::network::{Network, SnnBackend};
use crate::optim::optimizer::update::OptimizerBackend;
use crate::run_dir::checkpoint::{Best, Checkpoint, EpochProgress, LATEST, MAX};
use crate::run_dir::epoch_log::{EpochLog, EpochRecord, EvaluatedOn};
use crate::run_dir::run_folder::RunFolder;
use crate::train::data_splits::DataSplits;
use crate::train::epoch::{EpochResult, RemainingEpoch, train_epoch};
use crate::train::evaluate::{EvalResult, evaluate};
use crate::train::model_summary::describe;
use crate::train::resume::Resumption;
use crate::train::run_output::RunOutput;
use crate::train::summary::{self, Summary};
use crate::train::train_state::TrainState;

/// Trains a network with `options`, from the start or from `resumption`, until the last epoch or
/// until `interrupt` asks to stop. Prints results as lines of JSON if `json` says so. Returns the
/// reason if the run stopped.
///
/// # Errors
/// Returns an error if a sample cannot be read, a file cannot be written, the device fails or
/// gradients are not finite.
pub fn run<B>(
    options: &TrainOptions,
    resumption: Option<&Resumption>,
    interrupt: &Interrupt,
    json: bool,
    device: &B::Device,
) -> Result<Option<StopReason>>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    let sets = DataSplits::new(options, interrupt, device)?;
    let settings = Settings::of(options);
    let config = settings.network_config().with_context(|| {
        let cache = options.cache.path().display();
        format!("cannot train on {cache}")
    })?;
    let data = &options.config.data;
    let steps = data.split.frames() as usize;
    let training = config.training_bytes(steps, data.batch_size);
    let test = config.test_bytes(steps, data.test_batch_size());
    let memory = options.device.check_memory(training, test)?;
    let mut state = TrainState::<B>::at(options, &config, resumption, device)?;
    let folder = match resumption {
        Some(from) => RunFolder::reopen(options, &from.file, &from.checkpoint, from.lock.as_ref())?,
        None => RunFolder::create(options)?,
    };
    folder.save_settings(&settings)?;
    let learns_tau = !state.network.learnt_taus()?.is_empty();
    let mut log = EpochLog::open(&folder, state.epoch, learns_tau)?;
    let output = RunOutput {
        json,
        folder: folder.path(),
        config: &options.config,
    };
    output.text(&describe(options, &state.network, &config, device))?;
    let notes = [memory, options.device.kernels_note()];
    let notes = notes.into_iter().flatten();
    let notes: String = notes.map(|note| format!("  {note}\n")).collect();
    output.text(&format!(
        "  {}\n{notes}  folder: {}\n",
        sets.describe(),
        folder.path().display()
    ))?;
    let run = Run {
        options,
        settings,
        sets,
        folder: &folder,
        interrupt,
        output,
        device,
    };
    while state.epoch < options.config.schedule.epochs {
        state = run.epoch(state, &mut log)?;
        if let Some(progress) = state.progress {
            let (epoch, batch) = (state.epoch, progress.batches);
            return run.stopped(&format!("within epoch {epoch}, after batch {batch}"), epoch);
        }
    }
    run.finish(state)
}

/// The constant parts of a run.
struct Run<'a, B: AutodiffBackend> {
    options: &'a TrainOptions,
    settings: Settings,
    sets: DataSplits<B::InnerBackend>,
    folder: &'a RunFolder,
    interrupt: &'a Interrupt,
    output: RunOutput<'a>,
    device: &'a B::Device,
}

impl<B> Run<'_, B>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    /// Trains the next epoch or the rest of an interrupted epoch, evaluates the network, and writes
    /// the logs and checkpoints. If the run is asked to stop meanwhile, the new state is within the
    /// epoch.
    fn epoch(&self, from: TrainState<B>, log: &mut EpochLog) -> Result<TrainState<B>> {
        let start = Instant::now();
        let options = self.options;
        let (evaluated_on, evaluation_set) = self.sets.evaluation_set();
        let TrainState {
            network,
            mut optimizer,
            epoch,
            progress,
            best,
        } = from;
        let lr = options
            .config
            .schedule
            .schedule()
            .rate(options.config.optimizer.lr, epoch);
        let rest = self.rest(&network, epoch, progress.unwrap_or_default())?;
        let (network, trained) = train_epoch(network, &mut optimizer, lr, rest, self.device)
            .with_context(|| {
                format!("training failed in epoch {epoch}, at the learning rate {lr}")
            })?;
        let name = format!("epoch {epoch} {}", evaluated_on.name());
        let evaluated = self.evaluate(&network.valid(), evaluation_set, name)?;
        let mut state = TrainState {
            network,
            optimizer,
            epoch,
            progress: Some(trained.progress),
            best,
        };
        let Some(evaluated) = evaluated else {
            device::check_threads()?;
            let checkpoint = state.checkpoint(&self.settings)?;
            self.folder.check()?;
            checkpoint.write(&self.folder.file(LATEST))?;
            return Ok(state);
        };
        device::check_threads()?;
        let accuracy = evaluated.metrics.accuracy;
        let better = best.is_none_or(|best| accuracy > best.accuracy);
        let best = match best {
            Some(best) if !better => best,
            _ => Best { epoch, accuracy },
        };
        state = TrainState {
            epoch: epoch + 1,
            progress: None,
            best: Some(best),
            ..state
        };
        let took = start.elapsed();
        let mut record = record(epoch, lr, evaluated_on, &trained, evaluated, best, took);
        record.taus = state.network.learnt_taus()?;
        record.loss_scale = state.optimizer.loss_scale;
        self.folder.check()?;
        // Write the row before the checkpoint: resuming drops a row without a checkpoint, but
        // cannot restore a missing row.
        log.add(&record).with_context(|| {
            let folder = self.folder.path().display();
            format!("cannot write the logs in {folder}")
        })?;
        let checkpoint = state.checkpoint(&self.settings)?;
        if better {
            checkpoint.write(&self.folder.file(MAX))?;
        }
        checkpoint.write(&self.folder.file(LATEST))?;
        self.output.epoch(&record)?;
        Ok(state)
    }

    /// Returns what is left of an epoch after this progress.
    fn rest(
        &self,
        network: &Network<B>,
        epoch: u32,
        progress: EpochProgress,
    ) -> Result<RemainingEpoch<'_, B::InnerBackend>> {
        let (options, set) = (self.options, &self.sets.train);
        // Each epoch has a separate seed; see the module `seed`.
        B::seed(
            self.device,
            derive(options.config.seed, Purpose::Dropout, epoch),
        );
        network.pass_over_masks(
            progress.batches,
            options.config.data.batch_size,
            self.device,
        );
        let order = derive(options.config.seed, Purpose::Order, epoch);
        let mut batches = train_batches(set.len(), options.config.data.batch_size, order);
        let samples = batches.len() * options.config.data.batch_size;
        batches.drain(..progress.batches.min(batches.len()));
        let transforms = options
            .augmentation
            .map(|of| of.epoch(options.config.seed, epoch));
        Ok(RemainingEpoch {
            progress,
            epoch_batches: set.epoch(batches, transforms)?,
            samples,
            name: format!("epoch {epoch} train"),
        })
    }

    /// Evaluates `network` on a set. Returns `None` if the run is asked to stop, because the result
    /// would be of a part of the set.
    fn evaluate(
        &self,
        network: &Network<B::InnerBackend>,
        set: &DeviceLoader<B::InnerBackend>,
        name: String,
    ) -> Result<Option<EvalResult>> {
        if self.interrupt.asked().is_some() {
            return Ok(None);
        }
        let batches = test_batches(set.len(), self.options.config.data.test_batch_size());
        let batches = set.epoch(batches, None)?;
        let evaluated = evaluate(network, batches, set.len(), name, &mut (), self.device)?;
        Ok(self.interrupt.asked().is_none().then_some(evaluated))
    }

    /// Evaluates the best network on the test set and writes the summary.
    fn finish(&self, state: TrainState<B>) -> Result<Option<StopReason>> {
        let best = state.best.context("the run has no epoch")?;
        let path = self.folder.file(MAX);
        let network = Checkpoint::read(&path)?
            .tensors
            .network(state.network.valid())
            .with_context(|| format!("cannot use {}", path.display()))?;
        let Some(evaluated) = self.evaluate(&network, &self.sets.test, "test".to_owned())? else {
            return self.stopped("before the summary, all epochs done", state.epoch);
        };
        let users = self.sets.users().to_vec();
        let names = self.settings.label_names.clone();
        let summary = Summary::new(self.sets.evaluation_set().0, users, names, best, evaluated);
        self.folder.check()?;
        summary::leave(self.folder, &summary)?;
        self.output.finished(&summary)?;
        Ok(None)
    }

    /// Says where the run stopped, with this number of epochs done. Returns the reason.
    fn stopped(&self, at: &str, epochs: u32) -> Result<Option<StopReason>> {
        let reason = self.interrupt.asked();
        if let Some(reason) = reason {
            self.output.stopped(reason, at, epochs)?;
        }
        Ok(reason)
    }
}

fn record(
    epoch: u32,
    lr: f64,
    evaluated_on: EvaluatedOn,
    trained: &EpochResult,
    evaluated: EvalResult,
    best: Best,
    total: Duration,
) -> EpochRecord {
    let seconds = total.as_secs_f64();
    let learnt = trained.progress.sums.means();
    let speed = |samples: usize, took: Duration| samples as f64 / took.as_secs_f64();
    EpochRecord {
        epoch,
        train_loss: learnt.loss,
        train_acc: learnt.accuracy,
        evaluated_on,
        loss: evaluated.metrics.loss,
        acc: evaluated.metrics.accuracy,
        max_acc: best.accuracy,
        lr,
        train_speed: speed(trained.samples, trained.took),
        test_speed: speed(evaluated.metrics.samples, evaluated.took),
        seconds,
        waiting: (trained.waited + evaluated.waited).as_secs_f64() / seconds,
        silent: evaluated.firing.silent,
        firing: evaluated.firing.rates,
        taus: Vec::new(),
        loss_scale: None,
    }
}
