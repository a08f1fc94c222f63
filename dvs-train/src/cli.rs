//! The command line as typed; [`crate::config::options`] resolves it for this machine.

pub mod argparse_compat;
mod augment;
mod choices;
mod compare;
mod manual;
mod models;
mod neuron;
mod preview;
mod profile;
mod report;
mod train;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use dvs_shared::Set;
use dvs_shared::read_args::ReadArgs;

pub use self::compare::CompareArgs;
pub use self::manual::{CompletionsArgs, ManArgs};
pub use self::models::{ExportArgs, ImportArgs, ModelFormat};
pub use self::neuron::NeuronArgs;
pub use self::preview::PreviewArgs;
pub use self::profile::ProfileArgs;
pub use self::report::ReportArgs;
pub use self::train::TrainArgs;
use crate::device::DeviceName;
use crate::nn::network::StepMode;
use crate::nn::network_name::NetworkName;
use crate::optim::AmpDtype;

/// Train spiking neural networks on the frame cache that dvs-prep makes
#[derive(Debug, Parser)]
#[command(name = "dvs-train", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    train: TrainArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network (the default command)
    Train(Box<TrainArgs>),
    /// Evaluate a checkpoint on a cache: accuracy, recall per class, confusion matrix
    Eval(EvalArgs),
    /// Estimate what a network costs: firing rates, operations (compared with the dense network),
    /// energy, memory
    Profile(ProfileArgs),
    /// Draw training samples before and after augmentation
    Preview(PreviewArgs),
    /// Write an HTML report of a run (settings, curves, confusion matrix, costs, samples), or of
    /// several runs
    Report(ReportArgs),
    /// Compare runs: mean and standard deviation over the seeds, and the settings that differ
    Compare(CompareArgs),
    /// Classify one recording or sample, step by step
    Predict(PredictArgs),
    /// Import a network of SpikingJelly (.pth) or a NIR graph as a checkpoint
    Import(ImportArgs),
    /// Export a network for other programs: PyTorch and SpikingJelly, safetensors, NIR
    Export(ExportArgs),
    /// Time training and test steps on this machine, with synthetic frames
    Bench(BenchArgs),
    /// List compute devices, and why any cannot be used
    Devices(DevicesArgs),
    /// Print a shell completion script
    ///
    /// For bash: dvs-train completions bash > ~/.local/share/bash-completion/completions/dvs-train
    Completions(CompletionsArgs),
    /// Write man pages, one per command
    ///
    /// To install them for man: dvs-train man ~/.local/share/man/man1
    Man(ManArgs),
}

impl Cli {
    /// The command; `train` if none is given.
    pub fn chosen(self) -> Command {
        self.command.unwrap_or(Command::Train(Box::new(self.train)))
    }
}

/// Sets `target` to what was typed, if anything was.
pub fn set<T, U: Clone + Into<T>>(target: &mut T, typed: &Option<U>) {
    if let Some(value) = typed {
        *target = value.clone().into();
    }
}

/// Refuses flags beside a network in notation, which says their values itself.
///
/// # Errors
/// Returns an error that names the flag.
pub fn refuse_beside_notation(network: Option<&NetworkName>, flags: &[(&str, bool)]) -> Result<()> {
    if let Some(NetworkName::Notation(_)) = network {
        for (flag, typed) in flags {
            ensure!(
                !typed,
                "{flag} is for the networks with a name, and the notation of --network says it itself; leave {flag} out"
            );
        }
    }
    Ok(())
}

/// Flags of `eval`.
#[derive(Args, Clone, Debug)]
pub struct EvalArgs {
    /// Checkpoint, or run folder (its checkpoint_max is used)
    #[arg(value_name = "RUN")]
    pub checkpoint: PathBuf,

    /// Frame cache [default: the one the network was trained on]
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,

    /// Set to evaluate on
    #[arg(long, value_enum, default_value_t = SetName::Test)]
    pub set: SetName,

    /// Device to compute on: auto (cuda:0 if it works, else the CPU), cpu, cuda:N or vulkan:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceName,

    /// Samples per batch
    #[arg(short = 'b', long, default_value_t = 16, value_name = "SAMPLES")]
    pub batch_size: usize,

