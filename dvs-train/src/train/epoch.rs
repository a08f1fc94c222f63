//! One epoch of training, with a step of the optimizer per batch.

use std::time::{Duration, Instant};

use anyhow::Result;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_snn::loss::mean_squared_error;

use crate::console::progress::sample_bar;
use crate::data::batch::Batch;
use crate::data::device_loader::EpochBatches;
use crate::metrics::Running;
use crate::nn::network::{Network, SnnBackend};
use crate::optim::gradients;
use crate::optim::optimizer::Optimizer;
use crate::optim::optimizer::update::OptimizerBackend;
use crate::run_dir::checkpoint::EpochProgress;

/// The rest of an epoch of training.
pub struct RemainingEpoch<'a, B: Backend> {
    /// Progress so far.
    pub progress: EpochProgress,
    /// Batches that are left.
    pub epoch_batches: EpochBatches<'a, B>,
    /// Samples of the whole epoch, for the progress bar.
    pub samples: usize,
    /// Label of the progress bar.
    pub name: String,
}

/// Results of an epoch of training.
#[derive(Clone, Copy, Debug)]
pub struct EpochResult {
    /// Progress at the end, which is the whole epoch unless the run was asked to stop.
    pub progress: EpochProgress,
    /// Number of samples that this call trained on. If the epoch was resumed, the samples from
    /// before the interruption are not counted.
    pub samples: usize,
    /// Duration.
    pub took: Duration,
    /// Part of it spent waiting for batches.
    pub waited: Duration,
}

/// Results of a training step.
pub struct Step<B: AutodiffBackend> {
    /// The network with its new weights.
    pub network: Network<B>,
    /// Loss of the batch, before the step.
    pub loss: Tensor<B::InnerBackend, 1>,
    /// Firing rates `[B, classes]`, before the step.
    pub rate: Tensor<B::InnerBackend, 2>,
    /// Sum `[1]` of the squares of all gradients; `None` if the loss is scaled.
    pub square_sum: Option<Tensor<B::InnerBackend, 1>>,
}

/// Trains one step: forward, loss, backward, optimizer.
///
/// # Errors
/// Returns an error if the device failed.
pub fn step<B>(
    network: Network<B>,
    optimizer: &mut Optimizer<B>,
    lr: f64,
    batch: &Batch<B>,
) -> Result<Step<B>>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    let rate = network.forward(batch.frames.clone());
    let loss = mean_squared_error(rate.clone(), batch.target.clone());
    let scaled = match optimizer.loss_factor(&loss.device()) {
        Some(factor) => loss.clone() * factor,
        None => loss.clone(),
    };
    let gradients = GradientsParams::from_grads(scaled.backward(), &network);
    let (network, square_sum) = optimizer.step(lr, network, gradients)?;
    Ok(Step {
        network,
        loss: loss.inner(),
        rate: rate.inner(),
        square_sum,
    })
}

/// Trains `network` on the rest of an epoch at the learning rate `lr`.
///
/// # Errors
/// Returns an error if a sample cannot be read, gradients are not finite, or the device fails.
pub fn train_epoch<B>(
    mut network: Network<B>,
    optimizer: &mut Optimizer<B>,
    lr: f64,
    rest: RemainingEpoch<'_, B::InnerBackend>,
    device: &B::Device,
) -> Result<(Network<B>, EpochResult)>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    let start = Instant::now();
    let RemainingEpoch {
        progress,
        mut epoch_batches,
        samples,
        name,
    } = rest;
    let bar = sample_bar(name, samples);
    bar.inc(progress.sums.samples as u64);
    let mut batches = progress.batches;
    let mut running = Running::<B::InnerBackend>::from(progress.sums, device);
    let mut square_sums = Vec::new();
    for batch in &mut epoch_batches {
        let batch = batch?.tracked::<B>();
        let step = step(network, optimizer, lr, &batch)?;
        network = step.network;
        let batch_size = batch.labels.len();
        running = running.add(step.loss, step.rate, batch.target.inner());
        // The optimizer itself checks the gradients of a scaled loss, which overflow now and then.
        square_sums.extend(step.square_sum);
        batches += 1;
        bar.inc(batch_size as u64);
    }
    bar.finish_and_clear();
    gradients::check(square_sums, progress.batches)?;
    optimizer.settle()?;
    let sums = running.finish()?;
    let trained = EpochResult {
        progress: EpochProgress { batches, sums },
        samples: sums.samples - progress.sums.samples,
        took: start.elapsed(),
        waited: epoch_batches.waited(),
    };
    Ok((network, trained))
}

#[cfg(test)]
mod tests;
