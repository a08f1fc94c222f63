//! Names a cache before it is made, for stores that keep caches by name.
//!
//! The key depends only on the content of the input, the options and the format version, not on the
//! container, folder or machine. [`lookup`](crate::cache::lookup) accepts a cache stored under
//! its key. Neither the key nor that check depends on the version of the program.

use dvs_shared::cache_format::FORMAT_VERSION;
use dvs_shared::formats::ReadOptions;
use dvs_shared::{SensorSize, SplitMode};

use crate::pipeline::Settings;

/// The key consists of letters, digits and hyphens.
pub fn cache_key(settings: &Settings, source_sha256: &str) -> String {
    // Names every setting, so that adding one forces a decision: does it change the cache?
    let Settings {
        split,
        read:
            ReadOptions {
                sensor,
                layout,
                stream,
                keep_invalid,
                ignore_outside,
                test_split,
                // It follows from the names of the input's files, which the SHA-256 covers.
                form: _,
            },
        skip_damaged,
        split_given: _,
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
    let test = test_split.map_or(String::new(), |test| {
        // A dot is no hyphen, digit or letter.
        let share = test.share().to_string().replace("0.", "");
        let seed = test
            .seed
            .map_or(String::new(), |seed| format!("-seed-{seed}"));
        format!("-test-share-0-{share}{seed}")
    });
    format!(
        "dvs-frame-cache-v{FORMAT_VERSION}-{split}{invalid}{damaged}{sensor}{outside}{layout}{stream}{test}-{source_sha256}"
    )
}
