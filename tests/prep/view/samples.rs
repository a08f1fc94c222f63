//! The options choose a sample of a recording, an archive or a cache.

use std::fs;

use serde_json::Value;

use super::json;
use crate::support::{archive, content, dataset, dvs_prep, fail, stderr, text, zip};

#[test]
fn shows_a_recording_with_or_without_labels() {
    let folder = tempfile::tempdir().unwrap();
    let files = dataset();
    let path = folder.path().join("user01_led.aedat");
    fs::write(&path, content(&files, "user01_led.aedat")).unwrap();
    let whole = json(&["view", text(&path)]);
    let sample = &whole["samples"][0];
    assert_eq!(
        (&sample["sample"], &sample["events"]),
        (&"user01_led".into(), &2500.into())
    );
    assert_eq!(sample["label"], Value::Null);
    let part = json(&[
        "view",
        text(&path),
        "--start-us",
        "1000",
        "--end-us",
        "1100",
    ]);
    assert_eq!(part["samples"][0]["events"], 100);
    let labels = folder.path().join("user01_led_labels.csv");
    fs::write(labels, content(&files, "user01_led_labels.csv")).unwrap();
    let sample = json(&["view", text(&path), "--label", "other_gestures"]);
    assert_eq!(sample["samples"][0]["sample"], "user01_led_0@10");
    assert_eq!(sample["samples"][0]["set"], Value::Null);
    let said = fail(&["view", text(&path), "--sample", "2"]);
    assert!(said.contains("2, numbers 0 to 1"), "{said}");
}

#[test]
fn finds_samples_in_any_order_and_container() {
    let mut expected = None;
    for reversed in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut files = dataset();
        if reversed {
            files.reverse();
        }
        let archive = archive(folder.path(), &files);
        let zipped = folder.path().join("a.zip");
        fs::write(&zipped, zip(&files)).unwrap();
        let extracted = folder.path().join("extracted");
        fs::create_dir(&extracted).unwrap();
        for (name, content) in &files {
            fs::write(extracted.join(name), content).unwrap();
        }
        for input in [&archive, &zipped, &extracted] {
            let said = [
                &["--sample", "user02_lab_0@10"][..],
                &["--set", "test", "--each-class"],
                &["--label", "2"],
                &[],
            ];
            let said =
                said.map(|args| json(&[&["view", text(input)], args].concat())["samples"].clone());
            assert_eq!(said[0][0]["set"], "test");
            assert_eq!(said[1].as_array().unwrap().len(), 2);
            assert_eq!(said[1][1]["sample"], "user02_lab_0@10");
            assert_eq!(said[2][0]["sample"], "user01_led_0@2");
            assert_eq!(&said, expected.get_or_insert_with(|| said.clone()));
            let missing = fail(&["view", text(input), "--sample", "user02_lap_0"]);
            assert!(
                missing.contains("user02_lab_0@2 (left_hand_wave)"),
                "{missing}"
            );
        }
    }
}

#[test]
fn uses_a_matching_cache_in_the_default_folder() {
    let folder = tempfile::tempdir().unwrap();
    archive(folder.path(), &dataset());
    let view = |args: &[&str]| -> Value {
        let mut command = dvs_prep([&["view", "--json"], args].concat());
        let output = command.env("DVS_DATA", folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(view(&["-T", "2"])["input_kind"], "archive");
    dvs_prep(["-T", "2"])
        .env("DVS_DATA", folder.path())
        .output()
        .unwrap();
    assert_eq!(view(&["-T", "2"])["input_kind"], "cache");
    assert_eq!(view(&["-T", "3"])["input_kind"], "archive");
}
