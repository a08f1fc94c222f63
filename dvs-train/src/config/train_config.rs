//! What a run trains and how: the part of its settings that the user chooses.
//!
//! [`TrainConfig`] is what checkpoints and `settings.json` store. [`TrainConfig::options`] lists
//! every value with the name of its flag; resuming, the names of run folders and reports use that
//! list.

use std::fmt;
use std::path::PathBuf;

use dvs_shared::SplitMode;
use serde::{Deserialize, Serialize};

use crate::config::neuron_config::NeuronConfig;
use crate::data::augment::AugmentConfig;
use crate::data::dataset::FramesIn;
use crate::data::validation::Validation;
use crate::device::DeviceName;
use crate::nn::architecture::Architecture;
use crate::nn::network::StepMode;
use crate::nn::network_name::NetworkName;
use crate::nn::notation::NeuronName;
use crate::optim::AmpDtype;
use crate::optim::optimizer::Rule;
use crate::optim::schedule::Schedule;

/// Frames per sample if neither the user nor a cache gives a number.
pub const DEFAULT_FRAMES: u32 = 16;

/// The configuration of a run. Values that a file does not have are the defaults, so that files of
/// older versions can be read; values that this version does not know are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    pub data: DataConfig,
    pub network: ArchitectureConfig,
    pub neurons: NeuronConfig,
    pub optimizer: OptimizerConfig,
    pub schedule: ScheduleConfig,
    pub augmentation: AugmentConfig,
    /// Random seed of weights, sample order, dropout and augmentation.
    pub seed: u64,
    /// Device to compute on.
    pub device: DeviceName,
}

/// The samples, and how they are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// The frame cache; `None` if the network was imported.
    pub cache: Option<PathBuf>,
    /// How samples are divided into frames; their number is T.
    #[serde(with = "fixed_split")]
    pub split: SplitMode,
    /// Samples per training batch.
    pub batch_size: usize,
    /// Samples per test batch; `None` is as for training.
    pub test_batch_size: Option<usize>,
    /// Data loader threads.
    pub jobs: usize,
    /// Where frames are kept between epochs.
    pub frames_in: FramesIn,
    /// What is held out of the training set for validation.
    pub validation: Option<Validation>,
}

/// The network, apart from its neurons.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchitectureConfig {
    /// The layers. A notation says channels, hidden neurons and neurons itself; see
    /// [`TrainConfig::describe_notation`].
    pub network: NetworkName,
    /// Channels C of the convolutions.
    pub channels: usize,
    /// Neurons of the hidden linear layer; `None` is [`NetworkName::hidden`].
    pub hidden: Option<usize>,
    /// Whether the linear layers have a bias.
    pub linear_bias: bool,
    /// Order of computation over the time steps.
    pub step_mode: StepMode,
    /// Whether each rank of data-parallel training normalises by the statistics of its own samples.
    #[serde(skip_serializing_if = "is_off")]
    pub local_batch_norm: bool,
    /// Whether the backward pass computes the convolutions again, which saves memory.
    #[serde(skip_serializing_if = "is_off")]
    pub recompute: bool,
    /// Time steps of a chunk of truncated backpropagation through time; `None` is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_steps: Option<usize>,
}

// serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_off(switch: &bool) -> bool {
    !*switch
}

/// The optimizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimizerConfig {
    pub opt: OptimizerName,
    /// Learning rate of the first epoch.
    pub lr: f64,
    /// Momentum of SGD.
    pub momentum: f64,
    /// 16-bit type of automatic mixed precision; `None` is off.
    pub amp: Option<AmpDtype>,
}

/// The number of epochs, and the learning rate over them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleConfig {
    pub epochs: u32,
    pub lr_scheduler: SchedulerName,
    /// StepLR: epochs between decays of the learning rate.
    pub step_size: u32,
    /// StepLR: factor of each decay.
    pub gamma: f64,
    /// CosALR: epochs until the learning rate reaches 0.
    pub t_max: u32,
}

/// Optimizers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    Sgd,
    Adam,
}

