//! `dvs-train profile`: estimates the cost of a network from its firing rates on a set.

mod cost;
mod synapses;

use std::fmt::Write;

use anyhow::{Result, ensure};
use dvs_shared::output::write_file;
use serde::{Deserialize, Serialize};

pub use self::cost::{Cost, Energy};
use self::cost::{LayerCost, per_sample};
use self::synapses::InputCounter;
use crate::cli::{ProfileArgs, SetName};
use crate::commands::eval::{self, CheckpointEval};
use crate::console::numbers::{bytes, joules, number};
use crate::console::print;
use crate::device::{self, on_device};
use crate::nn::layer_summary::LayerSummary;
use crate::nn::network::{SnnBackend, StepMode};
use crate::run_dir::run_folder::PROFILE;

/// The result, as `--json` prints it and a run folder keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Path of the checkpoint.
    pub checkpoint: String,
    /// Path of the cache.
    pub cache: String,
    /// Name of the set.
    pub set: String,
    /// The checkpoint's epoch, from 0.
    pub epoch: u32,
    /// Number of samples.
    pub samples: usize,
    /// Share of the samples that were classified correctly.
    pub accuracy: f64,
    /// What of the network runs as separate operations instead of fused ones, and why.
    #[serde(default)]
    pub not_fused: Vec<String>,
    /// Mean cost per sample.
    #[serde(flatten)]
    pub cost: Cost,
}

/// Profiles as `args` ask and prints the result. If the checkpoint is given as a run folder and the
/// set is the test set, the result is also written to that folder, for the run's report.
///
/// # Errors
/// Returns an error if the checkpoint or the cache cannot be used, if they do not match, or if the
/// device fails.
pub fn run(args: &ProfileArgs) -> Result<()> {
    for (flag, pj) in [("--mac-pj", args.mac_pj), ("--ac-pj", args.ac_pj)] {
        ensure!(
            (0.0..=1e6).contains(&pj),
            "{flag} {pj} is not within 0 and 1000000"
        );
    }
    eval::check(&args.eval)?;
    let device = device::resolve(args.eval.device)?;
    let remedy = device::smaller_batch(args.eval.batch_size, 1);
    let profile = device::guard(&device, &remedy, || {
        on_device!(&device, |B, device| profile::<B>(args, device))
    })?;
    let json = serde_json::to_string(&profile)? + "\n";
    print(&if args.eval.json {
        json.clone()
    } else {
        profile.to_text()
    })?;
    let folder = &args.eval.checkpoint;
    if folder.is_dir() && args.eval.set == SetName::Test {
        let path = folder.join(PROFILE);
        if let Err(error) = write_file(&path, json.as_bytes()) {
            eprintln!(
                "dvs-train: {} could not be written, so the run's report will not show this: {error}",
                path.display()
            );
        }
    }
    Ok(())
}

fn profile<B: SnnBackend>(args: &ProfileArgs, device: &B::Device) -> Result<Profile> {
    let mut inputs = InputCounter::<B>::new();
    let evaluated = eval::evaluate_checkpoint::<B>(&args.eval, &mut inputs, device)?;
    let CheckpointEval {
        trained,
        evaluation,
        cache,
        set,
    } = &evaluated;
    let network = trained.network.architecture();
    let synapses = inputs.finish(network)?;
    let steps = trained.split().frames() as usize;
    let (firing, summaries) = (&evaluation.firing, LayerSummary::all(network));
    let layers = network.layer_names().into_iter().enumerate();
    let layers = layers.zip(synapses.iter().zip(&summaries));
    let layers = layers.map(|((at, layer), (synapses, summary))| {
        LayerCost::new(
            layer,
            network.takes_spikes(at),
            synapses,
            steps,
            (firing.rates[at], firing.neurons[at]),
            summary.parameters,
        )
    });
    let layers = layers.collect();
    let event_acs = synapses.first();
    let event_acs = event_acs.map_or(0.0, |first| per_sample(first.by_events, first, steps));
    let with_norm = network.blocks.iter().filter(|block| block.norm);
    let statistics = with_norm.map(|block| 2 * block.channels).sum();
    let not_fused = network.blocks.iter().zip(network.layer_names());
    let not_fused = not_fused.flat_map(|(block, layer)| {
        let reasons = block.not_fused(steps).into_iter();
        reasons.map(move |reason| format!("{layer}: {reason}"))
    });
    let settings = &trained.state.settings.config.network;
    let single = (settings.step_mode == StepMode::S).then(|| {
        "all layers: --step-mode s computes batch norm, neurons and pooling separately".to_owned()
    });
    let energy = Energy {
        mac_pj: args.mac_pj,
        ac_pj: args.ac_pj,
    };
    Ok(Profile {
        checkpoint: trained.file.display().to_string(),
        cache: cache.display().to_string(),
        set: set.name().to_owned(),
        epoch: trained.state.epoch,
        samples: evaluation.metrics.samples,
        accuracy: evaluation.metrics.accuracy,
        not_fused: single.into_iter().chain(not_fused).collect(),
        cost: Cost::new(steps, layers, event_acs, statistics, energy),
    })
}

