//! Resolves a command line for this machine: finds and opens the cache, and checks all limits.

use std::env;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use burn::tensor::backend::Backend;
use dvs_shared::cache_format::MAX_CLASSES;
use dvs_shared::event::MAX_PIXELS;
use dvs_shared::split_mode::MAX_FRAMES;
use dvs_shared::{CacheFile, Set, SplitMode};

use crate::config::train_args::{OptimizerName, SchedulerName, Split, TrainArgs};
use crate::data::augment::Augmentation;
use crate::data::dataset::FramesIn;
use crate::device::{self, Device, on_device};
use crate::nn::network::{BLOCKS, NetworkConfig};
use crate::optim::AmpDtype;
use crate::optim::optimizer::Rule;
use crate::optim::schedule::Schedule;

/// Frames per sample if neither the command line nor a cache gives a number.
const DEFAULT_FRAMES: u32 = 16;
/// Maximum channels of a convolution.
pub const MAX_CHANNELS: usize = 4096;
/// Minimum side of a frame: pooling would leave nothing of a shorter one.
const MIN_SIDE: usize = 1 << BLOCKS;
/// Maximum side of a frame, as in a cache.
const MAX_SIDE: usize = MAX_PIXELS as usize;
/// Maximum neurons of the hidden layer.
pub const MAX_HIDDEN: usize = 4 * MAX_CHANNELS;

/// The resolved options of `train`.
#[derive(Debug)]
pub struct TrainOptions {
    /// The flags, with defaults filled in.
    pub args: TrainArgs,
    /// The cache, with a fixed T, at least one training batch and at least one test sample.
    pub cache: Arc<CacheFile>,
    pub device: Device,
    /// Samples per training batch.
    pub batch_size: usize,
    /// Samples per test batch.
    pub test_batch_size: usize,
    pub epochs: u32,
    /// Data loader threads.
    pub workers: usize,
    /// Where the frames are kept between epochs; never `auto`.
    pub frames_in: FramesIn,
    /// Channels of the convolutions.
    pub channels: usize,
    /// Optimizer.
    pub rule: Rule,
    /// Learning rate of the first epoch.
    pub lr: f64,
    /// Learning rate of the later epochs.
    pub schedule: Schedule,
    pub seed: u64,
    /// Augmentation of training samples; `None` if it is off.
    pub augmentation: Option<Augmentation>,
}

impl TrainOptions {
    /// Checks the flags against their limits and this machine.
    ///
    /// # Errors
    /// Returns an error if a value is out of range or the cache cannot be used; the message says
    /// how to fix it.
    pub fn resolve(mut args: TrainArgs) -> Result<Self> {
        let test_batch_size = args.test_batch_size.unwrap_or(args.batch_size);
        within("--batch-size", args.batch_size, 1..=1 << 16)?;
        within("--test-batch-size", test_batch_size, 1..=1 << 16)?;
        within("--epochs", args.epochs as usize, 1..=1_000_000)?;
        within("--jobs", args.jobs, 1..=256)?;
        within("--channels", args.channels, 1..=MAX_CHANNELS)?;
        ensure!(
            args.lr > 0.0 && args.lr <= 10.0,
            "--lr {} is not within 0 (exclusive) and 10",
            args.lr
        );
        ensure!(
            (0.0..1.0).contains(&args.momentum),
            "--momentum {} is not within 0 and 1 (exclusive)",
            args.momentum
        );
        within("--step-size", args.step_size as usize, 1..=1_000_000)?;
        ensure!(
            args.gamma > 0.0 && args.gamma <= 1.0,
            "--gamma {} is not within 0 (exclusive) and 1",
            args.gamma
        );
        within("--t-max", args.t_max as usize, 1..=1_000_000)?;
        args.neuron.resolve()?;
        let device = device::resolve(args.device)?;
        refuse_amp(args.amp, &device)?;
        let cache = open_cache(&args)?;
        check_samples(&cache, args.batch_size)?;
        let frames_in = args.frames_in.resolve(&cache, device.memory())?;
        let (steps, sensor) = (cache.header.split.frames(), cache.header.sensor);
        let size = [sensor.height as usize, sensor.width as usize];
        let augmentation = Augmentation::new(
            &args.augment,
            steps as usize,
            size,
            &cache.header.label_names,
        )?;
        args.frames = Some(steps);
        args.split = Some(match cache.header.split {
            SplitMode::Time { .. } => Split::Time,
            _ => Split::Number,
        });
        args.test_batch_size = Some(test_batch_size);
        Ok(Self {
            cache: Arc::new(cache),
            device,
            batch_size: args.batch_size,
            test_batch_size,
            epochs: args.epochs,
            workers: args.jobs,
            frames_in,
            channels: args.channels,
            rule: match args.opt {
                OptimizerName::Adam => Rule::Adam,
                OptimizerName::Sgd => Rule::Sgd {
                    momentum: args.momentum,
                },
            },
            lr: args.lr,
            schedule: match args.lr_scheduler {
                SchedulerName::StepLr => Schedule::Step {
                    size: args.step_size,
                    gamma: args.gamma,
                },
                SchedulerName::CosAlr => Schedule::Cosine { t_max: args.t_max },
            },
            seed: args.seed,
            augmentation,
            args,
        })
    }
}

