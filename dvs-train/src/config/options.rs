//! Resolves a configuration for this machine: opens the cache and checks all limits.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use burn::tensor::backend::Backend;
use dvs_shared::cache_format::MAX_CLASSES;
use dvs_shared::event::MAX_PIXELS;
use dvs_shared::labels::{CLASSES, listed};
use dvs_shared::{CacheFile, Set};

use crate::config::cache_request::CacheRequest;
use crate::config::settings::folder_name;
use crate::config::train_config::TrainConfig;
use crate::data::augment::Augmentation;
use crate::data::dataset::FramesIn;
#[cfg(feature = "cuda")]
use crate::device::cuda;
use crate::device::{self, Device, on_device};
use crate::nn::architecture::Architecture;
use crate::nn::network::StepMode;
use crate::nn::network_config::NetworkConfig;
use crate::nn::network_name::NetworkName;
use crate::nn::notation::{NeuronName, parse};
use crate::optim::AmpDtype;
use crate::optim::optimizer::Rule;
use crate::optim::schedule::Schedule;

/// Maximum channels of a convolution.
pub const MAX_CHANNELS: usize = 4096;
/// Maximum side of a frame, as in a cache.
const MAX_SIDE: usize = MAX_PIXELS as usize;
/// Maximum neurons of the hidden layer.
pub const MAX_HIDDEN: usize = 4 * MAX_CHANNELS;

/// Where a run keeps its files.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Directory of the run folder; `None` is the default, or the folder of a resumed run.
    pub out_dir: Option<PathBuf>,
    /// Whether an existing run in the run folder is overwritten.
    pub force: bool,
}

impl Destination {
    /// Directory to create the run folder in.
    pub fn out_dir(&self) -> &Path {
        self.out_dir.as_deref().unwrap_or(Path::new("./logs"))
    }
}

/// A run that this machine can do.
#[derive(Debug)]
pub struct TrainOptions {
    /// The configuration; its cache and its split into frames are those of `cache`.
    pub config: TrainConfig,
    /// Where the run keeps its files.
    pub destination: Destination,
    /// The cache, with a fixed T, at least one training batch and at least one test sample.
    pub cache: Arc<CacheFile>,
    pub device: Device,
    /// Where the frames are kept between epochs; never `auto`.
    pub frames_in: FramesIn,
    /// Augmentation of training samples; `None` if it is off.
    pub augmentation: Option<Augmentation>,
}

impl TrainOptions {
    /// The folder of the run, unless it resumes in another.
    pub fn run_folder(&self) -> PathBuf {
        self.destination.out_dir().join(folder_name(&self.config))
    }

    /// Checks a configuration against its limits and this machine, which as many ranks share as
    /// `ranks_here` says, and opens the cache.
    ///
    /// # Errors
    /// Returns an error if a value is out of range or the cache cannot be used; the message says
    /// how to fix it.
    pub fn resolve(
        mut config: TrainConfig,
        request: &CacheRequest,
        destination: Destination,
        ranks_here: usize,
    ) -> Result<Self> {
        check_limits(&config)?;
        let device = device::resolve(config.device)?;
        refuse_amp(config.optimizer.amp, &device)?;
        let cache = request.open()?;
        let data = &mut config.data;
        check_samples(&cache, data.batch_size)?;
        let frames_in = data
            .frames_in
            .resolve(&cache, device.memory(), ranks_here)?;
        let header = &cache.header;
        if let Some(steps) = config.network.chunk_steps {
            within("--chunk-steps", steps, 1..=header.split.frames() as usize)?;
        }
        let sensor = header.sensor;
        let size = [sensor.height as usize, sensor.width as usize];
        if let NetworkName::Notation(_) = config.network.network {
            let network = network_config(&config, size, Some(header.label_names.len()));
            let network =
                network.with_context(|| format!("cannot train on {}", cache.path().display()))?;
            config.describe_notation(&network.architecture);
        }
        let data = &mut config.data;
        let augmentation = Augmentation::new(
            &config.augmentation,
            cache.header.split.frames() as usize,
            size,
            &cache.header.label_names,
        )?;
        data.cache = Some(cache.path().to_owned());
        data.split = cache.header.split;
        data.test_batch_size = Some(data.test_batch_size());
        Ok(Self {
            config,
            destination,
            cache: Arc::new(cache),
            device,
            frames_in,
            augmentation,
        })
    }
}

