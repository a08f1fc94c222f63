//! `dvs-train bench`: times a training step and a test step on this machine.

mod parts;

use std::time::Instant;

use anyhow::{Context, Result};
use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::tensor::backend::{AutodiffBackend, Backend};
use dvs_shared::CountType;
use dvs_shared::event::DVS128;
use dvs_shared::labels::CLASSES;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::{Value, json};

use crate::cli::BenchArgs;
use crate::config::options::{network_config, refuse_amp, within};
use crate::config::train_config::TrainConfig;
use crate::console::print;
use crate::data::batch::{Batch, Counts, HostBatch};
use crate::device::{self, Device, on_device};
use crate::nn::network::{Network, SnnBackend};
use crate::optim::AmpDtype;
use crate::optim::loss_scale::LossScale;
use crate::optim::optimizer::update::OptimizerBackend;
use crate::optim::optimizer::{Optimizer, Rule};
use crate::train::epoch::step;

/// Runs the benchmark that `args` ask for and prints the times.
///
/// # Errors
/// Returns an error if a value is out of range or the device fails.
pub fn run(args: &BenchArgs) -> Result<()> {
    let device = device::resolve(args.device)?;
    print(&measure(args, &device)?)
}

/// Runs the benchmark on `device` and returns what to print.
///
/// # Errors
/// Returns an error if a value is out of range or the device fails.
pub fn measure(args: &BenchArgs, device: &Device) -> Result<String> {
    within("-T", args.frames, 1..=1024)?;
    within("--batch-size", args.batch_size, 1..=1 << 16)?;
    within("--steps", args.steps, 1..=1_000_000)?;
    refuse_amp(args.amp, device)?;
    let remedy = device::smaller_batch(args.batch_size);
    device::guard(device, &remedy, || {
        on_device!(device, |B, device| run_on::<Autodiff<B>>(args, device))
    })
}

fn run_on<B>(args: &BenchArgs, device: &B::Device) -> Result<String>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    let size = [DVS128.height as usize, DVS128.width as usize];
    let mut asked = TrainConfig::default();
    asked.network.channels = args.channels;
    asked.network.step_mode = args.step_mode;
    asked.optimizer.amp = args.amp;
    args.neuron.apply(&mut asked.neurons);
    let config = network_config(&asked, size, CLASSES)?;
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
    let made_up = frames(args, size);
    let batch = Batch::<B>::upload(made_up.clone(), CLASSES, device);
    let mut network = Network::<B>::new(&config, device);
    let mut optimizer = Optimizer::new(Rule::Adam);
    optimizer.loss_scale = (args.amp == Some(AmpDtype::F16)).then(LossScale::default);
    let train = seconds::<B>(args, device, || {
        network = step(network.clone(), &mut optimizer, 1e-3, &batch)?.network;
        Ok(())
    })?;
    let batch = Batch::<B::InnerBackend>::upload(made_up, CLASSES, device);
    let network = network.valid();
    let test = seconds::<B>(args, device, || {
        network.forward(batch.frames.clone());
        Ok(())
    })?;
    let timed = Timed { train, test };
    Ok(match args.json {
        true => format!("{}\n", timed.to_json(args, &B::name(device))),
        false => timed.to_text(args),
    })
}

/// A synthetic batch: 5 % of the cells have 3 events, the others none.
fn frames(args: &BenchArgs, [height, width]: [usize; 2]) -> HostBatch {
    let (steps, size) = (args.frames, args.batch_size);
    let mut batch = HostBatch::new(CountType::U8, steps, size, height, width);
    let mut random = Pcg64::seed_from_u64(0);
    if let Counts::U8(counts) = &mut batch.frames {
        let busy = u64::MAX / 20;
        counts.fill_with(|| if random.next_u64() < busy { 3 } else { 0 });
    }
    for label in &mut batch.labels {
        *label = (random.next_u64() % CLASSES as u64) as u8;
    }
    batch
}

/// Median time of `work` in seconds, after the warm-up steps.
fn seconds<B: Backend>(
    args: &BenchArgs,
    device: &B::Device,
    mut work: impl FnMut() -> Result<()>,
) -> Result<f64> {
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

/// Seconds per step.
struct Timed {
    train: f64,
    test: f64,
}

impl Timed {
    fn to_text(&self, args: &BenchArgs) -> String {
        let line = |what: &str, seconds: f64| {
            let speed = args.batch_size as f64 / seconds;
            format!("{what:<6}{seconds:>9.4} s a step{speed:>11.2} samples/s\n")
        };
        line("train", self.train) + &line("test", self.test)
    }

    fn to_json(&self, args: &BenchArgs, backend: &str) -> Value {
        json!({
            "device": args.device,
            "backend": backend,
            "T": args.frames,
            "batch": args.batch_size,
            "channels": args.channels,
            "amp": args.amp,
            "steps": args.steps,
            "train_step_s": self.train,
            "train_samples_per_s": args.batch_size as f64 / self.train,
            "eval_step_s": self.test,
            "eval_samples_per_s": args.batch_size as f64 / self.test,
        })
    }
}
