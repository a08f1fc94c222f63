//! Files of N-MNIST's format have nothing but events. Damage to them is counted or refused.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::inputs::{prepared, write};
use crate::support::{fail, measured, prepare, run, stderr, text, zip};

/// An event of 40 bits.
fn event(t: u32, x: u8, y: u8, on: bool) -> [u8; 5] {
    let [_, high, middle, low] = t.to_be_bytes();
    [x, y, u8::from(on) << 7 | high, middle, low]
}

fn events(number: u32) -> Vec<u8> {
    let event = |i: u32| {
        event(
            i * 100,
            (i % 34) as u8,
            (i * 7 % 34) as u8,
            i.is_multiple_of(3),
        )
    };
    (0..number).flat_map(event).collect()
}

/// A dataset in N-MNIST's form with two digits, and the path of one of its files.
fn dataset() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for set in ["Train", "Test"] {
        for digit in ["0", "1"] {
            let place = folder.path().join("data").join(set).join(digit);
            write(&place.join("00001.bin"), &events(100));
        }
    }
    let file = folder.path().join("data/Train/1/00001.bin");
    (folder, file)
}

fn summary(folder: &Path, args: &[&str]) -> (Value, String) {
    let cache = folder.join("c.h5");
    let args = [&["-T", "2", "--force", "--json"], args].concat();
    let output = prepare(&folder.join("data"), &cache, &args);
    let said = stderr(&output);
    (serde_json::from_slice(&output.stdout).unwrap(), said)
}

#[test]
fn a_file_that_is_cut_short_keeps_its_whole_events() {
    let (folder, file) = dataset();
    let whole = prepared(&folder.path().join("data"), &["-T=2"]);
    fs::write(&file, [&events(100)[..], &[1, 2, 3]].concat()).unwrap();
    let (summary, said) = summary(folder.path(), &[]);
    assert_eq!(summary["recordings_cut_short"], 1);
    let expected =
        "train/1/00001.bin is cut short: its last packet, at byte 500, has 3 of its 5 bytes";
    assert!(said.contains(expected), "{said}");
    assert_eq!(crate::inputs::samples(&folder.path().join("c.h5")), whole);
}

#[test]
fn events_outside_the_sensor_are_refused_or_counted() {
    let (folder, file) = dataset();
    let input = folder.path().join("data");
    let outside = [event(1, 34, 0, true), event(2, 0, 240, false)];
    for (event, told) in outside.into_iter().zip([false, true]) {
        fs::write(&file, [&events(100)[..], &event].concat()).unwrap();
        let said = fail(&["-i", text(&input)]);
        assert!(said.contains("the event at byte 500: x = "), "{said}");
        assert!(said.contains("--ignore-outside"), "{said}");
        assert_eq!(said.contains("a mark of overflowing time"), told, "{said}");
        let (summary, _) = summary(folder.path(), &["--ignore-outside"]);
        assert_eq!(summary["events_outside"], 1);
    }
    // Another size is another reading.
    let (summary, _) = summary(folder.path(), &["--sensor=64x256"]);
    assert_eq!(
        (&summary["width"], &summary["height"]),
        (&64.into(), &256.into())
    );
}

#[test]
fn the_size_is_assumed_only_for_nmnist() {
    let (folder, _) = dataset();
    let input = folder.path().join("data");
    // A class that is no digit shows another dataset.
    fs::rename(input.join("Train/1"), input.join("Train/faces")).unwrap();
    let said = fail(&["-i", text(&input)]);
    assert!(
        said.contains("such as train/0/00001.bin, do not say"),
        "{said}"
    );
    let all = prepared(&input, &["--sensor=34x34", "-T=2"]);
    assert_eq!(all.len(), 4);
    let file = input.join("Train/faces/00001.bin");
    let said = fail(&["view", text(&file)]);
    assert!(said.contains("say it with --sensor"), "{said}");
    run(&["view", text(&file), "--sensor=34x34"]);
}

#[test]
fn other_files_under_the_name_of_samples_are_refused() {
    let (folder, file) = dataset();
    let input = folder.path().join("data");
    for (content, said) in [
        (
            &b"version https://git-lfs.github.com/spec/v1\noid"[..],
            "is a Git LFS pointer",
        ),
        (b"<!DOCTYPE html><html>", "is an HTML page"),
    ] {
        fs::write(&file, content).unwrap();
        let error = fail(&["-i", text(&input)]);
        assert!(
            error.contains("train/1/00001.bin: it ") && error.contains(said),
            "{error}"
        );
    }
    let skipping = ["-T=2", "--skip-damaged"];
    assert_eq!(prepared(&input, &skipping).len(), 3);
    // A file without bytes is a sample without events.
    fs::write(&file, []).unwrap();
    let (summary, said) = summary(folder.path(), &[]);
    assert_eq!(summary["empty_samples"]["train"], 1);
    assert!(said.contains("no events"), "{said}");
}

#[test]
fn a_file_that_inflates_too_far_is_refused() {
    let (folder, _) = dataset();
    let path = folder.path().join("bomb.zip");
    let mut files = vec![("x/Train/0/00001.bin".to_owned(), vec![0; 300 << 20])];
    for name in ["Train/1", "Test/0", "Test/1"] {
        files.push((format!("x/{name}/00001.bin"), events(10)));
    }
    fs::File::create(&path)
        .unwrap()
        .write_all(&zip(&files))
        .unwrap();
    let run = measured(&["-i", text(&path), "-o", text(&folder.path().join("c.h5"))]);
    let said = stderr(&run.output);
    assert!(
        said.contains("train/0/00001.bin has 314572800 bytes, beyond the limit"),
        "{said}"
    );
    assert!(run.peak <= 400, "{} MiB", run.peak);
}
