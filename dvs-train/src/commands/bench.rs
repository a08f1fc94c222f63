//! `dvs-train bench`: times a training step and a test step on this machine.

mod parts;

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::tensor::backend::{AutodiffBackend, Backend};
use dvs_shared::CountType;
use dvs_shared::event::DVS128;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};

use crate::cli::{BenchArgs, refuse_beside_notation, set};
use crate::config::options::{network_config, refuse_amp, within};
use crate::config::train_config::TrainConfig;
use crate::console::interrupt::Interrupt;
use crate::console::numbers::bytes;
use crate::console::print;
use crate::data::batch::{Batch, Counts, HostBatch};
use crate::device::{self, Device, on_device};
use crate::nn::network::{Network, SnnBackend};
use crate::nn::network_config::NetworkConfig;
use crate::nn::spike_stats::SpikeCounter;
use crate::optim::AmpDtype;
use crate::optim::loss_scale::LossScale;
use crate::optim::optimizer::update::OptimizerBackend;
use crate::optim::optimizer::{Optimizer, Rule};
use crate::train::epoch::step;
use crate::train::run_ranks::RunRanks;

/// Height and width of a frame.
const SIZE: [usize; 2] = [DVS128.height as usize, DVS128.width as usize];

/// Runs the benchmark that `args` ask for and prints the times.
///
/// # Errors
/// Returns an error if a value is out of range or the device fails.
pub fn run(args: &BenchArgs) -> Result<()> {
    let device = device::resolve(args.device)?;
    print(&measure(args, &device)?)
}

/// Runs the benchmark on `device` and returns what to print.
fn measure(args: &BenchArgs, device: &Device) -> Result<String> {
    check(args, device)?;
    let remedy = device::smaller_batch(args.batch_size, 1);
    device::guard(device, &remedy, || {
        let on_cpu = *device == Device::Cpu;
        on_device!(device, |B, device| run_on::<Autodiff<B>>(
            args, on_cpu, device
        ))
    })
}

/// Checks the values of `args`.
///
/// # Errors
/// Returns an error if one is out of range, or `device` does not have what it needs.
pub fn check(args: &BenchArgs, device: &Device) -> Result<()> {
    within("-T", args.frames, 1..=1024)?;
    within("--batch-size", args.batch_size, 1..=1 << 16)?;
    within("--steps", args.steps, 1..=1_000_000)?;
    refuse_amp(args.amp, device)?;
    config(args).map(drop)
}

/// Runs everything once that training and evaluation run on `device`, so that it is compiled.
///
/// # Errors
/// Returns an error if the device fails.
pub fn warm_up(args: &BenchArgs, device: &Device) -> Result<()> {
    let remedy = device::smaller_batch(args.batch_size, 1);
    device::guard(device, &remedy, || {
        on_device!(device, |B, device| warm_up_on::<Autodiff<B>>(args, device))
    })
}

/// Returns the network that `args` ask for.
///
/// # Errors
/// Returns an error if it cannot be built for frames of this size.
pub fn config(args: &BenchArgs) -> Result<NetworkConfig> {
    let mut asked = TrainConfig::default();
    let typed = [
        ("--channels", args.channels.is_some()),
        ("--neuron", args.neuron.neuron.is_some()),
    ];
    refuse_beside_notation(args.network.as_ref(), &typed)?;
    if let Some(name) = &args.network {
        asked.network.choose(name);
    }
    set(&mut asked.network.channels, &args.channels);
    asked.network.step_mode = args.step_mode;
    asked.network.recompute = args.recompute;
    asked.network.chunk_steps = args.chunk_steps;
    if let Some(steps) = args.chunk_steps {
        within("--chunk-steps", steps, 1..=args.frames)?;
    }
    asked.optimizer.amp = args.amp;
    args.neuron.apply(&mut asked.neurons);
    network_config(&asked, SIZE, None)
}

fn optimizer<B>(args: &BenchArgs) -> Optimizer<B>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    let mut optimizer = Optimizer::new(Rule::Adam);
    optimizer.loss_scale = (args.amp == Some(AmpDtype::F16)).then(LossScale::default);
    optimizer
}

fn run_on<B>(args: &BenchArgs, on_cpu: bool, device: &B::Device) -> Result<String>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    let config = config(args)?;
    if args.parts {
        let parts = parts::time::<B::InnerBackend>(args, &config, device)?;
        return Ok(match args.json {
            true => {
                let parts = json!({ "backend": B::name(device), "parts": parts.to_json() });
                format!("{parts}\n")
            }
            false => parts.to_text(),
        });
    }
    let made_up = frames(args, config.architecture.classes);
    let batch = Batch::<B>::upload(made_up.clone(), config.architecture.classes, device);
    let mut network = Network::<B>::new(&config, device);
    let mut optimizer = optimizer(args);
    let alone = RunRanks::alone(Interrupt::default());
    let train = seconds::<B>(args, device, || {
        network = step(network.clone(), &mut optimizer, 1e-3, &batch, &alone)?.network;
        Ok(())
    })?;
    let peak = on_cpu.then(peak_memory).flatten();
    let batch = Batch::<B::InnerBackend>::upload(made_up, config.architecture.classes, device);
    let network = network.valid();
    let test = seconds::<B>(args, device, || {
        network.forward(batch.frames.clone());
        Ok(())
    })?;
    let timed = Timed {
        network: config.architecture.to_string(),
        channels: config
            .architecture
            .blocks
            .first()
            .map(|block| block.channels),
        train,
        test,
        peak,
        train_bytes: config.training_bytes(args.frames, args.batch_size),
        test_bytes: config.test_bytes(args.frames, args.batch_size),
    };
    Ok(match args.json {
        true => format!("{}\n", timed.to_json(args, &B::name(device))),
        false => timed.to_text(args),
    })
}

