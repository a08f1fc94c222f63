//! Resolves the command line: the input, the output and the settings.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail};
use clap::CommandFactory;
use clap::error::ErrorKind;
use dvs_prep::pipeline::Settings;
use dvs_prep::synth::{ClassForm, ClassOptions, SynthOptions};
use dvs_shared::SplitMode;
use dvs_shared::archive::Archive;
use dvs_shared::classes::read_mapping_file;
use dvs_shared::formats::ReadOptions;
use dvs_shared::read_args::ReadArgs;
use dvs_shared::split_mode::{MAX_FRAMES, SplitBy};

use crate::cli::{Cli, PrepareArgs, SplitArgs, SynthArgs, SynthForm};

/// The folder to search without --input and without $DVS_DATA.
const DATA_FOLDER: &str = "DVS128Gesture";
const MIN_MEMORY_MIB: u64 = 64;
/// Events per second of synthetic gestures and of samples of CIFAR10-DVS.
const EVENT_RATE: f64 = 66_000.0;
/// Events per second of synthetic samples of N-MNIST, which has some 4,000 in 300 ms.
const NMNIST_EVENT_RATE: f64 = 14_000.0;

/// The resolved options of `prepare`.
#[derive(Debug)]
pub struct Options {
    pub archive: Archive,
    /// Path of the cache.
    pub output: PathBuf,
    pub settings: Settings,
    /// Whether to replace an existing file.
    pub force: bool,
    /// Whether to print the summary as JSON.
    pub json: bool,
}

/// Exits with status 2 and a usage message.
pub fn misuse(kind: ErrorKind, message: String) -> ! {
    Cli::command().error(kind, message).exit()
}

/// How samples are divided into frames. Options that do not go together are misuse.
pub fn split_mode(args: &SplitArgs) -> SplitMode {
    let split = args.split.unwrap_or(match args.duration {
        Some(_) => SplitBy::Duration,
        None => SplitBy::Number,
    });
    match (split, args.frames, args.duration) {
        (SplitBy::Duration, None, Some(us)) => return SplitMode::Duration { us },
        (SplitBy::Duration, _, None) => misuse(
            ErrorKind::MissingRequiredArgument,
            "--split duration needs --duration, as in --duration 100ms".to_owned(),
        ),
        (SplitBy::Duration, Some(_), _) => misuse(
            ErrorKind::ArgumentConflict,
            "--frames does not go with a frame duration, which decides T for each sample"
                .to_owned(),
        ),
        (_, _, Some(_)) => misuse(
            ErrorKind::ArgumentConflict,
            "--duration goes with --split duration only".to_owned(),
        ),
        (_, _, None) => {}
    }
    let frames = args.frames.unwrap_or(16);
    if !(1..=MAX_FRAMES).contains(&frames) {
        misuse(
            ErrorKind::ValueValidation,
            format!("--frames is {frames}; it must lie between 1 and {MAX_FRAMES}"),
        );
    }
    match split {
        SplitBy::Time => SplitMode::Time { frames },
        _ => SplitMode::Number { frames },
    }
}

/// $DVS_DATA, if it is not empty.
fn data_variable() -> Option<PathBuf> {
    std::env::var_os("DVS_DATA")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
}

/// The default folder of the dataset.
fn data_folder() -> PathBuf {
    data_variable().unwrap_or_else(|| DATA_FOLDER.into())
}

/// The default folder of the dataset.
///
/// # Errors
/// Returns an error that says what to do if the folder does not exist.
pub fn existing_data_folder() -> Result<PathBuf> {
    let place = data_folder();
    if place.exists() {
        return Ok(place);
    }
    let looked = match data_variable() {
        Some(_) => format!("$DVS_DATA is {}, which does not exist", place.display()),
        None => format!(
            "no input is named, $DVS_DATA is not set, and there is no folder {}",
            place.display()
        ),
    };
    bail!(
        "no dataset: {looked}. Put DvsGesture.tar.gz there, or try `dvs-prep synth` for an archive of synthetic \
         gestures"
    )
}

/// The options of `synth` for a dataset of classes; `None` for gestures. Options of gestures are
/// misuse for other data, and the reverse. The library checks their bounds.
pub fn synth_classes(args: &SynthArgs) -> Option<ClassOptions> {
    let of_gestures = [
        ("--users", args.users.is_some()),
        ("--test-users", args.test_users.is_some()),
        ("--lights", !args.lights.is_empty()),
        ("--gesture-seconds", args.gesture_seconds.is_some()),
        ("--real-size", args.real_size),
        ("--force", args.force),
    ];
    let of_classes = [("--samples", args.samples.is_some())];
    let (form, folder, rate, unused) = match args.form {
        SynthForm::Gestures => (None, "", 0.0, &of_classes[..]),
        SynthForm::Cifar10dvs => (
            Some(ClassForm::Cifar10Dvs),
            "CIFAR10DVS",
            EVENT_RATE,
            &of_gestures[..],
        ),
        SynthForm::Nmnist => (
            Some(ClassForm::NMnist),
            "NMNIST",
            NMNIST_EVENT_RATE,
            &of_gestures[..],
        ),
    };
    if let Some((option, _)) = unused.iter().find(|(_, given)| *given) {
        misuse(
            ErrorKind::ArgumentConflict,
            format!("{option} does not go with this --form"),
        );
    }
    Some(ClassOptions {
        shuffle_labels: args.shuffle_labels,
        output: args.output.clone().unwrap_or_else(|| folder.into()),
        form: form?,
        samples: args.samples.unwrap_or(20),
        seed: args.seed,
        events_per_second: args.event_rate.unwrap_or(rate),
        compression: args.level,
        jobs: jobs(args.jobs),
    })
}

