//! Damaged input gives either a correct cache or errors that name all the damage. `--skip-damaged`
//! uses the undamaged recordings and reports what it left out.

use std::fs;
use std::path::Path;
use std::process::Output;

use dvs_shared::{CacheFile, Event, Set};

use crate::support::*;

fn recording_outside_sensor() -> Vec<u8> {
    let event = Event {
        t: 1000,
        x: 200,
        y: 5,
        polarity: true,
        valid: true,
    };
    recording(&[event])
}

/// Runs the program on a file of these `bytes` whose name ends with `ending`. Expects exit status 0
/// and a cache that passes `verify`, or exit status 1 and no cache.
fn outcome(
    folder: &Path,
    ending: &str,
    bytes: &[u8],
    args: &[&str],
) -> (Output, Option<CacheFile>) {
    let (input, output) = (
        folder.join(format!("input{ending}")),
        folder.join("cache.h5"),
    );
    fs::write(&input, bytes).unwrap();
    let _ = fs::remove_file(&output);
    let all = [&["-i", text(&input), "-o", text(&output)], args].concat();
    let result = dvs_prep(all).output().unwrap();
    let said = stderr(&result);
    assert!(!said.contains("panicked"), "{said}");
    match result.status.code() {
        Some(0) => {
            run(&["verify", text(&output)]);
            let cache = CacheFile::open(&output).unwrap();
            (result, Some(cache))
        }
        Some(1) => {
            assert!(!output.exists(), "a cache in spite of: {said}");
            assert!(said.starts_with("dvs-prep: "), "{said}");
            (result, None)
        }
        other => panic!("{other:?}: {said}"),
    }
}

fn sample_names(cache: &CacheFile) -> Vec<&str> {
    let samples = Set::ALL.into_iter().flat_map(|set| &cache.set(set).samples);
    samples.map(|s| s.name.as_str()).collect()
}

#[test]
fn accepts_padding_and_concatenated_gzip_streams() {
    let folder = tempfile::tempdir().unwrap();
    let tar = tar(&dataset());
    let whole = gzip(&tar);
    let halves = [gzip(&tar[..tar.len() / 2]), gzip(&tar[tar.len() / 2..])].concat();
    for (bytes, zeros) in [
        (&whole, 1),
        (&whole, 511),
        (&whole, 1 << 20),
        (&halves, 0),
        (&halves, 77),
    ] {
        let padded = [bytes.as_slice(), &vec![0; zeros]].concat();
        let (result, cache) = outcome(folder.path(), ".tar.gz", &padded, &[]);
        assert!(cache.is_some(), "{zeros}: {}", stderr(&result));
    }
    let (result, _) = outcome(
        folder.path(),
        ".tar.gz",
        &[&whole, &b"\0\0junk"[..]].concat(),
        &[],
    );
    assert!(stderr(&result).contains("neither padding nor another stream"));
}

#[test]
fn reads_label_files_saved_by_spreadsheets() {
    let plain = dataset();
    let edited = b"\xef\xbb\xbfclass, startTime_usec ,endTime_usec,note\r\n\r\n 3,1000,2000,\"x\"\r\n11 ,\t2000,3000,,\r\n  \r\n";
    let edited = with(plain.clone(), "user01_led_labels.csv", edited);
    let folder = tempfile::tempdir().unwrap();
    let (_, first) = outcome(folder.path(), ".tar", &tar(&plain), &[]);
    let first = first.unwrap().set(Set::Train).samples.clone();
    let (_, second) = outcome(folder.path(), ".tar", &tar(&edited), &[]);
    assert_eq!(first, second.unwrap().set(Set::Train).samples);
}

#[test]
fn reports_all_problems_at_once() {
    let mut files = without(seven(), "user02_led.aedat");
    files = without(files, "user03_led_labels.csv");
    files = with(files, "user01_led.aedat", &recording_outside_sensor());
    files = with(
        files,
        "user04_led_labels.csv",
        b"class,startTime_usec,endTime_usec\n12,1,2\n",
    );
    files.push(("user06_led.aedat".to_owned(), Vec::new()));
    let stray = content(&files, "user06_led.aedat").to_vec();
    files.push(("user2_led.aedat".to_owned(), stray));
    let folder = tempfile::tempdir().unwrap();
    for (ending, bytes) in [(".tar.gz", gzip(&tar(&files))), (".tar", tar(&files))] {
        let (result, _) = outcome(folder.path(), ending, &bytes, &[]);
        let said = stderr(&result);
        for part in [
            "5 problems",
            "user01_led.aedat: the event at byte",
            "user02_led.aedat is missing; trials_to_train.txt lists it. Is it one of those that no list names? user2_led",
            "user03_led_labels.csv is missing",
            "user04_led_labels.csv: line 2: class 12",
            "the archive contains user06_led.aedat twice",
        ] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        assert_eq!(said.lines().count(), 6, "one line a problem: {said}");
    }
}

