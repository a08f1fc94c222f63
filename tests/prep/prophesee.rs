//! Prophesee's recordings are read event by event: those that faery, expelliarmus and evlib write or
//! read, and any that the specification allows.

use std::fs;
use std::path::Path;

use dvs_shared::formats::{Decoded, Format, ReadOptions, decode};
use dvs_shared::recording::Recording;
use dvs_shared::{Event, SensorSize};
use proptest::prelude::*;

use crate::inputs::unpacked;
use crate::prophesee_files::{Row, dat, events_of, evt2, evt3, evt21, raw_header};

const LARGE: (u32, u32) = (1280, 720);
const INFLATED: u64 = 1 << 24;

fn read(bytes: &[u8]) -> Result<Decoded<'_>, String> {
    let format = Format::of_recording(bytes);
    assert_eq!(format, Format::Prophesee);
    decode(bytes, format, &ReadOptions::default(), INFLATED).map_err(|e| e.to_string())
}

fn events_in(decoded: &Decoded<'_>) -> Vec<Event> {
    let SensorSize { width, height } = decoded.sensor;
    let (width, height) = (width as usize, height as usize);
    let recording = Recording::new(&decoded.packets, decoded.sensor, false).unwrap();
    let mut events = Vec::new();
    recording.window(i64::MIN, i64::MAX).for_each(|t, cell| {
        events.push(Event {
            t,
            x: (cell % width) as u16,
            y: (cell / width % height) as u16,
            polarity: cell >= width * height,
            valid: true,
        });
    });
    events
}

/// The events in a NumPy array of the columns t (i64), x, y (u16) and p (u8).
fn events_of_array(path: &Path) -> Vec<Event> {
    let bytes = fs::read(path).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let event = |row: &[u8; 13]| Event {
        t: i64::from_le_bytes(*row.first_chunk().unwrap()),
        x: u16::from_le_bytes([row[8], row[9]]),
        y: u16::from_le_bytes([row[10], row[11]]),
        polarity: row[12] == 1,
        valid: true,
    };
    let (rows, rest) = bytes[header..].as_chunks::<13>();
    assert!(rest.is_empty());
    rows.iter().map(event).collect()
}

#[test]
fn reads_the_events_that_the_peers_read() {
    let folder = unpacked();
    for (name, number, others) in [("dense", 9000, 90), ("gap", 400, 0), ("evt21", 4000, 0)] {
        let place = folder.path().join("prophesee").join(name);
        let bytes = fs::read(place.with_extension("raw")).unwrap();
        let decoded = read(&bytes).unwrap();
        let expected = events_of_array(&place.with_extension("npy"));
        assert!(expected.len() >= number);
        assert!(events_in(&decoded) == expected, "{name}");
        // The triggers.
        assert!(decoded.seen.other_types >= others && decoded.seen.unexplained == 0);
        assert_eq!(decoded.cut_short, None);
    }
}

/// Rows of a large sensor whose times reach over several wraps of EVT 3.0.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let step = prop_oneof![
        6 => 0..3i64,
        6 => 0..5000i64,
        1 => 0..9_000_000i64,
    ];
    let mask = prop_oneof![Just(1), any::<u32>()];
    let row = (step, 0..1280 - 31u16, 0..720u16, any::<bool>(), mask);
    (0..40_000_000i64, prop::collection::vec(row, 1..60)).prop_map(|(start, rows)| {
        let mut t = start;
        let placed = rows.into_iter().map(|(step, x, y, on, mask)| {
            t += step;
            Row { t, x, y, on, mask }
        });
        placed.collect()
    })
}

fn raw(format: &str, words: &[u8]) -> Vec<u8> {
    [&raw_header(format, LARGE), words].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_any_events_in_every_encoding(rows in rows(), single in 0..5u32) {
        let expected = events_of(&rows);
        let size = "% Width 1280\n% Height 720\n";
        for bytes in [
            raw("EVT2", &evt2(&rows)),
            raw("EVT21;endianness=little", &evt21(&rows, false)),
            raw("EVT21;endianness=legacy", &evt21(&rows, true)),
            dat(size, &rows),
        ] {
            let decoded = read(&bytes).unwrap();
            prop_assert_eq!(events_in(&decoded), expected.clone());
        }
        // EVT 3.0 begins with a time of 24 bits.
        let start = rows[0].t & !0xff_ffff;
        let earlier: Vec<Event> = expected.iter().map(|e| Event { t: e.t - start, ..*e }).collect();
        let bytes = raw("EVT3", &evt3(&rows, single));
        prop_assert_eq!(events_in(&read(&bytes).unwrap()), earlier);
    }

    #[test]
    fn words_decide_the_order_of_halves(rows in rows()) {
        for legacy in [false, true] {
            let bytes = raw("EVT21", &evt21(&rows, legacy));
            // The words may leave it open, but they never decide wrongly.
            match read(&bytes) {
                Ok(decoded) => prop_assert_eq!(events_in(&decoded), events_of(&rows)),
                Err(said) => prop_assert!(said.contains("endianness="), "{}", said),
            }
        }
    }

    #[test]
    fn any_words_are_read_or_refused(
        words in prop::collection::vec(any::<u8>(), 0..400),
        format in prop::sample::select(vec!["EVT2", "EVT21", "EVT21;endianness=little", "EVT3"]),
    ) {
        for sensor in [LARGE, (2048, 2048)] {
            let bytes = [&raw_header(format, sensor), words.as_slice()].concat();
            if let Ok(decoded) = read(&bytes) {
                let kept = events_in(&decoded).len() as u64;
                prop_assert!(decoded.seen.unexplained * 100 <= kept + decoded.seen.other_types + decoded.seen.unexplained);
            }
        }
    }
}