/// The options of `synth` for gestures. The library checks their bounds.
pub fn synth(args: SynthArgs) -> SynthOptions {
    let output = args
        .output
        .unwrap_or_else(|| data_folder().join("DvsGesture.tar.gz"));
    let size = if args.real_size {
        SynthOptions::real_size(output)
    } else {
        SynthOptions {
            users: args.users.unwrap_or(4),
            test_users: args.test_users,
            ..SynthOptions::new(output)
        }
    };
    let lights = if args.lights.is_empty() {
        size.lights
    } else {
        args.lights
    };
    SynthOptions {
        force: args.force,
        lights,
        seed: args.seed,
        events_per_second: args.event_rate.unwrap_or(EVENT_RATE),
        gesture_seconds: args.gesture_seconds.unwrap_or(6.0),
        compression: args.level,
        shuffle_labels: args.shuffle_labels,
        jobs: jobs(args.jobs),
        ..size
    }
}

/// Number of worker threads: `asked`, or by default one per core.
pub fn jobs(asked: Option<usize>) -> usize {
    match asked {
        Some(jobs @ 1..=1024) => jobs,
        Some(jobs) => misuse(
            ErrorKind::ValueValidation,
            format!("--jobs is {jobs}; it must lie between 1 and 1024"),
        ),
        None => thread::available_parallelism().map_or(1, NonZero::get),
    }
}

/// Memory limit in bytes for a limit of `mib` MiB.
pub fn memory(mib: u64) -> u64 {
    if mib < MIN_MEMORY_MIB {
        misuse(
            ErrorKind::ValueValidation,
            format!("--memory is {mib} MiB; it must be at least {MIN_MEMORY_MIB}"),
        );
    }
    mib.saturating_mul(1 << 20)
}

/// Resolves the options of `prepare`.
///
/// # Errors
/// Returns an error if there is no input.
pub fn resolve(args: &PrepareArgs) -> Result<Options> {
    let asked = split_mode(&args.split);
    let memory = memory(args.memory);
    let jobs = jobs(args.jobs);
    let place = match &args.input {
        Some(place) => place.clone(),
        None => existing_data_folder()?,
    };
    let archive = find_archive(&place, &args.read)?;
    let named = SplitMode::of_path(&archive.path);
    let split = match named {
        Some(named) if !args.split.given() => named,
        _ => asked,
    };
    if let Some(named) = named.filter(|&n| n != split) {
        misuse(
            ErrorKind::ArgumentConflict,
            format!(
                "{} says that it holds {named}, and {split} are asked for; leave --frames, --split and --duration out",
                archive.path.display()
            ),
        );
    }
    let output = match &args.output {
        Some(output) if output.is_dir() => output.join(split.file_name()),
        Some(output) => output.clone(),
        None => default_folder(&place, &archive).join(split.file_name()),
    };
    // A link means the file that it points to.
    let output = if output.is_symlink() {
        output.canonicalize().unwrap_or(output)
    } else {
        output
    };
    if output.to_str().is_none() {
        bail!(
            "the cache's path, {}, is not UTF-8, which HDF5 needs",
            output.display()
        );
    }
    let read = ReadOptions {
        form: archive.form(),
        ..args.read.options()
    };
    Ok(Options {
        archive,
        output,
        settings: Settings {
            split,
            read,
            split_given: args.split.selects_split_mode() || named.is_some(),
            skip_damaged: args.skip_damaged,
            jobs,
            memory,
        },
        force: args.force,
        json: args.json,
    })
}

/// The dataset at `place`, with the class names and the sets that `args` give.
///
/// # Errors
/// Returns an error if there is no dataset, if the file of class names is not valid, or if `args`
/// leave open how samples are divided into sets or how large frames are.
pub fn find_archive(place: &Path, args: &ReadArgs) -> Result<Archive> {
    let mut archive = Archive::find(place)?;
    archive.mapping = args.classes.clone();
    let names = match &args.classes {
        Some(file) => Some(
            read_mapping_file(file)
                .with_context(|| format!("cannot use {} for --classes", file.display()))?,
        ),
        None => None,
    };
    archive.divide(names.as_deref(), args.options().test_split)?;
    archive.require_all_known(args.sensor)?;
    Ok(archive)
}

/// The data folder: `place` if it contains the archive, else the folder of the archive.
pub fn default_folder(place: &Path, archive: &Archive) -> PathBuf {
    let is_elsewhere = |path: &Path| path != place;
    let holds_archive = place.is_dir() && archive.parts.iter().all(|part| is_elsewhere(&part.path));
    if holds_archive {
        return place.to_owned();
    }
    // A path such as `.` or `..` has no parent by name.
    let path = if archive.path.is_dir() {
        archive
            .path
            .canonicalize()
            .unwrap_or_else(|_| archive.path.clone())
    } else {
        archive.path.clone()
    };
    path.parent().map_or_else(PathBuf::new, Path::to_owned)
}
