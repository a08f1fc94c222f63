//! Reads the settings of checkpoint format 1, in which every flag of `train` is an entry of one
//! table.

use serde_json::{Map, Value, json};

use crate::config::train_config::{DEFAULT_FRAMES, TrainConfig};

/// The flags of each part of [`TrainConfig`], apart from those of the split into frames.
const PARTS: [(&str, &[&str]); 6] = [
    (
        "data",
        &[
            "cache",
            "batch_size",
            "test_batch_size",
            "jobs",
            "frames_in",
            "validation",
        ],
    ),
    (
        "network",
        &["channels", "hidden", "linear_bias", "step_mode"],
    ),
    (
        "neurons",
        &[
            "neuron",
            "tau",
            "v_threshold",
            "v_reset",
            "decay_input",
            "detach_reset",
            "surrogate",
            "alpha",
        ],
    ),
    ("optimizer", &["opt", "lr", "momentum", "amp"]),
    (
        "schedule",
        &["epochs", "lr_scheduler", "step_size", "gamma", "t_max"],
    ),
    (
        "augmentation",
        &[
            "flip",
            "rotate",
            "shift",
            "flip_polarity",
            "drop_events",
            "keep_frames",
        ],
    ),
];

/// The configuration that a table of flags describes. A flag that it lacks has its default.
///
/// # Errors
/// Returns an error if a value is not one of its flag, or if this program has no such flag.
pub(super) fn read(mut flags: Map<String, Value>) -> Result<TrainConfig, String> {
    let mut config = Map::new();
    let mut take = |part: &str, flag: &str, value: Value| {
        let part = config.entry(part).or_insert_with(|| json!({}));
        part[flag] = value;
    };
    let split = |flags: &mut Map<String, Value>, flag: &str, default: Value| {
        flags
            .remove(flag)
            .filter(|value| !value.is_null())
            .unwrap_or(default)
    };
    let frames = split(&mut flags, "frames", DEFAULT_FRAMES.into());
    let by = split(&mut flags, "split", "number".into());
    take("data", "split", json!({ "by": by, "frames": frames }));
    for (part, names) in PARTS {
        for name in names {
            if let Some(value) = flags.remove(*name) {
                take(part, name, value);
            }
        }
    }
    // What is left belongs to no part; `TrainConfig` refuses what it does not know.
    config.extend(flags);
    serde_json::from_value(config.into()).map_err(|error| error.to_string())
}
