//! The flags of `train`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use dvs_shared::split_mode::SplitBy;

use crate::cli::augment::AugmentArgs;
use crate::cli::choices::fixed_splits;
use crate::cli::neuron::NeuronArgs;
use crate::cli::{refuse_beside_notation, set};
use crate::config::cache_request::CacheRequest;
use crate::config::options::Destination;
use crate::config::train_config::{OptimizerName, SchedulerName, TrainConfig};
use crate::data::dataset::FramesIn;
use crate::data::validation::Validation;
use crate::device::DeviceName;
use crate::nn::network::StepMode;
use crate::nn::network_name::NetworkName;
use crate::optim::AmpDtype;

/// Flags of `train`. A flag that was not typed is `None`: its default, or its saved value if a run
/// resumes, is in [`TrainConfig`].
#[derive(Args, Clone, Debug)]
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
    #[arg(long, value_parser = fixed_splits(), value_name = "MODE")]
    pub split: Option<SplitBy>,

    /// Device to compute on: auto (cuda:0 if it works, else the CPU; cuda:N for the rank with the
    /// number N on its host), cpu, cuda:N or vulkan:N [default: auto]
    #[arg(long)]
    pub device: Option<DeviceName>,

    /// Samples per training batch, of all ranks together; an incomplete last batch is dropped
    /// [default: 16]
    #[arg(short = 'b', long, value_name = "SAMPLES")]
    pub batch_size: Option<usize>,

    /// Samples per test batch [default: as for training]
    #[arg(long, value_name = "SAMPLES")]
    pub test_batch_size: Option<usize>,

    /// Number of epochs [default: 64]
    #[arg(long, value_name = "N")]
    pub epochs: Option<u32>,

    /// Number of data loader threads; each keeps up to two batches in memory [default: 4]
    #[arg(short = 'j', long, value_name = "N")]
    pub jobs: Option<usize>,

    /// Where to keep the frames between epochs [default: auto]
    #[arg(long, value_enum, value_name = "WHERE")]
    pub frames_in: Option<FramesIn>,

    /// The network: gesture, cifar10dvs, nmnist or cifar10 as in the literature, or a notation such
    /// as '{c64k3s1-BN-LIF-MPk2s2}*3-DP-FC128-LIF-FC110-LIF-APk10s10' [default: gesture]
    ///
    /// c64k3s1: convolution, 64 channels, kernel 3 x 3, stride 1, padding (k - 1) / 2 (or p, as in
    /// c64k3s1p0). BN: batch norm. LIF, PLIF, IF: neurons. MPk2s2, APk2s2: max and average pooling
    /// with kernel 2 and stride 2. DP: dropout with probability 0.5 (or DP0.2). FC128: linear layer
    /// with 128 outputs. {...}*3: three times. APk10s10 at the end: voting by tens. Sizes that do
    /// not divide are floored.
    #[arg(long, value_name = "NAME|NOTATION")]
    pub network: Option<NetworkName>,

    /// Channels C of the convolutions of a network with a name [default: the literature's, 128 for
    /// gesture]
    #[arg(long, value_name = "C")]
    pub channels: Option<usize>,

    /// Add a bias to the linear layers, as in SpikingJelly's example; the paper's networks have none
    #[arg(long)]
    pub linear_bias: bool,

    /// Neurons in the hidden linear layer of a network with a name [default: in proportion to the
    /// channels as in the literature, 4 times as many for gesture; SpikingJelly's example always has
    /// 512]
    #[arg(long, value_name = "NEURONS")]
    pub hidden: Option<usize>,

    /// Process a sample layer by layer (multi-step) or step by step (single-step) [default: m]
    #[arg(long, alias = "step_mode", value_enum, value_name = "MODE")]
    pub step_mode: Option<StepMode>,

    /// With several ranks, let each normalise its part of a batch by its own statistics, as PyTorch
    /// does without SyncBatchNorm, instead of the whole batch's
    #[arg(long, alias = "local_batch_norm")]
    pub local_batch_norm: bool,

    /// Save memory: keep of each convolution block with batch norm only its input, one bit for each
    /// spike, and compute the convolution again in the backward pass. The gradients stay the same.
    /// On resume, false turns it off [default: false]
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    pub recompute: Option<bool>,

    /// Save memory for very long samples with truncated backpropagation through time: go through the
    /// time steps in chunks of K. The potentials go on from chunk to chunk, but no gradient does. In
    /// multi-step mode, batch norm normalises each chunk by its own statistics. This is another
    /// training than without
    #[arg(long, alias = "chunk_steps", value_name = "K")]
    pub chunk_steps: Option<usize>,

    /// Directory to create the run folder in [default: ./logs]
    #[arg(long, alias = "out_dir", value_name = "DIR")]
    pub out_dir: Option<PathBuf>,

    /// Resume from a checkpoint or run folder (its checkpoint_latest is used); options not given
    /// keep their saved values. With auto, the same command can be given again and again: it begins
    /// the run, goes on if the run's folder has a checkpoint, and does nothing once all epochs are
    /// done
    #[arg(long, value_name = "auto|PATH")]
    pub resume: Option<PathBuf>,

    /// Overwrite an existing run in the run folder
    #[arg(long)]
    pub force: bool,

    /// Stop after the current batch once this file exists, as on SIGTERM, but with exit status 3
    #[arg(long, alias = "stop_file", value_name = "FILE")]
    pub stop_file: Option<PathBuf>,

    /// With several ranks, started by srun, torchrun or mpirun: how long they wait for each other at
    /// the start, and later for a sign of life, before all of them end. Over MPI, a hang is noticed
    /// only after half an hour
    #[arg(long, alias = "ranks_timeout", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub ranks_timeout: u64,

    /// Print a line of JSON for each epoch and one at the end; everything else goes to standard
    /// error
    #[arg(long)]
    pub json: bool,

    /// Automatic mixed precision: compute convolutions and linear layers in 16 bits during
    /// training; needs a GPU [bf16 if no TYPE is given]
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "bf16", value_name = "TYPE")]
    pub amp: Option<AmpDtype>,

    /// Optimizer [default: adam]
    #[arg(long, value_enum, ignore_case = true)]
    pub opt: Option<OptimizerName>,

    /// Learning rate [default: 0.001]
    #[arg(long, allow_negative_numbers = true, value_name = "RATE")]
    pub lr: Option<f64>,

    /// Momentum of SGD [default: 0.9]
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE")]
    pub momentum: Option<f64>,

    /// Learning rate schedule [default: CosALR]
    #[arg(
        long,
        alias = "lr_scheduler",
        value_enum,
        ignore_case = true,
        value_name = "NAME"
    )]
    pub lr_scheduler: Option<SchedulerName>,

    /// StepLR: epochs between decays of the learning rate [default: 32]
    #[arg(long, alias = "step_size", value_parser = whole_number, value_name = "EPOCHS")]
    pub step_size: Option<u32>,

    /// StepLR: factor of each decay [default: 0.1]
    #[arg(long, allow_negative_numbers = true, value_name = "FACTOR")]
    pub gamma: Option<f64>,

    /// CosALR: epochs until the learning rate reaches 0; it rises again over as many epochs
    /// [default: 32]
    #[arg(
        long,
        alias = "T_max",
        alias = "t_max",
        alias = "T-max",
        value_name = "EPOCHS"
    )]
    pub t_max: Option<u32>,

    /// Hold out users of the training set for validation, and choose checkpoint_max on them:
    /// users:4, users:NAME,NAME or a fraction of the users such as 0.1; or hold out whole
    /// recordings: recordings:0.2. The test set is then evaluated once, at the end
    ///
    /// A sample's user is the part of its name before the first _.
    #[arg(long, value_name = "HOW")]
    pub validation: Option<Validation>,

    /// Random seed of weights, sample order, dropout and augmentation [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    // After the others, because its heading applies to all that follow.
    #[command(flatten)]
    pub augment: AugmentArgs,

    // Last, because its heading applies to all that follow.
    #[command(flatten)]
    pub neuron: NeuronArgs,
}

