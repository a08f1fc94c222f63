//! Unusual samples give the right frames: empty windows, overlapping windows, fewer events than
//! frames, times that go backwards, counts beyond 8 and 16 bits. Other event types and events that
//! are not valid are not counted.

use std::path::Path;

use dvs_shared::{CacheFile, ChunkCodec, CountType, Event, Frames, Set};

use crate::support::*;

/// Prepares `files` and returns the cache and the standard error of the run.
fn cache(folder: &Path, files: &Files, args: &[&str]) -> (CacheFile, String) {
    let input = archive(folder, files);
    let path = folder.join("cache.h5");
    let output = prepare(&input, &path, args);
    run(&["verify", text(&path)]);
    (CacheFile::open(&path).unwrap(), stderr(&output))
}

/// The number of events in each frame of training sample `row`.
fn per_frame(cache: &CacheFile, row: usize) -> Vec<u64> {
    let rows = cache.set(Set::Train);
    let mut frames = Frames::default();
    cache
        .read(Set::Train, row, &mut ChunkCodec::default(), &mut frames)
        .unwrap();
    let counts: Vec<u32> = frames.counts(rows.counts).collect();
    counts
        .chunks(2 * 128 * 128)
        .map(|f| f.iter().map(|&c| u64::from(c)).sum())
        .collect()
}

/// A dataset whose training recording is `recording`, with the label rows `rows`.
fn dataset_with(recording: &[u8], rows: &str) -> Files {
    let labels = format!("class,startTime_usec,endTime_usec\n{rows}");
    with(
        with(dataset(), "user01_led.aedat", recording),
        "user01_led_labels.csv",
        labels.as_bytes(),
    )
}

const SPLITS: [&[&str]; 3] = [
    &["-T", "4"],
    &["-T", "4", "--split", "time"],
    &["--duration", "25us"],
];

#[test]
fn window_without_events_gives_empty_frames_and_a_warning() {
    let files = dataset_with(
        &recording(&events(101, 1000, 1)),
        "1,5000,6000\n2,1000,1101\n3,1050,1050\n",
    );
    for args in SPLITS {
        let folder = tempfile::tempdir().unwrap();
        let (cache, said) = cache(folder.path(), &files, args);
        assert_eq!(per_frame(&cache, 0).iter().sum::<u64>(), 0);
        assert_eq!(per_frame(&cache, 1), [25, 25, 25, 26]);
        assert_eq!(per_frame(&cache, 2).iter().sum::<u64>(), 0);
        assert!(
            said.contains("user01_led_0 (label 0): no events from 5000 to 6000 us"),
            "{said}"
        );
    }
}

#[test]
fn last_frame_gets_all_events_if_there_are_too_few() {
    let files = dataset_with(&recording(&events(3, 1000, 1)), "1,0,9999\n");
    let folder = tempfile::tempdir().unwrap();
    let (by_number, _) = cache(folder.path(), &files, &["-T", "5"]);
    assert_eq!(per_frame(&by_number, 0), [0, 0, 0, 0, 3]);
    let folder = tempfile::tempdir().unwrap();
    let (by_time, _) = cache(folder.path(), &files, &["-T", "5", "--split", "time"]);
    assert_eq!(per_frame(&by_time, 0), [0, 0, 0, 0, 3]);
}

#[test]
fn frames_split_by_time_may_be_empty() {
    let two = [events(10, 1000, 1), events(10, 1390, 1)].concat();
    let files = dataset_with(&recording(&two), "1,0,9999\n");
    let folder = tempfile::tempdir().unwrap();
    let (by_time, _) = cache(folder.path(), &files, &["-T", "4", "--split", "time"]);
    assert_eq!(per_frame(&by_time, 0), [10, 0, 0, 10]);
    let folder = tempfile::tempdir().unwrap();
    let (by_duration, _) = cache(folder.path(), &files, &["--duration", "133us"]);
    // The span of 399 us is exactly 3 frames of 133 us. The last event, at 399 us, goes into the
    // last frame.
    assert_eq!(per_frame(&by_duration, 0), [10, 0, 10]);
}

#[test]
fn keeps_all_events_if_times_go_backwards() {
    let mut shuffled = [events(50, 1000, 2), events(50, 1001, 2)].concat();
    shuffled.rotate_left(10);
    let files = dataset_with(&recording(&shuffled), "1,1000,1100\n");
    for args in SPLITS {
        let folder = tempfile::tempdir().unwrap();
        let (cache, said) = cache(folder.path(), &files, args);
        assert_eq!(per_frame(&cache, 0).iter().sum::<u64>(), 100, "{args:?}");
        assert!(said.contains("the time goes backwards at"), "{said}");
    }
}

#[test]
fn overlapping_windows_share_their_events() {
    let files = dataset_with(
        &recording(&events(101, 1000, 1)),
        "1,1000,1060\n2,1040,1100\n",
    );
    let folder = tempfile::tempdir().unwrap();
    let (cache, _) = cache(folder.path(), &files, &["-T", "4"]);
    assert_eq!(per_frame(&cache, 0), [15; 4]);
    assert_eq!(per_frame(&cache, 1), [15; 4]);
}

