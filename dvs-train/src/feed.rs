//! Batches on the device: read ahead and uploaded one by one, or gathered from a set that is there already.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use anyhow::{Context, Result};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use crate::batch::{Batch, DeviceCounts};
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
                reader: self.read(batches)?,
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
    /// Read ahead, and uploaded when they are asked for.
    Upload {
        /// Whose they are.
        feeder: &'a Feeder<B>,
        /// What reads.
        reader: BatchReader,
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
            Self::Upload { reader, .. } => reader.waited(),
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
            Self::Upload { feeder, reader } => {
                let batch = reader.next()?;
                Some(batch.map(|batch| Batch::upload(batch, &feeder.device)))
            }
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
