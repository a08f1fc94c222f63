//! A trained network, loaded from a checkpoint.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dvs_shared::labels::listed;
use dvs_shared::{CacheFile, SplitMode};

use crate::config::train_args::{Split, TrainArgs};
use crate::nn::network::{Network, SnnBackend};
use crate::run_dir::checkpoint::{self, Checkpoint, MAX, State};
use crate::run_dir::weight_layout::Form;

/// A trained network.
#[derive(Debug)]
pub struct LoadedModel<B: SnnBackend> {
    /// The checkpoint's file.
    pub file: PathBuf,
    /// State of its run.
    pub state: State,
    /// The run's flags.
    pub args: TrainArgs,
    /// How to divide samples into frames for this network.
    pub split: SplitMode,
    /// The network.
    pub network: Network<B>,
}

impl<B: SnnBackend> LoadedModel<B> {
    /// Loads the checkpoint at `path`, or the best checkpoint if `path` is a run's folder.
    ///
    /// # Errors
    /// Returns an error if the checkpoint is missing or damaged, or this version cannot make its
    /// network.
    pub fn load(path: &Path, device: &B::Device) -> Result<Self> {
        let file = checkpoint::find(path, MAX)?;
        let Checkpoint { state, tensors } = Checkpoint::read(&file)?;
        let of_file = || format!("cannot use the network in {}", file.display());
        let args = state.settings.args().with_context(of_file)?;
        let config = state.settings.network_config(&args).with_context(of_file)?;
        Form::of(&config).check(&tensors).with_context(of_file)?;
        let network = tensors.network(Network::new(&config, device));
        let network = network.with_context(of_file)?;
        let frames = args
            .frames
            .with_context(|| format!("{} does not say its T", file.display()))?;
        let split = match args.split {
            Some(Split::Time) => SplitMode::Time { frames },
            _ => SplitMode::Number { frames },
        };
        Ok(Self {
            file,
            state,
            args,
            split,
            network,
        })
    }

    /// Checks that the network fits `cache`.
    ///
    /// # Errors
    /// Returns an error if the frames, their size or the classes differ.
    pub fn check(&self, cache: &CacheFile) -> Result<()> {
        let (path, header) = (cache.path().display(), &cache.header);
        ensure!(
            header.split == self.split,
            "{path} holds {}, but the network of {} was trained on {}; make a cache of these: dvs-prep --frames {} \
             --split {}",
            header.split,
            self.file.display(),
            self.split,
            self.split.frames(),
            self.split.split_by()
        );
        ensure!(
            header.label_names == self.state.settings.label_names,
            "{path} holds other classes than the network of {} tells apart: {}, not {}",
            self.file.display(),
            listed(&header.label_names),
            listed(&self.state.settings.label_names)
        );
        let takes = self.state.settings.sensor();
        ensure!(
            header.sensor == takes,
            "{path} holds frames of {} pixels, but the network of {} takes {takes}",
            header.sensor,
            self.file.display()
        );
        Ok(())
    }
}
