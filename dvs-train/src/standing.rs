//! Where a run stands: its network, its optimizer, and how far it has come.

use anyhow::{Context, Result};
use burn::tensor::backend::AutodiffBackend;

use crate::checkpoint::{Best, Checkpoint, State};
use crate::cli::Half;
use crate::network::{Network, NetworkConfig, SnnBackend};
use crate::optimizer::Optimizer;
use crate::optimizer::adam::AdamBackend;
use crate::options::TrainOptions;
use crate::resume::Resumption;
use crate::seed::{Purpose, derive};
use crate::settings::Settings;
use crate::training::Begun;
use crate::weights::Tensors;

/// Where a run stands between epochs, or within one that was interrupted.
pub struct Standing<B: AutodiffBackend> {
    /// The network.
    pub network: Network<B>,
    /// Its optimizer.
    pub optimizer: Optimizer<B>,
    /// The epoch to work on.
    pub epoch: u32,
    /// What is done of it.
    pub begun: Option<Begun>,
    /// The best epoch so far.
    pub best: Option<Best>,
}

impl<B> Standing<B>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + AdamBackend,
{
    /// At its beginning, or at the checkpoint of `resumption`.
    ///
    /// # Errors
    /// Where the checkpoint holds another network or optimizer.
    pub fn at(
        options: &TrainOptions,
        config: &NetworkConfig,
        resumption: Option<&Resumption>,
        device: &B::Device,
    ) -> Result<Self> {
        B::seed(device, derive(options.seed, Purpose::Weights, 0));
        let mut standing = Self {
            network: Network::new(config, device),
            optimizer: Optimizer::new(options.rule),
            epoch: 0,
            begun: None,
            best: None,
        };
        if let Some(from) = resumption {
            let Checkpoint { state, tensors } = &from.checkpoint;
            let of_file = || format!("cannot go on from {}", from.file.display());
            let network = tensors.network(standing.network).with_context(of_file)?;
            let optimizer = tensors.optimizer(options.rule, state.steps, &network);
            standing = Self {
                optimizer: optimizer.with_context(of_file)?,
                network,
                epoch: state.epochs_done(),
                begun: state.begun,
                best: state.best,
            };
        }
        standing.optimizer.loss_scale = match options.args.amp {
            Some(Half::F16) => {
                let before = resumption.and_then(|from| from.checkpoint.state.loss_scale);
                Some(before.unwrap_or_default())
            }
            Some(Half::Bf16) | None => None,
        };
        Ok(standing)
    }

    /// What the run needs to go on from here.
    ///
    /// # Errors
    /// Where the device failed.
    pub fn checkpoint(&self, settings: &Settings) -> Result<Checkpoint> {
        let tensors = Tensors::take(&self.network, &self.optimizer)?;
        let state = State {
            settings: settings.clone(),
            epoch: match self.begun {
                Some(_) => self.epoch,
                None => self.epoch.saturating_sub(1),
            },
            begun: self.begun,
            steps: self.optimizer.steps,
            best: self.best,
            loss_scale: self.optimizer.loss_scale,
        };
        Ok(Checkpoint { state, tensors })
    }
}
