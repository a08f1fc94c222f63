//! The comparison as one JSON object, whose members the README lists. A number that is infinite or
//! NaN is null, and what is no Unicode in a path is replaced.

use std::borrow::Cow;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Number, Value as Json};

use super::Comparison;
use super::groups::{Finished, Group};
use super::runs::{Damaged, Run};
use crate::config::train_config::Value;

#[derive(Serialize)]
struct ComparisonJson<'a> {
    groups: Vec<GroupJson<'a>>,
    unfinished: Vec<UnfinishedJson<'a>>,
    damaged: Vec<DamagedJson<'a>>,
    picture: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct GroupJson<'a> {
    settings: Map<String, Json>,
    protocol: &'a str,
    n: usize,
    seeds: Vec<u64>,
    mean: Option<f64>,
    sd: Option<f64>,
    best: f64,
    best_run: Option<Cow<'a, str>>,
    mean_loss: Option<f64>,
    median_epoch_s: Option<f64>,
    runs: Vec<FinishedJson<'a>>,
}

#[derive(Serialize)]
struct FinishedJson<'a> {
    run: Cow<'a, str>,
    seed: u64,
    epochs: u64,
    best_epoch: u32,
    test_acc: f64,
    test_loss: f64,
}

#[derive(Serialize)]
struct UnfinishedJson<'a> {
    run: Cow<'a, str>,
    seed: u64,
    epochs_done: u64,
    epochs: u32,
    evaluated_on: &'static str,
    best: Option<f64>,
}

#[derive(Serialize)]
struct DamagedJson<'a> {
    run: Cow<'a, str>,
    reason: &'a str,
}

/// The object in one line; `picture` is that of the curves.
///
/// # Errors
/// Returns an error if the object cannot be written as JSON.
pub fn to_json(compared: &Comparison, picture: Option<&Path>) -> Result<String> {
    let object = ComparisonJson {
        groups: compared.groups.iter().map(group).collect(),
        unfinished: compared.unfinished.iter().map(unfinished).collect(),
        damaged: compared.damaged.iter().map(damaged).collect(),
        picture: picture.map(Path::to_string_lossy),
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

fn group(group: &Group) -> GroupJson<'_> {
    let statistics = group.statistics();
    let settings = group.settings.iter();
    let settings = settings.map(|of| (of.name.to_owned(), value(&of.value)));
    GroupJson {
        settings: settings.collect(),
        protocol: &group.protocol,
        n: group.runs.len(),
        seeds: group.seeds().into_keys().collect(),
        mean: Some(statistics.mean).filter(|mean| mean.is_finite()),
        sd: statistics.deviation,
        best: statistics.best,
        best_run: group.best().map(|of| of.run.folder.to_string_lossy()),
        mean_loss: statistics.mean_loss,
        median_epoch_s: statistics.epoch_seconds,
        runs: group.runs.iter().map(finished).collect(),
    }
}

fn finished(Finished { run, summary }: &Finished) -> FinishedJson<'_> {
    FinishedJson {
        run: run.folder.to_string_lossy(),
        seed: run.settings.config.seed,
        epochs: run.done(),
        best_epoch: summary.best_epoch,
        test_acc: summary.test_acc,
        test_loss: summary.test_loss,
    }
}

fn unfinished(run: &Run) -> UnfinishedJson<'_> {
    UnfinishedJson {
        run: run.folder.to_string_lossy(),
        seed: run.settings.config.seed,
        epochs_done: run.done(),
        epochs: run.settings.config.schedule.epochs,
        evaluated_on: run.evaluated_on().name(),
        best: run.best(),
    }
}

fn damaged(Damaged { folder, reason }: &Damaged) -> DamagedJson<'_> {
    DamagedJson {
        run: folder.to_string_lossy(),
        reason,
    }
}

fn value(value: &Value) -> Json {
    match value {
        Value::None => Json::Null,
        Value::Switch(on) => Json::Bool(*on),
        Value::Whole(number) => (*number).into(),
        Value::Real(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::Text(text) => text.as_str().into(),
    }
}
