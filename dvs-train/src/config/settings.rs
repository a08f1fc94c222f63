//! A run's settings: saved beside its results and in its checkpoints, and compared when it resumes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::SensorSize;
use dvs_shared::labels::gestures;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Typed;
use crate::config::options::{TrainOptions, network_config};
use crate::config::train_args::TrainArgs;
use crate::nn::network::NetworkConfig;
use crate::optim::AmpDtype;
use crate::optim::optimizer::Rule;

/// Flags that a resumed run may change. Changing another would invalidate the weights, the
/// optimizer's state or the best accuracy.
const CHANGEABLE: [&str; 18] = [
    "data_dir",
    "cache",
    "device",
    "batch_size",
    "test_batch_size",
    "epochs",
    "jobs",
    "frames_in",
    "out_dir",
    "force",
    "resume",
    "amp",
    "lr",
    "momentum",
    "lr_scheduler",
    "step_size",
    "gamma",
    "t_max",
];

/// Flags that are not saved, because they only say how a run was started.
const UNSAVED: [&str; 4] = ["resume", "force", "out_dir", "data_dir"];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Program and version that trained.
    pub created_by: String,
    /// Flags by name, with defaults filled in.
    pub flags: BTreeMap<String, Value>,
    /// Height and width of a frame.
    pub size: [usize; 2],
    /// Class names, indexed by label.
    #[serde(default = "gestures")]
    pub label_names: Vec<String>,
    /// SHA-256 of the input that the cache was made from.
    pub source_sha256: String,
    /// Whether the frames include events whose valid bit is clear.
    pub keep_invalid: bool,
    /// Other reading options that the user gave: see
    /// [`CacheHeader::reading`](dvs_shared::CacheHeader::reading).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reading: Vec<String>,
}

impl Settings {
    /// The settings of the run that `options` describe.
    ///
    /// # Errors
    /// Never returns an error in practice, because every flag has a form in JSON.
    pub fn of(options: &TrainOptions) -> Result<Self> {
        let header = &options.cache.header;
        let mut flags = by_name(&options.args)?;
        for flag in UNSAVED {
            flags.remove(flag);
        }
        let cache = options.cache.path().to_string_lossy().into_owned();
        flags.insert("cache".to_owned(), cache.into());
        Ok(Self {
            created_by: created_by(),
            flags,
            size: [header.sensor.height as usize, header.sensor.width as usize],
            label_names: header.label_names.clone(),
            source_sha256: header.source_sha256.clone(),
            keep_invalid: header.keep_invalid,
            reading: header.reading(),
        })
    }

    /// The settings of a network that another program trained, on frames of `size` (height and
    /// width). SpikingJelly counts every event, whether its valid bit is set or not.
    ///
    /// # Errors
    /// Never returns an error in practice, because every flag has a form in JSON.
    pub fn of_import(args: &TrainArgs, size: [usize; 2]) -> Result<Self> {
        let mut flags = by_name(args)?;
        for flag in UNSAVED {
            flags.remove(flag);
        }
        Ok(Self {
            created_by: created_by(),
            flags,
            size,
            label_names: gestures(),
            source_sha256: String::new(),
            keep_invalid: true,
            reading: Vec::new(),
        })
    }

    /// Size of the frames.
    pub fn sensor(&self) -> SensorSize {
        let [height, width] = self.size;
        SensorSize {
            width: width as u32,
            height: height as u32,
        }
    }

    /// The trained network; `args` are its flags.
    ///
    /// # Errors
    /// Returns an error if a value is out of range, or a class name has control characters.
    pub fn network_config(&self, args: &TrainArgs) -> Result<NetworkConfig> {
        let unfit = self
            .label_names
            .iter()
            .find(|name| name.contains(char::is_control));
        if let Some(name) = unfit {
            bail!("the name of a class has control characters: {name:?}");
        }
        network_config(args, self.size, self.label_names.len())
    }

    /// The flags of these settings.
    ///
    /// # Errors
    /// Returns an error if this version cannot read them.
    pub fn args(&self) -> Result<TrainArgs> {
        let mut flags = self.flags.clone();
        flags.insert("out_dir".to_owned(), "./logs".into());
        flags.insert("force".to_owned(), false.into());
        args(flags)
    }

    /// The flags of a run that resumes from these settings: those typed now, else the saved ones.
    ///
    /// # Errors
    /// Returns an error that names every typed flag whose value may not change, with both values.
    pub fn resumed(&self, now: &TrainArgs, typed: &Typed) -> Result<Resumed> {
        let mut flags = self.flags.clone();
        let (mut refused, mut changed) = (Vec::new(), Vec::new());
        for (flag, value) in by_name(now)? {
            let unsaved = ["resume", "force", "out_dir"].contains(&flag.as_str());
            if !unsaved && !typed.contains(&flag) {
                continue;
            }
            let old = self.flags.get(&flag).unwrap_or(&Value::Null);
            let same = *old == value || (flag == "cache" && same_file(old, &value));
            if !unsaved && !same {
                let change = format!(
                    "--{} {} -> {}",
                    flag.replace('_', "-"),
                    as_typed(old),
                    as_typed(&value)
                );
                let list = if CHANGEABLE.contains(&flag.as_str()) {
                    &mut changed
                } else {
                    &mut refused
                };
                list.push(change);
            }
            flags.insert(flag, value);
        }
        if typed.contains("data_dir") {
            flags.remove("cache");
        }
        ensure!(
            refused.is_empty(),
            "the checkpoint is of another run, and cannot go on with: {}; leave these out, or train anew",
            refused.join(", ")
        );
        Ok(Resumed {
            args: args(flags)?,
            changed,
        })
    }
}

