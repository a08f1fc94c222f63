//! A run from its first epoch, or its checkpoint, to its last, and what it leaves in its folder.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;

use crate::cache_reader::{test_batches, train_batches};
use crate::checkpoint::{Best, Checkpoint, LATEST, MAX, State};
use crate::cli::Half;
use crate::description::describe;
use crate::epoch_log::{EpochLog, EpochRecord, JudgedOn};
use crate::evaluation::{Judgement, judge};
use crate::feed::Feeder;
use crate::interrupt::{Interrupt, Signal};
use crate::network::{Network, NetworkConfig, SnnBackend};
use crate::optimizer::Optimizer;
use crate::optimizer::adam::AdamBackend;
use crate::options::{TrainOptions, network_config};
use crate::resume::Resumption;
use crate::run_folder::RunFolder;
use crate::seed::{Purpose, derive};
use crate::sets::Sets;
use crate::settings::Settings;
use crate::summary::{self, Summary};
use crate::training::{Begun, Trained, train_epoch};
use crate::weights::Tensors;

/// Trains a network as `options` ask for, from `resumption` on where there is one, to the end or until `interrupt` asks to
/// stop. Gives the signal that did.
///
/// # Errors
/// Where a sample cannot be read, a file cannot be written, the device fails or gradients are no longer numbers.
pub fn run<B>(
    options: &TrainOptions,
    resumption: Option<&Resumption>,
    interrupt: &Interrupt,
    device: &B::Device,
) -> Result<Option<Signal>>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + AdamBackend,
{
    let sets = Sets::<B::InnerBackend>::new(options, interrupt, device)?;
    let (judged_on, judged_set) = sets.judged();
    let settings = Settings::of(options)?;
    let config = network_config(&options.args, settings.size)?;
    let Standing {
        mut network,
        mut optimizer,
        first,
        mut begun,
        mut best,
    } = Standing::<B>::at(options, &config, resumption, device)?;
    let folder = match resumption {
        Some(from) => RunFolder::reopen(options, &from.file, &from.checkpoint, from.in_place())?,
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

    let point = |epoch, begun, best, network: &_, optimizer: &_| -> Result<Checkpoint> {
        let tensors = Tensors::take(network, optimizer)?;
        let Optimizer {
            steps, loss_scale, ..
        } = *optimizer;
        let settings = settings.clone();
        let state = State {
            settings,
            epoch,
            begun,
            steps,
            best,
            loss_scale,
        };
        Ok(Checkpoint { state, tensors })
    };
    for epoch in first..options.epochs {
        let start = Instant::now();
        let lr = options.schedule.rate(options.lr, epoch);
        let trained;
        let from = begun.take().unwrap_or_default();
        (network, trained) = train(
            network,
            &mut optimizer,
            &sets.train,
            options,
            epoch,
            from,
            device,
        )?;
        let name = format!("epoch {epoch} {}", judged_on.name());
        let judged = match interrupt.asked() {
            None => Some(judge_all(
                &network.valid(),
                judged_set,
                options,
                name,
                device,
            )?),
            Some(_) => None,
        };
        // What was judged when a signal came may be a part of the set.
        let Some(judged) = judged.filter(|_| interrupt.asked().is_none()) else {
            let checkpoint = point(epoch, Some(trained.begun), best, &network, &optimizer)?;
            checkpoint.write(&folder.file(LATEST))?;
            let batch = trained.begun.batches;
            return Ok(stopped(
                interrupt,
                &format!("within epoch {epoch}, after batch {batch}"),
                &folder,
            ));
        };
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
        record.loss_scale = optimizer.loss_scale;
        // The row first: one without a checkpoint is dropped on resuming, a checkpoint without its row would stay so.
        log.add(&record)
            .with_context(|| format!("cannot write the logs in {}", folder.path().display()))?;
        let checkpoint = point(epoch, None, best, &network, &optimizer)?;
        if better {
            checkpoint.write(&folder.file(MAX))?;
        }
        checkpoint.write(&folder.file(LATEST))?;
        print(&record.line())?;
    }
    let best = best.context("the run has no epoch")?;
    let network = best_network(&folder, network.valid())?;
    let judged = judge_all(&network, &sets.test, options, "test".to_owned(), device)?;
    if interrupt.asked().is_some() {
        return Ok(stopped(
            interrupt,
            "before the summary, all epochs done",
            &folder,
        ));
    }
    let summary = Summary::new(judged_on, sets.users().to_vec(), best, &judged);
    summary::leave(&folder, &summary, &judged)?;
    print(&summary.to_string())?;
    Ok(None)
}

/// Says where the run stopped and how it goes on; gives the signal.
fn stopped(interrupt: &Interrupt, at: &str, folder: &RunFolder) -> Option<Signal> {
    let signal = interrupt.asked()?;
    // Whoever would read it may have got the same signal.
    let _ = writeln!(
        io::stderr(),
        "dvs-train: {signal}: stopped {at}; go on with: dvs-train --resume {}",
        folder.path().display()
    );
    Some(signal)
}

/// Where a run stands before it goes on.
struct Standing<B: AutodiffBackend> {
    network: Network<B>,
    optimizer: Optimizer<B>,
    /// The epoch to work on.
    first: u32,
    /// What is done of it.
    begun: Option<Begun>,
    best: Option<Best>,
}

impl<B> Standing<B>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + AdamBackend,
{
    /// At its beginning, or at the checkpoint of `resumption`.
    fn at(
        options: &TrainOptions,
        config: &NetworkConfig,
        resumption: Option<&Resumption>,
        device: &B::Device,
    ) -> Result<Self> {
        B::seed(device, derive(options.seed, Purpose::Weights, 0));
        let mut standing = Self {
            network: Network::new(config, device),
            optimizer: Optimizer::new(options.rule),
            first: 0,
            begun: None,
            best: None,
        };
        if let Some(from) = resumption {
            let Checkpoint { state, tensors } = &from.checkpoint;
            let of_file = || format!("cannot go on from {}", from.file.display());
            let network = tensors.network(standing.network).with_context(of_file)?;
            let optimizer = tensors.optimizer(options.rule, state.steps, &network);
            standing = Self {
                optimizer: optimizer.with_context(of_file)?,
                network,
                first: state.epochs_done(),
                begun: state.begun,
                best: state.best,
            };
        }
        standing.optimizer.loss_scale = match options.args.amp {
            Some(Half::F16) => {
                let before = resumption.and_then(|from| from.checkpoint.state.loss_scale);
                Some(before.unwrap_or_default())
            }
            Some(Half::Bf16) | None => None,
        };
        Ok(standing)
    }
}

/// One epoch of training, or the rest of one of which `begun` is done.
fn train<B>(
    network: Network<B>,
    optimizer: &mut Optimizer<B>,
    set: &Feeder<B::InnerBackend>,
    options: &TrainOptions,
    epoch: u32,
    begun: Begun,
    device: &B::Device,
) -> Result<(Network<B>, Trained)>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + AdamBackend,
{
    // Each epoch draws from a seed of its own: see the module `seed`.
    B::seed(device, derive(options.seed, Purpose::Dropout, epoch));
    network.pass_over_masks(begun.batches, options.batch_size, device);
    let order = derive(options.seed, Purpose::Order, epoch);
    let mut batches = train_batches(set.len(), options.batch_size, order);
    let samples = batches.len() * options.batch_size;
    batches.drain(..begun.batches.min(batches.len()));
    let draws = options.augmentation.map(|of| of.epoch(options.seed, epoch));
    let feed = set.feed(batches, draws)?;
    let lr = options.schedule.rate(options.lr, epoch);
    let name = format!("epoch {epoch} train");
    let trained = train_epoch(network, optimizer, lr, begun, feed, samples, name, device);
    trained.with_context(|| format!("training failed in epoch {epoch}, at the learning rate {lr}"))
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
    let feed = set.feed(test_batches(set.len(), options.test_batch_size), None)?;
    judge(network, feed, set.len(), name, &mut (), device)
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
    let learnt = trained.begun.sums.means();
    let speed = |samples: usize, took: Duration| samples as f64 / took.as_secs_f64();
    EpochRecord {
        epoch,
        train_loss: learnt.loss,
        train_acc: learnt.accuracy,
        judged_on,
        loss: judged.metrics.loss,
        acc: judged.metrics.accuracy,
        max_acc: best.accuracy,
        lr,
        train_speed: speed(trained.samples, trained.took),
        test_speed: speed(judged.metrics.samples, judged.took),
        seconds,
        waiting: (trained.waited + judged.waited).as_secs_f64() / seconds,
        silent: judged.firing.silent,
        firing: judged.firing.rates,
        taus: Vec::new(),
        loss_scale: None,
    }
}

/// Results go out at once, for whoever reads a log that grows.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}