impl TrainArgs {
    /// Sets what was typed, except what concerns the cache: see [`TrainArgs::cache_request`].
    pub fn apply(&self, config: &mut TrainConfig) {
        // The pattern names every flag, so that a new one cannot be forgotten here.
        let Self {
            data_dir: _,
            cache: _,
            frames: _,
            split: _,
            device: typed_device,
            batch_size,
            test_batch_size,
            epochs,
            jobs,
            frames_in,
            network: typed_network,
            channels,
            linear_bias,
            hidden,
            step_mode,
            local_batch_norm,
            recompute,
            chunk_steps,
            out_dir: _,
            resume: _,
            force: _,
            stop_file: _,
            ranks_timeout: _,
            json: _,
            amp,
            opt,
            lr,
            momentum,
            lr_scheduler,
            step_size,
            gamma,
            t_max,
            validation,
            seed: typed_seed,
            augment,
            neuron,
        } = self;
        let TrainConfig {
            data,
            network,
            neurons,
            optimizer,
            schedule,
            augmentation,
            seed,
            device,
        } = config;
        set(&mut data.batch_size, batch_size);
        set(&mut data.test_batch_size, test_batch_size);
        set(&mut data.jobs, jobs);
        set(&mut data.frames_in, frames_in);
        set(&mut data.validation, validation);
        if let Some(name) = typed_network {
            network.choose(name);
        }
        set(&mut network.channels, channels);
        set(&mut network.hidden, hidden);
        network.linear_bias |= *linear_bias;
        set(&mut network.step_mode, step_mode);
        network.local_batch_norm |= *local_batch_norm;
        set(&mut network.recompute, recompute);
        set(&mut network.chunk_steps, chunk_steps);
        neuron.apply(neurons);
        set(&mut optimizer.opt, opt);
        set(&mut optimizer.lr, lr);
        set(&mut optimizer.momentum, momentum);
        set(&mut optimizer.amp, amp);
        set(&mut schedule.epochs, epochs);
        set(&mut schedule.lr_scheduler, lr_scheduler);
        set(&mut schedule.step_size, step_size);
        set(&mut schedule.gamma, gamma);
        set(&mut schedule.t_max, t_max);
        augment.apply(augmentation);
        set(seed, typed_seed);
        set(device, typed_device);
    }

