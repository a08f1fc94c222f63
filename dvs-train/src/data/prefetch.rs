//! A thread that uploads batches to the device, one batch ahead of training.
//!
//! A GPU backend gives each thread its own queue, so a copy does not wait for the kernels of the
//! step before.

use std::io;
use std::mem;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use crossbeam_channel::{Receiver, bounded};

use crate::data::batch::{DeviceCounts, HostBatch};

/// Frames `[T, B, 2, H, W]` on the device, and the labels of their samples.
pub type Uploaded<B> = (Tensor<B, 5>, Vec<u8>);

/// An iterator over batches. A thread uploads them to the device, one batch ahead of their use.
/// Ends after an error.
pub struct Uploads<B: Backend> {
    /// `None` once there are no more batches.
    batches: Option<Receiver<Result<Uploaded<B>>>>,
    thread: Option<JoinHandle<()>>,
    waited: Duration,
}

impl<B: Backend> Uploads<B> {
    /// Starts to upload `batches` to `device`.
    ///
    /// # Errors
    /// Returns an error if the thread cannot be started.
    pub fn start(
        batches: impl Iterator<Item = Result<HostBatch>> + Send + 'static,
        device: &B::Device,
    ) -> io::Result<Self> {
        // The thread itself holds the batch that waits. A channel with capacity would add a third
        // batch on the device.
        let (sender, receiver) = bounded(0);
        let device = device.clone();
        let upload = move || {
            for batch in batches {
                let batch = batch.map(|mut batch| {
                    let labels = mem::take(&mut batch.labels);
                    (DeviceCounts::upload(batch, &device).float(), labels)
                });
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

    /// Returns how long the consumer has waited for batches.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Joins the thread. Returns false if it panicked.
    fn end(&mut self) -> bool {
        // Without a receiver the next send fails.
        self.batches = None;
        self.thread
            .take()
            .is_none_or(|thread| thread.join().is_ok())
    }
}

impl<B: Backend> Iterator for Uploads<B> {
    type Item = Result<Uploaded<B>>;

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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use burn::backend::Flex;
    use dvs_shared::CountType;

    use super::*;

    /// Uploads `count` batches. Batch k has one sample with the label k.
    fn uploads(count: u8, each: impl Fn(u8) -> Result<()> + Send + 'static) -> Uploads<Flex> {
        let batches = (0..count).map(move |k| {
            let mut batch = HostBatch::new(CountType::U8, 1, 1, 1, 1);
            batch.labels[0] = k;
            each(k).map(|()| batch)
        });
        Uploads::start(batches, &Default::default()).unwrap()
    }

    fn label((frames, labels): Uploaded<Flex>) -> u8 {
        assert_eq!(frames.dims(), [1, 1, 2, 1, 1]);
        labels[0]
    }

    #[test]
    fn batches_arrive_in_order_and_waiting_is_measured() {
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
    fn error_or_panic_ends_the_uploads_with_a_reason() {
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
    fn uploads_stay_one_batch_ahead_and_stop_when_dropped() {
        let started = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&started);
        let mut uploads = uploads(100, move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        });
        uploads.next().unwrap().unwrap();
        thread::sleep(Duration::from_millis(20));
        drop(uploads);
        // The thread has ended, because nobody else counts.
        assert_eq!(Arc::strong_count(&started), 1);
        // One batch was asked for and one was ready. When the uploads were dropped, the thread may
        // have been reading a third.
        let started = started.load(Ordering::SeqCst);
        assert!((1..=3).contains(&started), "{started} batches were started");
    }
}
