//! The command line as it is typed. What it means on this machine is for [`crate::config::options`] to find out.

pub mod argparse_compat;
mod manual;
mod models;
mod preview;
mod profile;
mod report;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Id, Parser, Subcommand, ValueEnum};
use dvs_shared::Set;
use dvs_shared::read_args::ReadArgs;

pub use self::manual::{CompletionsArgs, ManArgs};
pub use self::models::{ExportArgs, ImportArgs, ModelFormat};
pub use self::preview::PreviewArgs;
pub use self::profile::ProfileArgs;
pub use self::report::ReportArgs;
use crate::config::Typed;
use crate::config::neuron_args::NeuronArgs;
use crate::config::train_args::TrainArgs;
use crate::device::DeviceName;
use crate::nn::network::StepMode;
use crate::optim::AmpDtype;

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
    Train(Box<TrainArgs>),
    /// Judge a checkpoint on a cache: accuracy, recall of each class, confusion matrix
    Eval(EvalArgs),
    /// Say what a network costs: firing rates, operations against those of the dense network, energy, memory
    Profile(ProfileArgs),
    /// Show training samples beside what augmentation makes of them, as a picture
    Preview(PreviewArgs),
    /// Make one page of a run: settings, curves, what was taken for what, costs, samples
    Report(ReportArgs),
    /// Tell the class of one recording or sample, and when the network knew
    Predict(PredictArgs),
    /// Take over a network that SpikingJelly trained, from its .pth, as a checkpoint
    Import(ImportArgs),
    /// Write a network for other programs: PyTorch and SpikingJelly, safetensors, NIR
    Export(ExportArgs),
    /// Time training and test steps on this machine, on frames that are made up
    Bench(BenchArgs),
    /// List what there is to compute on, and why something cannot be used
    Devices,
    /// Print what completes this program's commands and options in a shell
    ///
    /// For bash: dvs-train completions bash > ~/.local/share/bash-completion/completions/dvs-train
    Completions(CompletionsArgs),
    /// Write the manual as man pages, one for each command
    ///
    /// For man to find them: dvs-train man ~/.local/share/man/man1
    Man(ManArgs),
}

impl Cli {
    /// Reads a command line. Where it is none, ends the program with a usage message and exit status 2.
    pub fn read(line: impl Iterator<Item = OsString>) -> (Self, Typed) {
        let matches = Self::command().get_matches_from(line);
        let cli = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        let flags = matches.subcommand().map_or(&matches, |(_, flags)| flags);
        let is_typed = |id: &&Id| flags.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        let typed = flags.ids().filter(is_typed).map(Id::to_string).collect();
        (cli, typed)
    }

    /// The command, `train` where none is named.
    pub fn chosen(self) -> Command {
        self.command.unwrap_or(Command::Train(Box::new(self.train)))
    }
}

/// Flags of `eval`.
#[derive(Args, Clone, Debug)]
pub struct EvalArgs {
    /// A checkpoint, or a run's folder, whose checkpoint_max is taken
    #[arg(long, value_name = "PATH")]
    pub checkpoint: PathBuf,

    /// The frame cache [default: the one the network was trained on]
    #[arg(long, value_name = "FILE")]
    pub cache: Option<PathBuf>,

    /// The set to judge on
    #[arg(long, value_enum, default_value_t = SetName::Test)]
    pub set: SetName,

    /// Where to compute: auto (the first CUDA device that works, else the CPU), cpu, cuda:N or vulkan:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceName,

    /// Samples a batch
    #[arg(short = 'b', long, default_value_t = 16, value_name = "SAMPLES")]
    pub batch_size: usize,

    /// Threads that read and decode samples ahead
    #[arg(short = 'j', long, default_value_t = 4, value_name = "N")]
    pub jobs: usize,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `predict`.
#[derive(Args, Clone, Debug)]
pub struct PredictArgs {
    /// A checkpoint, or a run's folder, whose checkpoint_max is taken
    #[arg(long, value_name = "PATH")]
    pub checkpoint: PathBuf,

    /// A recording (.aedat, .aedat4), a file of one sample (.npz, .npy), the dataset's archive or folder, or a frame cache
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,

    /// The sample: its name, as user01_led_0@3 for label 3, or its number from 0 among those of --set and --label; needed if
    /// INPUT holds several
    #[arg(long, value_name = "NAME|N")]
    pub sample: Option<String>,

    /// Only samples of this class: the number of its label, from 0, or its name
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,

    /// The set that samples are of [default: train for numbers, both for names]
    #[arg(long, value_enum)]
    pub set: Option<SetName>,

    /// How recordings are read.
    #[command(flatten)]
    pub read: ReadArgs,

    /// Memory that a recording may take, in MiB; its file may take half of it
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(64..), help_heading = "Reading recordings")]
    pub memory: u64,

    /// With --end-us, the part of a recording to judge instead of a labelled sample, in its own microseconds
    #[arg(long, value_name = "US", requires = "end_us", allow_negative_numbers = true, help_heading = "Reading recordings",
          conflicts_with_all = ["sample", "label", "set"])]
    pub start_us: Option<i64>,

    /// First microsecond after that part
    #[arg(
        long,
        value_name = "US",
        requires = "start_us",
        allow_negative_numbers = true,
        help_heading = "Reading recordings"
    )]
    pub end_us: Option<i64>,

    /// Where to compute: auto (the first CUDA device that works, else the CPU), cpu, cuda:N or vulkan:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceName,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Frames a sample, the time steps T of the network
    #[arg(short = 'T', long, default_value_t = 16, value_name = "T")]
    pub frames: usize,

    /// Samples a batch
    #[arg(short = 'b', long, default_value_t = 16, value_name = "SAMPLES")]
    pub batch_size: usize,

    /// Channels C of the convolutions
    #[arg(long, default_value_t = 128, value_name = "C")]
    pub channels: usize,

    /// Where to compute: auto, cpu, cuda:N or vulkan:N
    #[arg(long, default_value = "auto")]
    pub device: DeviceName,

    /// Automatic mixed precision, as in training
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "bf16", value_name = "TYPE")]
    pub amp: Option<AmpDtype>,

    /// Steps to time; their median counts
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub steps: usize,

    /// Steps before those that are timed
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub warmup: usize,

    /// Whether the network works through a sample layer by layer or step by step
    #[arg(long, value_enum, default_value_t = StepMode::M, value_name = "MODE")]
    pub step_mode: StepMode,

    /// Time each convolution, each fused block and the neurons alone instead, against copying and multiplying matrices
    #[arg(long)]
    pub parts: bool,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,

    // Last, because its heading holds for all that follow.
    #[command(flatten)]
    pub neuron: NeuronArgs,
}

/// The sets of a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SetName {
    /// What networks are trained on
    Train,
    /// What they are judged on
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
    use super::*;
    use clap::CommandFactory;

    fn train(args: &[&str]) -> TrainArgs {
        let cli = Cli::try_parse_from(std::iter::once(&"dvs-train").chain(args)).unwrap();
        match cli.chosen() {
            Command::Train(args) => *args,
            other => panic!("{other:?}"),
        }
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
    fn two_places_for_the_cache_are_misuse() {
        let error = Cli::try_parse_from(["dvs-train", "--data-dir", "a", "--cache", "b"]);
        assert_eq!(error.unwrap_err().exit_code(), 2);
    }
}