#[test]
fn every_damaged_member_of_a_zip_is_named() {
    let files = seven();
    let mut bytes = zip(&files);
    // Change a byte of the deflated content of two members. The first place where a member's name
    // occurs is its local header.
    for name in ["user02_led.aedat", "user05_led_labels.csv"] {
        let at = bytes
            .windows(name.len())
            .position(|w| w == name.as_bytes())
            .unwrap();
        bytes[at + name.len() + 25] ^= 0x55;
    }
    let folder = tempfile::tempdir().unwrap();
    let (result, _) = outcome(folder.path(), ".zip", &bytes, &[]);
    let said = stderr(&result);
    assert!(said.contains("2 problems"), "{said}");
    assert!(said.contains("user02_led.aedat cannot be read"), "{said}");
    assert!(
        said.contains("user05_led_labels.csv cannot be read"),
        "{said}"
    );
    let (result, cache) = outcome(folder.path(), ".zip", &bytes, &["--skip-damaged"]);
    let cache = cache.unwrap_or_else(|| panic!("{}", stderr(&result)));
    assert_eq!(cache.header.skipped, ["user02_led", "user05_led"]);
    assert_eq!(sample_names(&cache).len(), 10);
}

#[test]
fn skip_damaged_leaves_out_and_lists_damaged_recordings() {
    let mut files = with(seven(), "user03_led.aedat", &recording_outside_sensor());
    files = without(files, "user06_led_labels.csv");
    let whole: Files = {
        let mut files = seven();
        for name in ["user03_led", "user06_led"] {
            files = without(files, &format!("{name}.aedat"));
            files = without(files, &format!("{name}_labels.csv"));
        }
        files = with(files, "trials_to_test.txt", b"user07_led.aedat\n");
        let train = "user01_led.aedat\nuser02_led.aedat\nuser04_led.aedat\nuser05_led.aedat\n";
        with(files, "trials_to_train.txt", train.as_bytes())
    };
    let folder = tempfile::tempdir().unwrap();
    let (_, expected) = outcome(folder.path(), ".tar.gz", &gzip(&tar(&whole)), &[]);
    let expected = expected.unwrap();
    let bytes = gzip(&tar(&files));
    assert!(outcome(folder.path(), ".tar.gz", &bytes, &[]).1.is_none());
    let (result, cache) = outcome(folder.path(), ".tar.gz", &bytes, &["--skip-damaged"]);
    let (said, cache) = (stderr(&result), cache.unwrap());
    assert!(
        said.contains("warning: left out: user03_led.aedat: the event at byte"),
        "{said}"
    );
    assert!(
        said.contains("warning: left out: user06_led_labels.csv is missing"),
        "{said}"
    );
    for set in Set::ALL {
        assert_eq!(cache.set(set).samples, expected.set(set).samples);
    }
    let output = text(cache.path()).to_owned();
    let info = String::from_utf8(run(&["info", &output]).stdout).unwrap();
    assert!(info.contains("damaged: user03_led, user06_led"), "{info}");
    let json = String::from_utf8(run(&["info", &output, "--json"]).stdout).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        json["skipped"],
        serde_json::json!(["user03_led", "user06_led"])
    );

    // The same options find the cache again. Without --skip-damaged, or with another input, the
    // program refuses the cache.
    let input = folder.path().join("input.tar.gz");
    let args = ["-i", text(&input), "-o", &output];
    let again = run(&[&args[..], &["--skip-damaged"]].concat());
    assert!(String::from_utf8_lossy(&again.stdout).contains("already there"));
    let message = fail(&args);
    assert!(
        message.contains("made with --skip-damaged and lacks user03_led, user06_led"),
        "{message}"
    );
    fs::write(&input, gzip(&tar(&seven()))).unwrap();
    let message = fail(&[&args[..], &["--skip-damaged"]].concat());
    assert!(
        message.contains("in which user03_led, user06_led were damaged"),
        "{message}"
    );
}

#[test]
fn skip_damaged_changes_nothing_for_undamaged_input() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = tar(&seven());
    let (_, cache) = outcome(folder.path(), ".tar", &bytes, &[]);
    let strict = fs::read(cache.unwrap().path()).unwrap();
    let (_, cache) = outcome(folder.path(), ".tar", &bytes, &["--skip-damaged"]);
    assert!(strict == fs::read(cache.unwrap().path()).unwrap());
}

#[test]
fn skip_damaged_keeps_whole_recordings_of_a_truncated_archive() {
    let folder = tempfile::tempdir().unwrap();
    let whole = gzip(&tar(&seven()));
    let mut kept = Vec::new();
    for tenth in 1..10 {
        let part = &whole[..whole.len() * tenth / 10];
        assert!(outcome(folder.path(), ".tar.gz", part, &[]).1.is_none());
        let (result, cache) = outcome(folder.path(), ".tar.gz", part, &["--skip-damaged"]);
        let Some(cache) = cache else { continue };
        let (names, skipped) = (sample_names(&cache).len(), cache.header.skipped.len());
        assert_eq!(names + 2 * skipped, 14);
        assert!(
            stderr(&result).contains("unexpected end of file"),
            "{}",
            stderr(&result)
        );
        kept.push(names);
    }
    assert!(
        kept.len() > 5 && kept.is_sorted() && kept[0] < kept[kept.len() - 1],
        "{kept:?}"
    );
}

