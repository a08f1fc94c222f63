//! Evaluation of a network on a set.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use burn::tensor::{Int, Tensor};
use burn_snn::loss::mean_squared_error;

use crate::console::progress::sample_bar;
use crate::data::device_loader::EpochBatches;
use crate::metrics::confusion::Confusion;
use crate::metrics::{Metrics, Running, Sums};
use crate::nn::network::{Network, SnnBackend};
use crate::nn::spike_stats::{Firing, Observer, SpikeCounter};
use crate::train::run_ranks::RunRanks;

/// Results of an evaluation.
#[derive(Clone, Debug)]
pub struct EvalResult {
    /// Loss and accuracy.
    pub metrics: Metrics,
    /// Confusion matrix.
    pub confusion: Confusion,
    /// Firing rates.
    pub firing: Firing,
    /// Duration of the evaluation.
    pub took: Duration,
    /// Part of it spent waiting for batches.
    pub waited: Duration,
}

/// Evaluates `network` on `batches`, which have this rank's part of `samples` samples. `name` labels
/// the progress bar, and `also` is a further observer of the spikes. Returns `None` if a rank is
/// asked to stop, because the result would be of a part of the set.
///
/// # Errors
/// Returns an error if a sample cannot be read, or the device or another rank fails.
pub fn evaluate<B: SnnBackend>(
    network: &Network<B>,
    mut batches: EpochBatches<'_, B>,
    samples: usize,
    name: String,
    also: &mut impl Observer<B>,
    ranks: &RunRanks,
    device: &B::Device,
) -> Result<Option<EvalResult>> {
    let start = Instant::now();
    let classes = network.architecture().classes;
    let bar = sample_bar(name, samples);
    let mut running = Running::<B>::from(Sums::default(), device);
    let mut counter = SpikeCounter::new();
    let (mut labels, mut guesses) = (Vec::<u8>::new(), Vec::<Tensor<B, 1, Int>>::new());
    while ranks.interrupt().asked().is_none()
        && let Some(batch) = batches.next()
    {
        let batch = batch?;
        let size = batch.labels.len();
        let rate = network.rates(batch.frames, &mut (&mut counter, &mut *also)); // [B, K]
        let loss = mean_squared_error(rate.clone(), batch.target.clone());
        guesses.push(rate.clone().argmax(1).reshape([size]));
        labels.extend(batch.labels);
        running = running.add(loss, rate, batch.target);
        bar.inc(ranks.share().whole_batch(size) as u64);
    }
    bar.finish_and_clear();
    if ranks.asked_to_stop()?.is_some() {
        return Ok(None);
    }
    let mut confusion = Confusion::new(classes);
    if !guesses.is_empty() {
        let guesses = Tensor::cat(guesses, 0).try_into_data();
        let guesses = guesses.context("the device failed while it computed")?;
        for (label, guess) in labels.into_iter().zip(guesses.iter::<i64>()) {
            confusion.add(usize::from(label), guess as usize);
        }
    }
    Ok(Some(EvalResult {
        metrics: running.finish()?.over_ranks(ranks.operations())?.means(),
        confusion: confusion.over_ranks(ranks.operations())?,
        firing: counter.over_ranks(ranks.operations())?.finish()?,
        took: start.elapsed(),
        waited: batches.waited(),
    }))
}
