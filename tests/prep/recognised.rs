//! The program recognises the format, the version and the camera of a recording. If the file leaves
//! something open, the program asks for an option. If it leaves events out, it says how many.
//!
//! Each submodule tests one format. The tests in this file hold for several formats.

mod aedat2;
mod aedat3;
mod aedat4;
mod prophesee;

use std::fs;
use std::path::{Path, PathBuf};

use dvs_shared::{CacheFile, Event};
use serde_json::Value;
use tempfile::TempDir;

use crate::cameras::{V2E, addressed, aedat2, aedat3, dataset_of, davis, dvs128, events_on};
use crate::inputs::{Samples, samples};
use crate::support::{fail, prepare, recording, run, text};

const SIZE_346: (u32, u32) = (346, 260);
const DVS128: (u32, u32) = (128, 128);
/// The header lines of an AEDAT 3 recording of a DVS128, after the first.
const SOURCE: &str = "#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n";

/// A temporary folder with a dataset whose two recordings, `a` and `b`, are the same.
struct Dataset(TempDir);

impl Dataset {
    fn new(recording: &[u8]) -> Self {
        Self::with_ending(recording, ".aedat")
    }

    fn with_ending(recording: &[u8], ending: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        dataset_of(&folder.path().join("data"), recording, ending);
        Self(folder)
    }

    fn input(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("cache.h5")
    }

    /// Makes the cache, even if it exists, and returns the summary of the run.
    fn summary(&self, args: &[&str]) -> Value {
        let args = [&["-T", "4", "--force", "--json"], args].concat();
        let output = prepare(&self.input(), &self.cache(), &args);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes the cache and returns its samples.
    fn samples(&self, args: &[&str]) -> Samples {
        self.summary(args);
        samples(&self.cache())
    }

    /// Expects that no cache is made, and returns the standard error of the run.
    fn fail(&self, args: &[&str]) -> String {
        let (input, cache) = (self.input(), self.cache());
        fail(&[&["-T", "4", "-i", text(&input), "-o", text(&cache)], args].concat())
    }

    /// Returns what `view` prints about the first recording.
    fn view(&self, args: &[&str]) -> Value {
        let input = self.input().join("a.aedat");
        let line = [&["view", text(&input), "--json"], args].concat();
        serde_json::from_slice(&run(&line).stdout).unwrap()
    }
}

/// The samples that a recording of `events` must give. They are those of an AEDAT 3.1 recording.
fn expected(events: &[Event], (width, height): (u32, u32)) -> Samples {
    let plain = Dataset::new(&recording(events));
    plain.samples(&["--sensor", &format!("{width}x{height}")])
}

/// Returns the only line of the summary that says how recordings were read.
fn recognised(summary: &Value) -> &str {
    let lines = summary["recognised"].as_array().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].as_str().unwrap()
}

#[test]
fn view_shows_the_same_frames_as_the_cache() {
    let events = events_on(997, SIZE_346);
    let bytes = aedat2(V2E, &addressed(&events, |e| davis(e, SIZE_346)));
    let dataset = Dataset::new(&bytes);
    let sizes: &[&[&str]] = &[
        &["--sensor", "346x260"],
        &["--sensor", "200x150", "--ignore-outside"],
    ];
    for args in sizes {
        dataset.summary(args);
        let args = [*args, &["-T", "4"]].concat();
        let of_cache = run(&["view", text(&dataset.cache()), "--json"]).stdout;
        let of_cache: Value = serde_json::from_slice(&of_cache).unwrap();
        let frames = |shown: &Value| {
            let frames = shown["samples"][0]["frames"].as_array().unwrap();
            let counts = |f: &Value| (f["events_off"].clone(), f["events_on"].clone());
            frames.iter().map(counts).collect::<Vec<_>>()
        };
        assert_eq!(frames(&dataset.view(&args)), frames(&of_cache));
    }
}

#[test]
fn refuses_events_outside_the_sensor_unless_ignored() {
    let events = events_on(1000, SIZE_346);
    let header = "# AEChip: Davis346blue\r\n";
    let mut addresses = addressed(&events, |e| davis(e, SIZE_346));
    addresses.insert(500, (300 << 22 | 5 << 12, events[500].t as u32));
    let two = Dataset::new(&aedat2(header, &addresses));
    let mut outside = events.clone();
    outside.insert(
        500,
        Event {
            y: 300,
            ..events[500]
        },
    );
    let source = "#Source 1: DAVIS346B\r\n#!END-HEADER\r\n";
    let three = Dataset::new(&aedat3("3.1", source, 1, &outside));
    for dataset in [two, three] {
        let said = dataset.fail(&[]);
        for part in ["1 of its 1001 events", "346 x 260", "--ignore-outside"] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        assert_eq!(
            said.matches("346 x 260").count(),
            2,
            "once for each recording: {said}"
        );
        let ignore = ["--ignore-outside"];
        let summary = dataset.summary(&ignore);
        assert_eq!(summary["events_left_out"]["outside_sensor"], 2);
        assert_eq!(summary["events_outside"], 2);
        assert_eq!(samples(&dataset.cache()), expected(&events, SIZE_346));
        // The cache records the option, so it does not match a run without the option.
        let cache = CacheFile::open(&dataset.cache()).unwrap();
        assert_eq!(cache.header.events_outside, Some(2));
        run(&["verify", text(&dataset.cache())]);
        let info = run(&["info", text(&dataset.cache())]).stdout;
        assert!(
            String::from_utf8(info)
                .unwrap()
                .contains("outside sensor  2 left out")
        );
        let again = prepare(
            &dataset.input(),
            &dataset.cache(),
            &["-T", "4", "--ignore-outside"],
        );
        assert!(
            String::from_utf8(again.stdout)
                .unwrap()
                .contains("already there")
        );
        let said = dataset.fail(&[]);
        assert!(
            said.contains("with --ignore-outside, not without --ignore-outside"),
            "{said}"
        );
        let view = fail(&["view", text(&dataset.input().join("a.aedat"))]);
        assert_eq!(view.matches("beyond the ").count(), 1, "{view}");
        assert_eq!(dataset.view(&ignore)["samples"][0]["events"], 1000);
    }
}

