//! `dvs-train devices`: lists the devices to compute on, or prepares one for a network.

use std::time::Instant;

use anyhow::{Result, ensure};

use crate::cli::{BenchArgs, DevicesArgs, NeuronArgs};
use crate::commands::bench;
use crate::console::print;
use crate::device::{self, DeviceName};
use crate::nn::network::StepMode;

/// Lists the devices, or prepares one, as `args` ask.
///
/// # Errors
/// Returns an error if standard output cannot be written, or the device cannot be prepared.
pub fn run(args: &DevicesArgs) -> Result<()> {
    if args.prepare {
        return prepare(args);
    }
    let list = device::list();
    print(&match args.json {
        true => format!("{}\n", serde_json::to_string(&list)?),
        false => list.to_string(),
    })
}

/// Runs a training step and an evaluation, whose kernels are compiled and tried.
fn prepare(args: &DevicesArgs) -> Result<()> {
    let bench = BenchArgs {
        frames: args.frames.unwrap_or(16),
        batch_size: args.batch_size.unwrap_or(16),
        network: args.network.clone(),
        channels: args.channels,
        device: args.device.unwrap_or(DeviceName::Auto),
        amp: args.amp,
        steps: 1,
        warmup: 0,
        step_mode: StepMode::M,
        recompute: false,
        chunk_steps: None,
        parts: false,
        json: false,
        neuron: NeuronArgs::default(),
    };
    let start = Instant::now();
    let device = device::resolve(bench.device)?;
    ensure!(
        device.keeps_kernels(),
        "kernels are kept for NVIDIA's GPUs alone, and {device} is none; name one, as with --device cuda:0"
    );
    bench::check(&bench, &device)?;
    eprintln!("dvs-train: compiling the kernels for {device}, and trying which are fastest");
    bench::warm_up(&bench, &device)?;
    print(&format!(
        "{device} is prepared for T={}, batches of {} and the network {}, in {:.1} s\n",
        bench.frames,
        bench.batch_size,
        bench::config(&bench)?.architecture,
        start.elapsed().as_secs_f64()
    ))
}
