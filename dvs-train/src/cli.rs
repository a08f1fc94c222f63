//! The command line as it is typed. What it means on this machine is for [`crate::options`] to find out.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Trains spiking neural networks on the frame cache that dvs-prep makes.
#[derive(Debug, Parser)]
#[command(name = "dvs-train", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: TrainArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network (what is done where no command is named)
    Train(TrainArgs),
}

impl Cli {
    /// The command, `train` where none is named.
    pub fn chosen(self) -> Command {
        self.command.unwrap_or(Command::Train(self.train))
    }
}

/// Flags of `train`.
#[derive(Args, Clone, Debug)]
pub struct TrainArgs {
    /// Directory with the cache, under the name dvs-prep gives it [default: $DVS_DATA, else ./DVS128Gesture]
    #[arg(long, value_name = "DIR", conflicts_with = "cache")]
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

    /// Where to compute: auto or cpu
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

    /// Channels C of the convolutions
    #[arg(long, default_value_t = 128, value_name = "C")]
    pub channels: usize,

    /// Optimizer
    #[arg(long, value_enum, default_value_t = OptimizerName::Adam, ignore_case = true)]
    pub opt: OptimizerName,

    /// Learning rate
    #[arg(long, default_value_t = 0.001, value_name = "RATE")]
    pub lr: f64,

    /// Seed of weights, sample order and dropout
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
}

/// Ways to divide a sample into a fixed number of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// Frames of equally many events
    Number,
    /// Frames of equal duration
    Time,
}

/// Optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OptimizerName {
    /// Adam with betas 0.9 and 0.999 and epsilon 1e-8
    Adam,
}

/// A device as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceName {
    /// The best that this build and machine have.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda(usize),
    /// A GPU through Vulkan.
    Vulkan(usize),
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || format!("{text:?} is none of auto, cpu, cuda:N and vulkan:N");
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, index.parse().map_err(|_| unknown())?),
            None => (text, 0),
        };
        match (kind, text.contains(':')) {
            ("auto", false) => Ok(Self::Auto),
            ("cpu", false) => Ok(Self::Cpu),
            ("cuda", _) => Ok(Self::Cuda(index)),
            ("vulkan", _) => Ok(Self::Vulkan(index)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use clap::CommandFactory;

    fn train(args: &[&str]) -> TrainArgs {
        let cli = Cli::try_parse_from(std::iter::once(&"dvs-train").chain(args)).unwrap();
        let Command::Train(args) = cli.chosen();
        args
    }

    #[test]
    fn clap_accepts_the_definition() {
        Cli::command().debug_assert();
    }

    #[test]
    fn train_is_the_default_command() {
        for args in [
            &["-T", "8", "-b", "4"][..],
            &["train", "-T", "8", "-b", "4"],
        ] {
            let args = train(args);
            assert_eq!((args.frames, args.batch_size), (Some(8), 4));
            assert_eq!((args.epochs, args.channels, args.lr), (64, 128, 0.001));
        }
    }

    #[test]
    fn devices_are_parsed() {
        for (text, device) in [
            ("auto", DeviceName::Auto),
            ("cpu", DeviceName::Cpu),
            ("cuda", DeviceName::Cuda(0)),
            ("cuda:3", DeviceName::Cuda(3)),
            ("vulkan:1", DeviceName::Vulkan(1)),
        ] {
            assert_eq!(text.parse(), Ok(device));
        }
        for text in ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:x"] {
            assert!(text.parse::<DeviceName>().is_err(), "{text}");
        }
    }

    #[test]
    fn two_places_for_the_cache_are_misuse() {
        let error = Cli::try_parse_from(["dvs-train", "--data-dir", "a", "--cache", "b"]);
        assert_eq!(error.unwrap_err().exit_code(), 2);
    }
}