/// Learning rate schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SchedulerName {
    #[serde(rename = "StepLR")]
    StepLr,
    #[serde(rename = "CosALR")]
    CosAlr,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            data: DataConfig::default(),
            network: ArchitectureConfig::default(),
            neurons: NeuronConfig::default(),
            optimizer: OptimizerConfig::default(),
            schedule: ScheduleConfig::default(),
            augmentation: AugmentConfig::default(),
            seed: 0,
            device: DeviceName::Auto,
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            cache: None,
            split: SplitMode::Number {
                frames: DEFAULT_FRAMES,
            },
            batch_size: 16,
            test_batch_size: None,
            jobs: 4,
            frames_in: FramesIn::Auto,
            validation: None,
        }
    }
}

impl Default for ArchitectureConfig {
    fn default() -> Self {
        Self {
            network: NetworkName::Gesture,
            channels: 128,
            hidden: None,
            linear_bias: false,
            step_mode: StepMode::M,
            local_batch_norm: false,
            recompute: false,
            chunk_steps: None,
        }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            opt: OptimizerName::Adam,
            lr: 1e-3,
            momentum: 0.9,
            amp: None,
        }
    }
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            epochs: 64,
            lr_scheduler: SchedulerName::CosAlr,
            step_size: 32,
            gamma: 0.1,
            t_max: 32,
        }
    }
}

impl ArchitectureConfig {
    /// Sets the network and, if it is another one, the literature's number of channels for it.
    pub fn choose(&mut self, network: &NetworkName) {
        if self.network != *network {
            self.network = network.clone();
            self.channels = network.channels().unwrap_or(self.channels);
        }
    }
}

impl DataConfig {
    /// Samples per test batch.
    pub fn test_batch_size(&self) -> usize {
        self.test_batch_size.unwrap_or(self.batch_size)
    }
}

impl OptimizerConfig {
    /// The optimizer's update rule.
    pub fn rule(&self) -> Rule {
        match self.opt {
            OptimizerName::Adam => Rule::Adam,
            OptimizerName::Sgd => Rule::Sgd {
                momentum: self.momentum,
            },
        }
    }
}

impl ScheduleConfig {
    /// The learning rate over the epochs.
    pub fn schedule(&self) -> Schedule {
        match self.lr_scheduler {
            SchedulerName::StepLr => Schedule::Step {
                size: self.step_size,
                gamma: self.gamma,
            },
            SchedulerName::CosAlr => Schedule::Cosine { t_max: self.t_max },
        }
    }
}

/// One value of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigOption {
    /// Name of the flag, with underscores.
    pub name: &'static str,
    pub value: Value,
    /// Whether a resumed run may change it. Changing another option would invalidate the weights,
    /// the optimizer's state or the best accuracy.
    pub changeable: bool,
}

/// A value as typed on the command line.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    None,
    Switch(bool),
    Whole(u64),
    Real(f64),
    Text(String),
}

impl TrainConfig {
    /// Sets the values that a notation says itself: the channels of the first convolution, or 0, and
    /// the neurons of the first layer that leaks, because `--tau` is for such a layer. Writes the
    /// notation in the one form that equal networks have.
    pub fn describe_notation(&mut self, architecture: &Architecture) {
        self.network.network = NetworkName::Notation(architecture.to_string());
        self.network.hidden = None;
        let first = architecture.blocks.first();
        self.network.channels = first.map_or(0, |block| block.channels);
        let kinds: Vec<NeuronName> = architecture.neurons().collect();
        let leaky = kinds.iter().find(|kind| **kind != NeuronName::If);
        if let Some(neuron) = leaky.or(kinds.first()) {
            self.neurons.neuron = *neuron;
        }
    }