#[test]
fn continues_times_after_they_wrap_around() {
    let rows = |times: &[i64]| -> Vec<Row> {
        let row = |&t: &i64| Row {
            t,
            x: 5,
            y: 6,
            on: true,
            mask: 1,
        };
        times.iter().map(row).collect()
    };
    let times = |bytes: &[u8]| -> Vec<i64> {
        let events = events_in(&read(bytes).unwrap());
        events.iter().map(|e| e.t).collect()
    };
    let size = "% Width 1280\n% Height 720\n";
    // The third event is out of order.
    let around = |wrap: i64| {
        [
            wrap - 100,
            wrap + 50,
            wrap - 40,
            wrap + 70,
            7 * wrap / 4,
            2 * wrap,
        ]
    };
    let all = around(1 << 34);
    assert_eq!(times(&raw("EVT2", &evt2(&rows(&all)))), all);
    let words = evt21(&rows(&all), true);
    assert_eq!(times(&raw("EVT21;endianness=legacy", &words)), all);
    let all = around(1 << 32);
    assert_eq!(times(&dat(size, &rows(&all))), all);
    let all = around(1 << 24);
    assert_eq!(times(&raw("EVT3", &evt3(&rows(&all), 1))), all);
    // The lower part of the time changes last, so a single step over both parts is not a wrap.
    let all = [
        0xfff, 0x1000, 0x1fff, 0x2001, 0xff_f000, 0xff_ffff, 0x100_0000,
    ];
    assert_eq!(times(&raw("EVT3", &evt3(&rows(&all), 1))), all);
}

#[test]
fn refuses_more_events_than_memory_allows() {
    // Each word of a vector sets 12 pixels.
    let start: [u16; 4] = [0x8000, 0x6000, 0x0001, 0x3000];
    let row = [&[0x3000u16][..], &[0x4fff; 50]].concat();
    let words = [&start[..], &row.repeat(10_000)].concat();
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let bytes = raw("EVT3", &words);
    let options = ReadOptions::default();
    let read = |memory| decode(&bytes, Format::Prophesee, &options, memory);
    let said = read(1 << 20).err().unwrap().to_string();
    assert!(
        said.contains("the limit for a file of its size, which --memory raises"),
        "{said}"
    );
    assert_eq!(events_in(&read(1 << 26).unwrap()).len(), 6_000_000);
}

#[test]
fn file_truncated_anywhere_keeps_exactly_its_whole_events() {
    let rows: Vec<Row> = (0..60)
        .map(|i| Row {
            t: 100 + 3000 * i64::from(i),
            x: 7 * i,
            y: i,
            on: i % 2 == 0,
            mask: 1 << 31 | 5,
        })
        .collect();
    let all = events_of(&rows);
    for (bytes, header_end, word) in [
        (raw("EVT2", &evt2(&rows)), "% end\n", 4),
        (
            raw("EVT21;endianness=legacy", &evt21(&rows, true)),
            "% end\n",
            8,
        ),
        (raw("EVT3", &evt3(&rows, 0)), "% end\n", 2),
        (
            dat("% Width 1280\n% Height 720\n", &rows),
            "720\n\x0c\x08",
            8,
        ),
    ] {
        let decoded = read(&bytes).unwrap();
        assert!(events_in(&decoded) == all && decoded.cut_short.is_none());
        let end = header_end.as_bytes();
        let start = bytes.windows(end.len()).position(|w| w == end).unwrap() + end.len();
        // What remains of a header is refused, or has no events.
        for cut in 2..start {
            let decoded = read(&bytes[..cut]);
            assert!(decoded.is_err() || events_in(&decoded.unwrap()).is_empty());
        }
        let mut previous = 0;
        for cut in start..bytes.len() {
            let decoded = read(&bytes[..cut]).unwrap();
            let found = events_in(&decoded);
            assert!(all.starts_with(&found) && found.len() >= previous);
            previous = found.len();
            let rest = (bytes.len() - cut) % word;
            match decoded.cut_short {
                None => assert_eq!(rest, 0, "byte {cut}"),
                Some(said) => {
                    assert_eq!((said.offset + said.left, said.need), (cut, word as u64));
                    assert_eq!((said.left + rest) % word, 0);
                }
            }
        }
    }
}