#[test]
fn accepts_recordings_with_every_aedat_extension() {
    let events = events_on(200, DVS128);
    let bytes = aedat2("# AEChip: DVS128\r\n", &addressed(&events, dvs128));
    for ending in [".aedat", ".aedat2", ".aedat3", ".aedat4"] {
        let dataset = Dataset::with_ending(&bytes, ending);
        assert_eq!(dataset.samples(&[]), expected(&events, DVS128), "{ending}");
        let path = dataset.input().join(format!("a{ending}"));
        let shown = run(&["view", text(&path), "--json"]).stdout;
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        assert_eq!(shown["samples"][0]["sample"], "a_0@0");
        // `.aedat5` is not an extension of recordings. The next copy makes a duplicate.
        fs::copy(&path, dataset.input().join("a.aedat5")).unwrap();
        let other = if ending == ".aedat2" {
            ".aedat"
        } else {
            ".aedat2"
        };
        fs::copy(&path, dataset.input().join(format!("a{other}"))).unwrap();
        let said = dataset.fail(&["--force"]);
        assert!(said.contains("the archive contains "), "{said}");
    }
}

#[test]
fn refuses_unknown_aedat_versions() {
    let events = events_on(300, DVS128);
    let said = Dataset::new(&aedat3("3.2", SOURCE, 1, &events)).fail(&[]);
    assert!(
        said.contains("it is AEDAT 3.2; 3.0 and 3.1 are known"),
        "{said}"
    );
    let two = Dataset::new(b"#!AER-DAT2.1\r\n").fail(&[]);
    assert!(two.contains("\"2.1\"; 2.0 is known"), "{two}");
}

#[test]
fn refuses_a_dataset_without_events() {
    let empty = Dataset::new(&recording(&[]));
    let said = empty.fail(&[]);
    assert!(
        said.contains("none of the 2 samples has an event"),
        "{said}"
    );
    assert!(!Path::exists(&empty.cache()));
}

#[test]
fn refuses_options_that_no_recording_uses() {
    let events = events_on(300, DVS128);
    let dataset = Dataset::new(&aedat3("3.1", SOURCE, 1, &events));
    let path = dataset.input().join("a.aedat");
    for option in [&["--layout", "davis"][..], &["--stream", "7"]] {
        let view = fail(&[&["view", text(&path)], option].concat());
        for said in [dataset.fail(option), view] {
            assert!(said.contains(option[0]), "{said}");
        }
        assert!(!Path::exists(&dataset.cache()));
    }
    let two = Dataset::new(&aedat2("# AEChip: DVS128\r\n", &addressed(&events, dvs128)));
    let said = two.fail(&["--stream", "0"]);
    assert!(said.contains("--stream"), "{said}");
}

#[test]
fn sensor_option_makes_a_different_cache() {
    // The option gives the size that the camera has anyway, but the cache still records it.
    let dataset = Dataset::new(&aedat3("3.1", SOURCE, 1, &events_on(300, DVS128)));
    dataset.summary(&["--sensor", "128x128"]);
    let said = dataset.fail(&[]);
    assert!(
        said.contains("--sensor 128 x 128") && said.contains("--force"),
        "{said}"
    );
}

#[test]
fn messages_contain_no_control_characters_from_headers() {
    let events = events_on(50, DVS128);
    let source = "#Source 1: \u{1b}[2J\u{7}camera\r\n#!END-HEADER\r\n";
    let three = aedat3("3.1", source, 1, &events);
    let two = aedat2("# AEChip: \u{1b}[2Jcamera\r\n", &addressed(&events, dvs128));
    for bytes in [three, two] {
        let dataset = Dataset::new(&bytes);
        let view = fail(&["view", text(&dataset.input().join("a.aedat"))]);
        for said in [dataset.fail(&[]), view] {
            assert!(
                !said.contains('\u{1b}') && !said.contains('\u{7}'),
                "{said:?}"
            );
            assert!(said.contains("camera"), "{said}");
        }
    }
}

#[test]
#[cfg(unix)]
fn refuses_a_pipe_as_recording() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe.aedat");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    for line in [&["view"][..], &["-i"], &["key", "-i"]] {
        let said = fail(&[line, &[text(&path)]].concat());
        assert!(said.contains("pipe.aedat"), "{said}");
    }
}
