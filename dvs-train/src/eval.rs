//! `dvs-train eval`: a checkpoint judged on a set of a cache.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use dvs_shared::labels::{CLASSES, LABEL_NAMES};
use dvs_shared::{CacheFile, Set};
use serde_json::{Map, Value, json};

use crate::cache_reader::test_batches;
use crate::cli::{EvalArgs, SetName};
use crate::device::{self, on_device};
use crate::evaluation::{Judgement, judge};
use crate::feed::Feeder;
use crate::interrupt::Interrupt;
use crate::network::{LAYERS, SnnBackend};
use crate::options::within;
use crate::run::print;
use crate::samples::{CacheSamples, FramesIn};
use crate::trained::Trained;

/// Judges as `args` ask for and prints what was found.
///
/// # Errors
/// Where the checkpoint or the cache cannot be used or do not fit together, or the device fails.
pub fn run(args: &EvalArgs) -> Result<()> {
    within("--batch-size", args.batch_size, 1..=1 << 16)?;
    within("--jobs", args.jobs, 1..=256)?;
    let device = device::resolve(args.device)?;
    on_device!(&device, |B, device| run_on::<B>(args, device))
}

fn run_on<B: SnnBackend>(args: &EvalArgs, device: &B::Device) -> Result<()> {
    let trained = Trained::<B>::load(&args.checkpoint, device)?;
    let path = args.cache.as_ref().or(trained.args.cache.as_ref());
    let path = path.context("the checkpoint names no cache; name one with --cache")?;
    let cache = CacheFile::open(path)?;
    trained.check(&cache)?;
    let set = match args.set {
        SetName::Train => Set::Train,
        SetName::Test => Set::Test,
    };
    let samples = CacheSamples::all(&Arc::new(cache), set, FramesIn::Stream);
    let feeder = Feeder::new(samples, args.jobs, &Interrupt::default(), device);
    let number = feeder.len();
    ensure!(
        number > 0,
        "{} has no {} samples",
        path.display(),
        set.name()
    );
    let feed = feeder.feed(test_batches(number, args.batch_size))?;
    let name = set.name().to_owned();
    let judged = judge(&trained.network, feed, number, name, device)?;
    let head = [
        ("checkpoint", trained.file.display().to_string()),
        ("cache", path.display().to_string()),
        ("set", set.name().to_owned()),
    ];
    print(&if args.json {
        format!("{}\n", in_json(&head, trained.state.epoch, &judged))
    } else {
        in_words(&head, trained.state.epoch, &judged)
    })
}

fn in_words(head: &[(&str, String)], epoch: u32, judged: &Judgement) -> String {
    let head: Vec<String> = head
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let firing = LAYERS.iter().zip(&judged.firing.rates);
    let firing: Vec<String> = firing
        .map(|(layer, rate)| format!("{layer}={rate:.4}"))
        .collect();
    format!(
        "{}, epoch={epoch}, samples={}, loss={}, acc={}\n{}spikes a neuron and step: {}; neurons that never fired: {:.1} %\n",
        head.join(", "),
        judged.metrics.samples,
        judged.metrics.loss,
        judged.metrics.accuracy,
        judged.confusion,
        firing.join(", "),
        100.0 * judged.firing.silent
    )
}

fn in_json(head: &[(&str, String)], epoch: u32, judged: &Judgement) -> Value {
    let recall: Vec<Option<f64>> = (0..CLASSES)
        .map(|label| judged.confusion.recall(label))
        .collect();
    let firing = LAYERS.iter().zip(&judged.firing.rates);
    let firing: Map<String, Value> = firing
        .map(|(layer, rate)| ((*layer).to_owned(), json!(rate)))
        .collect();
    let mut object = json!({
        "epoch": epoch,
        "samples": judged.metrics.samples,
        "loss": judged.metrics.loss,
        "accuracy": judged.metrics.accuracy,
        "label_names": LABEL_NAMES,
        "recall": recall,
        "confusion": judged.confusion,
        "firing_rates": firing,
        "silent_neurons": judged.firing.silent,
    });
    for (key, value) in head {
        object[*key] = json!(value);
    }
    object
}