    /// Every value. The patterns name every field, so that a new field cannot be forgotten here.
    pub fn options(&self) -> Vec<ConfigOption> {
        let Self {
            data,
            network,
            neurons,
            optimizer,
            schedule,
            augmentation,
            seed,
            device,
        } = self;
        let DataConfig {
            cache,
            split,
            batch_size,
            test_batch_size,
            jobs,
            frames_in,
            validation,
        } = data;
        let ArchitectureConfig {
            network,
            channels,
            hidden,
            linear_bias,
            step_mode,
            local_batch_norm,
            recompute,
            chunk_steps,
        } = network;
        let NeuronConfig {
            neuron,
            tau,
            v_threshold,
            v_reset,
            decay_input,
            detach_reset,
            surrogate,
            alpha,
        } = neurons;
        let OptimizerConfig {
            opt,
            lr,
            momentum,
            amp,
        } = optimizer;
        let ScheduleConfig {
            epochs,
            lr_scheduler,
            step_size,
            gamma,
            t_max,
        } = schedule;
        let AugmentConfig {
            flip,
            rotate,
            shift,
            flip_polarity,
            drop_events,
            keep_frames,
        } = augmentation;
        let cache = cache.as_ref().map(|path| path.display().to_string());
        vec![
            changeable("cache", cache),
            fixed("frames", u64::from(split.frames())),
            fixed("split", split.split_by().name()),
            changeable("batch_size", *batch_size),
            changeable("test_batch_size", *test_batch_size),
            changeable("jobs", *jobs),
            changeable("frames_in", frames_in.to_string()),
            fixed("validation", validation.as_ref().map(ToString::to_string)),
            fixed("network", network.to_string()),
            fixed("channels", *channels),
            fixed("hidden", *hidden),
            fixed("linear_bias", *linear_bias),
            fixed("step_mode", step_mode.to_string()),
            fixed("local_batch_norm", *local_batch_norm),
            changeable("recompute", *recompute),
            fixed("chunk_steps", *chunk_steps),
            fixed("neuron", neuron.to_string()),
            fixed("tau", *tau),
            fixed("v_threshold", *v_threshold),
            fixed("v_reset", v_reset.to_string()),
            fixed("decay_input", *decay_input),
            fixed("detach_reset", *detach_reset),
            fixed("surrogate", surrogate.name()),
            fixed("alpha", *alpha),
            fixed("opt", opt.to_string()),
            changeable("lr", *lr),
            changeable("momentum", *momentum),
            changeable("amp", amp.map(|amp| amp.to_string())),
            changeable("epochs", *epochs),
            changeable("lr_scheduler", lr_scheduler.to_string()),
            changeable("step_size", *step_size),
            changeable("gamma", *gamma),
            changeable("t_max", *t_max),
            fixed("flip", *flip),
            fixed("rotate", *rotate),
            fixed("shift", *shift),
            fixed("flip_polarity", *flip_polarity),
            fixed("drop_events", *drop_events),
            fixed("keep_frames", *keep_frames),
            fixed("seed", *seed),
            changeable("device", device.to_string()),
        ]
    }
}

fn fixed(name: &'static str, value: impl Into<Value>) -> ConfigOption {
    ConfigOption {
        name,
        value: value.into(),
        changeable: false,
    }
}

fn changeable(name: &'static str, value: impl Into<Value>) -> ConfigOption {
    ConfigOption {
        changeable: true,
        ..fixed(name, value)
    }
}

impl ConfigOption {
    /// The flag, as typed.
    pub fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("(none)"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::Whole(number) => write!(f, "{number}"),
            // With a decimal point even if the number is whole.
            Self::Real(number) => write!(f, "{number:?}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<bool> for Value {
    fn from(on: bool) -> Self {
        Self::Switch(on)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Whole(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl fmt::Display for OptimizerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sgd => "sgd",
            Self::Adam => "adam",
        })
    }
}

impl fmt::Display for SchedulerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StepLr => "StepLR",
            Self::CosAlr => "CosALR",
        })
    }
}

/// A split into a fixed number of frames in JSON: `{"by": "number", "frames": 16}`.
mod fixed_split {
    use dvs_shared::SplitMode;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct FixedSplit {
        by: String,
        frames: u32,
    }

    pub fn serialize<S: Serializer>(split: &SplitMode, to: S) -> Result<S::Ok, S::Error> {
        let by = split.split_by().name().to_owned();
        let frames = split.frames();
        FixedSplit { by, frames }.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SplitMode, D::Error> {
        let FixedSplit { by, frames } = FixedSplit::deserialize(from)?;
        SplitMode::from_attributes(&by, frames, 0).ok_or_else(|| {
            D::Error::custom(format!("{frames} frames split by {by:?} are no split"))
        })
    }
}