/// Checks the values that do not depend on the machine or the cache.
fn check_limits(config: &TrainConfig) -> Result<()> {
    let TrainConfig {
        data,
        neurons,
        optimizer,
        schedule,
        ..
    } = config;
    within("--batch-size", data.batch_size, 1..=1 << 16)?;
    within("--test-batch-size", data.test_batch_size(), 1..=1 << 16)?;
    within("--epochs", schedule.epochs as usize, 1..=1_000_000)?;
    within("--jobs", data.jobs, 1..=256)?;
    ensure!(
        optimizer.lr > 0.0 && optimizer.lr <= 10.0,
        "--lr {} is not within 0 (exclusive) and 10",
        optimizer.lr
    );
    ensure!(
        (0.0..1.0).contains(&optimizer.momentum),
        "--momentum {} is not within 0 and 1 (exclusive)",
        optimizer.momentum
    );
    within("--step-size", schedule.step_size as usize, 1..=1_000_000)?;
    ensure!(
        schedule.gamma > 0.0 && schedule.gamma <= 1.0,
        "--gamma {} is not within 0 (exclusive) and 1",
        schedule.gamma
    );
    within("--t-max", schedule.t_max as usize, 1..=1_000_000)?;
    neurons.resolve()?;
    Ok(())
}

impl fmt::Display for TrainOptions {
    /// Formats the options like the first line that the tutorial's program prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TrainConfig {
            data,
            network,
            optimizer,
            schedule,
            seed,
            ..
        } = &self.config;
        let rule = match optimizer.rule() {
            Rule::Adam => "adam".to_owned(),
            Rule::Sgd { momentum } => format!("sgd, momentum={momentum}"),
        };
        let network_in_words = match &network.network {
            NetworkName::Gesture => format!("channels={}", network.channels),
            NetworkName::Notation(notation) => format!("network={notation}"),
            name => format!("network={name}, channels={}", network.channels),
        };
        let rates = match schedule.schedule() {
            Schedule::Step { size, gamma } => format!("StepLR, step_size={size}, gamma={gamma}"),
            Schedule::Cosine { t_max } => format!("CosALR, t_max={t_max}"),
        };
        write!(
            f,
            "cache={}, T={}, split={}, batch_size={}, test_batch_size={}, epochs={}, jobs={}, frames_in={}, \
             {}, opt={rule}, lr={}, lr_scheduler={rates}, seed={seed}, device={}",
            self.cache.path().display(),
            data.split.frames(),
            data.split.split_by().name(),
            data.batch_size,
            data.test_batch_size(),
            schedule.epochs,
            data.jobs,
            self.frames_in,
            network_in_words,
            optimizer.lr,
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
        // Matrix units take bfloat16 from compute capability 8.0 on, and NVRTC compiles nothing with
        // it for older GPUs.
        #[cfg(feature = "cuda")]
        if let (Device::Cuda(device), AmpDtype::Bf16) = (device, half) {
            return cuda::has_bf16(device.index);
        }
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

/// The network of a configuration for frames of `size` (height and width). If `classes` is not given,
/// a network in notation has those of its notation, and the others have the gestures.
///
/// # Errors
/// Returns an error if a value is out of range.
pub fn network_config(
    config: &TrainConfig,
    size: [usize; 2],
    classes: Option<usize>,
) -> Result<NetworkConfig> {
    let network = &config.network;
    if network.network.is_named() {
        within("--channels", network.channels, 1..=MAX_CHANNELS)?;
        if let Some(hidden) = network.hidden {
            within("--hidden", hidden, 1..=MAX_HIDDEN)?;
        }
    }
    let outputs = classes.unwrap_or(CLASSES);
    within("the number of classes", outputs, 1..=MAX_CLASSES)?;
    let [height, width] = size;
    ensure!(
        size.iter().all(|side| (1..=MAX_SIDE).contains(side)),
        "frames of {height} x {width} do not have 1 to {MAX_SIDE} pixels each way"
    );
    ensure!(
        !(network.recompute && network.chunk_steps.is_some()),
        "--chunk-steps keeps potentials between chunks, which --recompute does not; leave one of them out"
    );
    ensure!(
        !(network.recompute && network.step_mode == StepMode::S),
        "--step-mode s keeps potentials between steps, which --recompute does not; leave one of them out"
    );
    let name = &network.network;
    let hidden = network.hidden.unwrap_or(name.hidden(network.channels));
    let notation = name.notation(network.channels, hidden, outputs, config.neurons.neuron);
    let architecture = Architecture::build(&notation, size, classes, network.linear_bias);
    let architecture = architecture.map_err(|error| {
        // A text that is no notation at all may be a name with a typing error.
        match parse(&notation) {
            Ok(_) => anyhow!("--network does not fit: {error}"),
            Err(_) => anyhow!(
                "--network is neither {} nor a network in notation: {error}",
                listed(&NetworkName::NAMED.map(|name| name.to_string()))
            ),
        }
    })?;
    let kinds: Vec<NeuronName> = architecture.neurons().collect();
    Ok(NetworkConfig {
        neurons: config.neurons.resolve_layers(&kinds)?,
        architecture,
        step_mode: network.step_mode,
        recompute: network.recompute,
        chunk_steps: network.chunk_steps,
        half: config.optimizer.amp.map(AmpDtype::dtype),
    })
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
