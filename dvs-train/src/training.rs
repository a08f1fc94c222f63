//! One epoch of training: batches through the network, a step of the optimizer for each.

use std::time::{Duration, Instant};

use anyhow::Result;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use crate::batch::Batch;
use crate::feed::Feed;
use crate::metrics::{Metrics, Running};
use crate::network::{Network, SnnBackend};
use crate::optimizer::Optimizer;
use crate::progress::sample_bar;

/// What an epoch of training gave and took.
#[derive(Clone, Copy, Debug)]
pub struct Trained {
    /// Loss and accuracy, each batch's before its step.
    pub metrics: Metrics,
    /// Time of the epoch.
    pub took: Duration,
    /// Time of it in which there was no batch to work on.
    pub waited: Duration,
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
pub fn step<B>(
    network: Network<B>,
    optimizer: &mut Optimizer<B>,
    lr: f64,
    batch: &Batch<B>,
) -> Step<B>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend,
{
    let rate = network.forward(batch.frames.clone());
    let loss = mean_squared_error(rate.clone(), batch.target.clone());
    let gradients = GradientsParams::from_grads(loss.backward(), &network);
    Step {
        network: optimizer.step(lr, network, gradients),
        loss: loss.inner(),
        rate: rate.inner(),
    }
}

/// Mean over samples and classes of the squared difference.
pub fn mean_squared_error<B: Backend>(rate: Tensor<B, 2>, target: Tensor<B, 2>) -> Tensor<B, 1> {
    let difference = rate - target; // [B, 11]
    (difference.clone() * difference).mean()
}

/// Trains `network` on the batches of `feed`, which hold `samples`, with the learning rate `lr`. `name` stands before
/// the progress bar.
///
/// # Errors
/// Where a sample cannot be read or the device fails.
pub fn train_epoch<B>(
    mut network: Network<B>,
    optimizer: &mut Optimizer<B>,
    lr: f64,
    mut feed: Feed<'_, B::InnerBackend>,
    samples: usize,
    name: String,
    device: &B::Device,
) -> Result<(Network<B>, Trained)>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend,
{
    let start = Instant::now();
    let bar = sample_bar(name, samples);
    let mut running = Running::<B::InnerBackend>::new(device);
    for batch in &mut feed {
        let batch = batch?.tracked::<B>();
        let step = step(network, optimizer, lr, &batch);
        network = step.network;
        let batch_size = batch.labels.dims()[0];
        running = running.add(step.loss, step.rate, batch.labels.inner());
        bar.inc(batch_size as u64);
    }
    bar.finish_and_clear();
    let trained = Trained {
        metrics: running.finish()?,
        took: start.elapsed(),
        waited: feed.waited(),
    };
    Ok((network, trained))
}

#[cfg(test)]
mod tests;
