//! One epoch of training, with a step of the optimizer per batch.

mod truncated;

use std::time::{Duration, Instant};

use anyhow::Result;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_snn::loss::mean_squared_error;

use crate::console::progress::sample_bar;
use crate::data::batch::Batch;
use crate::data::device_loader::EpochBatches;
use crate::metrics::{Running, Sums};
use crate::nn::network::{Network, SnnBackend};
use crate::optim::gradients::{self, sum_gradients};
use crate::optim::optimizer::Optimizer;
use crate::optim::optimizer::update::OptimizerBackend;
use crate::run_dir::checkpoint::EpochProgress;
use crate::train::run_ranks::RunRanks;

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

/// Results of a training step. The loss and the rates are those of this rank's samples.
pub struct Step<B: AutodiffBackend> {
    /// The network with its new weights.
    pub network: Network<B>,
    /// Loss of the batch, before the step.
    pub loss: Tensor<B::InnerBackend, 1>,
    /// Firing rates `[B, classes]`, before the step.
    pub rate: Tensor<B::InnerBackend, 2>,
    /// Sum `[1]` of the squares of all gradients; `None` if the loss is scaled.
    pub square_sum: Option<Tensor<B::InnerBackend, 1>>,
    /// Whether this rank or another one was asked to stop.
    pub stop: bool,
}

/// Results of the backward pass of a batch.
pub struct Gradients<B: AutodiffBackend> {
    /// Loss of the batch.
    pub loss: Tensor<B::InnerBackend, 1>,
    /// Firing rates `[B, classes]`.
    pub rate: Tensor<B::InnerBackend, 2>,
    /// Gradients of the scaled loss.
    pub gradients: GradientsParams,
}

/// Trains one step: forward, loss, backward, optimizer. `batch` is this rank's part of the batch,
/// and all ranks take the same step.
///
/// # Errors
/// Returns an error if the device or another rank failed.
pub fn step<B>(
    network: Network<B>,
    optimizer: &mut Optimizer<B>,
    lr: f64,
    batch: &Batch<B>,
    ranks: &RunRanks,
) -> Result<Step<B>>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    let mut scale = |loss: &Tensor<B, 1>| {
        let scaled = match optimizer.loss_factor(&loss.device()) {
            Some(factor) => loss.clone() * factor,
            None => loss.clone(),
        };
        match ranks.size() {
            1 => scaled,
            // The loss of the whole batch is the mean of the ranks' losses.
            size => scaled.div_scalar(size as f64),
        }
    };
    let Gradients {
        loss,
        rate,
        gradients,
    } = match network.chunk_steps(batch.frames.dims()[0]) {
        Some(steps) => truncated::gradients(&network, batch, steps, scale),
        None => {
            let rate = network.forward(batch.frames.clone());
            let loss = mean_squared_error(rate.clone(), batch.target.clone());
            Gradients {
                gradients: GradientsParams::from_grads(scale(&loss).backward(), &network),
                loss: loss.inner(),
                rate: rate.inner(),
            }
        }
    };
    let mut stops = f32::from(u8::from(ranks.interrupt().asked().is_some()));
    let gradients = sum_gradients(&network, gradients, &mut stops, ranks.operations())?;
    let (network, square_sum) = optimizer.step(lr, network, gradients)?;
    Ok(Step {
        network,
        loss,
        rate,
        square_sum,
        stop: stops > 0.0,
    })
}

/// Trains `network` on the rest of an epoch at the learning rate `lr`, or until a rank is asked to
/// stop.
///
/// # Errors
/// Returns an error if a sample cannot be read, gradients are not finite, or the device or another
/// rank fails.
pub fn train_epoch<B>(
    mut network: Network<B>,
    optimizer: &mut Optimizer<B>,
    lr: f64,
    rest: RemainingEpoch<'_, B::InnerBackend>,
    ranks: &RunRanks,
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
    // The sums so far are of all ranks, and count once.
    let before = match ranks.is_first() {
        true => progress.sums,
        false => Sums::default(),
    };
    let mut running = Running::<B::InnerBackend>::from(before, device);
    let mut square_sums = Vec::new();
    let mut stop = ranks.asked_to_stop()?.is_some();
    // Without others, a rank may stop whenever it is asked to.
    while !(stop || ranks.size() == 1 && ranks.interrupt().asked().is_some())
        && let Some(batch) = epoch_batches.next()
    {
        let batch = batch?.tracked::<B>();
        let step = step(network, optimizer, lr, &batch, ranks)?;
        (network, stop) = (step.network, step.stop);
        let batch_size = ranks.share().whole_batch(batch.labels.len());
        running = running.add(step.loss, step.rate, batch.target.inner());
        // The optimizer itself checks the gradients of a scaled loss, which overflow now and then.
        square_sums.extend(step.square_sum);
        batches += 1;
        bar.inc(batch_size as u64);
    }
    bar.finish_and_clear();
    gradients::check(square_sums, progress.batches)?;
    optimizer.settle()?;
    let sums = running.finish()?.over_ranks(ranks.operations())?;
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
