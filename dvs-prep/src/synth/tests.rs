#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;

use super::*;

/// Returns options for a small archive, with about 15,000 events per recording.
fn small(folder: &Path, name: &str) -> SynthOptions {
    SynthOptions {
        users: 3,
        lights: vec![Light::Led, Light::Fluorescent, Light::Led],
        events_per_second: 2000.0,
        gesture_seconds: 0.5,
        ..SynthOptions::new(folder.join(name))
    }
}

/// Writes the archive and returns its bytes and the summary.
fn write(options: &SynthOptions) -> (Vec<u8>, SynthSummary) {
    let summary = write_archive(options, |_| ()).unwrap();
    let bytes = fs::read(&options.output).unwrap();
    assert_eq!(bytes.len() as u64, summary.archive_bytes);
    (bytes, summary)
}

fn inflate(bytes: &[u8]) -> Vec<u8> {
    // This decoder stops after one gzip member. The archive must not have a second one.
    let mut decoder = GzDecoder::new(bytes);
    let mut raw = Vec::new();
    decoder.read_to_end(&mut raw).unwrap();
    assert!(decoder.into_inner().is_empty());
    raw
}

/// Returns the members by name, without the folder.
fn members(tar: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(tar);
    let members = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        assert_eq!(entry.header().mode().unwrap(), 0o644);
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (path.strip_prefix("DvsGesture/").unwrap().to_owned(), bytes)
    });
    members.collect()
}

fn text(members: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
    String::from_utf8(members[name].clone()).unwrap()
}

/// Time, x, y and polarity.
type Event = (i64, u32, u32, u32);

/// Reads the events of a recording. It is independent of the product's reader, so that the two do
/// not share a mistake.
fn events(aedat: &[u8]) -> Vec<Event> {
    let end = b"#!END-HEADER\r\n";
    let mut at = aedat.windows(end.len()).position(|w| w == end).unwrap() + end.len();
    let word = |i: usize| u32::from_le_bytes(aedat[i..i + 4].try_into().unwrap());
    let mut events = Vec::new();
    while at < aedat.len() {
        assert_eq!(aedat[at..at + 4], [1, 0, 0, 0]);
        let [size, offset, overflow, capacity, number, valid] =
            [4, 8, 12, 16, 20, 24].map(|k| word(at + k));
        assert_eq!((size, offset), (8, 4));
        assert!(capacity == number && number == valid && number > 0);
        at += 28;
        for _ in 0..number {
            let (data, stamp) = (word(at), word(at + 4));
            assert!(data & 1 == 1 && stamp < 1 << 31);
            let t = i64::from(overflow) << 31 | i64::from(stamp);
            events.push((t, data >> 17, data >> 2 & 0x7fff, data >> 1 & 1));
            at += 8;
        }
    }
    events
}

/// Returns the class (from 1), the start and the end of each label row.
fn rows(csv: &str) -> Vec<[i64; 3]> {
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("class,startTime_usec,endTime_usec"));
    let row = |line: &str| -> Vec<i64> { line.split(',').map(|v| v.parse().unwrap()).collect() };
    lines.map(|line| row(line).try_into().unwrap()).collect()
}

