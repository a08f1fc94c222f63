//! Groups of runs that differ only in the seed, and in where and how fast they were computed.

use std::collections::BTreeMap;

use dvs_shared::words::printable;

use super::runs::Run;
use crate::config::settings::Settings;
use crate::config::train_config::{TrainConfig, Value};
use crate::metrics::statistics::{deviation, mean, median};
use crate::nn::notation::NeuronName;
use crate::train::summary::Summary;

/// Options in which runs of a group may differ. All but the seed say only where the run is computed
/// and how fast: the network judges each test sample alone, so neither the size of test batches nor
/// the place of the frames changes what it learns.
const WITHIN_A_GROUP: [&str; 7] = [
    "seed",
    "cache",
    "device",
    "frames_in",
    "jobs",
    "recompute",
    "test_batch_size",
];
/// Maximum characters of a value in a group's name.
const MOST_CHARACTERS: usize = 40;

/// Finished runs with the same settings.
#[derive(Debug)]
pub struct Group {
    /// Those settings in which the groups differ; the same ones, in the same order, for each group.
    pub settings: Vec<Setting>,
    /// How the best network was chosen, as in [`Summary::protocol`].
    pub protocol: String,
    /// The runs by seed; at least one.
    pub runs: Vec<Finished>,
}

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    pub run: Run,
    pub summary: Summary,
}

/// A value that runs were trained with.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name, as in `settings.json`.
    pub name: &'static str,
    pub value: Value,
}

/// Statistics of the best networks of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean accuracy on the test set.
    pub mean: f64,
    /// Its sample standard deviation; `None` for a single run.
    pub deviation: Option<f64>,
    /// The highest accuracy.
    pub best: f64,
    /// Mean loss on the test set; `None` if the sum is too large for a number.
    pub mean_loss: Option<f64>,
    /// Median duration of the runs' epochs, in seconds; `None` if no run has one.
    pub epoch_seconds: Option<f64>,
}

impl Setting {
    /// The value for people, in one line and not too long. A value that is cut has its CRC-32 instead
    /// of the rest, so that two of them still differ.
    pub fn short(&self) -> String {
        let whole = self.value.to_string();
        if whole.chars().count() <= MOST_CHARACTERS {
            return printable(&whole, MOST_CHARACTERS);
        }
        let start = printable(&whole, MOST_CHARACTERS - 10);
        format!("{start}… {:08x}", crc32fast::hash(whole.as_bytes()))
    }
}

impl Group {
    /// A name for people: the settings in which it differs from the others.
    pub fn name(&self) -> String {
        let settings = self.settings.iter();
        let settings: Vec<String> = settings
            .map(|of| format!("{}={}", of.name, of.short()))
            .collect();
        match settings.is_empty() {
            true => format!("all runs, {}", printable(&self.protocol, MOST_CHARACTERS)),
            false => settings.join(", "),
        }
    }

    /// The run with the highest accuracy; the first of them if there are several.
    pub fn best(&self) -> Option<&Finished> {
        self.runs.iter().rev().max_by(|a, b| {
            let (a, b) = (a.summary.test_acc, b.summary.test_acc);
            a.total_cmp(&b)
        })
    }

    /// The statistics of its runs.
    pub fn statistics(&self) -> Statistics {
        let accuracies: Vec<f64> = self.runs.iter().map(|of| of.summary.test_acc).collect();
        let losses: Vec<f64> = self.runs.iter().map(|of| of.summary.test_loss).collect();
        let epochs = self.runs.iter().flat_map(|of| &of.run.epochs);
        Statistics {
            mean: mean(&accuracies).unwrap_or(f64::NAN),
            deviation: deviation(&accuracies),
            best: accuracies.iter().copied().fold(0.0, f64::max),
            mean_loss: mean(&losses),
            epoch_seconds: median(epochs.map(|of| of.seconds)),
        }
    }

    /// The seeds, sorted, each with the number of its runs.
    pub fn seeds(&self) -> BTreeMap<u64, usize> {
        let mut seeds = BTreeMap::new();
        for of in &self.runs {
            *seeds.entry(of.run.settings.config.seed).or_insert(0) += 1;
        }
        seeds
    }

