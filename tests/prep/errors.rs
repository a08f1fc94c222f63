//! Errors name every problem with the input and its place, and no cache is left. The program never
//! uses or overwrites an existing file silently.

use std::fs;
use std::path::Path;

use dvs_shared::Event;

use crate::support::*;

/// Expects that `files` fail with a message that contains all of `said`, and leave nothing behind.
fn refused(files: &Files, said: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), files);
    refused_at(&input, said);
}

fn refused_at(input: &Path, said: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let message = fail(&["-i", text(input), "-o", text(&output)]);
    for part in said {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "something was left behind"
    );
}

fn with_labels(rows: &str) -> Files {
    let text = format!("class,startTime_usec,endTime_usec\n{rows}");
    with(dataset(), "user02_lab_labels.csv", text.as_bytes())
}

fn with_recording(bytes: &[u8]) -> Files {
    with(dataset(), "user01_led.aedat", bytes)
}

#[test]
fn names_all_missing_files_at_once() {
    refused(
        &without(dataset(), "trials_to_test.txt"),
        &["trials_to_test.txt is missing"],
    );
    let files = without(
        without(dataset(), "user01_led.aedat"),
        "user02_lab_labels.csv",
    );
    refused(
        &files,
        &[
            "2 problems",
            "user01_led.aedat is missing; trials_to_train.txt lists it",
            "user02_lab_labels.csv is missing",
        ],
    );
}

#[test]
fn refuses_duplicate_files_and_list_entries() {
    let mut files = dataset();
    files.push(files[2].clone());
    refused(&files, &["the archive contains user01_led.aedat twice"]);
    let files = with(
        dataset(),
        "trials_to_test.txt",
        b"user02_lab.aedat\nuser01_led.aedat\n",
    );
    refused(
        &files,
        &["user01_led is listed for training and for testing"],
    );
    let files = with(
        dataset(),
        "trials_to_test.txt",
        b"user02_lab.aedat\nuser02_lab.aedat\n",
    );
    refused(
        &files,
        &["trials_to_test.txt: line 2 lists user02_lab a second time"],
    );
}

#[test]
fn refuses_invalid_label_rows() {
    refused(
        &with_labels("12,1,2\n"),
        &[
            "user02_lab_labels.csv: line 2: class 12 is unknown",
            "1 to 11",
        ],
    );
    refused(
        &with_labels("1,5,9\n2,2000,1000\n"),
        &["line 3", "ends at 1000 us, before its start at 2000 us"],
    );
    refused(
        &with_labels("1,abc,9\n"),
        &["line 2: startTime_usec is \"abc\""],
    );
    refused(&with_labels("1,2\n"), &["line 2 has 2 fields"]);
}

#[test]
fn refuses_damaged_recordings_with_a_precise_error() {
    let good = content(&dataset(), "user01_led.aedat").to_vec();
    refused(
        &with_recording(b"#!AER-DAT1.0\r\n"),
        &["user01_led.aedat: not an AEDAT 3 recording", "#!AER-DAT1.0"],
    );
    refused(
        &with_recording(b"#!AER-DAT3.1\r\n#Format: RAW\r\n"),
        &["does not end", "byte 28"],
    );
    // If other packets follow a packet that claims to reach beyond the end, the recording was not
    // cut short.
    let end = END_HEADER.len();
    let mut bytes = good.clone();
    bytes[end + 16..end + 20].copy_from_slice(&4000u32.to_le_bytes());
    refused(
        &with_recording(&bytes),
        &[&format!(
            "packet at byte {end} claims 4000 events in 32000 bytes, and {} bytes are left; another packet begins at \
             byte {}",
            good.len() - end - 28,
            end + 28 + 800
        )],
    );

    let outside = Event {
        t: 950,
        x: 128,
        y: 5,
        polarity: true,
        valid: true,
    };
    let bytes = [END_HEADER, &packet(&events(3, 900, 1)), &packet(&[outside])].concat();
    let at = END_HEADER.len() + 28 + 3 * 8 + 28;
    refused(
        &with_recording(&bytes),
        &[&format!(
            "event at byte {at} lies at x = 128, y = 5, beyond the sensor's 128 x 128"
        )],
    );

    let bytes = [END_HEADER, &packet_of(1, 8, 0, 2, 3, &[0; 16])].concat();
    refused(
        &with_recording(&bytes),
        &["counts 3 events, beyond its capacity of 2"],
    );
    let bytes = [END_HEADER, &packet_of(1, 4, 0, 2, 2, &[0; 8])].concat();
    refused(&with_recording(&bytes), &["polarity events of 4 bytes"]);
    let bytes = [END_HEADER, &packet_of(1, u32::MAX, 0, u32::MAX, 1, &[0; 8])].concat();
    refused(
        &with_recording(&bytes),
        &[
            "18446744065119617025 bytes, and 8 bytes are left",
            "header is damaged",
        ],
    );
}

