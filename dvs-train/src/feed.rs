//! Batches on the device: read ahead and uploaded one by one, or gathered from a set that is there already.
//!
//! Uploads have a thread of their own, which is a batch ahead of training. A GPU backend gives each thread its own
//! queue of work, so that a copy need not wait for the kernels of the step before.

use std::cell::OnceCell;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use std::vec;

use anyhow::{Context, Result, anyhow};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use crossbeam_channel::{Receiver, bounded};

use crate::batch::{Batch, DeviceCounts, HostBatch};
use crate::cache_reader::{BatchReader, Batches, test_batches};
use crate::interrupt::Interrupt;
use crate::samples::{CacheSamples, FramesIn, SampleSource};

/// Samples that are uploaded together where a whole set goes to the device.
const UPLOAD: usize = 16;

/// A set of samples that batches are made of.
pub struct Feeder<B: Backend> {
    samples: Arc<CacheSamples>,
    /// All its frames, `[N, T, 2, H, W]`, where they are to be on the device and were asked for.
    loaded: OnceCell<DeviceCounts<B>>,
    workers: usize,
    interrupt: Interrupt,
    device: B::Device,
}

impl<B: Backend> Feeder<B> {
    /// Feeds `samples`, which `workers` threads read, to `device`, until `interrupt` asks to stop.
    pub fn new(
        samples: CacheSamples,
        workers: usize,
        interrupt: &Interrupt,
        device: &B::Device,
    ) -> Self {
        Self {
            samples: Arc::new(samples),
            loaded: OnceCell::new(),
            workers,
            interrupt: interrupt.clone(),
            device: device.clone(),
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// The batches of one epoch. All frames are loaded onto the device the first time, where they are to be there.
    ///
    /// # Errors
    /// Where a sample cannot be loaded, or the system starts no thread.
    pub fn feed(&self, batches: Batches) -> Result<Feed<'_, B>> {
        if self.samples.frames_in == FramesIn::Device && self.loaded.get().is_none() {
            self.load()?;
        }
        Ok(match self.loaded.get() {
            Some(counts) => Feed::Gather {
                feeder: self,
                counts,
                batches: batches.into_iter(),
            },
            None => Feed::Upload {
                feeder: self,
                uploads: Uploads::start(self.read(batches)?, &self.device)
                    .context("cannot start the thread that uploads batches")?,
            },
        })
    }

    fn load(&self) -> Result<()> {
        let batches = test_batches(self.samples.len(), UPLOAD);
        let parts = self.read(batches)?.map(|batch| {
            let counts = DeviceCounts::upload(batch?, &self.device); // [T, 16, 2, H, W]
            Ok(counts.swap_steps_and_samples())
        });
        if let Some(counts) = DeviceCounts::cat(parts.collect::<Result<_>>()?) {
            self.loaded.get_or_init(|| counts);
        }
        Ok(())
    }

    fn read(&self, batches: Batches) -> Result<BatchReader> {
        BatchReader::start(Arc::clone(&self.samples), batches, self.workers)
            .context("cannot start the reader's threads")
    }
}

/// The batches of one epoch, as an iterator. After an error there are no more, nor once the run is asked to stop.
pub enum Feed<'a, B: Backend> {
    /// Read and uploaded ahead.
    Upload {
        /// Whose they are.
        feeder: &'a Feeder<B>,
        /// What reads and uploads.
        uploads: Uploads<B>,
    },
    /// Gathered on the device.
    Gather {
        /// Whose they are.
        feeder: &'a Feeder<B>,
        /// All frames.
        counts: &'a DeviceCounts<B>,
        /// Which are left.
        batches: vec::IntoIter<Vec<usize>>,
    },
}

impl<B: Backend> Feed<'_, B> {
    /// How long the consumer has waited for batches.
    pub fn waited(&self) -> Duration {
        match self {
            Self::Upload { uploads, .. } => uploads.waited,
            Self::Gather { .. } => Duration::ZERO,
        }
    }
}

impl<B: Backend> Iterator for Feed<'_, B> {
    type Item = Result<Batch<B>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (Self::Upload { feeder, .. } | Self::Gather { feeder, .. }) = &*self;
        if feeder.interrupt.asked().is_some() {
            return None;
        }
        match self {
            Self::Upload { uploads, .. } => uploads.next(),
            Self::Gather {
                feeder,
                counts,
                batches,
            } => {
                let (batch, device) = (batches.next()?, &feeder.device);
                let labels = batch.iter().map(|&sample| feeder.samples.label(sample));
                let labels: Vec<u8> = labels.collect();
                let places: Vec<i32> = batch.iter().map(|&sample| sample as i32).collect();
                let places = TensorData::new(places, [batch.len()]);
                let places = Tensor::<B, 1, Int>::from_data(places, device);
                let counts = counts.select(places).swap_steps_and_samples(); // [T, B, 2, H, W]
                Some(Ok(Batch::new(counts.float(), &labels, device)))
            }
        }
    }
}

