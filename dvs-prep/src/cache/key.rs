//! A name for a cache before it is made, for stores that keep caches by name.
//!
//! Inputs of the same content with the same options have the same key, in whatever container, folder or machine;
//! another content, option or format version has another. A cache stored under its key is one that
//! [`existing`](crate::cache::lookup) accepts. The program's version has no part in it, as it has none in that.

use dvs_shared::cache_format::FORMAT_VERSION;
use dvs_shared::formats::ReadOptions;
use dvs_shared::{SensorSize, SplitMode};

use crate::pipeline::Settings;

/// The key: letters, digits and hyphens.
pub fn cache_key(settings: &Settings, source_sha256: &str) -> String {
    // Every setting is named here, so that a new one has to be placed: is the cache another with it?
    let Settings {
        split,
        read:
            ReadOptions {
                sensor,
                layout,
                stream,
                keep_invalid,
                ignore_outside,
            },
        skip_damaged,
        split_said: _,
        jobs: _,
        memory: _,
    } = *settings;
    let split = match split {
        SplitMode::Number { frames } => format!("number-{frames}"),
        SplitMode::Time { frames } => format!("time-{frames}"),
        SplitMode::Duration { us } => format!("duration-{us}"),
    };
    let invalid = if keep_invalid { "-keep-invalid" } else { "" };
    let damaged = if skip_damaged { "-skip-damaged" } else { "" };
    let sensor = sensor.map_or(String::new(), |SensorSize { width, height }| {
        format!("-sensor-{width}x{height}")
    });
    let outside = if ignore_outside {
        "-ignore-outside"
    } else {
        ""
    };
    let layout = layout.map_or(String::new(), |layout| format!("-layout-{}", layout.name()));
    let stream = stream.map_or(String::new(), |stream| format!("-stream-{stream}"));
    format!(
        "dvs-frame-cache-v{FORMAT_VERSION}-{split}{invalid}{damaged}{sensor}{outside}{layout}{stream}-{source_sha256}"
    )
}