#[test]
fn accepts_invalid_events_outside_the_sensor() {
    let outside = Event {
        t: 950,
        x: 9000,
        y: 5,
        polarity: true,
        valid: false,
    };
    let bytes = [
        END_HEADER,
        &packet(&[outside]),
        &packet(&events(500, 900, 1)),
    ]
    .concat();
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &with_recording(&bytes));
    let output = folder.path().join("cache.h5");
    let summary = String::from_utf8(prepare(&input, &output, &[]).stdout).unwrap();
    assert!(summary.contains("1 with a clear valid bit"), "{summary}");
    let message = fail(&[
        "-i",
        text(&input),
        "-o",
        text(&output),
        "--keep-invalid",
        "--force",
    ]);
    assert!(message.contains("x = 9000"), "{message}");
}

#[test]
fn refuses_damaged_or_missing_archives() {
    let folder = tempfile::tempdir().unwrap();
    let whole = gzip(&tar(&dataset()));
    let path = folder.path().join("x.tar.gz");
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    refused_at(&path, &["cannot read", "near byte"]);
    let mut flipped = whole.clone();
    let end = flipped.len() - 6;
    flipped[end] ^= 1;
    fs::write(&path, &flipped).unwrap();
    refused_at(&path, &["cannot read", "checksum"]);
    fs::write(&path, b"hello, world").unwrap();
    refused_at(&path, &["neither a .tar.gz, a .tar, a .zip nor a folder"]);
    refused_at(
        &folder.path().join("absent"),
        &["cannot read", "No such file"],
    );
    let empty = tempfile::tempdir().unwrap();
    refused_at(empty.path(), &["no DVS128 Gesture archive in"]);
}

#[test]
fn uses_an_existing_cache_only_if_it_matches() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let output = folder.path().join("cache.h5");
    let args = ["-i", text(&input), "-o", text(&output)];
    let again = |more: &[&str]| dvs_prep([&args, more].concat()).output().unwrap();
    prepare(&input, &output, &[]);
    let made = fs::read(&output).unwrap();

    let said = String::from_utf8(again(&["--json"]).stdout).unwrap();
    assert!(said.contains("\"status\": \"already there\""), "{said}");
    // Without its note the program recognises the cache by its content, even if the input is in
    // another container.
    fs::remove_file(folder.path().join("cache.h5.source.json")).unwrap();
    let tarred = folder.path().join("same.tar");
    fs::write(&tarred, tar(&dataset())).unwrap();
    let said = String::from_utf8(run(&["-i", text(&tarred), "-o", text(&output)]).stdout).unwrap();
    assert!(said.contains("already there"), "{said}");

    let message = stderr(&again(&["--frames", "8"]));
    assert!(
        message.contains("it holds 16 frames split by number, not 8 frames split by number"),
        "{message}"
    );
    assert!(message.contains("--force"), "{message}");
    let message = stderr(&again(&["--keep-invalid"]));
    assert!(
        message.contains("without --keep-invalid, not with"),
        "{message}"
    );
    archive(folder.path(), &with_labels("1,1000,1500\n"));
    let message = stderr(&again(&[]));
    assert!(
        message.contains("made from an input with SHA-256"),
        "{message}"
    );
    assert_eq!(fs::read(&output).unwrap(), made, "it was touched");

    fs::write(&output, &made[..made.len() / 2]).unwrap();
    let message = stderr(&again(&[]));
    assert!(
        message.contains("exists and cannot be used; --force replaces it"),
        "{message}"
    );
    assert!(again(&["--force"]).status.success());
    assert!(again(&[]).status.success());
}

#[test]
fn never_overwrites_a_file_that_is_not_hdf5() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let before = fs::read(&input).unwrap();
    let (link, hard) = (folder.path().join("link.h5"), folder.path().join("hard.h5"));
    std::os::unix::fs::symlink(&input, &link).unwrap();
    fs::hard_link(&input, &hard).unwrap();
    for output in [&input, &link, &hard] {
        let message = fail(&["-i", text(&input), "-o", text(output), "--force"]);
        assert!(message.contains("is not an HDF5 file"), "{message}");
    }
    assert_eq!(fs::read(&input).unwrap(), before);
}