/// Batches that a thread uploads, one ahead. After an error there are no more.
pub struct Uploads<B: Backend> {
    /// None once there are no more.
    batches: Option<Receiver<Result<Batch<B>>>>,
    thread: Option<JoinHandle<()>>,
    waited: Duration,
}

impl<B: Backend> Uploads<B> {
    /// Starts to upload `batches` to `device`.
    ///
    /// # Errors
    /// Where the system starts no thread.
    fn start(
        batches: impl Iterator<Item = Result<HostBatch>> + Send + 'static,
        device: &B::Device,
    ) -> io::Result<Self> {
        // No room: the batch that waits is in the thread's hands, and there are two on the device at most.
        let (sender, receiver) = bounded(0);
        let device = device.clone();
        let upload = move || {
            for batch in batches {
                let batch = batch.map(|batch| Batch::upload(batch, &device));
                if sender.send(batch).is_err() {
                    return;
                }
            }
        };
        Ok(Self {
            batches: Some(receiver),
            thread: Some(Builder::new().name("upload".to_owned()).spawn(upload)?),
            waited: Duration::ZERO,
        })
    }

    /// Sees the thread end; whether it did its work.
    fn end(&mut self) -> bool {
        // Without a receiver the next send fails.
        self.batches = None;
        self.thread
            .take()
            .is_none_or(|thread| thread.join().is_ok())
    }
}

impl<B: Backend> Iterator for Uploads<B> {
    type Item = Result<Batch<B>>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let batch = self.batches.as_ref()?.recv();
        self.waited += start.elapsed();
        match batch {
            Ok(Ok(batch)) => Some(Ok(batch)),
            Ok(Err(error)) => {
                self.end();
                Some(Err(error))
            }
            Err(_) if self.end() => None,
            Err(_) => Some(Err(anyhow!("the thread that uploads batches failed"))),
        }
    }
}

impl<B: Backend> Drop for Uploads<B> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::thread;

    use burn::backend::Flex;
    use dvs_shared::CountType;

    use super::*;

    /// Uploads `count` batches, of which batch k has one sample with the label k.
    fn uploads(count: u8, each: impl Fn(u8) -> Result<()> + Send + 'static) -> Uploads<Flex> {
        let batches = (0..count).map(move |k| {
            let mut batch = HostBatch::new(CountType::U8, 1, 1, 1, 1);
            batch.labels[0] = k;
            each(k).map(|()| batch)
        });
        Uploads::start(batches, &Default::default()).unwrap()
    }

    fn label(batch: Batch<Flex>) -> i32 {
        batch.labels.into_data().to_vec::<i32>().unwrap()[0]
    }

    #[test]
    fn batches_come_in_order_and_waiting_for_them_is_measured() {
        let slow = Duration::from_millis(2);
        let mut uploads = uploads(5, move |_| {
            thread::sleep(slow);
            Ok(())
        });
        let labels: Vec<_> = (&mut uploads).map(|batch| label(batch.unwrap())).collect();
        assert_eq!(labels, [0, 1, 2, 3, 4]);
        assert!(uploads.waited > slow, "{:?}", uploads.waited);
        assert!(uploads.next().is_none());
    }

    #[test]
    fn an_error_or_a_panic_ends_them_and_is_told() {
        let failing = |k| match k {
            2 => Err(anyhow!("sample 2 is damaged")),
            _ => Ok(()),
        };
        let panicking = |k| match k {
            2 => panic!("the device is gone"),
            _ => Ok(()),
        };
        for (mut uploads, reason) in [
            (uploads(5, failing), "sample 2 is damaged"),
            (
                uploads(5, panicking),
                "the thread that uploads batches failed",
            ),
        ] {
            for k in 0..2 {
                assert_eq!(label(uploads.next().unwrap().unwrap()), k);
            }
            let error = uploads.next().unwrap().unwrap_err();
            assert_eq!(error.to_string(), reason);
            assert!(uploads.next().is_none());
        }
    }

    #[test]
    fn no_more_than_one_is_ahead_and_none_is_begun_once_they_are_dropped() {
        let begun = Arc::new(());
        let each = Arc::clone(&begun);
        let mut uploads = uploads(100, move |k| {
            assert!(
                k <= 2,
                "one is asked for, one is held, and then the feed is gone"
            );
            let _ = &each;
            Ok(())
        });
        uploads.next().unwrap().unwrap();
        thread::sleep(Duration::from_millis(20));
        drop(uploads);
        assert_eq!(Arc::strong_count(&begun), 1);
    }
}
