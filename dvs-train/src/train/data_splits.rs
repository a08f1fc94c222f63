//! The training, validation and test sets of a run.

use anyhow::{Result, ensure};
use burn::tensor::backend::Backend;
use dvs_shared::Set;

use crate::config::options::TrainOptions;
use crate::data::dataset::CacheSamples;
use crate::data::device_loader::DeviceLoader;
use crate::data::seed::{Purpose, derive};
use crate::run_dir::epoch_log::EvaluatedOn;
use crate::train::run_ranks::RunRanks;

/// The sets of a run.
pub struct DataSplits<B: Backend> {
    /// Training set.
    pub train: DeviceLoader<B>,
    /// Test set.
    pub test: DeviceLoader<B>,
    /// Users or recordings held out of training, and the validation set.
    validation: Option<(Vec<String>, DeviceLoader<B>)>,
}

impl<B: Backend> DataSplits<B> {
    /// Makes the sets that `options` ask for.
    ///
    /// # Errors
    /// Returns an error if too few samples are left to train on, or to evaluate on all ranks.
    pub fn new(options: &TrainOptions, ranks: &RunRanks, device: &B::Device) -> Result<Self> {
        let (cache, frames_in) = (&options.cache, options.frames_in);
        let (jobs, interrupt) = (options.config.data.jobs, ranks.interrupt());
        let loader = |samples| DeviceLoader::new(samples, jobs, interrupt, device);
        let test = loader(CacheSamples::all(cache, Set::Test, frames_in));
        ranks.check_samples("test", test.len())?;
        let Some(validation) = &options.config.data.validation else {
            return Ok(Self {
                train: loader(CacheSamples::all(cache, Set::Train, frames_in)),
                test,
                validation: None,
            });
        };
        let seed = derive(options.config.seed, Purpose::Validation, 0);
        let samples = &options.cache.set(Set::Train).samples;
        let held_out = validation.hold_out(samples, seed)?;
        let left = held_out.train.len();
        ensure!(
            left >= options.config.data.batch_size,
            "--validation {validation} leaves {left} training samples, too few for one batch of {}; hold out less, \
             or use -b {left} or less",
            options.config.data.batch_size
        );
        ranks.check_samples("validation", held_out.validation.len())?;
        let some = |places| loader(CacheSamples::new(cache, Set::Train, places, frames_in));
        Ok(Self {
            train: some(held_out.train),
            test,
            validation: Some((held_out.names, some(held_out.validation))),
        })
    }

    /// Returns the set that the network is evaluated on after each epoch.
    pub fn evaluation_set(&self) -> (EvaluatedOn, &DeviceLoader<B>) {
        match &self.validation {
            Some((_, loader)) => (EvaluatedOn::Validation, loader),
            None => (EvaluatedOn::Test, &self.test),
        }
    }

    /// Returns the users or recordings held out of training.
    pub fn users(&self) -> &[String] {
        self.validation.as_ref().map_or(&[], |(users, _)| users)
    }

    /// Describes the sizes of the sets.
    pub fn describe(&self) -> String {
        let mut text = format!("train: {} samples", self.train.len());
        if let Some((users, loader)) = &self.validation {
            let number = loader.len();
            text += &format!(", validation: {number} samples of {}", users.join(", "));
        }
        text + &format!(", test: {} samples", self.test.len())
    }
}