    /// A remark on seeds that several runs have, which make the deviation too small.
    pub fn repeated_seeds(&self) -> Option<String> {
        let repeated = self.seeds().into_iter().filter(|&(_, runs)| runs > 1);
        let repeated: Vec<String> = repeated
            .map(|(seed, runs)| match runs {
                2 => format!("seed {seed} twice"),
                _ => format!("seed {seed} {runs} times"),
            })
            .collect();
        (!repeated.is_empty()).then(|| repeated.join(", "))
    }
}

/// Groups runs. The group with the highest mean accuracy is first; groups with the same mean are in
/// the order of their names.
pub fn group(finished: Vec<(Run, Summary)>) -> Vec<Group> {
    let mut by_key: BTreeMap<(Vec<String>, String), Vec<Finished>> = BTreeMap::new();
    for (run, summary) in finished {
        let key = (key(&run.settings), summary.protocol.clone());
        by_key
            .entry(key)
            .or_default()
            .push(Finished { run, summary });
    }
    let mut typed: Vec<Vec<Setting>> = Vec::with_capacity(by_key.len());
    for runs in by_key.values_mut() {
        // Runs come sorted by folder, which stays the order of those with the same seed.
        runs.sort_by_key(|of| of.run.settings.config.seed);
        typed.extend(runs.first().map(|of| typed_settings(&of.run.settings)));
    }
    let keys: Vec<&Vec<String>> = by_key.keys().map(|(key, _)| key).collect();
    // A default that depends on another setting is no difference of its own: twice the channels
    // have twice the hidden neurons.
    let differs = |at: usize| {
        let resolved = keys.iter().any(|key| key[at] != keys[0][at]);
        let as_typed = typed.iter().any(|of| of[at].value != typed[0][at].value);
        resolved && as_typed
    };
    let differing: Vec<usize> = (0..typed.first().map_or(0, Vec::len))
        .filter(|&at| differs(at))
        .collect();
    let groups = by_key.into_iter().zip(typed);
    let mut groups: Vec<Group> = groups
        .map(|(((_, protocol), runs), typed)| Group {
            settings: differing.iter().map(|&at| typed[at].clone()).collect(),
            protocol,
            runs,
        })
        .collect();
    // The names are made once, because groups may be many.
    groups.sort_by_cached_key(|group| {
        let mean = group.statistics().mean;
        // Means are within 0 and 1, where the bits of numbers sort as the numbers do.
        (std::cmp::Reverse(mean.to_bits()), group.name())
    });
    groups
}

/// What runs of a group have in common.
fn key(settings: &Settings) -> Vec<String> {
    let mut resolved = settings.clone();
    resolved.config = with_defaults(&settings.config);
    let settings = typed_settings(&resolved).into_iter();
    settings.map(|of| of.value.to_string()).collect()
}

/// The settings that make a group, as the user typed them.
fn typed_settings(settings: &Settings) -> Vec<Setting> {
    let options = settings.config.options().into_iter();
    let options = options.filter(|option| !WITHIN_A_GROUP.contains(&option.name));
    let options = options.map(|option| Setting {
        name: option.name,
        value: option.value,
    });
    let [height, width] = settings.size;
    let data = [
        ("source_sha256", settings.source_sha256.clone().into()),
        ("size", format!("{height} x {width}").into()),
        ("keep_invalid", settings.keep_invalid.into()),
        ("reading", settings.reading.join(" ").into()),
        ("label_names", settings.label_names.join(" ").into()),
    ];
    let data = data.map(|(name, value)| Setting { name, value });
    options.chain(data).collect()
}

/// The configuration with the values that it leaves to their defaults, so that a run whose user
/// typed a default is in the same group.
fn with_defaults(config: &TrainConfig) -> TrainConfig {
    let mut config = config.clone();
    let (network, neurons) = (&mut config.network, &mut config.neurons);
    let hidden = network.network.hidden(network.channels);
    network.hidden.get_or_insert(hidden);
    if neurons.neuron != NeuronName::If {
        neurons.tau.get_or_insert(2.0);
        neurons.decay_input.get_or_insert(true);
    }
    let alpha = neurons.surrogate.default_alpha();
    neurons.alpha.get_or_insert(alpha);
    config
}

#[cfg(test)]
mod tests;
