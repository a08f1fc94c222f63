//! A run's settings: saved beside its results and in its checkpoints, and compared when it resumes.

use anyhow::{Result, bail, ensure};
use dvs_shared::SensorSize;
use dvs_shared::labels::gestures;
use dvs_shared::split_mode::SplitBy;
use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::config::old_settings;
use crate::config::options::{TrainOptions, network_config};
use crate::config::train_config::{ConfigOption, TrainConfig};
use crate::nn::network_config::NetworkConfig;
use crate::optim::AmpDtype;
use crate::optim::optimizer::Rule;

/// A run's settings. Older versions stored `flags` instead of `config`, and can be read too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredSettings")]
pub struct Settings {
    /// Program and version that trained.
    pub created_by: String,
    /// What the user chose, with defaults filled in.
    pub config: TrainConfig,
    /// Height and width of a frame.
    pub size: [usize; 2],
    /// Class names, indexed by label.
    pub label_names: Vec<String>,
    /// SHA-256 of the input that the cache was made from.
    pub source_sha256: String,
    /// Whether the frames include events whose valid bit is clear.
    pub keep_invalid: bool,
    /// Other reading options that the user gave: see
    /// [`CacheHeader::reading`](dvs_shared::CacheHeader::reading).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reading: Vec<String>,
}

/// Settings of any version.
#[derive(Deserialize)]
struct StoredSettings {
    created_by: String,
    config: Option<TrainConfig>,
    flags: Option<Map<String, serde_json::Value>>,
    size: [usize; 2],
    #[serde(default = "gestures")]
    label_names: Vec<String>,
    source_sha256: String,
    keep_invalid: bool,
    #[serde(default)]
    reading: Vec<String>,
}

impl TryFrom<StoredSettings> for Settings {
    type Error = String;

    fn try_from(stored: StoredSettings) -> Result<Self, String> {
        let config = match (stored.config, stored.flags) {
            (Some(config), None) => config,
            (None, Some(flags)) => old_settings::read(flags)?,
            _ => return Err("it has to have either config or flags".to_owned()),
        };
        Ok(Self {
            created_by: stored.created_by,
            config,
            size: stored.size,
            label_names: stored.label_names,
            source_sha256: stored.source_sha256,
            keep_invalid: stored.keep_invalid,
            reading: stored.reading,
        })
    }
}

impl Settings {
    /// The settings of the run that `options` describe.
    pub fn of(options: &TrainOptions) -> Self {
        let header = &options.cache.header;
        Self {
            created_by: created_by(),
            config: options.config.clone(),
            size: [header.sensor.height as usize, header.sensor.width as usize],
            label_names: header.label_names.clone(),
            source_sha256: header.source_sha256.clone(),
            keep_invalid: header.keep_invalid,
            reading: header.reading(),
        }
    }

    /// The settings of a network that another program trained, on frames of `size` (height and
    /// width) and classes of these names. SpikingJelly counts every event, whether its valid bit is
    /// set or not.
    pub fn of_import(config: TrainConfig, size: [usize; 2], label_names: Vec<String>) -> Self {
        Self {
            created_by: created_by(),
            config,
            size,
            label_names,
            source_sha256: String::new(),
            keep_invalid: true,
            reading: Vec::new(),
        }
    }

    /// Whether the samples and their frames are those of `other` settings.
    pub fn is_same_data(&self, other: &Self) -> bool {
        self.source_sha256 == other.source_sha256
            && self.keep_invalid == other.keep_invalid
            && self.reading == other.reading
    }

    /// Size of the frames.
    pub fn sensor(&self) -> SensorSize {
        let [height, width] = self.size;
        SensorSize {
            width: width as u32,
            height: height as u32,
        }
    }

    /// The trained network.
    ///
    /// # Errors
    /// Returns an error if a value is out of range, or a class name has control characters.
    pub fn network_config(&self) -> Result<NetworkConfig> {
        let unfit = self
            .label_names
            .iter()
            .find(|name| name.contains(char::is_control));
        if let Some(name) = unfit {
            bail!("the name of a class has control characters: {name:?}");
        }
        network_config(&self.config, self.size, Some(self.label_names.len()))
    }
}

/// Lists the options in which a resumed run's configuration differs from the saved one, as typed.
///
/// # Errors
/// Returns an error that names every option that may not change, with both values.
pub fn changes(saved: &TrainConfig, resumed: &TrainConfig) -> Result<Vec<String>> {
    let (mut refused, mut changed) = (Vec::new(), Vec::new());
    for (old, new) in saved.options().into_iter().zip(resumed.options()) {
        if old.value == new.value {
            continue;
        }
        let change = format!("{} {} -> {}", old.flag(), old.value, new.value);
        match old.changeable {
            true => changed.push(change),
            false => refused.push(change),
        }
    }
    ensure!(
        refused.is_empty(),
        "the checkpoint is of another run, and cannot resume with: {}; leave these out, or train anew",
        refused.join(", ")
    );
    Ok(changed)
}