impl fmt::Display for TrainOptions {
    /// Formats the options like the first line that the tutorial's program prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optimizer = match self.rule {
            Rule::Adam => "adam".to_owned(),
            Rule::Sgd { momentum } => format!("sgd, momentum={momentum}"),
        };
        let schedule = match self.schedule {
            Schedule::Step { size, gamma } => format!("StepLR, step_size={size}, gamma={gamma}"),
            Schedule::Cosine { t_max } => format!("CosALR, t_max={t_max}"),
        };
        write!(
            f,
            "cache={}, T={}, split={}, batch_size={}, test_batch_size={}, epochs={}, jobs={}, frames_in={}, \
             channels={}, opt={optimizer}, lr={}, lr_scheduler={schedule}, seed={}, device={}",
            self.cache.path().display(),
            self.cache.header.split.frames(),
            self.cache.header.split.split_by(),
            self.batch_size,
            self.test_batch_size,
            self.epochs,
            self.workers,
            self.frames_in,
            self.channels,
            self.lr,
            self.seed,
            self.device,
        )
    }
}

/// Checks that a flag's value is within its limits.
///
/// # Errors
/// Returns an error if it is not.
pub fn within(flag: &str, value: usize, limits: RangeInclusive<usize>) -> Result<()> {
    ensure!(
        limits.contains(&value),
        "{flag} {value} is not within {} and {}",
        limits.start(),
        limits.end()
    );
    Ok(())
}

/// Refuses `amp` on the CPU, where it would only cost accuracy and time, and on GPUs without the
/// type.
///
/// # Errors
/// Returns an error if `amp` is given and the device has no use for it.
pub fn refuse_amp(amp: Option<AmpDtype>, device: &Device) -> Result<()> {
    let Some(half) = amp else { return Ok(()) };
    ensure!(
        *device != Device::Cpu,
        "--amp needs a GPU: on --device cpu every operation is computed in 32 bits, and halving them would cost \
         accuracy and time; leave --amp out"
    );
    let computes = |half: AmpDtype| {
        on_device!(device, |B, device| B::supports_dtype(
            device,
            half.dtype().into()
        ))
    };
    let other = match half {
        AmpDtype::Bf16 => AmpDtype::F16,
        AmpDtype::F16 => AmpDtype::Bf16,
    };
    if !computes(half) {
        let remedy = match computes(other) {
            true => format!("use --amp {other}"),
            false => "leave --amp out".to_owned(),
        };
        bail!("--amp {half} needs a GPU that computes with it, which {device} does not; {remedy}");
    }
    Ok(())
}

/// The network of `args`, for this number of `classes` and frames of `size` (height and width).
///
/// # Errors
/// Returns an error if a value is out of range.
pub fn network_config(args: &TrainArgs, size: [usize; 2], classes: usize) -> Result<NetworkConfig> {
    within("--channels", args.channels, 1..=MAX_CHANNELS)?;
    if let Some(hidden) = args.hidden {
        within("--hidden", hidden, 1..=MAX_HIDDEN)?;
    }
    within("the number of classes", classes, 1..=MAX_CLASSES)?;
    let [height, width] = size;
    ensure!(
        size.iter().all(|side| (MIN_SIDE..=MAX_SIDE).contains(side)),
        "frames of {height} x {width} do not fit the network, which takes {MIN_SIDE} to {MAX_SIDE} pixels each way: it halves \
         them {BLOCKS} times"
    );
    Ok(NetworkConfig {
        channels: args.channels,
        linear_bias: args.linear_bias,
        hidden: args.hidden,
        classes,
        size,
        neuron: args.neuron.resolve()?,
        step_mode: args.step_mode,
        dropout: 0.5,
        half: args.amp.map(AmpDtype::dtype),
    })
}

