//! AEDAT 3 names its version, its cameras and its encoding in the header, and the type of its
//! events in each packet.

use std::fs;

use dvs_shared::{CacheFile, Event};
use serde_json::Value;

use super::{DVS128, Dataset, SIZE_346, SOURCE, expected, recognised};
use crate::cameras::{aedat3, events_on};
use crate::support::{fail, packet, recording, run, stderr, text};

#[test]
fn flips_y_of_aedat_3_0_recordings() {
    let events = events_on(300, DVS128);
    let flipped: Vec<Event> = events
        .iter()
        .map(|&e| Event { y: 127 - e.y, ..e })
        .collect();
    // Some headers of AEDAT 3.0 have an end line and some have none.
    for lines in [
        "#Format: RAW\r\n#Source 1: DVS128\r\n",
        "#Source 1: DVS128\r\n#!END-HEADER\r\n",
    ] {
        let dataset = Dataset::new(&aedat3("3.0", lines, 1, &flipped));
        assert_eq!(dataset.samples(&[]), expected(&events, DVS128));
        let summary = dataset.summary(&[]);
        assert!(recognised(&summary).contains("AEDAT 3.0"), "{summary}");
        assert!(recognised(&summary).contains("y counts from the bottom and is turned"));
    }
    // The height of the camera decides how y is flipped, even if the frames are larger.
    let dataset = Dataset::new(&aedat3("3.0", SOURCE, 1, &flipped));
    let large = ["--sensor", "140x150"];
    assert_eq!(dataset.samples(&large), expected(&events, (140, 150)));
}

#[test]
fn refuses_encoded_packets_and_names_the_encoding() {
    for format in ["SerializedTS", "PNGFrames", "SerializedTS,PNGFrames"] {
        let lines = format!("#Format: {format}\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n");
        let dataset = Dataset::new(&aedat3("3.1", &lines, 1, &events_on(5, DVS128)));
        let view = fail(&["view", text(&dataset.input().join("a.aedat"))]);
        for said in [dataset.fail(&[]), view] {
            assert!(said.contains(&format!("encoded as {format:?}")), "{said}");
        }
    }
}

#[test]
fn asks_for_the_size_of_an_unknown_camera() {
    let events = events_on(300, (240, 180));
    for (lines, named) in [
        ("#!END-HEADER\r\n", "no camera"),
        ("#Source 1: DVXplorer\r\n#!END-HEADER\r\n", "\"DVXplorer\""),
        ("#Source 1: Processor\r\n#!END-HEADER\r\n", "\"Processor\""),
    ] {
        let dataset = Dataset::new(&aedat3("3.1", lines, 1, &events));
        let view = fail(&["view", text(&dataset.input().join("a.aedat"))]);
        for said in [dataset.fail(&[]), view] {
            assert!(said.contains(named) && said.contains("--sensor"), "{said}");
        }
        let sensor = ["--sensor", "240x180"];
        assert_eq!(dataset.samples(&sensor), expected(&events, (240, 180)));
        assert_eq!(dataset.view(&sensor)["samples"][0]["events"], 300);
    }
    // If a file was recorded from another file, its header names the camera of that file.
    let again = "#Source 1: File\r\n#-Source 0: DAVIS240C\r\n#!END-HEADER\r\n";
    let dataset = Dataset::new(&aedat3("3.1", again, 1, &events));
    assert_eq!(dataset.samples(&[]), expected(&events, (240, 180)));
}

#[test]
fn stream_option_selects_one_of_several_cameras() {
    let (left, right) = (events_on(300, DVS128), events_on(200, (240, 180)));
    let lines = "#Source 1: DVS128\r\n#Source 2: DAVIS240C\r\n#!END-HEADER\r\n";
    let mut bytes = aedat3("3.1", lines, 1, &left);
    let second = aedat3("3.1", lines, 2, &right);
    bytes.extend(&second["#!AER-DAT3.1\r\n".len() + lines.len()..]);
    let dataset = Dataset::new(&bytes);
    let said = dataset.fail(&[]);
    assert!(
        said.contains("1 (DVS128), 2 (DAVIS240C)") && said.contains("--stream 1"),
        "{said}"
    );
    assert_eq!(dataset.samples(&["--stream", "1"]), expected(&left, DVS128));
    let other = ["--stream", "2"];
    assert_eq!(dataset.samples(&other), expected(&right, (240, 180)));
    assert_eq!(
        CacheFile::open(&dataset.cache()).unwrap().header.stream,
        Some(2)
    );
    let said = dataset.fail(&["--force", "--stream", "3"]);
    assert!(said.contains("holds no events of camera 3"), "{said}");
}

#[test]
fn refuses_more_than_1_percent_events_of_undefined_types() {
    let events = events_on(1000, SIZE_346);
    let of_type = |kind: u16, n: u64| {
        let mut bytes = recording(&events);
        let mut unknown = packet(&events_on(n, DVS128));
        unknown[..2].copy_from_slice(&kind.to_le_bytes());
        bytes.extend(unknown);
        Dataset::new(&bytes)
    };
    let sensor = ["--sensor", "346x260"];
    let left_out = |dataset: &Dataset| dataset.summary(&sensor)["events_left_out"].clone();
    let few = left_out(&of_type(40, 5));
    assert_eq!(
        (&few["unexplained"], &few["other_types"]),
        (&10.into(), &0.into())
    );
    // The format defines types 2 and 13 and leaves type 100 to other programs. Such packets are
    // normal.
    for known in [2, 13, 100] {
        let many = left_out(&of_type(known, 500));
        assert_eq!(
            (&many["unexplained"], &many["other_types"]),
            (&0.into(), &1000.into())
        );
    }
    let said = of_type(40, 50).fail(&sensor);
    assert!(
        said.contains("50 of its 1050 events") && said.contains("type 40"),
        "{said}"
    );
}

#[test]
fn reports_that_all_events_are_invalid() {
    let mut events = events_on(12, DVS128);
    events.iter_mut().for_each(|e| e.valid = false);
    let dataset = Dataset::new(&recording(&events));
    let said = dataset.fail(&[]);
    assert!(
        said.contains("none of the 2 samples has an event. The first: a_0 (label 0)")
            && said.contains("12 events, all with a clear valid bit")
            && said.contains("--keep-invalid"),
        "{said}"
    );
    assert_eq!(dataset.summary(&["--keep-invalid"])["events_read"], 24);
    let path = dataset.input().join("a.aedat");
    fs::remove_file(dataset.input().join("a_labels.csv")).unwrap();
    let shown = run(&["view", text(&path), "--json"]);
    assert!(
        stderr(&shown)
            .contains("12 events, all with a clear valid bit: --keep-invalid counts them"),
        "{}",
        stderr(&shown)
    );
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(
        (
            &shown["samples"][0]["start_us"],
            &shown["samples"][0]["end_us"]
        ),
        (&0.into(), &0.into())
    );
}
