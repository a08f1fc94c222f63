//! Augmentation is off by default and does not depend on where frames are stored. `preview` shows
//! it.

use std::fs;

use serde_json::Value;

use crate::support::{Place, fail, output, rows, run};

/// Flags that turn on every transform.
const ALL: [&str; 12] = [
    "--flip",
    "0.5",
    "--rotate",
    "15",
    "--shift",
    "6",
    "--flip-polarity",
    "0.5",
    "--drop-events",
    "0.3",
    "--keep-frames",
    "1",
];

#[test]
fn augmentation_flags_of_zero_change_nothing() {
    let place = Place::new();
    let plain = place.train("plain", &["--epochs", "2"]);
    let off = "--epochs 2 --flip 0 --rotate 0 --shift 0 --flip-polarity 0 --drop-events 0";
    let off = place.train("off", &off.split(' ').collect::<Vec<_>>());
    assert_eq!(plain.file_name(), off.file_name());
    assert_eq!(rows(&plain), rows(&off));
    let read =
        |folder: &std::path::Path| fs::read(folder.join("checkpoint_latest.safetensors")).unwrap();
    assert!(read(&plain) == read(&off));
}

#[test]
fn augmentation_does_not_depend_on_frame_storage() {
    let place = Place::new();
    let train = |out: &str, flags: &[&str]| {
        place.train(out, &[&ALL[..], flags, &["--epochs", "2"]].concat())
    };
    let streamed = train("streamed", &["--frames-in", "stream", "-j", "1"]);
    for kept in ["memory", "device"] {
        let rows_there = rows(&train(kept, &["--frames-in", kept, "-j", "3"]));
        assert_eq!(rows_there, rows(&streamed), "{kept}");
    }
    let plain = place.train("plain", &["--epochs", "2"]);
    assert_ne!(rows(&plain), rows(&streamed));
    let other = train("other", &["--seed", "1"]);
    assert_ne!(rows(&other), rows(&streamed));

    let name = streamed.file_name().unwrap().to_str().unwrap();
    for part in [
        "_flip_0.5",
        "_rotate_15",
        "_shift_6",
        "_keep_frames_1",
        "_drop_events_0.3",
    ] {
        assert!(name.contains(part), "{name}");
    }
    let settings = fs::read_to_string(streamed.join("settings.json")).unwrap();
    let settings: Value = serde_json::from_str(&settings).unwrap();
    assert_eq!(settings["config"]["augmentation"]["flip_polarity"], 0.5);

    // Augmentation applies only to training. The best network is evaluated on unaltered samples
    // with all frames.
    let summary = fs::read_to_string(streamed.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let folder = streamed.to_str().unwrap();
    let found = run(&["eval", folder, "--json"]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found["confusion"], summary["confusion"]);

    let error = fail(&["--resume", folder, "--epochs", "3", "--shift", "7"]);
    assert!(
        error.contains("cannot resume with: --shift 6 -> 7;"),
        "{error}"
    );
    let said = run(&["--resume", folder, "--epochs", "3", "--device", "cpu"]);
    assert!(
        said.contains(
            "  training samples: mirror 50 %, rotate up to 15 degrees, shift up to 6 pixels, exchange polarities of \
             50 %, drop up to 30 % of the events, keep 1 of 2 frames\n"
        ),
        "{said}"
    );
}

#[test]
fn refuses_augmentation_values_outside_their_limits() {
    let place = Place::new();
    let cache = place.cache();
    for (flag, value, reason) in [
        ("--flip", "1.5", "--flip 1.5 is not within 0 and 1"),
        ("--rotate", "90", "--rotate 90 is not within 0 and 45"),
        (
            "--keep-frames",
            "3",
            "--keep-frames 3 is not within 1 and the 2 frames",
        ),
        (
            "--shift",
            "128",
            "--shift 128 would move frames of 128 x 128 out of sight",
        ),
    ] {
        let error = fail(&["--cache", &cache, "-b", "4", flag, value]);
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(output(&["--shift", "-1"]).status.code(), Some(2));
}

#[test]
fn preview_shows_augmented_samples() {
    let place = Place::new();
    let cache = place.cache();
    let preview = |name: &str, flags: &[&str]| {
        let path = place.at(name);
        let line = ["preview", "--cache", &cache, "--samples", "2", "-o", &path];
        let said = run(&[&line[..], flags].concat());
        assert!(
            said.starts_with(&format!("{path}: samples=2, epochs=3, ")),
            "{said}"
        );
        fs::read(path).unwrap()
    };
    let sheet = preview("a.png", &ALL);
    assert!(sheet.starts_with(b"\x89PNG\r\n\x1a\n") && sheet.ends_with(b"IEND\xaeB`\x82"));
    assert!(sheet == preview("b.png", &ALL), "the same twice");
    assert!(sheet != preview("c.png", &[&ALL[..], &["--seed", "1"]].concat()));
    assert!(preview("d.gif", &["--flip", "1"]).starts_with(b"GIF89a"));

    let line = ["preview", "--cache", &cache, "-o"];
    let error = fail(&[&line[..], &[&place.at("e.png")]].concat());
    assert!(
        error.contains("there is no augmentation to show"),
        "{error}"
    );
    let wrong = output(&[&line[..], &["e.jpg", "--flip", "1"]].concat());
    assert_eq!(wrong.status.code(), Some(2));
    assert_eq!(output(&["preview", "--flip", "1"]).status.code(), Some(2));
}