#[test]
fn archive_has_the_structure_of_dvs128_gesture() {
    let folder = tempfile::tempdir().unwrap();
    let (tar, summary) = write(&small(folder.path(), "a.tar"));
    assert_eq!(tar.len() as u64, summary.raw_bytes);
    let members = members(&tar);
    assert_eq!(members.len(), 3 + 2 * 6);
    let mapping = text(&members, "gesture_mapping.csv");
    assert!(mapping.starts_with("Action,Label\nhand_clapping,1\n"));
    assert!(mapping.ends_with("air_guitar,10\nother_gestures,11\n"));
    assert_eq!(
        text(&members, "trials_to_test.txt"),
        "user03_fluorescent.aedat\nuser03_led.aedat\n\n"
    );
    assert_eq!(text(&members, "trials_to_train.txt").lines().count(), 4);

    let (mut total, mut overflowing_recordings) = (0, 0);
    for (name, aedat) in members.iter().filter(|(name, _)| name.ends_with(".aedat")) {
        let events = events(aedat);
        total += events.len() as u64;
        assert!(events.is_sorted_by_key(|e| e.0));
        assert!(events.iter().all(|e| e.1 < 128 && e.2 < 128));
        overflowing_recordings +=
            usize::from(events[0].0 < 1 << 31 && events[events.len() - 1].0 >= 1 << 31);
        let rows = rows(&text(&members, &name.replace(".aedat", "_labels.csv")));
        assert_eq!(rows.len(), ROWS);
        assert_eq!(rows.iter().map(|r| r[0]).collect::<BTreeSet<_>>().len(), 11);
        assert!(rows.windows(2).all(|r| r[0][2] <= r[1][1]));
        for [class, start, end] in rows {
            assert!(start < end);
            let inside = events
                .iter()
                .filter(|e| (start..end).contains(&e.0))
                .count();
            assert!(inside > 100, "{name}, class {class}: {inside} events");
        }
    }
    assert!(overflowing_recordings > 0);
    assert_eq!(total, summary.events);
    assert_eq!(summary.samples, 6 * 12);
    assert_eq!((summary.train_recordings, summary.test_recordings), (4, 2));
}

#[test]
fn archive_bytes_depend_on_seed_but_not_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let one = SynthOptions {
        jobs: 1,
        ..small(folder.path(), "one.tar.gz")
    };
    let three = SynthOptions {
        jobs: 3,
        ..small(folder.path(), "three.tgz")
    };
    let other = SynthOptions {
        seed: 1,
        ..small(folder.path(), "other.tar.gz")
    };
    let (bytes, summary) = write(&one);
    assert!(bytes == write(&three).0);
    assert!(bytes != write(&other).0);
    let plain = write(&small(folder.path(), "plain.tar")).0;
    assert!(inflate(&bytes) == plain);
    assert_eq!(summary.raw_bytes, plain.len() as u64);
}

#[test]
fn shuffling_changes_only_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    let options = small(folder.path(), "a.tar");
    let control = SynthOptions {
        shuffle_labels: true,
        ..small(folder.path(), "b.tar")
    };
    let (a, b) = (members(&write(&options).0), members(&write(&control).0));
    for (name, bytes) in &a {
        if !name.ends_with("_labels.csv") {
            assert!(*bytes == b[name], "{name}");
            continue;
        }
        let (mut a, mut b) = (rows(&text(&a, name)), rows(&text(&b, name)));
        assert_ne!(a, b);
        assert!(a.iter().zip(&b).all(|(a, b)| a[1..] == b[1..]));
        a.sort_by_key(|row| row[0]);
        b.sort_by_key(|row| row[0]);
        assert!(a.iter().zip(&b).all(|(a, b)| a[0] == b[0]));
    }
}

#[test]
fn real_size_matches_dvs128_gesture() {
    let [train, test] = trials(&SynthOptions::real_size("a.tar.gz"));
    assert_eq!((train.len(), test.len()), (98, 24));
    let users = |trials: &[Trial]| trials.iter().map(|t| t.user).collect::<BTreeSet<_>>();
    assert_eq!(users(&train), (1..24).collect());
    assert_eq!(users(&test), (24..30).collect());
    let lights: BTreeSet<_> = test.iter().map(|t| t.light).collect();
    assert_eq!(lights.len(), 5);
}

