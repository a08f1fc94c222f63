//! A network as a checkpoint holds it, ready to be used.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dvs_shared::labels::listed;
use dvs_shared::{CacheFile, SplitMode};

use crate::config::train_args::Split;
use crate::config::train_args::TrainArgs;
use crate::nn::network::{Network, SnnBackend};
use crate::run_dir::checkpoint::{self, Checkpoint, MAX, State};
use crate::run_dir::weight_layout::Form;

/// A trained network.
#[derive(Debug)]
pub struct LoadedModel<B: SnnBackend> {
    /// The checkpoint's file.
    pub file: PathBuf,
    /// What it says of its run.
    pub state: State,
    /// The run's flags.
    pub args: TrainArgs,
    /// How samples are divided into frames for this network.
    pub split: SplitMode,
    /// The network.
    pub network: Network<B>,
}

impl<B: SnnBackend> LoadedModel<B> {
    /// Loads the checkpoint at `path`, or the best one of the run whose folder it is.
    ///
    /// # Errors
    /// Where there is none, it is damaged, or holds no network that this version can make.
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

    /// Sees that `cache` holds what the network takes.
    ///
    /// # Errors
    /// Where its frames are of another kind or size.
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