#[test]
fn flipped_bits_in_a_zip_are_detected_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("DvsGesture.zip");
    let whole = zip(&dataset());
    let output = folder.path().join("cache.h5");
    let args = ["-i", text(&path), "-o", text(&output)];
    let mut refused = 0;
    // Flip bits of the members only, not of the directory at the end.
    for at in (0..whole.len() * 3 / 4).step_by(whole.len() / 60) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        fs::write(&path, &bytes).unwrap();
        let result = dvs_prep(args).output().unwrap();
        if result.status.success() {
            // If no reader needs the changed field, the cache must be the same.
            let damaged = fs::read(&output).unwrap();
            fs::write(&path, &whole).unwrap();
            run(&["-i", text(&path), "-o", text(&output), "--force"]);
            assert!(damaged == fs::read(&output).unwrap(), "byte {at}");
            fs::remove_file(&output).unwrap();
        } else {
            assert!(!output.exists());
            refused += 1;
        }
    }
    assert!(refused > 30, "only {refused} flips were refused");
}

#[test]
fn ignores_unlisted_recordings() {
    let labels = b"class,startTime_usec,endTime_usec\n99,1,2\n".to_vec();
    let extras = [
        ("user08_led.aedat".to_owned(), b"rubbish".to_vec()),
        (
            "user08_led_labels.csv".to_owned(),
            b"class,startTime_usec,endTime_usec\n1,1,2\n".to_vec(),
        ),
        ("user09_led.aedat".to_owned(), b"rubbish".to_vec()),
        ("user09_led_labels.csv".to_owned(), labels),
        (
            "user10_led.aedat".to_owned(),
            b"rubbish without labels".to_vec(),
        ),
    ];
    for first in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let files = if first {
            [&extras[..], &dataset()].concat()
        } else {
            [&dataset(), &extras[..]].concat()
        };
        let input = archive(folder.path(), &files);
        let said = stderr(&prepare(&input, &folder.path().join("cache.h5"), &[]));
        assert!(
            said.contains("no trial list names them: user08_led, user09_led, user10_led"),
            "{said}"
        );
    }
}

#[test]
fn refuses_empty_trial_lists_but_accepts_empty_label_files() {
    refused(
        &with(dataset(), "trials_to_test.txt", b"\n"),
        &["trials_to_test.txt: it lists no recording"],
    );
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &with_labels(""));
    let output = folder.path().join("cache.h5");
    let said = stderr(&prepare(&input, &output, &[]));
    assert!(
        said.contains("user02_lab gives no samples: its label file has no rows"),
        "{said}"
    );
    run(&["verify", text(&output)]);
}

#[test]
fn reports_unwritable_output_before_reading_input() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &with_recording(b"rubbish"));
    let output = folder.path().join("nowhere/cache.h5");
    let message = fail(&["-i", text(&input), "-o", text(&output)]);
    assert!(
        message.contains("no cache can be made") && message.contains("nowhere"),
        "{message}"
    );
}

#[test]
fn info_and_verify_refuse_a_damaged_cache() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let output = folder.path().join("cache.h5");
    prepare(&input, &output, &["-T", "1"]);
    let whole = fs::read(&output).unwrap();
    let text_at = |needle: &[u8]| {
        whole
            .windows(needle.len())
            .position(|w| w == needle)
            .unwrap()
    };
    for at in [
        text_at(b"user01_led_0") + 3,
        text_at(b"hand_clapping") + 12,
        text_at(b"dvs-prep 0"),
        text_at(&1000i64.to_le_bytes()),
    ] {
        for flip in [1, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            fs::write(&output, &bytes).unwrap();
            for command in ["verify", "info"] {
                let message = fail(&[command, text(&output)]);
                assert!(
                    message.contains("is damaged at"),
                    "byte {at}, {command}: {message}"
                );
            }
        }
    }
}

#[test]
fn usage_errors_exit_with_status_2() {
    for args in [
        &["--frames", "0"][..],
        &["--frames", "1025"],
        &["--split", "duration"],
        &["--duration", "100ms", "--frames", "3"],
        &["--duration", "100ms", "--split", "time"],
        &["--jobs", "0"],
        &["--memory", "1"],
        &["--split", "evenly"],
        &["verify"],
    ] {
        let output = dvs_prep(args).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{args:?}: {}",
            stderr(&output)
        );
    }
}
