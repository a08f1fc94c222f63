//! The flags of `train`.

use std::path::PathBuf;

use clap::{Args, Command, FromArgMatches, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::config::neuron_args::NeuronArgs;
use crate::data::augment::AugmentArgs;
use crate::data::dataset::FramesIn;
use crate::data::validation::Validation;
use crate::device::DeviceName;
use crate::nn::network::StepMode;
use crate::optim::AmpDtype;

/// Flags of `train`. `settings.json` and checkpoints store them under the names of these fields.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
// As in Python's argparse, the last occurrence of a flag counts, so that scripts can append flags.
#[command(args_override_self = true)]
pub struct TrainArgs {
    /// Directory of the cache, which has the file name that dvs-prep gives it [default: $DVS_DATA,
    /// else ./DVS128Gesture]
    #[arg(long, alias = "data_dir", value_name = "DIR", conflicts_with = "cache")]
    pub data_dir: Option<PathBuf>,

    /// Frame cache, instead of --data-dir
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,

    /// Frames per sample (time steps T of the network) [default: 16, or as in --cache]
    #[arg(short = 'T', long, value_name = "T")]
    pub frames: Option<u32>,

    /// How samples were split into frames [default: number, or as in --cache]
    #[arg(long, value_enum, value_name = "MODE")]
    pub split: Option<Split>,

    /// Device to compute on: auto (cuda:0 if it works, else the CPU), cpu, cuda:N or vulkan:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceName,

    /// Samples per training batch; an incomplete last batch is dropped
    #[arg(short = 'b', long, default_value_t = 16, value_name = "SAMPLES")]
    pub batch_size: usize,

    /// Samples per test batch [default: as for training]
    #[arg(long, value_name = "SAMPLES")]
    pub test_batch_size: Option<usize>,

    /// Number of epochs
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub epochs: u32,

    /// Number of data loader threads; each keeps up to two batches in memory
    #[arg(short = 'j', long, default_value_t = 4, value_name = "N")]
    pub jobs: usize,

    /// Where to keep the frames between epochs
    #[arg(long, value_enum, default_value_t = FramesIn::Auto, value_name = "WHERE")]
    pub frames_in: FramesIn,

    /// Channels C of the convolutions
    #[arg(long, default_value_t = 128, value_name = "C")]
    pub channels: usize,

    /// Add a bias to the two linear layers, as in SpikingJelly's example; the paper's network has
    /// none
    #[arg(long)]
    pub linear_bias: bool,

    /// Neurons in the hidden linear layer [default: 4 times the channels; SpikingJelly's example
    /// always has 512]
    #[arg(long, value_name = "NEURONS")]
    pub hidden: Option<usize>,

    /// Process a sample layer by layer (multi-step) or step by step (single-step)
    #[arg(long, alias = "step_mode", value_enum, default_value_t = StepMode::M, value_name = "MODE")]
    pub step_mode: StepMode,

    /// Directory to create the run folder in
    #[arg(long, alias = "out_dir", default_value = "./logs", value_name = "DIR")]
    pub out_dir: PathBuf,

    /// Resume from a checkpoint or run folder (its checkpoint_latest is used); options not given
    /// keep their saved values
    #[arg(long, value_name = "PATH")]
    pub resume: Option<PathBuf>,

    /// Overwrite an existing run in the run folder
    #[arg(long)]
    pub force: bool,

    /// Automatic mixed precision: compute convolutions and linear layers in 16 bits during
    /// training; needs a GPU [bf16 if no TYPE is given]
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "bf16", value_name = "TYPE")]
    pub amp: Option<AmpDtype>,

    /// Optimizer
    #[arg(long, value_enum, default_value_t = OptimizerName::Adam, ignore_case = true)]
    pub opt: OptimizerName,

    /// Learning rate
    #[arg(
        long,
        default_value_t = 0.001,
        allow_negative_numbers = true,
        value_name = "RATE"
    )]
    pub lr: f64,

    /// Momentum of SGD
    #[arg(
        long,
        default_value_t = 0.9,
        allow_negative_numbers = true,
        value_name = "SHARE"
    )]
    pub momentum: f64,

    /// Learning rate schedule
    #[arg(long, alias = "lr_scheduler", value_enum, default_value_t = SchedulerName::CosAlr, ignore_case = true, value_name = "NAME")]
    pub lr_scheduler: SchedulerName,

    /// StepLR: epochs between decays of the learning rate
    #[arg(long, alias = "step_size", default_value = "32", value_parser = whole_number, value_name = "EPOCHS")]
    pub step_size: u32,

    /// StepLR: factor of each decay
    #[arg(
        long,
        default_value_t = 0.1,
        allow_negative_numbers = true,
        value_name = "FACTOR"
    )]
    pub gamma: f64,

    /// CosALR: epochs until the learning rate reaches 0; it rises again over as many epochs
    #[arg(
        long,
        alias = "T_max",
        alias = "t_max",
        alias = "T-max",
        default_value_t = 32,
        value_name = "EPOCHS"
    )]
    pub t_max: u32,

    /// Hold out users of the training set for validation, and choose checkpoint_max on them:
    /// users:4, users:NAME,NAME or a fraction of the users such as 0.1; or hold out whole
    /// recordings: recordings:0.2. The test set is then evaluated once, at the end
    ///
    /// A sample's user is the part of its name before the first _.
    #[arg(long, value_name = "HOW")]
    pub validation: Option<Validation>,

    /// Random seed of weights, sample order, dropout and augmentation
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,

    // After the others, because its heading applies to all that follow.
    #[command(flatten)]
    #[serde(flatten)]
    pub augment: AugmentArgs,

    // Last, because its heading applies to all that follow.
    #[command(flatten)]
    #[serde(flatten)]
    pub neuron: NeuronArgs,
}

impl TrainArgs {
    /// The default flags.
    ///
    /// # Errors
    /// Never returns an error in practice, because no flag is required.
    pub fn usual() -> anyhow::Result<Self> {
        Ok(Self::parse(&[])?)
    }

    fn parse(line: &[&str]) -> Result<Self, clap::Error> {
        let command = Self::augment_args(Command::new("dvs-train"));
        let line = std::iter::once(&"dvs-train").chain(line);
        Self::from_arg_matches(&command.try_get_matches_from(line)?)
    }

    /// Parses a command line, for tests.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub fn parsed(line: &[&str]) -> Self {
        Self::parse(line).unwrap()
    }
}

/// Ways to split a sample into a fixed number of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Frames with equal numbers of events
    Number,
    /// Frames of equal duration
    Time,
}

/// Optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    /// Stochastic gradient descent with momentum
    Sgd,
    /// Adam with betas 0.9 and 0.999 and epsilon 1e-8
    Adam,
}

/// Learning rate schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum SchedulerName {
    /// Multiply the learning rate by --gamma every --step-size epochs
    #[value(name = "StepLR")]
    #[serde(rename = "StepLR")]
    StepLr,
    /// Lower the learning rate to 0 along half a cosine wave, within --t-max epochs
    #[value(name = "CosALR")]
    #[serde(rename = "CosALR")]
    CosAlr,
}

/// Parses a whole number. The tutorial's `-step_size` is a float: 32 or 32.0.
fn whole_number(text: &str) -> Result<u32, String> {
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && (0.0..=1e9).contains(&number) => Ok(number as u32),
        _ => Err(format!("{text:?} is not a whole number of epochs")),
    }
}
