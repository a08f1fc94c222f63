//! A trained network, loaded from a checkpoint.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dvs_shared::labels::listed;
use dvs_shared::{CacheFile, SplitMode};

use crate::nn::network::{Network, SnnBackend};
use crate::run_dir::checkpoint::{self, Checkpoint, MAX, State};

/// A trained network.
#[derive(Debug)]
pub struct LoadedModel<B: SnnBackend> {
    /// The checkpoint's file.
    pub file: PathBuf,
    /// State of its run.
    pub state: State,
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
        let config = state.settings.network_config().with_context(of_file)?;
        config.architecture.check(&tensors).with_context(of_file)?;
        let network = tensors.network(Network::new(&config, device));
        let network = network.with_context(of_file)?;
        Ok(Self {
            file,
            state,
            network,
        })
    }

    /// How to divide samples into frames for this network.
    pub fn split(&self) -> SplitMode {
        self.state.settings.config.data.split
    }

    /// Checks that the network fits `cache`.
    ///
    /// # Errors
    /// Returns an error if the frames, their size or the classes differ.
    pub fn check(&self, cache: &CacheFile) -> Result<()> {
        let (path, header, split) = (cache.path().display(), &cache.header, self.split());
        ensure!(
            header.split == split,
            "{path} holds {}, but the network of {} was trained on {split}; make a cache of these: dvs-prep --frames {} \
             --split {}",
            header.split,
            self.file.display(),
            split.frames(),
            split.split_by().name()
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
