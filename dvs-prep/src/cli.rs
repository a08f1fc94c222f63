//! The command line as the user types it.

pub mod options;
pub mod progress;
pub mod report;
mod view;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dvs_prep::synth::Light;
use dvs_shared::manual::Shell;
use dvs_shared::read_args::ReadArgs;
use dvs_shared::split_mode::SplitBy;

pub use self::view::{Colour, Delay, ViewArgs};

/// Turn the DVS128 Gesture archive into one HDF5 frame cache.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Without a command, `prepare` is meant: dvs-prep --frames 16 --split number\n\n\
                  Exit status: 0 done, 1 failed, 2 misuse, 130 or 143 ended by SIGINT or SIGTERM. Results go to standard output, progress and warnings to \
                  standard error."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of `prepare`.
    #[command(flatten)]
    pub prepare: PrepareArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the frame cache (the default)
    Prepare(PrepareArgs),
    /// Print a key that identifies the cache that `prepare` would make, to store the cache under
    /// that key and find it again
    ///
    /// It takes the options of `prepare`. The key changes if the content of the input, the cache
    /// format or an option that affects the cache changes. It stays the same if only the container
    /// of the input changes. A note beside the cache records the SHA-256 of the input, so that
    /// neither `key` nor `prepare` reads the input again to identify it.
    Key(PrepareArgs),
    /// Make synthetic data in a dataset's exact form: gestures, or simple shapes for each class
    Synth(SynthArgs),
    /// Write data as NumPy files, for SpikingJelly and other programs
    ///
    /// The folder is written completely or not at all. An existing folder is never replaced.
    Export(ExportArgs),
    /// Show what a cache holds
    Info(InfoArgs),
    /// Check every attribute and checksum of a cache
    Verify(VerifyArgs),
    /// Show samples: as a contact sheet, an animation, a plot, or in the terminal
    ///
    /// The file extension of --output selects the format: x.png is a contact sheet, or with --plot
    /// a plot of the events and the duration of each frame; x.gif is an animation. Without --output
    /// the frames are drawn in the terminal.
    View(ViewArgs),
    /// Print the shell completion script for this program
    ///
    /// For bash: dvs-prep completions bash > ~/.local/share/bash-completion/completions/dvs-prep
    Completions(CompletionsArgs),
    /// Write the manual as man pages, one for each command
    ///
    /// In a folder that man searches: dvs-prep man ~/.local/share/man/man1
    Man(ManArgs),
}

/// How a sample is divided into frames.
#[derive(Debug, Args)]
pub struct SplitArgs {
    /// Frames per sample, T [default: 16]
    #[arg(long, short = 'T', value_name = "T")]
    pub frames: Option<u32>,
    /// How events are divided into frames [default: number, or duration if --duration is given]
    #[arg(long, value_enum, value_name = "HOW")]
    pub split: Option<SplitBy>,
    /// Duration of a frame for --split duration: 100ms, 0.1s, or a number of microseconds
    #[arg(long, value_name = "TIME", value_parser = parse_duration_us)]
    pub duration: Option<u64>,
}

impl SplitArgs {
    /// Whether any of these options is given.
    pub fn given(&self) -> bool {
        self.frames.is_some() || self.selects_split_mode()
    }

    /// Whether an option selects how events are divided. The number of frames alone does not.
    pub fn selects_split_mode(&self) -> bool {
        self.split.is_some() || self.duration.is_some()
    }
}

/// Options of `prepare`.
#[derive(Debug, Args)]
pub struct PrepareArgs {
    /// How samples are divided into frames.
    #[command(flatten)]
    pub split: SplitArgs,
    /// Archive (.tar.gz, .tar, .zip), extracted folder, or a folder that holds one [default:
    /// $DVS_DATA, else ./DVS128Gesture]
    ///
    /// Recordings in AEDAT 2, 3 or 4, or Prophesee's RAW or DAT, with trial lists and label files;
    /// SpikingJelly's events_np or frames_number_.. folders; figshare's ibmGestureTrain and
    /// ibmGestureTest, named by either of the two; a folder for each class with a file for each
    /// sample, as CIFAR10-DVS and N-MNIST have, or a .zip for each class or set.
    #[arg(long, short, value_name = "PATH")]
    pub input: Option<PathBuf>,
    /// The cache to write [default: beside the input, named after the options, such as
    /// frames_number_16_split_by_number.h5]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Worker threads [default: one per core]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
    /// Memory limit in MiB for recordings and frames; one recording may take half of it
    #[arg(long, value_name = "MIB", default_value_t = 384)]
    pub memory: u64,
    /// Replace an existing cache or other HDF5 file at --output
    #[arg(long)]
    pub force: bool,
    /// Leave out damaged recordings, list them, and record them in the cache; without it they are
    /// an error
    #[arg(long)]
    pub skip_damaged: bool,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
    // Last, because its heading applies to all options that follow it.
    /// How recordings are read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// What `export` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportTo {
    /// From a cache: frames in SpikingJelly's folders, one file per sample
    Npz,
    /// From recordings: events in SpikingJelly's folder events_np, one file per sample
    EventsNpz,
    /// From a cache: one array per set for all frames, one for all labels, and so on
    Npy,
}