    /// Checks that no flag says what the notation of a network already says.
    ///
    /// # Errors
    /// Returns an error that names the flag.
    pub fn check_notation(&self) -> Result<()> {
        refuse_beside_notation(
            self.network.as_ref(),
            &[
                ("--channels", self.channels.is_some()),
                ("--hidden", self.hidden.is_some()),
                ("--neuron", self.neuron.neuron.is_some()),
            ],
        )
    }

    /// The options that all ranks of a run must have alike, as a text to compare.
    pub fn shared_options(&self) -> String {
        let own_to_a_rank = Self {
            data_dir: None,
            cache: None,
            device: None,
            jobs: None,
            ..self.clone()
        };
        format!("{own_to_a_rank:?}")
    }

    /// The cache that was asked for.
    pub fn cache_request(&self) -> CacheRequest {
        CacheRequest {
            data_dir: self.data_dir.clone(),
            cache: self.cache.clone(),
            frames: self.frames,
            split: self.split,
        }
    }

    /// Where the run keeps its files.
    pub fn destination(&self) -> Destination {
        Destination {
            out_dir: self.out_dir.clone(),
            force: self.force,
        }
    }
}

/// Parses a whole number. The tutorial's `-step_size` is a float: 32 or 32.0.
fn whole_number(text: &str) -> std::result::Result<u32, String> {
    match text.parse::<f64>() {
        Ok(number) if number.fract() == 0.0 && (0.0..=1e9).contains(&number) => Ok(number as u32),
        _ => Err(format!("{text:?} is not a whole number of epochs")),
    }
}
