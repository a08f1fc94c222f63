//! A training run, from its first epoch or a checkpoint to its summary.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;
use burn_snn::batch_norm::ranks::BatchRanks;

use crate::config::options::TrainOptions;
use crate::config::settings::Settings;
use crate::console::interrupt::StopReason;
use crate::data::data_loader::{test_batches, train_batches};
use crate::data::device_loader::DeviceLoader;
use crate::data::seed::{Purpose, derive};
use crate::device;
use crate::nn::network::{Network, SnnBackend};
use crate::optim::optimizer::update::OptimizerBackend;
use crate::run_dir::checkpoint::{Best, Checkpoint, EpochProgress};
use crate::run_dir::epoch_log::{EpochRecord, EvaluatedOn};
use crate::train::data_splits::DataSplits;
use crate::train::epoch::{EpochResult, RemainingEpoch, train_epoch};
use crate::train::evaluate::{EvalResult, evaluate};
use crate::train::model_summary::describe;
use crate::train::recorder::Recorder;
use crate::train::resume::Resumption;
use crate::train::run_ranks::RunRanks;
use crate::train::summary::Summary;
use crate::train::train_state::TrainState;

/// Trains a network with `options`, from the start or from `resumption`, until the last epoch or
/// until one of `ranks` is asked to stop. Prints results as lines of JSON if `json` says so. Returns
/// the reason if the run stopped.
///
/// # Errors
/// Returns an error if a sample cannot be read, a file cannot be written, the device or another rank
/// fails, or gradients are not finite.
pub fn run<B>(
    options: &TrainOptions,
    resumption: Option<&Resumption>,
    ranks: &RunRanks,
    json: bool,
    device: &B::Device,
) -> Result<Option<StopReason>>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    let sets = DataSplits::new(options, ranks, device)?;
    let config = Settings::of(options).network_config().with_context(|| {
        let cache = options.cache.path().display();
        format!("cannot train on {cache}")
    })?;
    let (data, share) = (&options.config.data, ranks.share());
    let steps = data.split.frames() as usize;
    let training = config.training_bytes(steps, share.longest(data.batch_size));
    let test = config.test_bytes(steps, share.longest(data.test_batch_size()));
    let memory = options.device.check_memory(training, test)?;
    let mut state = TrainState::<B>::at(options, &config, resumption, device)?;
    state.ranks = ranks.size();
    if ranks.size() > 1 {
        ranks.check_same("weights", &state.crc()?.to_le_bytes())?;
    }
    let batch_ranks = match options.config.network.local_batch_norm {
        true => BatchRanks::default(),
        false => ranks.batch_ranks(),
    };
    state.network = state.network.on_rank(share, &batch_ranks);
    let recorder = match ranks.is_first() {
        true => Recorder::open(options, resumption, &state, json).map(Some),
        false => Ok(None),
    };
    let recorder = ranks.agree(recorder)?;
    if let Some(recorder) = &recorder {
        recorder.text(&describe::<B>(options, &config, device))?;
        let divided = (ranks.size() > 1).then(|| ranks.describe(data.batch_size));
        let notes = [divided, memory, options.device.kernels_note()];
        let notes = notes.into_iter().flatten();
        let notes: String = notes.map(|note| format!("  {note}\n")).collect();
        recorder.text(&format!(
            "  {}\n{notes}  folder: {}\n",
            sets.describe(),
            recorder.folder().display()
        ))?;
    }
    let mut run = Run {
        options,
        sets,
        ranks,
        recorder,
        device,
    };
    while state.epoch < options.config.schedule.epochs {
        state = run.epoch(state)?;
        if let Some(progress) = state.progress {
            let (epoch, batch) = (state.epoch, progress.batches);
            return run.stopped(&format!("within epoch {epoch}, after batch {batch}"), epoch);
        }
    }
    run.finish(state)
}