/// Finds and opens the cache, and checks that it matches the flags.
///
/// # Errors
/// Returns an error if there is no cache, it does not match, or T differs between samples; the
/// message says how to fix it.
pub fn open_cache(args: &TrainArgs) -> Result<CacheFile> {
    let frames = args.frames.unwrap_or(DEFAULT_FRAMES);
    within("-T", frames as usize, 1..=MAX_FRAMES as usize)?;
    let asked = split_mode(args.split.unwrap_or(Split::Number), frames);
    let (path, input) = match &args.cache {
        Some(path) => (path.clone(), None),
        None => {
            let dir = data_dir(
                args.data_dir.as_deref(),
                env::var_os("DVS_DATA").map(PathBuf::from),
            );
            (dir.join(asked.file_name()), Some(dir))
        }
    };
    if !path.exists() {
        bail!(missing_cache(&path, input.as_deref(), asked));
    }
    let cache = CacheFile::open(&path)?;
    let found = cache.header.split;
    let (split, frames) = match found {
        SplitMode::Duration { .. } => bail!(
            "{} holds {found}, whose number differs from sample to sample, so that they cannot share a \
             batch; make a cache with a fixed number: {}",
            path.display(),
            prepare_command(input.as_deref(), asked, None)
        ),
        SplitMode::Number { frames } => (Split::Number, frames),
        SplitMode::Time { frames } => (Split::Time, frames),
    };
    // A --cache file only has to match the flags that were typed; a cache found by its name must
    // match that name.
    let (asked, remedy) = match input {
        Some(_) => (asked, "name it with --cache"),
        None => (
            split_mode(args.split.unwrap_or(split), args.frames.unwrap_or(frames)),
            "leave -T and --split out",
        ),
    };
    ensure!(
        found == asked,
        "{} holds {found}, not {asked}; {remedy}, or make the other cache: {}",
        path.display(),
        prepare_command(input.as_deref(), asked, None)
    );
    Ok(cache)
}

fn split_mode(split: Split, frames: u32) -> SplitMode {
    match split {
        Split::Number => SplitMode::Number { frames },
        Split::Time => SplitMode::Time { frames },
    }
}

fn data_dir(flag: Option<&Path>, variable: Option<PathBuf>) -> PathBuf {
    flag.map(Path::to_owned)
        .or(variable.filter(|dir| !dir.as_os_str().is_empty()))
        .unwrap_or_else(|| PathBuf::from("DVS128Gesture"))
}

fn missing_cache(path: &Path, input: Option<&Path>, split: SplitMode) -> String {
    let place = match input {
        Some(dir) if !dir.is_dir() => format!(
            "the data directory {} does not exist; name the directory with --data-dir or $DVS_DATA, \
             the cache with --cache, or",
            dir.display()
        ),
        _ => format!("there is no frame cache {};", path.display()),
    };
    format!(
        "{place} make it: {}",
        prepare_command(input, split, Some(path))
    )
}

/// The `dvs-prep` command that makes a cache.
fn prepare_command(input: Option<&Path>, split: SplitMode, output: Option<&Path>) -> String {
    let mut command = format!(
        "dvs-prep --frames {} --split {}",
        split.frames(),
        split.split_by()
    );
    if let Some(input) = input {
        command += &format!(" --input {}", input.display());
    }
    if let Some(output) = output {
        command += &format!(" --output {}", output.display());
    }
    command
}

/// Checks that there is a full training batch and a test sample.
fn check_samples(cache: &CacheFile, batch_size: usize) -> Result<()> {
    let samples = |set| cache.set(set).samples.len();
    let (train, test) = (samples(Set::Train), samples(Set::Test));
    let path = cache.path().display();
    ensure!(train > 0, "{path} has no training samples");
    ensure!(test > 0, "{path} has no test samples");
    ensure!(
        train >= batch_size,
        "{path} has {train} training samples, too few for one batch of {batch_size}; use -b {train} or less"
    );
    Ok(())
}

#[cfg(test)]
mod tests;