/// A flag's value as part of a folder name. A long value is cut, because file systems allow 255
/// bytes. Braces and stars are left out, because a shell takes them for something else. Such values
/// are identified by their CRC-32.
fn in_a_name(value: &str) -> String {
    const LONGEST: usize = 60;
    let plain = value.replace([':', '/'], "_");
    let bare = plain.replace(['{', '}', '*'], "");
    if bare.len() <= LONGEST && bare == plain {
        return plain;
    }
    let start: String = bare.chars().take(LONGEST / 4).collect();
    format!("{start}_{:08x}", crc32fast::hash(value.as_bytes()))
}

/// Options with their own place in the name of a run folder.
const NAMED: [&str; 4] = ["frames", "channels", "opt", "split"];

/// The name of the run folder, as in the tutorial. Options that the tutorial has no name for follow
/// in the order of their names, if they differ from their defaults.
pub fn folder_name(config: &TrainConfig) -> String {
    let (data, optimizer) = (&config.data, &config.optimizer);
    let rule = match optimizer.rule() {
        Rule::Adam => "Adam".to_owned(),
        Rule::Sgd { momentum } => format!("SGD_momentum_{momentum}"),
    };
    let mut name = format!(
        "T_{}_b_{}_c_{}_{rule}_lr_{}_{}",
        data.split.frames(),
        data.batch_size,
        config.network.channels,
        optimizer.lr,
        config.schedule.schedule()
    );
    match optimizer.amp {
        // `--amp` without a type means bf16, so bf16 gets the tutorial's suffix, which names no
        // type.
        Some(AmpDtype::Bf16) => name += "_amp",
        Some(AmpDtype::F16) => name += "_amp_f16",
        None => {}
    }
    let split = data.split.split_by();
    if split != SplitBy::Number {
        name += &format!("_split_{}", split.name());
    }
    let usual = TrainConfig::default().options().into_iter();
    let mut others: Vec<ConfigOption> = config
        .options()
        .into_iter()
        .zip(usual)
        .filter(|(option, usual)| !option.changeable && option.value != usual.value)
        .map(|(option, _)| option)
        .filter(|option| !NAMED.contains(&option.name))
        .collect();
    others.sort_by_key(|option| option.name);
    for ConfigOption {
        name: flag, value, ..
    } in others
    {
        name += &format!("_{flag}_{}", in_a_name(&value.to_string()));
    }
    name
}

fn created_by() -> String {
    format!("dvs-train {}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn equal_configurations_have_no_changes() {
        let config = TrainConfig::default();
        assert!(changes(&config, &config).unwrap().is_empty());
    }

    #[test]
    fn networks_that_differ_in_braces_have_different_folders() {
        let folder = |notation: &str| {
            let mut config = TrainConfig::default();
            config.network.network = notation.to_owned().into();
            folder_name(&config)
        };
        let one = folder("c4k3s1-LIF-{c4k3s1-LIF}*2-FC11-LIF");
        let other = folder("{c4k3s1-LIF-c4k3s1-LIF}*2-FC11-LIF");
        assert_ne!(one, other);
        assert!(!one.contains(['{', '}', '*']), "{one}");
    }

    #[test]
    fn lists_changed_options_with_both_values() {
        let saved = TrainConfig::default();
        let mut resumed = saved.clone();
        resumed.schedule.epochs = 100;
        resumed.optimizer.lr = 0.5;
        assert_eq!(
            changes(&saved, &resumed).unwrap(),
            ["--lr 0.001 -> 0.5", "--epochs 64 -> 100"]
        );
    }

    #[test]
    fn refuses_another_network_and_names_both_values() {
        let saved = TrainConfig::default();
        let mut resumed = saved.clone();
        resumed.network.channels = 16;
        resumed.neurons.tau = Some(3.0);
        resumed.optimizer.lr = 0.5;
        let error = changes(&saved, &resumed).unwrap_err().to_string();
        assert!(
            error.contains("cannot resume with: --channels 128 -> 16, --tau (none) -> 3.0;"),
            "{error}"
        );
    }

    #[test]
    fn settings_refuse_config_beside_flags_and_unknown_flags() {
        let settings = Settings::of_import(TrainConfig::default(), [128, 128], gestures());
        let mut settings = serde_json::to_value(settings).unwrap();
        serde_json::from_value::<Settings>(settings.clone()).unwrap();
        settings["flags"] = serde_json::json!({});
        let error = serde_json::from_value::<Settings>(settings.clone()).unwrap_err();
        assert!(error.to_string().contains("either config or flags"));
        settings.as_object_mut().unwrap().remove("config");
        let read: Settings = serde_json::from_value(settings.clone()).unwrap();
        assert_eq!(read.config, TrainConfig::default());
        settings["flags"]["lerning_rate"] = 0.1.into();
        let error = serde_json::from_value::<Settings>(settings).unwrap_err();
        assert!(error.to_string().contains("lerning_rate"), "{error}");
    }
}