/// A resumed run.
#[derive(Clone, Debug)]
pub struct Resumed {
    pub args: TrainArgs,
    /// The changed flags, in words.
    pub changed: Vec<String>,
}

/// A flag's value as part of a folder name. A long value is cut and identified by its CRC-32,
/// because file systems allow 255 bytes.
fn in_a_name(value: &str) -> String {
    const LONGEST: usize = 60;
    let plain = value.replace([':', '/'], "_");
    if plain.len() <= LONGEST {
        return plain;
    }
    let start: String = plain.chars().take(LONGEST / 4).collect();
    format!("{start}_{:08x}", crc32fast::hash(value.as_bytes()))
}

/// Flags with their own place in the name of a run folder.
const NAMED: [&str; 4] = ["frames", "channels", "opt", "split"];

/// The name of the run folder, as in the tutorial. Flags that the tutorial has no name for follow
/// if they differ from their defaults.
///
/// # Errors
/// Never returns an error in practice, because every flag has a form in JSON.
pub fn folder_name(options: &TrainOptions) -> Result<String> {
    let split = options.cache.header.split;
    let optimizer = match options.rule {
        Rule::Adam => "Adam".to_owned(),
        Rule::Sgd { momentum } => format!("SGD_momentum_{momentum}"),
    };
    let mut name = format!(
        "T_{}_b_{}_c_{}_{optimizer}_lr_{}_{}",
        split.frames(),
        options.batch_size,
        options.channels,
        options.lr,
        options.schedule
    );
    match options.args.amp {
        // bf16 is what --amp alone means, and the tutorial's suffix has no type.
        Some(AmpDtype::Bf16) => name += "_amp",
        Some(AmpDtype::F16) => name += "_amp_f16",
        None => {}
    }
    if split.split_by() != "number" {
        name += &format!("_split_{}", split.split_by());
    }
    let usual = by_name(&TrainArgs::usual()?)?;
    for (flag, value) in by_name(&options.args)? {
        let elsewhere = NAMED.contains(&flag.as_str()) || CHANGEABLE.contains(&flag.as_str());
        if !elsewhere && usual.get(&flag) != Some(&value) {
            name += &format!("_{flag}_{}", in_a_name(&as_typed(&value)));
        }
    }
    Ok(name)
}

fn created_by() -> String {
    format!("dvs-train {}", env!("CARGO_PKG_VERSION"))
}

fn by_name(args: &TrainArgs) -> Result<BTreeMap<String, Value>> {
    let value = serde_json::to_value(args).context("the flags have no form in JSON")?;
    Ok(serde_json::from_value(value)?)
}

/// Parses flags by name. A flag that an older version did not know gets its default.
fn args(flags: BTreeMap<String, Value>) -> Result<TrainArgs> {
    let mut all = by_name(&TrainArgs::usual()?)?;
    all.extend(flags);
    let value = serde_json::to_value(all)?;
    serde_json::from_value(value).context("the run's settings are those of another version")
}

/// The default value of a flag; `None` if there is no such flag.
pub fn usual_value(flag: &str) -> Option<Value> {
    by_name(&TrainArgs::usual().ok()?).ok()?.remove(flag)
}

fn same_file(old: &Value, new: &Value) -> bool {
    let real = |value: &Value| Path::new(value.as_str()?).canonicalize().ok();
    matches!((real(old), real(new)), (Some(old), Some(new)) if old == new)
}

/// A value as typed on the command line.
pub fn as_typed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "(none)".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn saved(line: &[&str]) -> Settings {
        Settings {
            created_by: String::new(),
            flags: by_name(&TrainArgs::parsed(line)).unwrap(),
            size: [128, 128],
            label_names: gestures(),
            source_sha256: String::new(),
            keep_invalid: false,
            reading: Vec::new(),
        }
    }

    fn resumed(old: &[&str], new: &[&str], flags: &[&str]) -> Result<Resumed> {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        saved(old).resumed(&TrainArgs::parsed(new), &flags)
    }

    #[test]
    fn what_is_not_typed_again_is_as_it_was() {
        let old = [
            "--channels",
            "8",
            "--epochs",
            "2",
            "--lr",
            "0.0123",
            "--seed",
            "3",
        ];
        let Resumed { args, changed } = resumed(&old, &["--epochs", "4"], &["epochs"]).unwrap();
        assert_eq!(
            (args.channels, args.epochs, args.lr, args.seed),
            (8, 4, 0.0123, 3)
        );
        assert_eq!(changed, ["--epochs 2 -> 4"]);
    }

    #[test]
    fn another_network_is_refused_with_both_values() {
        let new = ["--channels", "16", "-T", "4", "--lr", "0.5"];
        let error = resumed(
            &["--channels", "8", "-T", "2"],
            &new,
            &["channels", "frames", "lr"],
        );
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("--channels 8 -> 16, --frames 2 -> 4;"),
            "{error}"
        );
        let same = resumed(&["--channels", "8"], &["--channels", "8"], &["channels"]).unwrap();
        assert!(same.changed.is_empty());
    }
}
