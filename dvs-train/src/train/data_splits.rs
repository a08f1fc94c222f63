//! What a run trains, chooses and judges on.

use anyhow::{Result, ensure};
use burn::tensor::backend::Backend;
use dvs_shared::Set;

use crate::config::options::TrainOptions;
use crate::console::interrupt::Interrupt;
use crate::data::dataset::CacheSamples;
use crate::data::device_loader::DeviceLoader;
use crate::data::seed::{Purpose, derive};
use crate::run_dir::epoch_log::JudgedOn;

/// The sets of a run.
pub struct Sets<B: Backend> {
    /// What the network learns from.
    pub train: DeviceLoader<B>,
    /// What the best network is judged on.
    pub test: DeviceLoader<B>,
    /// Users or recordings held out of training, and their samples.
    validation: Option<(Vec<String>, DeviceLoader<B>)>,
}

impl<B: Backend> Sets<B> {
    /// The sets that `options` ask for; their feeds end once `interrupt` asks to stop.
    ///
    /// # Errors
    /// Where too few samples would be left to train on.
    pub fn new(options: &TrainOptions, interrupt: &Interrupt, device: &B::Device) -> Result<Self> {
        let (cache, frames_in) = (&options.cache, options.frames_in);
        let feeder = |samples| DeviceLoader::new(samples, options.workers, interrupt, device);
        let test = feeder(CacheSamples::all(cache, Set::Test, frames_in));
        let Some(validation) = &options.args.validation else {
            return Ok(Self {
                train: feeder(CacheSamples::all(cache, Set::Train, frames_in)),
                test,
                validation: None,
            });
        };
        let seed = derive(options.seed, Purpose::Validation, 0);
        let samples = &options.cache.set(Set::Train).samples;
        let held_out = validation.hold_out(samples, seed)?;
        let left = held_out.train.len();
        ensure!(
            left >= options.batch_size,
            "--validation {validation} leaves {left} training samples, too few for one batch of {}; hold out less, \
             or use -b {left} or less",
            options.batch_size
        );
        let some = |places| feeder(CacheSamples::new(cache, Set::Train, places, frames_in));
        Ok(Self {
            train: some(held_out.train),
            test,
            validation: Some((held_out.names, some(held_out.validation))),
        })
    }

    /// What the network is judged on after each epoch, and what that is.
    pub fn judged(&self) -> (JudgedOn, &DeviceLoader<B>) {
        match &self.validation {
            Some((_, feeder)) => (JudgedOn::Validation, feeder),
            None => (JudgedOn::Test, &self.test),
        }
    }

    /// Users or recordings held out of training.
    pub fn users(&self) -> &[String] {
        self.validation.as_ref().map_or(&[], |(users, _)| users)
    }

    /// How many samples there are.
    pub fn describe(&self) -> String {
        let mut text = format!("train: {} samples", self.train.len());
        if let Some((users, feeder)) = &self.validation {
            let number = feeder.len();
            text += &format!(", validation: {number} samples of {}", users.join(", "));
        }
        text + &format!(", test: {} samples", self.test.len())
    }
}
