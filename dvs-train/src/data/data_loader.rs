//! The data loader: worker threads read and decode samples ahead of training.
//!
//! Worker `k % workers` makes batch k and sends it through its own channel. The consumer takes the
//! channels in turn, so the order of batches does not depend on the number of workers. Each worker
//! has at most two batches in memory: one in its channel and one in progress.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use anyhow::{Context, Result, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::data::batch::HostBatch;
use crate::data::dataset::{SampleSource, Scratch};

/// Samples of each batch of an epoch, in order.
pub type Batches = Vec<Vec<usize>>;

/// Makes training batches of the samples shuffled by `seed`. Leaves out a last batch that would be
/// short.
pub fn train_batches(samples: usize, batch_size: usize, seed: u64) -> Batches {
    let mut order: Vec<usize> = (0..samples).collect();
    let mut rng = Pcg64::seed_from_u64(seed);
    // Fisher and Yates. The draw is written out (its bias is below 2^-32 for any real dataset)
    // because libraries change how they draw, and a seed must always give the same order.
    for last in (1..samples).rev() {
        let pick = ((u128::from(rng.next_u64()) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, pick);
    }
    order.chunks_exact(batch_size).map(<[_]>::to_vec).collect()
}

/// Makes test batches of the samples at `places` in the cache's order. The last batch may be short.
pub fn test_batches(places: Range<usize>, batch_size: usize) -> Batches {
    let order: Vec<usize> = places.collect();
    order.chunks(batch_size).map(<[_]>::to_vec).collect()
}

/// Iterates over the batches of one epoch. Ends after an error.
pub struct BatchReader {
    lanes: Vec<Receiver<Result<HostBatch>>>,
    workers: Vec<JoinHandle<()>>,
    batches: usize,
    next: usize,
}

impl BatchReader {
    /// Starts at most `workers` threads that read ahead.
    ///
    /// # Errors
    /// Returns an error if a thread cannot be started.
    pub fn start<S: SampleSource>(
        source: Arc<S>,
        batches: Batches,
        workers: usize,
    ) -> io::Result<Self> {
        let mut reader = Self {
            lanes: Vec::new(),
            workers: Vec::new(),
            batches: batches.len(),
            next: 0,
        };
        let batches = Arc::new(batches);
        let workers = workers.clamp(1, batches.len().max(1));
        for lane in 0..workers {
            let (sender, receiver) = bounded(1);
            let (source, batches) = (Arc::clone(&source), Arc::clone(&batches));
            let worker = Builder::new()
                .name(format!("reader-{lane}"))
                .spawn(move || {
                    read_lane(
                        &*source,
                        batches.iter().skip(lane).step_by(workers),
                        &sender,
                    );
                })?;
            reader.lanes.push(receiver);
            reader.workers.push(worker);
        }
        Ok(reader)
    }
}

impl Iterator for BatchReader {
    type Item = Result<HostBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.batches {
            return None;
        }
        let lane = self.lanes.get(self.next % self.lanes.len().max(1))?;
        let batch = lane
            .recv()
            .unwrap_or_else(|_| Err(anyhow!("a reader thread ended before its last batch")));
        self.next += 1;
        if batch.is_err() {
            self.lanes.clear();
        }
        Some(batch)
    }
}

impl Drop for BatchReader {
    fn drop(&mut self) {
        // Without a receiver a worker's next send fails, which ends the worker.
        self.lanes.clear();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

/// Sends a worker's batches in turn, until one cannot be read or the receiver is gone.
fn read_lane<'a>(
    source: &impl SampleSource,
    batches: impl Iterator<Item = &'a Vec<usize>>,
    sender: &Sender<Result<HostBatch>>,
) {
    let mut scratch = Scratch::default();
    for indices in batches {
        let batch = read_batch(source, indices, &mut scratch);
        let last = batch.is_err();
        if sender.send(batch).is_err() || last {
            return;
        }
    }
}

fn read_batch(
    source: &impl SampleSource,
    indices: &[usize],
    scratch: &mut Scratch,
) -> Result<HostBatch> {
    let [height, width] = source.size();
    let mut batch = HostBatch::new(
        source.counts(),
        source.steps(),
        indices.len(),
        height,
        width,
    );
    for (place, &index) in indices.iter().enumerate() {
        let frames = source.read(index, scratch)?;
        batch
            .put(place, frames, source.label(index))
            .with_context(|| format!("sample {index}"))?;
    }
    Ok(batch)
}

#[cfg(test)]
mod tests;