impl Profile {
    fn to_text(&self) -> String {
        let cost = &self.cost;
        let steps = cost.steps as f64;
        let mut text = format!(
            "checkpoint={}, cache={}, set={}, epoch={}, samples={}, acc={}\n\
             a sample of {} steps, on the average\n\
             {:<6}{:>15}{:>13}{:>10}{:>12}{:>10}{:>10}{:>15}{:>11}\n",
            self.checkpoint,
            self.cache,
            self.set,
            self.epoch,
            self.samples,
            self.accuracy,
            cost.steps,
            "layer",
            "active inputs",
            "firing rate",
            "neurons",
            "parameters",
            "MAC",
            "AC",
            "MAC if dense",
            "energy"
        );
        // Writing to a string cannot fail.
        for layer in &cost.layers {
            let _ = writeln!(
                text,
                "{:<6}{:>13.2} %{:>13.4}{:>10}{:>12}{:>10}{:>10}{:>15}{:>11}",
                layer.layer,
                100.0 * layer.active_inputs,
                layer.firing_rate,
                layer.neurons,
                layer.parameters,
                number(layer.macs),
                number(layer.acs),
                number(layer.dense_macs_per_frame as f64 * steps),
                joules(cost.energy.microjoules(layer.macs, layer.acs))
            );
        }
        let dense = cost.dense_macs_per_frame as f64;
        let _ = writeln!(
            text,
            "{:<34}{:>10}{:>12}{:>10}{:>10}{:>15}{:>11}",
            "total",
            cost.neurons,
            cost.parameters,
            number(cost.macs),
            number(cost.acs),
            number(dense * steps),
            joules(cost.energy_uj)
        );
        let one_frame = cost.energy.microjoules(dense, 0.0);
        let _ = write!(
            text,
            "energy: {}; the dense network {} for all {} frames, {} for one\n  \
             {} pJ a MAC, {} pJ an AC: {ENERGY_SOURCE}\n  \
             {ENERGY_LIMITS}\n\
             first layer: its inputs are counts of events, so each cell with events is a MAC at every synapse; event by \
             event it would be {} AC\n\
             memory: {} of parameters, {} of batch norm's statistics, {} of potentials for one sample, 32 bits each\n",
            joules(cost.energy_uj),
            joules(cost.dense_energy_uj),
            cost.steps,
            joules(one_frame),
            cost.energy.mac_pj,
            cost.energy.ac_pj,
            number(cost.event_acs),
            bytes(cost.parameter_bytes),
            bytes(cost.statistics_bytes),
            bytes(cost.potential_bytes)
        );
        for part in &self.not_fused {
            let _ = writeln!(text, "not fused: {part}");
        }
        text
    }
}

/// Source of the default energies.
pub const ENERGY_SOURCE: &str =
    "32-bit floating point in 45 nm is 4.6 and 0.9 (Horowitz, ISSCC 2014)";
/// What the estimate leaves out.
pub const ENERGY_LIMITS: &str = "arithmetic of the synapses alone: moving data, updating neurons, batch norm (which folds into the weights) and \
     pooling are left out";
