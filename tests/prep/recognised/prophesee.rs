//! The header of Prophesee's files names the encoding and the size. Words that nothing explains are
//! left out and counted, and refused if there are many.

use super::{DVS128, Dataset, expected, recognised};
use crate::cameras::events_on;
use crate::prophesee_files::{Row, dat, events_of, evt2, evt3, evt21, raw_header, rows_of};
use crate::support::fail;

const LARGE: (u32, u32) = (1280, 720);

/// A RAW file of these words in `format`.
fn raw(format: &str, size: (u32, u32), words: &[u8]) -> Vec<u8> {
    [&raw_header(format, size), words].concat()
}

fn evt3_words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[test]
fn reads_recordings_with_the_endings_of_prophesee() {
    let events = events_on(500, LARGE);
    let rows = rows_of(&events);
    let size = "% Width 1280\n% Height 720\n";
    for (bytes, ending, said) in [
        (
            raw("EVT2", LARGE, &evt2(&rows)),
            ".raw",
            "EVT 2.0: 1280 x 720 pixels, as its header says",
        ),
        (
            raw("EVT3", LARGE, &evt3(&rows, 4)),
            ".raw",
            "EVT 3.0: 1280 x 720 pixels, as its header says",
        ),
        (
            raw("EVT21", LARGE, &evt21(&rows, true)),
            ".raw",
            "bit 60 is 1 for ON; the upper half of its words comes first, as only that explains them",
        ),
        (
            raw("EVT21;endianness=little", LARGE, &evt21(&rows, false)),
            ".RAW",
            "the lower half of its words comes first, as its header says",
        ),
        (
            dat(size, &rows),
            ".dat",
            "DAT 2: 1280 x 720 pixels, as its header says",
        ),
        // The name does not matter.
        (dat(size, &rows), ".aedat", "DAT 2: 1280 x 720 pixels"),
    ] {
        let dataset = Dataset::with_ending(&bytes, ending);
        let summary = dataset.summary(&[]);
        assert!(recognised(&summary).contains(said), "{summary}");
        assert_eq!(dataset.samples(&[]), expected(&events, LARGE), "{said}");
    }
    let shown = Dataset::new(&raw("EVT3", LARGE, &evt3(&rows, 4))).view(&[]);
    assert_eq!(shown["samples"][0]["events"], 500);
}

#[test]
fn adds_the_time_at_which_faery_says_a_file_begins() {
    let events = events_on(100, DVS128);
    let earlier: Vec<_> = rows_of(&events)
        .iter()
        .map(|row| Row {
            t: row.t - 1000,
            ..*row
        })
        .collect();
    let bytes = dat("% Width 128\n% Height 128\n% T0 1000\n", &earlier);
    let dataset = Dataset::with_ending(&bytes, ".dat");
    assert_eq!(dataset.samples(&[]), expected(&events, DVS128));
    let summary = dataset.summary(&[]);
    assert!(
        recognised(&summary).ends_with("; its times are 1000 us later, as its header's t0 says")
    );
}

#[test]
fn asks_for_the_size_if_the_header_does_not_say_it() {
    let events = events_on(300, DVS128);
    let words = evt2(&rows_of(&events));
    let dataset = Dataset::with_ending(&[&b"% evt 2.0\n"[..], &words].concat(), ".raw");
    let said = dataset.fail(&[]);
    assert!(said.contains("--sensor 1280x720"), "{said}");
    assert_eq!(
        dataset.samples(&["--sensor", "128x128"]),
        expected(&events, DVS128)
    );
    // A width and a height that do not agree are no size.
    let header = b"% format EVT2;width=128;height=128\n% geometry 128x96\n";
    let dataset = Dataset::with_ending(&[&header[..], &words].concat(), ".raw");
    let said = dataset.fail(&[]);
    assert!(said.contains("128 and 96 pixels high"), "{said}");
    assert_eq!(
        dataset.samples(&["--sensor", "128x128"]),
        expected(&events, DVS128)
    );
}

