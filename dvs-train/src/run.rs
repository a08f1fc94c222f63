//! A run from its first epoch, or its checkpoint, to its last, and what it leaves in its folder.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;
use dvs_shared::Set;

use crate::cache_reader::{BatchReader, test_batches, train_batches};
use crate::checkpoint::{Best, Checkpoint, LATEST, MAX, State};
use crate::description::describe;
use crate::epoch_log::{EpochLog, EpochRecord, JudgedOn};
use crate::evaluation::{Judgement, judge};
use crate::network::{Network, SnnBackend};
use crate::optimizer::Optimizer;
use crate::options::{TrainOptions, network_config};
use crate::resume::Resumption;
use crate::run_folder::RunFolder;
use crate::samples::{CacheSamples, SampleSource};
use crate::seed::{Purpose, derive};
use crate::settings::Settings;
use crate::summary::{self, Summary};
use crate::training::{Trained, train_epoch};
use crate::weights::Tensors;

/// What a run works on.
struct Data {
    train: Arc<CacheSamples>,
    /// What the network is judged on after each epoch.
    judged: Arc<CacheSamples>,
    judged_on: JudgedOn,
    /// Users held out for that.
    users: Vec<String>,
    test: Arc<CacheSamples>,
}

/// Trains a network as `options` ask for, from `resumption` on where there is one.
///
/// # Errors
/// Where a sample cannot be read, a file cannot be written, the device fails or the loss is no longer a number.
pub fn run<B>(
    options: &TrainOptions,
    resumption: Option<&Resumption>,
    device: &B::Device,
) -> Result<()>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend,
{
    let data = Data::of(options)?;
    let settings = Settings::of(options)?;
    let config = network_config(&options.args, data.train.size())?;
    B::seed(device, derive(options.seed, Purpose::Weights, 0));
    let mut network = Network::<B>::new(&config, device);
    let mut optimizer = Optimizer::new(options.rule);
    let (mut first, mut best) = (0, None);
    if let Some(Resumption {
        file, checkpoint, ..
    }) = resumption
    {
        let of_file = || format!("cannot go on from {}", file.display());
        let state = &checkpoint.state;
        network = checkpoint.tensors.network(network).with_context(of_file)?;
        optimizer = checkpoint
            .tensors
            .optimizer(options.rule, state.steps, &network)
            .with_context(of_file)?;
        (first, best) = (state.epoch + 1, Some(state.best));
    }
    let folder = match resumption {
        Some(from) => RunFolder::reopen(options, &from.file, from.elsewhere)?,
        None => RunFolder::create(options)?,
    };
    folder.save_settings(&settings)?;
    let learns_tau = !network.learnt_taus()?.is_empty();
    let mut log = EpochLog::open(&folder, first, learns_tau)?;
    print(&describe(options, &network, &config, device))?;
    print(&data.describe(&folder))?;

    for epoch in first..options.epochs {
        let start = Instant::now();
        let lr = options.schedule.rate(options.lr, epoch);
        let trained;
        (network, trained) = data.train(network, &mut optimizer, options, epoch, device)?;
        let judged = data.judge(&network.valid(), options, epoch, device)?;
        let accuracy = judged.metrics.accuracy;
        let better = best.is_none_or(|best: Best| accuracy > best.accuracy);
        let best_now = match best {
            Some(best) if !better => best,
            _ => Best { epoch, accuracy },
        };
        best = Some(best_now);
        let mut record = record(
            epoch,
            lr,
            &data,
            &trained,
            judged,
            best_now,
            start.elapsed(),
        );
        record.taus = network.learnt_taus()?;
        // The row first: one without a checkpoint is dropped on resuming, a checkpoint without its row would stay so.
        log.add(&record)
            .with_context(|| format!("cannot write the logs in {}", folder.path().display()))?;
        let checkpoint = Checkpoint {
            state: State {
                settings: settings.clone(),
                epoch,
                steps: optimizer.steps,
                best: best_now,
            },
            tensors: Tensors::take(&network, &optimizer)?,
        };
        if better {
            checkpoint.write(&folder.file(MAX))?;
        }
        checkpoint.write(&folder.file(LATEST))?;
        print(&record.line())?;
    }
    let best = best.context("the run has no epoch")?;
    let judged = judge_best(&data.test, options, &folder, network, device)?;
    let summary = Summary::new(data.judged_on, data.users, best, &judged);
    summary::leave(&folder, &summary, &judged)?;
    print(&summary.to_string())
}