/// Options of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The cache; for events-npz, an input that `prepare --input` accepts
    pub input: PathBuf,
    /// What to write
    #[arg(long, value_enum, value_name = "WHAT")]
    pub to: ExportTo,
    /// The folder in which to create the exported folder, as SpikingJelly's root [default: the
    /// folder of the input]
    #[arg(long, short, value_name = "FOLDER")]
    pub output: Option<PathBuf>,
    /// Worker threads [default: one per core]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
    /// Memory limit in MiB
    #[arg(long, value_name = "MIB", default_value_t = 384)]
    pub memory: u64,
    /// Leave out damaged recordings and list them
    #[arg(long)]
    pub skip_damaged: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    // Last, because its heading applies to all options that follow it.
    /// How recordings are read, for events-npz.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// Options of `info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The cache
    pub file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The cache
    pub file: PathBuf,
    /// Worker threads [default: one per core]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The dataset whose form `synth` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SynthForm {
    /// DVS128 Gesture: an archive of recordings with label files and trial lists
    Gestures,
    /// CIFAR10-DVS: a folder with ten .zip files of AEDAT 2.0, each with the samples of a class
    Cifar10dvs,
    /// N-MNIST: a folder with Train.zip and Test.zip, with .bin files in a folder for each digit
    Nmnist,
}

/// Options of `synth`.
#[derive(Debug, Args)]
pub struct SynthArgs {
    /// The dataset whose exact form the data has
    #[arg(long, value_enum, value_name = "FORM", default_value_t = SynthForm::Gestures)]
    pub form: SynthForm,
    /// The archive to write: .tar.gz, .tgz or .tar [default: DvsGesture.tar.gz in $DVS_DATA, else
    /// in ./DVS128Gesture]. For cifar10dvs and nmnist, the folder to write [default: ./CIFAR10DVS,
    /// ./NMNIST]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// For cifar10dvs and nmnist: samples of each class; nmnist has a fifth more for testing
    /// [default: 20]
    #[arg(long, value_name = "N")]
    pub samples: Option<u32>,
    /// Number of users; the last fifth of them is the test set [default: 4]
    #[arg(long, value_name = "N", conflicts_with = "real_size")]
    pub users: Option<u32>,
    /// Number of users in the test set [default: a fifth, at least 1]
    #[arg(long, value_name = "N", conflicts_with = "real_size")]
    pub test_users: Option<u32>,
    /// Lights under which each user is recorded, one recording each: fluorescent, fluorescent_led,
    /// lab, led, natural [default: all]
    #[arg(long, value_name = "LIGHTS", value_delimiter = ',')]
    pub lights: Vec<Light>,
    /// Random seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub seed: u64,
    /// Mean events per second during gestures or samples [default: 66000, for nmnist 14000]
    #[arg(long, value_name = "RATE")]
    pub event_rate: Option<f64>,
    /// Mean duration of a gesture in seconds [default: 6]
    #[arg(long, value_name = "SECONDS")]
    pub gesture_seconds: Option<f64>,
    /// Use the real dataset's size: 29 users, 98 training and 24 test recordings, about 5 GB before
    /// compression
    #[arg(long)]
    pub real_size: bool,
    /// Permute the labels of each recording, or let each sample of another --form show any class, so
    /// that nothing can be learned from the labels (a control)
    #[arg(long)]
    pub shuffle_labels: bool,
    /// Deflate level of a .tar.gz or .zip, 1 to 9; 4 compresses about as well as the real archive
    #[arg(long, value_name = "LEVEL", default_value_t = 4)]
    pub level: u32,
    /// Worker threads [default: one per core]
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<usize>,
    /// Replace an existing archive
    #[arg(long)]
    pub force: bool,
    /// Print the summary as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Options of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The folder to write the pages to; it is created if it does not exist
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub folder: PathBuf,
}

/// Parses a duration in microseconds: a bare number, or one with `us`, `ms` or `s`.
fn parse_duration_us(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "" | "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        unit => return Err(format!("unknown unit {unit:?}; use us, ms or s")),
    };
    let value: f64 = digits
        .trim()
        .parse()
        .map_err(|_| format!("{digits:?} is not a number"))?;
    let us = (value * scale).round();
    // The rounding error of decimal fractions is far below a thousandth of a microsecond.
    if (value * scale - us).abs() > 1e-3 || !(1.0..=1e12).contains(&us) {
        return Err(format!(
            "{text} is {} us; a frame lasts a whole number of microseconds from 1 to 1e12",
            value * scale
        ));
    }
    Ok(us as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_durations_with_units() {
        assert_eq!(parse_duration_us("100ms"), Ok(100_000));
        assert_eq!(parse_duration_us("0.1s"), Ok(100_000));
        assert_eq!(parse_duration_us("100000"), Ok(100_000));
        assert_eq!(parse_duration_us("7us"), Ok(7));
        assert_eq!(parse_duration_us("1.001ms"), Ok(1001));
        for wrong in ["", "ms", "0", "-1s", "1.5us", "3h", "1e20s", "nan", "inf"] {
            assert!(parse_duration_us(wrong).is_err(), "{wrong}");
        }
    }
}
