//! Batches on the device: uploaded one by one, or gathered from a set that is already on the
//! device. Training batches are augmented on the device.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use anyhow::{Context, Result};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use crate::console::interrupt::Interrupt;
use crate::console::progress::sample_bar;
use crate::data::augment::backend::AugmentBackend;
use crate::data::augment::{BatchTransforms, alter};
use crate::data::batch::{Batch, DeviceCounts};
use crate::data::data_loader::{BatchReader, Batches, test_batches};
use crate::data::dataset::{CacheSamples, FramesIn, SampleSource};
use crate::data::prefetch::Uploads;

/// Samples per upload if the whole set goes to the device.
const UPLOAD: usize = 16;

/// Makes batches of a set of samples.
pub struct DeviceLoader<B: Backend> {
    samples: Arc<CacheSamples>,
    /// All frames of the set, `[N, T, 2, H, W]`, once they are loaded for [`FramesIn::Device`].
    loaded: OnceCell<DeviceCounts<B>>,
    workers: usize,
    interrupt: Interrupt,
    device: B::Device,
}

impl<B: Backend> DeviceLoader<B> {
    /// Makes a loader that reads `samples` with `workers` threads.
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

    /// Returns the batches of one epoch, augmented by `transforms`. With [`FramesIn::Device`], the first
    /// call loads all frames onto the device, unless the run is asked to stop meanwhile.
    ///
    /// # Errors
    /// Returns an error if a sample cannot be loaded or a thread cannot be started.
    pub fn epoch(
        &self,
        batches: Batches,
        transforms: Option<BatchTransforms>,
    ) -> Result<EpochBatches<'_, B>> {
        if self.samples.frames_in == FramesIn::Device && self.loaded.get().is_none() {
            self.load()?;
        }
        let source = match self.loaded.get() {
            Some(counts) => Source::Gather(counts),
            None => {
                let uploads = Uploads::start(self.read(batches.clone())?, &self.device)
                    .context("cannot start the thread that uploads batches")?;
                Source::Upload(uploads)
            }
        };
        Ok(EpochBatches {
            loader: self,
            source,
            batches: batches.into_iter(),
            last_size: None,
            transforms,
        })
    }

    /// Loads all frames onto the device. Keeps none of them if the run is asked to stop meanwhile.
    fn load(&self) -> Result<()> {
        let bar = sample_bar("frames onto the device".to_owned(), self.len());
        let mut parts = Vec::new();
        for batch in self.read(test_batches(0..self.len(), UPLOAD))? {
            let batch = batch?;
            bar.inc(batch.labels.len() as u64);
            let counts = DeviceCounts::upload(batch, &self.device); // [T, 16, 2, H, W]
            parts.push(counts.swap_steps_and_samples());
            if self.interrupt.asked().is_some() {
                break;
            }
        }
        bar.finish_and_clear();
        if self.interrupt.asked().is_none()
            && let Some(counts) = DeviceCounts::cat(parts)
        {
            self.loaded.get_or_init(|| counts);
        }
        Ok(())
    }

    fn read(&self, batches: Batches) -> Result<BatchReader> {
        BatchReader::start(Arc::clone(&self.samples), batches, self.workers)
            .context("cannot start the reader's threads")
    }
}

/// Iterates over the batches of one epoch. Ends after an error.
pub struct EpochBatches<'a, B: Backend> {
    loader: &'a DeviceLoader<B>,
    source: Source<'a, B>,
    /// Samples of each remaining batch.
    batches: vec::IntoIter<Vec<usize>>,
    /// Number of samples of the batch before.
    last_size: Option<usize>,
    transforms: Option<BatchTransforms>,
}

/// Source of batches.
enum Source<'a, B: Backend> {
    /// A thread reads and uploads batches ahead of training.
    Upload(Uploads<B>),
    /// Batches are gathered from all frames on the device.
    Gather(&'a DeviceCounts<B>),
}

impl<B: Backend> EpochBatches<'_, B> {
    /// Returns how long the consumer has waited for batches.
    pub fn waited(&self) -> Duration {
        match &self.source {
            Source::Upload(uploads) => uploads.waited(),
            Source::Gather(_) => Duration::ZERO,
        }
    }
}

impl<B: AugmentBackend> EpochBatches<'_, B> {
    /// Returns the next batch, which has these samples.
    fn batch(&mut self, samples: &[usize]) -> Option<Result<Batch<B>>> {
        let (loader, device) = (self.loader, &self.loader.device);
        let (mut frames, mut labels) = match &mut self.source {
            Source::Upload(uploads) => match uploads.next()? {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            },
            Source::Gather(counts) => {
                let labels = samples.iter().map(|&sample| loader.samples.label(sample));
                let places: Vec<i32> = samples.iter().map(|&sample| sample as i32).collect();
                let places = TensorData::new(places, [samples.len()]);
                let places = Tensor::<B, 1, Int>::from_data(places, device);
                let counts = counts.select(places).swap_steps_and_samples(); // [T, B, 2, H, W]
                (counts.float(), labels.collect())
            }
        };
        if let Some(transforms) = &mut self.transforms {
            frames = alter(frames, &transforms.next_plan(samples, &mut labels));
        }
        Some(Ok(Batch::new(
            frames,
            labels,
            loader.samples.classes(),
            device,
        )))
    }
}

impl<B: AugmentBackend> Iterator for EpochBatches<'_, B> {
    type Item = Result<Batch<B>>;

    fn next(&mut self) -> Option<Self::Item> {
        let samples = self.batches.next()?;
        // On CUDA, memory of a size that no tensor needs any longer stays allocated until then.
        if self.last_size.replace(samples.len()) != Some(samples.len()) {
            B::memory_cleanup(&self.loader.device);
        }
        self.batch(&samples)
    }
}