/// The parts of a run that last from its start to its end.
struct Run<'a, B: AutodiffBackend> {
    options: &'a TrainOptions,
    sets: DataSplits<B::InnerBackend>,
    ranks: &'a RunRanks,
    /// What rank 0 writes and prints; `None` on the others.
    recorder: Option<Recorder<'a>>,
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
    fn epoch(&mut self, from: TrainState<B>) -> Result<TrainState<B>> {
        let (start, spent_before) = (Instant::now(), self.ranks.spent());
        let (options, ranks) = (self.options, self.ranks);
        let (evaluated_on, evaluation_set) = self.sets.evaluation_set();
        let TrainState {
            network,
            mut optimizer,
            epoch,
            progress,
            best,
            ..
        } = from;
        let lr = options
            .config
            .schedule
            .schedule()
            .rate(options.config.optimizer.lr, epoch);
        let rest = self.rest(&network, epoch, progress.unwrap_or_default())?;
        let (network, trained) = train_epoch(network, &mut optimizer, lr, rest, ranks, self.device)
            .with_context(|| {
                format!("training failed in epoch {epoch}, at the learning rate {lr}")
            })?;
        if options.config.network.local_batch_norm {
            network.average_running_statistics(ranks.operations())?;
        }
        let name = format!("epoch {epoch} {}", evaluated_on.name());
        let evaluated = self.evaluate(&network.valid(), evaluation_set, name)?;
        let mut state = TrainState {
            network,
            optimizer,
            epoch,
            progress: Some(trained.progress),
            best,
            ranks: ranks.size(),
        };
        // If one rank computed wrong numbers, the sums of all are wrong.
        ranks.agree(device::check_threads())?;
        let Some(evaluated) = evaluated else {
            if let Some(recorder) = &self.recorder {
                recorder.interrupted(&state)?;
            }
            return Ok(state);
        };
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
        if let Some(recorder) = &mut self.recorder {
            let layers = state.network.architecture().layer_names().into_iter();
            let firing = layers.zip(evaluated.firing.rates.clone()).collect();
            let mut record = record(epoch, lr, evaluated_on, &trained, evaluated, best, took);
            record.firing = firing;
            record.taus = state.network.learnt_taus()?;
            record.loss_scale = state.optimizer.loss_scale;
            record.waiting_for_ranks = (ranks.size() > 1).then(|| {
                let spent = ranks.spent() - spent_before;
                spent.as_secs_f64() / record.seconds
            });
            recorder.epoch(&record, &state, better)?;
        }
        Ok(state)
    }

    /// Returns what is left of an epoch after this progress.
    fn rest(
        &self,
        network: &Network<B>,
        epoch: u32,
        progress: EpochProgress,
    ) -> Result<RemainingEpoch<'_, B::InnerBackend>> {
        let (options, set, share) = (self.options, &self.sets.train, self.ranks.share());
        let batch_size = options.config.data.batch_size;
        // Each epoch has a separate seed; see the module `seed`.
        B::seed(
            self.device,
            derive(options.config.seed, Purpose::Dropout, epoch),
        );
        network.pass_over_masks(progress.batches, share.longest(batch_size), self.device);
        let order = derive(options.config.seed, Purpose::Order, epoch);
        // All ranks make the same whole batches, and each takes its part of them.
        let mut whole = train_batches(set.len(), batch_size, order);
        let samples = whole.len() * batch_size;
        whole.drain(..progress.batches.min(whole.len()));
        let transforms = options
            .augmentation
            .map(|of| of.epoch(options.config.seed, epoch).batches(&whole));
        for batch in &mut whole {
            let places = share.places(batch.len());
            *batch = batch.drain(places).collect();
        }
        Ok(RemainingEpoch {
            progress,
            epoch_batches: set.epoch(whole, transforms)?,
            samples,
            name: format!("epoch {epoch} train"),
        })
    }

    /// Evaluates `network` on a set. Returns `None` if the run is asked to stop.
    fn evaluate(
        &self,
        network: &Network<B::InnerBackend>,
        set: &DeviceLoader<B::InnerBackend>,
        name: String,
    ) -> Result<Option<EvalResult>> {
        let (ranks, share) = (self.ranks, self.ranks.share());
        if ranks.asked_to_stop()?.is_some() {
            return Ok(None);
        }
        let batch_size = share.longest(self.options.config.data.test_batch_size());
        let batches = test_batches(share.places(set.len()), batch_size);
        let batches = set.epoch(batches, None)?;
        evaluate(
            network,
            batches,
            set.len(),
            name,
            &mut (),
            ranks,
            self.device,
        )
    }

    /// Evaluates the best network on the test set and writes the summary.
    fn finish(&self, state: TrainState<B>) -> Result<Option<StopReason>> {
        let best = state.best.context("the run has no epoch")?;
        let recorder = self.recorder.as_ref();
        let network = state.network.valid();
        let network = match recorder {
            Some(recorder) => {
                let (network, checkpoint) = recorder.best_network(network)?;
                self.ranks.broadcast(|| checkpoint.encode())?;
                network
            }
            None => {
                let bytes = self.ranks.broadcast(|| Ok(Vec::new()))?;
                Checkpoint::decode(&bytes)?.tensors.network(network)?
            }
        };
        let Some(evaluated) = self.evaluate(&network, &self.sets.test, "test".to_owned())? else {
            return self.stopped("before the summary, all epochs done", state.epoch);
        };
        let Some(recorder) = recorder else {
            return Ok(None);
        };
        let users = self.sets.users().to_vec();
        let names = self.options.cache.header.label_names.clone();
        let summary = Summary::new(self.sets.evaluation_set().0, users, names, best, evaluated);
        recorder.finish(&summary)?;
        Ok(None)
    }

    /// Says where the run stopped, with this number of epochs done. Returns the reason.
    fn stopped(&self, at: &str, epochs: u32) -> Result<Option<StopReason>> {
        let reason = self.ranks.interrupt().asked();
        if let (Some(reason), Some(recorder)) = (reason, &self.recorder) {
            recorder.stopped(reason, at, epochs)?;
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
        waiting_for_ranks: None,
        silent: evaluated.firing.silent,
        firing: Vec::new(),
        taus: Vec::new(),
        loss_scale: None,
    }
}