    /// Number of data loader threads, which read and decode samples ahead
    #[arg(short = 'j', long, default_value_t = 4, value_name = "N")]
    pub jobs: usize,

    /// Print the results as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `predict`.
#[derive(Args, Clone, Debug)]
pub struct PredictArgs {
    /// Checkpoint, or run folder (its checkpoint_max is used)
    #[arg(value_name = "RUN")]
    pub checkpoint: PathBuf,

    /// Recording (.aedat, .aedat4, .raw, .dat), file of one sample (.npz, .npy), archive or folder of the
    /// dataset, or frame cache
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,

    /// Sample to classify, if INPUT holds several: its name, such as user01_led_0@3 for label 3, or
    /// its number from 0 among the samples of --set and --label
    #[arg(long, value_name = "NAME|N")]
    pub sample: Option<String>,

    /// Only samples of this class: its label (a number from 0) or its name
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,

    /// Set of the sample [default: train if --sample is a number, else both]
    #[arg(long, value_enum)]
    pub set: Option<SetName>,

    /// How recordings are read.
    #[command(flatten)]
    pub read: ReadArgs,

    /// Memory limit for a recording, in MiB; its file may take half of it
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(64..), help_heading = "Reading recordings")]
    pub memory: u64,

    /// Classify a part of the recording instead of a labelled sample: its start, in microseconds of
    /// the recording's time
    #[arg(long, value_name = "US", requires = "end_us", allow_negative_numbers = true, help_heading = "Reading recordings",
          conflicts_with_all = ["sample", "label", "set"])]
    pub start_us: Option<i64>,

    /// End of that part (exclusive)
    #[arg(
        long,
        value_name = "US",
        requires = "start_us",
        allow_negative_numbers = true,
        help_heading = "Reading recordings"
    )]
    pub end_us: Option<i64>,

    /// Device to compute on: auto (cuda:0 if it works, else the CPU), cpu, cuda:N or vulkan:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceName,

    /// Print the results as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Frames per sample (time steps T of the network)
    #[arg(short = 'T', long, default_value_t = 16, value_name = "T")]
    pub frames: usize,

    /// Samples per batch
    #[arg(short = 'b', long, default_value_t = 16, value_name = "SAMPLES")]
    pub batch_size: usize,

    /// The network, as in training [default: gesture]
    #[arg(long, value_name = "NAME|NOTATION")]
    pub network: Option<NetworkName>,

    /// Channels C of the convolutions [default: the network's, 128 for gesture]
    #[arg(long, value_name = "C")]
    pub channels: Option<usize>,

    /// Device to compute on: auto (cuda:0 if it works, else the CPU), cpu, cuda:N or vulkan:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceName,

    /// Automatic mixed precision, as in training
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "bf16", value_name = "TYPE")]
    pub amp: Option<AmpDtype>,

    /// Number of timed steps; the median is reported
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub steps: usize,

    /// Number of warm-up steps before the timed ones
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub warmup: usize,

    /// Process a sample layer by layer (multi-step) or step by step (single-step)
    #[arg(long, value_enum, default_value_t = StepMode::M, value_name = "MODE")]
    pub step_mode: StepMode,

    /// Compute the convolutions again in the backward pass, as in training
    #[arg(long)]
    pub recompute: bool,

    /// Train in chunks of K time steps, as in training
    #[arg(long, value_name = "K", conflicts_with = "recompute")]
    pub chunk_steps: Option<usize>,

    /// Time each convolution, each fused block and the neurons separately instead, compared with
    /// copying and matrix multiplication
    #[arg(long, conflicts_with_all = ["recompute", "chunk_steps"])]
    pub parts: bool,

    /// Print the results as one JSON object
    #[arg(long)]
    pub json: bool,

    // This field is last, because its heading applies to all options that follow it.
    #[command(flatten)]
    pub neuron: NeuronArgs,
}

/// Flags of `devices`.
#[derive(Args, Clone, Debug)]
pub struct DevicesArgs {
    /// Print the list as one JSON object
    #[arg(long, conflicts_with = "prepare")]
    pub json: bool,

