//! The training loop: batches through the network, epoch after epoch.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use burn::module::AutodiffModule;
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamConfig, GradientsParams, Optimizer};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use dvs_shared::Set;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::batch::Batch;
use crate::cache_reader::{BatchReader, CacheSamples, SampleSource, test_batches, train_batches};
use crate::metrics::{Metrics, Running};
use crate::network::{Network, NetworkConfig, SnnBackend};
use crate::neuron::Lif;
use crate::options::TrainOptions;
use crate::seed::{Purpose, derive};

/// What an epoch of one set took and gave.
struct Epoch {
    metrics: Metrics,
    took: Duration,
    waited: Duration,
}

/// The optimizer of network `N`.
type NetworkAdam<B> = OptimizerAdaptor<Adam, Network<B>, B>;

/// Trains a network as `options` say and prints a line an epoch.
///
/// # Errors
/// Where a sample cannot be read, the device fails or the loss is no longer a number.
pub fn run<B>(options: &TrainOptions, device: &B::Device) -> Result<()>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend,
{
    let [train_set, test_set] = [Set::Train, Set::Test].map(|set| {
        Arc::new(CacheSamples {
            cache: Arc::clone(&options.cache),
            set,
        })
    });
    let config = NetworkConfig {
        channels: options.channels,
        size: train_set.size(),
        lif: Lif::default(),
        dropout: 0.5,
    };
    B::seed(device, derive(options.seed, Purpose::Weights, 0));
    let mut network = Network::<B>::new(&config, device);
    let mut adam = adam();
    print(&describe(options, &network, &config, device))?;

    let mut max_test_acc = 0.0_f64;
    for epoch in 0..options.epochs {
        let start = Instant::now();
        // Each epoch draws from a seed of its own: see the module `seed`.
        B::seed(device, derive(options.seed, Purpose::Dropout, epoch));
        let order = derive(options.seed, Purpose::Order, epoch);
        let batches = train_batches(train_set.len(), options.batch_size, order);
        let reader = BatchReader::start(Arc::clone(&train_set), batches, options.workers)
            .context("cannot start the reader's threads")?;
        let train;
        (network, train) = train_epoch(network, &mut adam, options.lr, reader, epoch, device)?;
        ensure!(
            train.metrics.loss.is_finite(),
            "the training loss of epoch {epoch} is {}: --lr {} may be too high",
            train.metrics.loss,
            options.lr
        );

        let batches = test_batches(test_set.len(), options.test_batch_size);
        let reader = BatchReader::start(Arc::clone(&test_set), batches, options.workers)
            .context("cannot start the reader's threads")?;
        let test = test_epoch(&network.valid(), reader, epoch, device)?;
        max_test_acc = max_test_acc.max(test.metrics.accuracy);
        let line = epoch_line(epoch, &train, &test, max_test_acc, start.elapsed());
        print(&line)?;
    }
    Ok(())
}

/// Adam with PyTorch's defaults.
pub fn adam<B: AutodiffBackend + SnnBackend>() -> NetworkAdam<B>
where
    B::InnerBackend: SnnBackend,
{
    AdamConfig::new().with_epsilon(1e-8).init()
}

/// What a training step leaves.
pub struct Step<B: AutodiffBackend> {
    /// The network with its new weights.
    pub network: Network<B>,
    /// Loss of the batch, before the step.
    pub loss: Tensor<B::InnerBackend, 1>,
    /// Firing rates `[B, 11]`, before the step.
    pub rate: Tensor<B::InnerBackend, 2>,
}

/// One step: forward, loss, backward, optimizer.
pub fn step<B>(network: Network<B>, adam: &mut NetworkAdam<B>, lr: f64, batch: &Batch<B>) -> Step<B>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend,
{
    let rate = network.forward(batch.frames.clone());
    let loss = mean_squared_error(rate.clone(), batch.target.clone());
    let gradients = GradientsParams::from_grads(loss.backward(), &network);
    Step {
        network: adam.step(lr, network, gradients),
        loss: loss.inner(),
        rate: rate.inner(),
    }
}

