//! `dvs-train eval`: evaluates a checkpoint on a set of a cache.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use dvs_shared::{CacheFile, Set};
use serde_json::{Map, Value, json};

use crate::cli::EvalArgs;
use crate::config::options::within;
use crate::console::interrupt::Interrupt;
use crate::console::print;
use crate::data::data_loader::test_batches;
use crate::data::dataset::{CacheSamples, FramesIn};
use crate::data::device_loader::DeviceLoader;
use crate::device::{self, on_device};
use crate::nn::network::SnnBackend;
use crate::nn::spike_stats::Observer;
use crate::run_dir::loaded_model::LoadedModel;
use crate::train::evaluate::{EvalResult, evaluate};
use crate::train::run_ranks::RunRanks;

/// Evaluates as `args` ask and prints the result.
///
/// # Errors
/// Returns an error if the checkpoint or the cache cannot be used, if they do not match, or if the
/// device fails.
pub fn run(args: &EvalArgs) -> Result<()> {
    check(args)?;
    let device = device::resolve(args.device)?;
    let remedy = device::smaller_batch(args.batch_size, 1);
    print(&device::guard(&device, &remedy, || {
        on_device!(&device, |B, device| run_on::<B>(args, device))
    })?)
}

/// Checks that the flags are within their limits.
///
/// # Errors
/// Returns an error if one is not.
pub fn check(args: &EvalArgs) -> Result<()> {
    within("--batch-size", args.batch_size, 1..=1 << 16)?;
    within("--jobs", args.jobs, 1..=256)
}

/// Returns what to print.
fn run_on<B: SnnBackend>(args: &EvalArgs, device: &B::Device) -> Result<String> {
    let evaluated = evaluate_checkpoint::<B>(args, &mut (), device)?;
    Ok(match args.json {
        true => format!("{}\n", to_json(&evaluated)),
        false => to_text(&evaluated),
    })
}

/// An evaluated checkpoint and its data.
pub struct CheckpointEval<B: SnnBackend> {
    pub trained: LoadedModel<B>,
    /// Path of the cache.
    pub cache: PathBuf,
    pub set: Set,
    pub evaluation: EvalResult,
}

/// Evaluates the checkpoint of `args` on their set; `also` observes the network.
///
/// # Errors
/// Returns an error in the same cases as [`run`].
pub fn evaluate_checkpoint<B: SnnBackend>(
    args: &EvalArgs,
    also: &mut impl Observer<B>,
    device: &B::Device,
) -> Result<CheckpointEval<B>> {
    let trained = LoadedModel::<B>::load(&args.checkpoint, device)?;
    let path = args
        .cache
        .as_ref()
        .or(trained.state.settings.config.data.cache.as_ref());
    let path = path.context("the checkpoint names no cache; name one with --cache")?;
    let cache = CacheFile::open(path)?;
    trained.check(&cache)?;
    let set = Set::from(args.set);
    let samples = CacheSamples::all(&Arc::new(cache), set, FramesIn::Stream);
    let alone = RunRanks::alone(Interrupt::default());
    let loader = DeviceLoader::new(samples, args.jobs, alone.interrupt(), device);
    let number = loader.len();
    ensure!(
        number > 0,
        "{} has no {} samples",
        path.display(),
        set.name()
    );
    let batches = loader.epoch(test_batches(0..number, args.batch_size), None)?;
    let name = set.name().to_owned();
    let evaluation = evaluate(
        &trained.network,
        batches,
        number,
        name,
        also,
        &alone,
        device,
    )?
    .context("nothing asks an evaluation to stop")?;
    Ok(CheckpointEval {
        cache: path.clone(),
        set,
        evaluation,
        trained,
    })
}

impl<B: SnnBackend> CheckpointEval<B> {
    /// Checkpoint, cache and set, by name.
    pub fn head(&self) -> [(&'static str, String); 3] {
        [
            ("checkpoint", self.trained.file.display().to_string()),
            ("cache", self.cache.display().to_string()),
            ("set", self.set.name().to_owned()),
        ]
    }

    /// Names of the network's layers, in order.
    fn layer_names(&self) -> Vec<String> {
        self.trained.network.architecture().layer_names()
    }

    /// The same and the epoch, as the beginning of a line.
    pub fn head_in_words(&self) -> String {
        let head = self.head().map(|(key, value)| format!("{key}={value}"));
        format!("{}, epoch={}", head.join(", "), self.trained.state.epoch)
    }
}

fn to_text<B: SnnBackend>(found: &CheckpointEval<B>) -> String {
    let evaluated = &found.evaluation;
    let names = &found.trained.state.settings.label_names;
    let firing = found.layer_names().into_iter().zip(&evaluated.firing.rates);
    let firing: Vec<String> = firing
        .map(|(layer, rate)| format!("{layer}={rate:.4}"))
        .collect();
    format!(
        "{}, samples={}, loss={}, acc={}\n{}spikes a neuron and step: {}; neurons that never fired: {:.1} %\n",
        found.head_in_words(),
        evaluated.metrics.samples,
        evaluated.metrics.loss,
        evaluated.metrics.accuracy,
        evaluated.confusion.to_text(names),
        firing.join(", "),
        100.0 * evaluated.firing.silent
    )
}

fn to_json<B: SnnBackend>(found: &CheckpointEval<B>) -> Value {
    let evaluated = &found.evaluation;
    let names = &found.trained.state.settings.label_names;
    let recall: Vec<Option<f64>> = (0..names.len())
        .map(|label| evaluated.confusion.recall(label))
        .collect();
    let firing = found.layer_names().into_iter().zip(&evaluated.firing.rates);
    let firing: Map<String, Value> = firing.map(|(layer, rate)| (layer, json!(rate))).collect();
    let mut object = json!({
        "epoch": found.trained.state.epoch,
        "samples": evaluated.metrics.samples,
        "loss": evaluated.metrics.loss,
        "accuracy": evaluated.metrics.accuracy,
        "label_names": names,
        "recall": recall,
        "confusion": evaluated.confusion,
        "firing_rates": firing,
        "silent_neurons": evaluated.firing.silent,
    });
    for (key, value) in found.head() {
        object[key] = json!(value);
    }
    object
}
