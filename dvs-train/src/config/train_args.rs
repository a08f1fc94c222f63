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

/// Flags of `train`. They are what `settings.json` and a checkpoint keep of a run, under the names of these fields.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
// As Python's argparse has it, the last of a flag counts: scripts append to a line that stands.
#[command(args_override_self = true)]
pub struct TrainArgs {
    /// Directory with the cache, under the name dvs-prep gives it [default: $DVS_DATA, else ./DVS128Gesture]
    #[arg(long, alias = "data_dir", value_name = "DIR", conflicts_with = "cache")]
    pub data_dir: Option<PathBuf>,

    /// The frame cache itself, instead of --data-dir
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,

    /// Frames a sample, the time steps T of the network [default: 16, or what --cache holds]
    #[arg(short = 'T', long, value_name = "T")]
    pub frames: Option<u32>,

    /// How samples were divided into frames [default: number, or what --cache holds]
    #[arg(long, value_enum, value_name = "MODE")]
    pub split: Option<Split>,

    /// Where to compute: auto (the first CUDA device that works, else the CPU), cpu, cuda:N or vulkan:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceName,

    /// Samples a training batch; a last batch that would be short is left out
    #[arg(short = 'b', long, default_value_t = 16, value_name = "SAMPLES")]
    pub batch_size: usize,

    /// Samples a test batch [default: that of training]
    #[arg(long, value_name = "SAMPLES")]
    pub test_batch_size: Option<usize>,

    /// Times to go through the training set
    #[arg(long, default_value_t = 64, value_name = "N")]
    pub epochs: u32,

    /// Threads that read and decode samples ahead; each keeps up to two batches in memory
    #[arg(short = 'j', long, default_value_t = 4, value_name = "N")]
    pub jobs: usize,

    /// Where the frames are between epochs
    #[arg(long, value_enum, default_value_t = FramesIn::Auto, value_name = "WHERE")]
    pub frames_in: FramesIn,

    /// Channels C of the convolutions
    #[arg(long, default_value_t = 128, value_name = "C")]
    pub channels: usize,

    /// Give the two linear layers a bias, as SpikingJelly's example has it; the paper's network has none
    #[arg(long)]
    pub linear_bias: bool,

    /// Neurons of the hidden linear layer [default: 4 times the channels; SpikingJelly's example has 512 whatever they
    /// are]
    #[arg(long, value_name = "NEURONS")]
    pub hidden: Option<usize>,

    /// Whether the network works through a sample layer by layer or step by step
    #[arg(long, alias = "step_mode", value_enum, default_value_t = StepMode::M, value_name = "MODE")]
    pub step_mode: StepMode,

    /// Directory that the run's folder is made in
    #[arg(long, alias = "out_dir", default_value = "./logs", value_name = "DIR")]
    pub out_dir: PathBuf,

    /// Go on from a checkpoint, or from the latest one of a run's folder; what is not given again is as it was
    #[arg(long, value_name = "PATH")]
    pub resume: Option<PathBuf>,

    /// Replace a run that stands where this one's folder would
    #[arg(long)]
    pub force: bool,

    /// Automatic mixed precision: train with convolutions and linear layers in 16 bits; needs a GPU [bf16 where no TYPE
    /// is named]
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

    /// How the learning rate changes from epoch to epoch
    #[arg(long, alias = "lr_scheduler", value_enum, default_value_t = SchedulerName::CosAlr, ignore_case = true, value_name = "NAME")]
    pub lr_scheduler: SchedulerName,

    /// StepLR: epochs from one decay to the next
    #[arg(long, alias = "step_size", default_value = "32", value_parser = whole_number, value_name = "EPOCHS")]
    pub step_size: u32,

    /// StepLR: what the learning rate is multiplied by
    #[arg(
        long,
        default_value_t = 0.1,
        allow_negative_numbers = true,
        value_name = "FACTOR"
    )]
    pub gamma: f64,

    /// CosALR: epochs from the highest learning rate to 0; as many again lead back
    #[arg(
        long,
        alias = "T_max",
        alias = "t_max",
        alias = "T-max",
        default_value_t = 32,
        value_name = "EPOCHS"
    )]
    pub t_max: u32,

    /// Hold out users of the training set and choose checkpoint_max on them: users:4, users:NAME,NAME or a share such as
    /// 0.1; or whole recordings, as recordings:0.2. The test set is then judged once, at the end
    ///
    /// A sample's user is what stands before the first _ of its name.
    #[arg(long, value_name = "HOW")]
    pub validation: Option<Validation>,

    /// Seed of weights, sample order, dropout and augmentation
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,

    // After the others, because its heading holds for all that follow.
    #[command(flatten)]
    #[serde(flatten)]
    pub augment: AugmentArgs,

    // Last, because its heading holds for all that follow.
    #[command(flatten)]
    #[serde(flatten)]
    pub neuron: NeuronArgs,
}

impl TrainArgs {
    /// What an empty command line means.
    ///
    /// # Errors
    /// None that occur: no flag has to be given.
    pub fn usual() -> anyhow::Result<Self> {
        Ok(Self::parse(&[])?)
    }

    fn parse(line: &[&str]) -> Result<Self, clap::Error> {
        let command = Self::augment_args(Command::new("dvs-train"));
        let line = std::iter::once(&"dvs-train").chain(line);
        Self::from_arg_matches(&command.try_get_matches_from(line)?)
    }

    /// What a command line means, for tests.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub fn parsed(line: &[&str]) -> Self {
        Self::parse(line).unwrap()
    }
}

/// Ways to divide a sample into a fixed number of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Frames of equally many events
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

/// Schedules of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum SchedulerName {
    /// Multiplied by --gamma every --step-size epochs
    #[value(name = "StepLR")]
    #[serde(rename = "StepLR")]
    StepLr,
    /// AmpDtype a cosine wave down to 0 within --t-max epochs
    #[value(name = "CosALR")]
    #[serde(rename = "CosALR")]
    CosAlr,
}

/// A whole number, also as the tutorial's `-step_size`, which is a float: 32 or 32.0.
fn whole_number(text: &str) -> Result<u32, String> {
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && (0.0..=1e9).contains(&number) => Ok(number as u32),
        _ => Err(format!("{text:?} is not a whole number of epochs")),
    }
}