/// Mean over samples and classes of the squared difference.
pub fn mean_squared_error<B: Backend>(rate: Tensor<B, 2>, target: Tensor<B, 2>) -> Tensor<B, 1> {
    let difference = rate - target; // [B, 11]
    (difference.clone() * difference).mean()
}

fn train_epoch<B>(
    mut network: Network<B>,
    adam: &mut NetworkAdam<B>,
    lr: f64,
    mut reader: BatchReader,
    epoch: u32,
    device: &B::Device,
) -> Result<(Network<B>, Epoch)>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend,
{
    let start = Instant::now();
    let bar = progress_bar(format!("epoch {epoch} train"), reader.batches());
    let mut running = Running::<B::InnerBackend>::new(device);
    for batch in &mut reader {
        let batch = Batch::<B>::upload(batch?, device);
        let step = step(network, adam, lr, &batch);
        network = step.network;
        running = running.add(step.loss, step.rate, batch.labels.inner());
        bar.inc(1);
    }
    bar.finish_and_clear();
    let epoch = Epoch {
        metrics: running.finish()?,
        took: start.elapsed(),
        waited: reader.waited(),
    };
    Ok((network, epoch))
}

fn test_epoch<B: SnnBackend>(
    network: &Network<B>,
    mut reader: BatchReader,
    epoch: u32,
    device: &B::Device,
) -> Result<Epoch> {
    let start = Instant::now();
    let bar = progress_bar(format!("epoch {epoch} test"), reader.batches());
    let mut running = Running::<B>::new(device);
    for batch in &mut reader {
        let batch = Batch::<B>::upload(batch?, device);
        let rate = network.forward(batch.frames);
        let loss = mean_squared_error(rate.clone(), batch.target);
        running = running.add(loss, rate, batch.labels);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Epoch {
        metrics: running.finish()?,
        took: start.elapsed(),
        waited: reader.waited(),
    })
}

/// The settings and the network.
fn describe<B: SnnBackend>(
    options: &TrainOptions,
    network: &Network<B>,
    config: &NetworkConfig,
    device: &B::Device,
) -> String {
    let mut text = format!("{options}, backend={}\n", B::name(device));
    let mut line = |name: &str, shape: &str, parameters: usize| {
        text += &format!("  {name:<58}{shape:>14}{parameters:>10} parameters\n");
    };
    let layers = network.layers(config.size);
    for layer in &layers {
        let shape: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
        line(&layer.name, &shape.join(" x "), layer.parameters);
    }
    line(
        "total",
        "",
        layers.iter().map(|layer| layer.parameters).sum(),
    );
    let lif = config.lif;
    text += &format!(
        "  LIF: tau={}, threshold={}, reset to 0{}, surrogate ATan alpha={}\n",
        lif.tau,
        lif.threshold,
        if lif.detach_reset { " (detached)" } else { "" },
        lif.alpha
    );
    text
}

/// The tutorial's line, then this program's own numbers.
fn epoch_line(
    epoch: u32,
    train: &Epoch,
    test: &Epoch,
    max_test_acc: f64,
    total: Duration,
) -> String {
    let waited = (train.waited + test.waited).as_secs_f64() / total.as_secs_f64();
    let rate = |set: &Epoch| set.metrics.samples as f64 / set.took.as_secs_f64();
    format!(
        "epoch={epoch}, train_loss={}, train_acc={}, test_loss={}, test_acc={}, \
         max_test_acc={max_test_acc}, total_time={:.3}, train_samples_per_s={:.1}, \
         test_samples_per_s={:.1}, waiting_for_data={:.1}%\n",
        train.metrics.loss,
        train.metrics.accuracy,
        test.metrics.loss,
        test.metrics.accuracy,
        total.as_secs_f64(),
        rate(train),
        rate(test),
        100.0 * waited
    )
}

/// Results go out at once, for whoever reads a log that grows.
fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
}

/// A bar on standard error, shown on a terminal only.
fn progress_bar(name: String, batches: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(batches as u64), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} batches, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.with_message(name)
}

#[cfg(test)]
mod tests;
