//! The readers read or refuse files that are nearly valid: altered, truncated, or built from parts
//! that do not belong together. The fuzz targets in `tests/fuzz` call the same readers.

use std::sync::LazyLock;

use dvs_shared::event::DVS128;
use proptest::prelude::*;
use proptest::sample::select;

use crate::inputs;
use crate::prophesee_files::{evt21, raw_header, rows_of};
use crate::readers;
use crate::support::*;

/// Changes up to three bytes of `whole`. Sometimes truncates it or inserts a copy of one part.
fn altered(whole: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let length = whole.len();
    (
        prop::collection::vec(change, 0..4),
        prop_oneof![3 => Just(length), 1 => 0..length],
        prop::option::weighted(
            0.2,
            (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        ),
    )
        .prop_map(move |(changes, length, copied)| {
            let mut bytes = whole.clone();
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(length);
            if let Some((from, to)) = copied
                && !bytes.is_empty()
            {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let part = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from..from, part);
            }
            bytes
        })
}

/// Valid and invalid values of a field in a packet header.
fn word() -> impl Strategy<Value = u32> {
    prop_oneof![
        select(vec![
            0,
            1,
            2,
            4,
            8,
            12,
            100,
            0x7fff_ffff,
            0x8000_0000,
            u32::MAX
        ]),
        any::<u32>(),
    ]
}

fn packets() -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..100);
    let odd = (0..3u16, word(), word(), word(), word(), body).prop_map(
        |(kind, size, overflow, capacity, number, body)| {
            packet_of(kind, size, overflow, capacity, number, &body)
        },
    );
    let good = (0..700u64, 0..5000i64, -2..3i64)
        .prop_map(|(n, start, step)| packet(&events(n, start + 2000, step)));
    let some = prop::collection::vec(prop_oneof![1 => odd, 4 => good], 0..8);
    some.prop_map(|packets| [END_HEADER, &packets.concat()].concat())
}

fn csv() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        select(vec![
            "1",
            "11",
            "0",
            "12",
            "-1",
            "",
            " 3 ",
            "9223372036854775807",
            "x",
            "\"4\"",
            "1e3"
        ])
        .prop_map(str::to_owned),
        any::<i64>().prop_map(|n| n.to_string()),
    ];
    let row = prop::collection::vec(field, 0..5).prop_map(|fields| fields.join(","));
    let end = select(vec!["\n", "\r\n", "\n\n", ""]);
    let rows = prop::collection::vec((row, end), 0..8);
    (select(vec!["", "\u{feff}"]), any::<bool>(), rows).prop_map(|(mark, header, rows)| {
        let header = if header {
            "class,startTime_usec,endTime_usec\n"
        } else {
            ""
        };
        let rows: String = rows.into_iter().map(|(row, end)| row + end).collect();
        format!("{mark}{header}{rows}")
    })
}

/// Files of a dataset in any order. Some occur twice, some are missing, and some do not belong to
/// it.
fn members() -> impl Strategy<Value = Files> {
    let files = [
        dataset(),
        vec![
            ("._user01_led.aedat".to_owned(), vec![0; 700]),
            ("user09_led.aedat".to_owned(), Vec::new()),
            ("d/".repeat(120) + "user01_led.aedat", b"deep".to_vec()),
            ("gesture_mapping.csv".to_owned(), b"x".to_vec()),
        ],
    ]
    .concat();
    prop::collection::vec(select(files), 0..9)
}

/// `members` as a `.tar`, a `.tar.gz` or a `.zip`.
fn archive_bytes() -> impl Strategy<Value = Vec<u8>> {
    (members(), 0..3).prop_map(|(files, kind)| match kind {
        0 => tar(&files),
        1 => gzip(&tar(&files)),
        _ => zip(&unique(files)),
    })
}

/// Removes all but one file of each name, because the writer of `.zip` files refuses duplicates.
fn unique(mut files: Files) -> Files {
    files.sort();
    files.dedup_by(|a, b| a.0 == b.0);
    files
}

/// Small files of every format other than AEDAT 3.
static OTHER_FORMATS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = inputs::unpacked();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let two = b"#!AER-DAT2.0\r\n# AEChip: DVS128\r\n".to_vec();
    let words: Vec<u8> = (0..600u32).flat_map(|i| (i * 77).to_be_bytes()).collect();
    vec![
        read("aedat4/user01_led.aedat4"),
        read("aedat4/user02_lab.aedat4"),
        read("aedat4/plain.aedat4"),
        [two, words].concat(),
        read("prophesee/evt3/user02_lab.raw"),
        read("prophesee/evt2/user02_lab.raw"),
        read("prophesee/dat/user02_lab.dat"),
        read("prophesee/gap.raw"),
        evt21_recording(),
        inputs::events_npz(&events(300, 0, 7)),
        read("sj/events_np/train/10/user01_led_0.npz"),
        read("sj/frames_number_4_split_by_number/train/10/user01_led_0.npz"),
        read("figshare/ibmGestureTrain/user01_led/10.npy"),
        read("figshare/ibmGestureTest/user02_lab/1.npy"),
    ]
});

/// EVT 2.1 whose header does not say in which order the halves of words come.
fn evt21_recording() -> Vec<u8> {
    let rows = rows_of(&events(300, 0, 7));
    [raw_header("EVT21", (128, 128)), evt21(&rows, false)].concat()
}

static CACHE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let cache = folder.path().join("cache.h5");
    prepare(&input, &cache, &["-T", "1"]);
    std::fs::read(cache).unwrap()
});

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn altered_recordings_are_read_or_refused(bytes in altered(recording(&events(1000, 0, 3)))) {
        readers::aedat(&bytes, DVS128);
    }

    #[test]
    fn recordings_with_invalid_packets_are_read_or_refused(
        bytes in packets().prop_flat_map(altered),
    ) {
        readers::aedat(&bytes, DVS128);
    }

    #[test]
    fn csv_text_is_read_or_refused(text in csv()) {
        readers::labels(text.as_bytes());
        readers::trials(text.as_bytes());
        readers::mapping(text.as_bytes());
    }

    #[test]
    fn altered_csv_text_is_read_or_refused(
        text in csv().prop_flat_map(|text| altered((text + "\n").into_bytes())),
    ) {
        readers::labels(&text);
        readers::trials(&text);
    }
}

proptest! {
    #![proptest_config(config(700))]

    #[test]
    fn archives_of_any_members_are_read_or_refused(bytes in archive_bytes()) {
        readers::archive(&bytes);
    }

    #[test]
    fn altered_archives_are_read_or_refused(
        bytes in archive_bytes().prop_flat_map(altered),
    ) {
        readers::archive(&bytes);
    }

    #[test]
    fn altered_files_of_other_formats_are_read_or_refused(
        bytes in (0..OTHER_FORMATS.len()).prop_flat_map(|i| altered(OTHER_FORMATS[i].clone())),
    ) {
        readers::formats(&bytes, DVS128);
        readers::mapping(&bytes);
    }

    #[test]
    fn words_of_prophesee_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 1..200)) {
        readers::prophesee(&bytes);
    }

    #[test]
    fn events_of_an_atis_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        readers::atis_bin(&bytes);
    }

    #[test]
    fn altered_caches_are_read_or_refused(bytes in altered(CACHE.clone())) {
        readers::cache(&bytes);
    }
}