    /// Compile the GPU kernels of a network and try which are fastest, so that its training starts
    /// at once. They are kept in ~/.cache/dvs-train
    #[arg(long)]
    pub prepare: bool,

    /// GPU to prepare [default: auto]
    #[arg(long, requires = "prepare")]
    pub device: Option<DeviceName>,

    /// Frames per sample (time steps T of the network) [default: 16]
    #[arg(short = 'T', long, requires = "prepare", value_name = "T")]
    pub frames: Option<usize>,

    /// Samples per batch [default: 16]
    #[arg(short = 'b', long, requires = "prepare", value_name = "SAMPLES")]
    pub batch_size: Option<usize>,

    /// The network, as in training [default: gesture]
    #[arg(long, requires = "prepare", value_name = "NAME|NOTATION")]
    pub network: Option<NetworkName>,

    /// Channels C of the convolutions [default: the network's, 128 for gesture]
    #[arg(long, requires = "prepare", value_name = "C")]
    pub channels: Option<usize>,

    /// Automatic mixed precision, as in training
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "bf16", requires = "prepare", value_name = "TYPE")]
    pub amp: Option<AmpDtype>,
}

/// The sets of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SetName {
    /// Training set
    Train,
    /// Test set
    Test,
}

impl From<SetName> for Set {
    fn from(name: SetName) -> Self {
        match name {
            SetName::Train => Self::Train,
            SetName::Test => Self::Test,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::fs;
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;
    use crate::config::neuron_config::NeuronConfig;
    use crate::config::train_config::TrainConfig;

    fn train(args: &[&str]) -> TrainArgs {
        let cli = Cli::try_parse_from(std::iter::once(&"dvs-train").chain(args)).unwrap();
        match cli.chosen() {
            Command::Train(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn train_is_the_default_command() {
        for args in [
            &["-T", "8", "-b", "4"][..],
            &["train", "-T", "8", "-b", "4"],
        ] {
            let args = train(args);
            assert_eq!((args.frames, args.batch_size), (Some(8), Some(4)));
            assert_eq!((args.epochs, args.lr), (None, None));
        }
    }

    #[test]
    fn defaults_in_the_help_match_the_configuration() {
        let usual = TrainConfig::default();
        let mut checked = 0;
        for flag in TrainArgs::augment_args(clap::Command::new("train")).get_arguments() {
            let (Some(name), Some(help)) = (flag.get_long(), flag.get_help()) else {
                continue;
            };
            let help = help.to_string().replace('\n', " ");
            let default = help
                .split_once("[default: ")
                .and_then(|(_, rest)| rest.split_once(']'));
            // A text with spaces explains how the default is computed.
            let Some((default, _)) = default.filter(|(default, _)| !default.contains(' ')) else {
                continue;
            };
            let mut config = usual.clone();
            train(&[&format!("--{name}"), default]).apply(&mut config);
            let same_tau = NeuronConfig {
                tau: usual.neurons.tau,
                decay_input: usual.neurons.decay_input,
                ..config.neurons.clone()
            };
            assert_eq!(
                config.neurons.resolve().unwrap(),
                usual.neurons.resolve().unwrap(),
                "--{name} {default}"
            );
            config.neurons = same_tau;
            assert_eq!(config, usual, "--{name} {default}");
            checked += 1;
        }
        assert!(checked > 15, "only {checked} defaults were found");
    }

    #[test]
    fn only_cli_and_commands_use_clap() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut folders = vec![root.clone()];
        let mut searched = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                if ["cli", "commands", "lib.rs", "main.rs"]
                    .iter()
                    .any(|own| name.starts_with(own))
                {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else if !name.ends_with("tests.rs") {
                    let source = fs::read_to_string(&path).unwrap();
                    assert!(!source.contains("clap::"), "{name} uses clap");
                    searched += 1;
                }
            }
        }
        assert!(searched > 50, "only {searched} files were searched");
    }

    #[test]
    fn refuses_data_dir_together_with_cache() {
        let error = Cli::try_parse_from(["dvs-train", "--data-dir", "a", "--cache", "b"]);
        assert_eq!(error.unwrap_err().exit_code(), 2);
    }
}