#[test]
fn skip_damaged_refuses_input_without_trustworthy_recordings() {
    let folder = tempfile::tempdir().unwrap();
    let whole = gzip(&tar(&seven()));
    // If the checksum of the whole stream is wrong, no recording is known to be whole.
    let mut bytes = whole.clone();
    let end = bytes.len();
    bytes[end - 6] ^= 1;
    let (result, cache) = outcome(folder.path(), ".tar.gz", &bytes, &["--skip-damaged"]);
    assert!(
        cache.is_none() && stderr(&result).contains("checksum does not hold"),
        "{}",
        stderr(&result)
    );
    // Without both trial lists, the program does not know which recordings there are.
    let files = without(seven(), "trials_to_test.txt");
    assert!(
        outcome(folder.path(), ".tar", &tar(&files), &["--skip-damaged"])
            .1
            .is_none()
    );
    let mut files = seven();
    for i in 1..=7 {
        files = with(
            files,
            &format!("user{i:02}_led.aedat"),
            &recording_outside_sensor(),
        );
    }
    let (result, cache) = outcome(folder.path(), ".tar", &tar(&files), &["--skip-damaged"]);
    assert!(
        cache.is_none() && stderr(&result).contains("none of the 7 listed recordings is whole")
    );
}

#[test]
fn truncated_recording_keeps_its_whole_events() {
    let folder = tempfile::tempdir().unwrap();
    let good = content(&dataset(), "user01_led.aedat").to_vec();
    // The last packet holds the events 2400 to 2499. The cut leaves 50 and a half of them, all
    // after the last window.
    let bytes = &good[..good.len() - 50 * 8 + 4];
    let files = with(dataset(), "user01_led.aedat", bytes);
    let (result, cache) = outcome(folder.path(), ".tar", &tar(&files), &["--json"]);
    let said = stderr(&result);
    let at = good.len() - 828;
    assert!(
        said.contains(&format!(
            "user01_led.aedat is cut short: its last packet, at byte {at}, has 432 of its 828 bytes"
        )),
        "{said}"
    );
    assert!(said.contains("50 events of that packet"), "{said}");
    assert!(said.contains("0 of the 2 windows end later"), "{said}");
    let json: serde_json::Value = serde_json::from_slice(&result.stdout).unwrap();
    assert_eq!(json["recordings_cut_short"], 1);
    assert_eq!(json["events_read"], 2450 + 2500);
    let events: Vec<u64> = cache
        .unwrap()
        .set(Set::Train)
        .samples
        .iter()
        .map(|s| s.events)
        .collect();
    assert_eq!(events, [1000, 1000]);
}

/// The recording counts as cut short if its last packet claims at most `MOST` events.
#[test]
fn last_packet_claiming_too_many_events_is_damage() {
    let folder = tempfile::tempdir().unwrap();
    let good = content(&dataset(), "user01_led.aedat").to_vec();
    const MOST: u32 = 1 << 20;
    for (kind, claimed, is_cut_short) in [
        (1, MOST, true),
        (1, MOST + 1, false),
        (1, u32::MAX, false),
        // A packet of another type is skipped, whatever length it claims, because SpikingJelly
        // skips it even if it claims to reach beyond the end.
        (2, MOST + 1, true),
        (2, u32::MAX, true),
    ] {
        let last = packet_of(kind, 8, 0, claimed, claimed, &[]);
        let bytes = [good.as_slice(), &last].concat();
        let files = with(dataset(), "user01_led.aedat", &bytes);
        let (result, cache) = outcome(folder.path(), ".tar", &tar(&files), &[]);
        let said = stderr(&result);
        assert_eq!(cache.is_some(), is_cut_short, "{kind}, {claimed}: {said}");
        assert_eq!(said.contains("is cut short"), is_cut_short, "{said}");
    }
}

#[test]
fn flipped_bits_in_an_archive_are_detected_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let files = seven();
    let containers = [
        (".tar.gz", gzip(&tar(&files))),
        (".zip", zip(&files)),
        (".tar", tar(&files)),
    ];
    let mut refused = 0;
    for (ending, whole) in &containers {
        let (_, cache) = outcome(folder.path(), ending, whole, &[]);
        let expected = fs::read(cache.unwrap().path()).unwrap();
        for i in 0..40 {
            let at = (i * 7919 + 13) * 104_729 % whole.len();
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (i % 8);
            let args: &[&str] = if i % 2 == 0 { &[] } else { &["--skip-damaged"] };
            let (_, cache) = outcome(folder.path(), ending, &bytes, args);
            match cache {
                None => refused += 1,
                // A .tar has no checksum of its content, so a changed event is not detected.
                Some(cache) if *ending != ".tar" && cache.header.skipped.is_empty() => {
                    assert!(
                        expected == fs::read(cache.path()).unwrap(),
                        "byte {at} of {ending}"
                    );
                }
                Some(_) => {}
            }
        }
    }
    assert!(refused > 30, "only {refused} flips were refused");
}
