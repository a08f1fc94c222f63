//! A run from its first epoch, or its checkpoint, to its last, and what it leaves in its folder.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;

use crate::cache_reader::{test_batches, train_batches};
use crate::checkpoint::{Best, Checkpoint, LATEST, MAX, State};
use crate::description::describe;
use crate::epoch_log::{EpochLog, EpochRecord, JudgedOn};
use crate::evaluation::{Judgement, judge};
use crate::feed::Feeder;
use crate::network::{Network, SnnBackend};
use crate::optimizer::Optimizer;
use crate::options::{TrainOptions, network_config};
use crate::resume::Resumption;
use crate::run_folder::RunFolder;
use crate::seed::{Purpose, derive};
use crate::sets::Sets;
use crate::settings::Settings;
use crate::summary::{self, Summary};
use crate::training::{Trained, train_epoch};
use crate::weights::Tensors;

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
    let sets = Sets::<B::InnerBackend>::new(options, device)?;
    let (judged_on, judged_set) = sets.judged();
    let settings = Settings::of(options)?;
    let config = network_config(&options.args, settings.size)?;
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
    print(&format!(
        "  {}\n  folder: {}\n",
        sets.describe(),
        folder.path().display()
    ))?;

    for epoch in first..options.epochs {
        let start = Instant::now();
        let lr = options.schedule.rate(options.lr, epoch);
        let trained;
        (network, trained) = train(network, &mut optimizer, &sets.train, options, epoch, device)?;
        let name = format!("epoch {epoch} {}", judged_on.name());
        let judged = judge_all(&network.valid(), judged_set, options, name, device)?;
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
            judged_on,
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
    let network = best_network(&folder, network.valid())?;
    let judged = judge_all(&network, &sets.test, options, "test".to_owned(), device)?;
    let summary = Summary::new(judged_on, sets.users().to_vec(), best, &judged);
    summary::leave(&folder, &summary, &judged)?;
    print(&summary.to_string())
}

/// One epoch of training.
fn train<B>(
    network: Network<B>,
    optimizer: &mut Optimizer<B>,
    set: &Feeder<B::InnerBackend>,
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
    let batches = train_batches(set.len(), options.batch_size, order);
    let samples = batches.len() * options.batch_size;
    let feed = set.feed(batches)?;
    let lr = options.schedule.rate(options.lr, epoch);
    let name = format!("epoch {epoch} train");
    let (network, trained) = train_epoch(network, optimizer, lr, feed, samples, name, device)?;
    ensure!(
        trained.metrics.loss.is_finite(),
        "the training loss of epoch {epoch} is {}: --lr {} may be too high",
        trained.metrics.loss,
        options.lr
    );
    Ok((network, trained))
}

/// The network with the weights of the best checkpoint.
fn best_network<B: SnnBackend>(folder: &RunFolder, network: Network<B>) -> Result<Network<B>> {
    let path = folder.file(MAX);
    let best = Checkpoint::read(&path)?;
    let network = best.tensors.network(network);
    network.with_context(|| format!("cannot use {}", path.display()))
}

fn judge_all<B: SnnBackend>(
    network: &Network<B>,
    set: &Feeder<B>,
    options: &TrainOptions,
    name: String,
    device: &B::Device,
) -> Result<Judgement> {
    let feed = set.feed(test_batches(set.len(), options.test_batch_size))?;
    judge(network, feed, set.len(), name, device)
}

fn record(
    epoch: u32,
    lr: f64,
    judged_on: JudgedOn,
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
        judged_on,
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
