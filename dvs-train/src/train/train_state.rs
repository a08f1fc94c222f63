//! The state of a run: its network, its optimizer and its progress.

use anyhow::{Context, Result};
use burn::tensor::backend::AutodiffBackend;

use crate::config::options::TrainOptions;
use crate::config::settings::Settings;
use crate::data::seed::{Purpose, derive};
use crate::nn::network::{Network, SnnBackend};
use crate::nn::network_config::NetworkConfig;
use crate::optim::AmpDtype;
use crate::optim::optimizer::Optimizer;
use crate::optim::optimizer::update::OptimizerBackend;
use crate::run_dir::checkpoint::{Best, Checkpoint, EpochProgress, State};
use crate::run_dir::weights::Tensors;
use crate::train::resume::Resumption;

/// State of a run between epochs, or within an interrupted epoch.
pub struct TrainState<B: AutodiffBackend> {
    /// The network.
    pub network: Network<B>,
    /// Its optimizer.
    pub optimizer: Optimizer<B>,
    /// The epoch to train next, which may be an interrupted epoch.
    pub epoch: u32,
    /// Progress of an interrupted epoch.
    pub progress: Option<EpochProgress>,
    /// The best epoch so far.
    pub best: Option<Best>,
    /// Number of ranks that train.
    pub ranks: usize,
}

impl<B> TrainState<B>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    /// Returns the initial state, or that in the checkpoint of `resumption`.
    ///
    /// # Errors
    /// Returns an error if the checkpoint is of a different network or optimizer.
    pub fn at(
        options: &TrainOptions,
        config: &NetworkConfig,
        resumption: Option<&Resumption>,
        device: &B::Device,
    ) -> Result<Self> {
        B::seed(device, derive(options.config.seed, Purpose::Weights, 0));
        let mut train_state = Self {
            network: Network::new(config, device),
            optimizer: Optimizer::new(options.config.optimizer.rule()),
            epoch: 0,
            progress: None,
            best: None,
            ranks: 1,
        };
        if let Some(from) = resumption {
            let Checkpoint { state, tensors } = &from.checkpoint;
            let of_file = || format!("cannot resume from {}", from.file.display());
            let network = tensors.network(train_state.network).with_context(of_file)?;
            let optimizer =
                tensors.optimizer(options.config.optimizer.rule(), state.steps, &network);
            train_state = Self {
                optimizer: optimizer.with_context(of_file)?,
                network,
                epoch: state.epochs_done(),
                progress: state.progress,
                best: state.best,
                ranks: 1,
            };
        }
        train_state.optimizer.loss_scale = match options.config.optimizer.amp {
            Some(AmpDtype::F16) => {
                let before = resumption.and_then(|from| from.checkpoint.state.loss_scale);
                Some(before.unwrap_or_default())
            }
            Some(AmpDtype::Bf16) | None => None,
        };
        Ok(train_state)
    }

    /// Returns the CRC-32 of the weights and of the optimizer's state.
    ///
    /// # Errors
    /// Returns an error if the device failed.
    pub fn crc(&self) -> Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        for array in Tensors::take(&self.network, &self.optimizer)?.0.values() {
            for value in &array.values {
                hasher.update(&value.to_le_bytes());
            }
        }
        Ok(hasher.finalize())
    }

    /// Makes a checkpoint of the state.
    ///
    /// # Errors
    /// Returns an error if the device failed.
    pub fn checkpoint(&self, settings: &Settings) -> Result<Checkpoint> {
        let tensors = Tensors::take(&self.network, &self.optimizer)?;
        let state = State {
            settings: settings.clone(),
            epoch: match self.progress {
                Some(_) => self.epoch,
                None => self.epoch.saturating_sub(1),
            },
            progress: self.progress,
            steps: self.optimizer.steps,
            best: self.best,
            loss_scale: self.optimizer.loss_scale,
            ranks: self.ranks,
        };
        Ok(Checkpoint { state, tensors })
    }
}