#[test]
fn refuses_events_outside_the_sensor_unless_they_are_ignored() {
    let inside = events_on(300, DVS128);
    let mut rows = rows_of(&inside);
    // A vector that begins on the sensor and ends beyond it.
    let last = rows[299];
    rows.push(Row {
        x: 126,
        y: 3,
        mask: 0b1111,
        ..last
    });
    let mut kept = inside;
    kept.extend(events_of(&[Row {
        mask: 0b11,
        ..rows[300]
    }]));
    for bytes in [
        raw("EVT2", DVS128, &evt2(&rows)),
        raw("EVT21;endianness=little", DVS128, &evt21(&rows, false)),
        raw("EVT3", DVS128, &evt3(&rows, 1)),
        dat("% Width 128\n% Height 128\n", &rows),
    ] {
        let dataset = Dataset::with_ending(&bytes, ".raw");
        let said = dataset.fail(&[]);
        for part in ["x = 128, y = 3", "2 of its 304 events", "--ignore-outside"] {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
        let ignore = ["--ignore-outside"];
        assert_eq!(
            dataset.summary(&ignore)["events_left_out"]["outside_sensor"],
            4
        );
        assert_eq!(dataset.samples(&ignore), expected(&kept, DVS128));
    }
}

#[test]
fn counts_words_that_hold_no_events() {
    let events = events_on(300, DVS128);
    let mut words = evt3(&rows_of(&events), 1);
    // A trigger, and other data that continues in two words.
    words.extend(evt3_words(&[0xa101, 0xe014, 0xf123, 0x7004]));
    let dataset = Dataset::with_ending(&raw("EVT3", DVS128, &words), ".raw");
    let left_out = &dataset.summary(&[])["events_left_out"];
    assert_eq!(
        (&left_out["other_types"], &left_out["unexplained"]),
        (&8.into(), &0.into())
    );
    assert_eq!(dataset.samples(&[]), expected(&events, DVS128));
}

#[test]
fn refuses_more_than_1_percent_words_without_meaning() {
    let events = events_on(300, DVS128);
    let words = evt3(&rows_of(&events), 1);
    // Two events before the first time, and a word of a reserved type.
    let few = [
        &evt3_words(&[0x0005, 0x2001, 0x2002]),
        words.as_slice(),
        &evt3_words(&[0xb000]),
    ]
    .concat();
    let dataset = Dataset::with_ending(&raw("EVT3", DVS128, &few), ".raw");
    let summary = dataset.summary(&[]);
    assert_eq!(summary["events_left_out"]["unexplained"], 6, "{summary}");
    let warned = summary["warnings"].to_string();
    assert!(
        warned.contains("a.raw: left out 3 events with addresses, types or times"),
        "{warned}"
    );
    assert_eq!(dataset.samples(&[]), expected(&events, DVS128));
    for (more, reason) in [
        (
            vec![0xb000, 0x2001, 0x2001, 0x2001],
            "its word has the type 0xb, which the format does not have",
        ),
        (
            vec![0x9000, 0x2001, 0x2001, 0x2001],
            "its word has the type 0x9",
        ),
    ] {
        let many = [words.as_slice(), &evt3_words(&more)].concat();
        let said = Dataset::with_ending(&raw("EVT3", DVS128, &many), ".raw").fail(&[]);
        // After a word that is not known, the row is not known.
        assert!(
            said.contains("4 of its 304 events cannot be used") && said.contains(reason),
            "{said}"
        );
    }
    for (early, reason) in [
        (vec![0x2001], "no word before it says its time"),
        (
            vec![0x8000, 0x6000, 0x2001],
            "no word before it says its row",
        ),
        (
            vec![0x8000, 0x6000, 0x0001, 0x4003],
            "no word before it says its column",
        ),
    ] {
        let said =
            Dataset::with_ending(&raw("EVT3", DVS128, &evt3_words(&early)), ".raw").fail(&[]);
        assert!(said.contains(reason), "{said}");
    }
    let polarity = [
        &dat("% Width 9\n% Height 9\n", &[])[..],
        &[0, 0, 0, 0, 0, 0, 0, 0x20],
    ]
    .concat();
    let said = Dataset::with_ending(&polarity, ".dat").fail(&[]);
    assert!(
        said.contains("its polarity is 2, neither 0 nor 1"),
        "{said}"
    );
}

#[test]
fn refuses_what_only_other_readers_understand() {
    let events = events_on(300, DVS128);
    let rows = rows_of(&events);
    let words = evt3(&rows, 1);
    let second = [words.as_slice(), &evt3_words(&[0x0801, 0x2001])].concat();
    let trigger = b"% Version 2\n% Width 9\n% Height 9\n\x0e\x08".to_vec();
    for (bytes, part) in [
        (
            raw("EVT3", DVS128, &second),
            "rows are marked as those of the second (slave)",
        ),
        (
            raw("EVT4", DVS128, &words),
            "\"EVT4\"; EVT 2.0, 2.1 and 3.0 are known",
        ),
        (
            raw("EVT3;endianness=big", DVS128, &words),
            "\"big\"; little is read",
        ),
        (raw("EVT21", DVS128, &[7; 80]), "in which order the halves"),
        (trigger, "type 0x0e with 8 bytes"),
        (
            b"% Version 2\n% Width 9\n% Height 9\n".to_vec(),
            "before the two bytes",
        ),
        (
            b"% some other text\n".to_vec(),
            "does not say how events are encoded",
        ),
    ] {
        let said = Dataset::with_ending(&bytes, ".raw").fail(&[]);
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let dataset = Dataset::new(&raw("EVT3", DVS128, &words));
    for option in [["--layout", "davis"], ["--stream", "1"]] {
        let said = dataset.fail(&option);
        assert!(
            said.contains("this is a RAW or DAT file of Prophesee; leave it out"),
            "{said}"
        );
    }
    // A single file is no dataset, but a recording that can be viewed.
    let path = dataset.input().join("a.aedat");
    let said = fail(&["-i", path.to_str().unwrap()]);
    assert!(said.contains("is one recording"), "{said}");
}

#[test]
fn counts_times_that_go_backwards() {
    let mut events = events_on(200, DVS128);
    events.swap(80, 81);
    let rows = rows_of(&events);
    for (format, words) in [("EVT2", evt2(&rows)), ("EVT3", evt3(&rows, 1))] {
        let dataset = Dataset::with_ending(&raw(format, DVS128, &words), ".raw");
        let summary = dataset.summary(&[]);
        assert_eq!(summary["times_going_backwards"], 2, "{summary}");
        assert_eq!(dataset.samples(&[]), expected(&events, DVS128));
    }
}