fn warm_up_on<B>(args: &BenchArgs, device: &B::Device) -> Result<()>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    let config = config(args)?;
    let made_up = frames(args, config.architecture.classes);
    let batch = Batch::<B>::upload(made_up.clone(), config.architecture.classes, device);
    let network = Network::<B>::new(&config, device);
    let alone = RunRanks::alone(Interrupt::default());
    let network = step(network, &mut optimizer(args), 1e-3, &batch, &alone)?.network;
    let batch = Batch::<B::InnerBackend>::upload(made_up, config.architecture.classes, device);
    let mut counter = SpikeCounter::new();
    let rate = network.valid().rates(batch.frames, &mut counter);
    rate.argmax(1)
        .try_into_data()
        .context("the device failed while it computed")?;
    counter.finish().map(drop)
}

/// A synthetic batch: 5 % of the cells have 3 events, the others none.
fn frames(args: &BenchArgs, classes: usize) -> HostBatch {
    let (steps, size) = (args.frames, args.batch_size);
    let [height, width] = SIZE;
    let mut batch = HostBatch::new(CountType::U8, steps, size, height, width);
    let mut random = Pcg64::seed_from_u64(0);
    if let Counts::U8(counts) = &mut batch.frames {
        let busy = u64::MAX / 20;
        counts.fill_with(|| if random.next_u64() < busy { 3 } else { 0 });
    }
    for label in &mut batch.labels {
        *label = (random.next_u64() % classes as u64) as u8;
    }
    batch
}

/// Median time of `work` in seconds, after the warm-up steps.
fn seconds<B: Backend>(
    args: &BenchArgs,
    device: &B::Device,
    mut work: impl FnMut() -> Result<()>,
) -> Result<f64> {
    // On CUDA, memory of other sizes than this work needs would stay allocated.
    B::memory_cleanup(device);
    let mut times = Vec::with_capacity(args.steps);
    for round in 0..args.warmup + args.steps {
        let start = Instant::now();
        work()?;
        B::sync(device).context("the device failed while it computed")?;
        if round >= args.warmup {
            times.push(start.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Most bytes of memory that this process had so far, if Linux counts them.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(1024 * kibibytes)
}

/// Results of a benchmark.
struct Timed {
    /// The network in notation.
    network: String,
    /// Channels of its first convolution.
    channels: Option<usize>,
    /// Seconds of a training step.
    train: f64,
    /// Seconds of a test step.
    test: f64,
    /// Most bytes of memory of the process up to the end of training, on the CPU.
    peak: Option<u64>,
    /// Estimated bytes of memory of a training step.
    train_bytes: u64,
    /// Estimated bytes of memory of a test step.
    test_bytes: u64,
}

impl Timed {
    fn to_text(&self, args: &BenchArgs) -> String {
        let line = |what: &str, seconds: f64| {
            let speed = args.batch_size as f64 / seconds;
            format!("{what:<6}{seconds:>9.4} s a step{speed:>11.2} samples/s\n")
        };
        let memory = format!(
            "memory, estimated on a GPU: {} for a training step, {} for a test step\n",
            bytes(self.train_bytes),
            bytes(self.test_bytes)
        );
        let peak = self.peak.map_or_else(String::new, |peak| {
            format!(
                "memory, measured: {} at the peak of training\n",
                bytes(peak)
            )
        });
        line("train", self.train) + &line("test", self.test) + &memory + &peak
    }

    fn to_json(&self, args: &BenchArgs, backend: &str) -> Value {
        json!({
            "device": args.device,
            "backend": backend,
            "T": args.frames,
            "batch": args.batch_size,
            "network": self.network,
            "channels": self.channels,
            "amp": args.amp,
            "steps": args.steps,
            "train_step_s": self.train,
            "train_samples_per_s": args.batch_size as f64 / self.train,
            "eval_step_s": self.test,
            "eval_samples_per_s": args.batch_size as f64 / self.test,
            "recompute": args.recompute,
            "chunk_steps": args.chunk_steps,
            "train_peak_bytes": self.peak,
            "train_estimated_bytes": self.train_bytes,
            "eval_estimated_bytes": self.test_bytes,
        })
    }
}