#[test]
fn counts_have_the_smallest_sufficient_type() {
    let same = |n: i64| -> Vec<Event> {
        (0..n)
            .map(|i| Event {
                t: 1000 + i,
                x: 3,
                y: 4,
                polarity: true,
                valid: true,
            })
            .collect()
    };
    for (n, counts) in [
        (255, CountType::U8),
        (256, CountType::U16),
        (65_535, CountType::U16),
        (65_536, CountType::U32),
    ] {
        // The large sample comes after small ones. Their counts must get the wider type too,
        // whichever thread finishes first.
        let files = dataset_with(
            &recording(&same(n)),
            "1,1000,1010\n2,1010,1020\n3,1000,900000\n",
        );
        for args in [
            &["-T", "1"][..],
            &["--duration", "1s"],
            &["-T", "1", "--jobs", "1"],
        ] {
            let folder = tempfile::tempdir().unwrap();
            let (cache, _) = cache(folder.path(), &files, args);
            assert_eq!(cache.set(Set::Train).counts, counts, "{n}");
            assert_eq!(
                cache.set(Set::Test).counts,
                counts,
                "one type for both sets"
            );
            assert_eq!(per_frame(&cache, 0), [10]);
            assert_eq!(per_frame(&cache, 2), [n as u64]);
        }
    }
}

#[test]
fn accepts_a_set_without_samples() {
    let many: Vec<Event> = (0..300)
        .map(|i| Event {
            t: 1000 + i,
            x: 3,
            y: 4,
            polarity: true,
            valid: true,
        })
        .collect();
    let files = dataset_with(&recording(&many), "1,1000,2000\n");
    let files = with(
        files,
        "user02_lab_labels.csv",
        b"class,startTime_usec,endTime_usec\n",
    );
    for args in [&["-T", "1"][..], &["--duration", "1s"]] {
        let folder = tempfile::tempdir().unwrap();
        let (cache, _) = cache(folder.path(), &files, args);
        assert_eq!(cache.set(Set::Test).samples.len(), 0);
        assert_eq!(per_frame(&cache, 0), [300]);
    }
}

#[test]
fn counts_only_valid_polarity_events() {
    let valid = events(100, 1000, 1);
    let mut mixed = valid.clone();
    mixed.extend(
        events(50, 1000, 1)
            .into_iter()
            .map(|e| Event { valid: false, ..e }),
    );
    mixed.sort_by_key(|e| e.t);
    let mut bytes = recording(&mixed);
    // The first packet has another event type and event size. The second has room for four events
    // but says that it holds two.
    bytes.extend(packet_of(2, 12, 0, 5, 5, &[0xff; 60]));
    let body: Vec<u8> = events(4, 1100, 1)
        .into_iter()
        .flat_map(dvs_shared::aedat::encode)
        .collect();
    bytes.extend(packet_of(1, 8, 0, 4, 2, &body));
    let files = dataset_with(&bytes, "1,1000,2000\n");
    let total = |args: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let (cache, _) = cache(folder.path(), &files, args);
        cache.set(Set::Train).samples[0].events
    };
    assert_eq!(total(&[]), 102);
    assert_eq!(total(&["--keep-invalid"]), 152);
}

#[test]
fn times_continue_past_31_bits() {
    let before = events(100, (1 << 31) - 100, 1);
    let after = events(100, 1 << 31, 1);
    let bytes = [END_HEADER, &packet(&before), &packet(&after)].concat();
    let files = dataset_with(
        &bytes,
        &format!("1,{},{}\n2,0,100\n", (1i64 << 31) - 100, (1i64 << 31) + 100),
    );
    let folder = tempfile::tempdir().unwrap();
    let (cache, _) = cache(folder.path(), &files, &["-T", "4", "--split", "time"]);
    // 199 us make 4 frames of 49 us, and the last frame takes the remainder.
    assert_eq!(per_frame(&cache, 0), [49, 49, 49, 53]);
    assert_eq!(cache.set(Set::Train).samples[1].events, 0);
}

#[test]
fn leaves_out_unlisted_recordings_with_a_warning() {
    let mut files = dataset();
    let extra = content(&files, "user01_led.aedat").to_vec();
    files.insert(0, ("user09_led.aedat".to_owned(), extra));
    files.push((
        "user09_led_labels.csv".to_owned(),
        b"class,startTime_usec,endTime_usec\n1,1000,2000\n".to_vec(),
    ));
    let folder = tempfile::tempdir().unwrap();
    let (cache, said) = cache(folder.path(), &files, &[]);
    assert_eq!(cache.set(Set::Train).samples.len(), 2);
    assert!(
        said.contains("no trial list names them: user09_led"),
        "{said}"
    );
}