impl Data {
    fn of(options: &TrainOptions) -> Result<Self> {
        let (cache, frames_in) = (&options.cache, options.frames_in);
        let test = Arc::new(CacheSamples::all(cache, Set::Test, frames_in));
        let Some(validation) = options.args.validation else {
            return Ok(Self {
                train: Arc::new(CacheSamples::all(cache, Set::Train, frames_in)),
                judged: Arc::clone(&test),
                judged_on: JudgedOn::Test,
                users: Vec::new(),
                test,
            });
        };
        let seed = derive(options.seed, Purpose::Validation, 0);
        let samples = &options.cache.set(Set::Train).samples;
        let held_out = validation.hold_out(samples, seed)?;
        let left = held_out.train.len();
        ensure!(
            left >= options.batch_size,
            "--validation {validation} leaves {left} training samples, too few for one batch of {}; hold out less, \
             or use -b {left} or less",
            options.batch_size
        );
        let some = |places| CacheSamples::new(cache, Set::Train, places, frames_in);
        Ok(Self {
            train: Arc::new(some(held_out.train)),
            judged: Arc::new(some(held_out.validation)),
            judged_on: JudgedOn::Validation,
            users: held_out.users,
            test,
        })
    }

    /// The sets and the folder.
    fn describe(&self, folder: &RunFolder) -> String {
        let mut text = format!("  train: {} samples", self.train.len());
        if self.judged_on == JudgedOn::Validation {
            text += &format!(
                ", validation: {} samples of {}",
                self.judged.len(),
                self.users.join(", ")
            );
        }
        text + &format!(
            ", test: {} samples\n  folder: {}\n",
            self.test.len(),
            folder.path().display()
        )
    }

    fn train<B>(
        &self,
        network: Network<B>,
        optimizer: &mut Optimizer<B>,
        options: &TrainOptions,
        epoch: u32,
        device: &B::Device,
    ) -> Result<(Network<B>, Trained)>
    where
        B: AutodiffBackend + SnnBackend,
        B::InnerBackend: SnnBackend,
    {
        // Each epoch draws from a seed of its own: see the module `seed`.
        B::seed(device, derive(options.seed, Purpose::Dropout, epoch));
        let order = derive(options.seed, Purpose::Order, epoch);
        let batches = train_batches(self.train.len(), options.batch_size, order);
        let samples = batches.len() * options.batch_size;
        let reader = start_reader(&self.train, batches, options)?;
        let lr = options.schedule.rate(options.lr, epoch);
        let name = format!("epoch {epoch} train");
        let (network, trained) =
            train_epoch(network, optimizer, lr, reader, samples, name, device)?;
        ensure!(
            trained.metrics.loss.is_finite(),
            "the training loss of epoch {epoch} is {}: --lr {} may be too high",
            trained.metrics.loss,
            options.lr
        );
        Ok((network, trained))
    }

    fn judge<B: SnnBackend>(
        &self,
        network: &Network<B>,
        options: &TrainOptions,
        epoch: u32,
        device: &B::Device,
    ) -> Result<Judgement> {
        let name = format!("epoch {epoch} {}", self.judged_on.name());
        judge_all(network, &self.judged, options, name, device)
    }
}

/// Judges the best network so far on the test set.
fn judge_best<B>(
    test: &Arc<CacheSamples>,
    options: &TrainOptions,
    folder: &RunFolder,
    network: Network<B>,
    device: &B::Device,
) -> Result<Judgement>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend,
{
    let path = folder.file(MAX);
    let best = Checkpoint::read(&path)?;
    let network = best.tensors.network(network.valid());
    let network = network.with_context(|| format!("cannot use {}", path.display()))?;
    judge_all(&network, test, options, "test".to_owned(), device)
}

fn judge_all<B: SnnBackend>(
    network: &Network<B>,
    samples: &Arc<CacheSamples>,
    options: &TrainOptions,
    name: String,
    device: &B::Device,
) -> Result<Judgement> {
    let batches = test_batches(samples.len(), options.test_batch_size);
    let reader = start_reader(samples, batches, options)?;
    judge(network, reader, samples.len(), name, device)
}

fn start_reader(
    samples: &Arc<CacheSamples>,
    batches: Vec<Vec<usize>>,
    options: &TrainOptions,
) -> Result<BatchReader> {
    BatchReader::start(Arc::clone(samples), batches, options.workers)
        .context("cannot start the reader's threads")
}

fn record(
    epoch: u32,
    lr: f64,
    data: &Data,
    trained: &Trained,
    judged: Judgement,
    best: Best,
    total: Duration,
) -> EpochRecord {
    let seconds = total.as_secs_f64();
    let speed = |samples: usize, took: Duration| samples as f64 / took.as_secs_f64();
    EpochRecord {
        epoch,
        train_loss: trained.metrics.loss,
        train_acc: trained.metrics.accuracy,
        judged_on: data.judged_on,
        loss: judged.metrics.loss,
        acc: judged.metrics.accuracy,
        max_acc: best.accuracy,
        lr,
        train_speed: speed(trained.metrics.samples, trained.took),
        test_speed: speed(judged.metrics.samples, judged.took),
        seconds,
        waiting: (trained.waited + judged.waited).as_secs_f64() / seconds,
        silent: judged.firing.silent,
        firing: judged.firing.rates,
        taus: Vec::new(),
    }
}

/// Results go out at once, for whoever reads a log that grows.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}