#[test]
fn refuses_invalid_options_and_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let expect_error = |change: &dyn Fn(&mut SynthOptions), words: &[&str]| {
        let mut options = small(folder.path(), "a.tar");
        change(&mut options);
        let error = write_archive(&options, |_| ()).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    };
    expect_error(
        &|o| o.output.set_extension("zip").then_some(()).unwrap(),
        &["a.zip", ".tar.gz"],
    );
    expect_error(&|o| o.users = 1, &["users is 1", "from 2 to 99"]);
    expect_error(
        &|o| o.test_users = Some(3),
        &["test users is 3", "from 1 to 2"],
    );
    expect_error(&|o| o.lights.clear(), &["lights is 0"]);
    expect_error(
        &|o| o.train_recordings = Some(0),
        &["training recordings is 0"],
    );
    expect_error(
        &|o| o.events_per_second = f64::NAN,
        &["NaN", "from 1000 to 1000000"],
    );
    expect_error(&|o| o.compression = 0, &["compression level is 0"]);
    let too_many_events = |o: &mut SynthOptions| {
        o.events_per_second = 1e6;
        o.gesture_seconds = 60.0;
    };
    expect_error(&too_many_events, &["events in a recording", "100000000"]);
    expect_error(
        &|o| o.output = folder.path().join("none/a.tar"),
        &["none/a.tar"],
    );
    fs::write(folder.path().join("a.tar"), "mine").unwrap();
    expect_error(&|_| (), &["exists", "--force"]);
    assert_eq!(fs::read(folder.path().join("a.tar")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let forced = SynthOptions {
        force: true,
        ..small(folder.path(), "a.tar")
    };
    assert!(write(&forced).0.len() > 4);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn progress_counts_every_recording() {
    let folder = tempfile::tempdir().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let options = small(folder.path(), "a.tar.gz");
    let summary = write_archive(&options, |p| seen.lock().unwrap().push(p)).unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(
        seen.iter().map(|p| p.recordings).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(seen[5].events, summary.events);
}

/// Returns the accuracy of a nearest-class-mean classifier on the samples of held-out users. Its
/// features are 16 frames of 2 x 16 x 16 cells.
fn nearest_mean_accuracy(options: &SynthOptions) -> f64 {
    const T: usize = 16;
    const CELLS: usize = T * 2 * 16 * 16;
    let members = members(&write(options).0);
    let samples = |list: &str| -> Vec<(usize, Vec<f32>)> {
        let list = text(&members, list);
        let names = list.lines().filter(|name| !name.is_empty());
        names
            .flat_map(|name| {
                let events = events(&members[name]);
                let rows = rows(&text(&members, &name.replace(".aedat", "_labels.csv")));
                rows.into_iter().map(move |[class, start, end]| {
                    let from = events.partition_point(|e| e.0 < start);
                    let events = &events[from..events.partition_point(|e| e.0 < end)];
                    let each = events.len() / T;
                    let mut frames = vec![0.0; CELLS];
                    for (i, &(_, x, y, p)) in events.iter().enumerate() {
                        let plane = (i / each).min(T - 1) * 2 + p as usize;
                        frames[(plane * 16 + y as usize / 8) * 16 + x as usize / 8] +=
                            1.0 / each as f32;
                    }
                    (class as usize - 1, frames)
                })
            })
            .collect()
    };
    let mut means = vec![(0.0, vec![0.0; CELLS]); 11];
    for (class, frames) in samples("trials_to_train.txt") {
        means[class].0 += 1.0;
        for (mean, v) in means[class].1.iter_mut().zip(frames) {
            *mean += v;
        }
    }
    let test = samples("trials_to_test.txt");
    let right = test.iter().filter(|(class, frames)| {
        let distance = |c: usize| -> f32 {
            let (count, sum) = &means[c];
            let differences = sum.iter().zip(frames).map(|(m, v)| m / count - v);
            differences.map(|d| d * d).sum()
        };
        (0..11).min_by(|&a, &b| distance(a).total_cmp(&distance(b))) == Some(*class)
    });
    right.count() as f64 / test.len() as f64
}

#[test]
fn held_out_users_are_classifiable_unless_labels_are_shuffled() {
    let folder = tempfile::tempdir().unwrap();
    let options = SynthOptions {
        users: 8,
        test_users: Some(2),
        lights: vec![Light::Lab, Light::Led],
        events_per_second: 4000.0,
        ..SynthOptions::new(folder.path().join("a.tar"))
    };
    let accuracy = nearest_mean_accuracy(&options);
    assert!(accuracy > 0.85, "{accuracy}");
    let control = SynthOptions {
        shuffle_labels: true,
        force: true,
        ..options
    };
    let accuracy = nearest_mean_accuracy(&control);
    assert!(accuracy < 0.35, "{accuracy}");
}
