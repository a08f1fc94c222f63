//! Calls every reader of untrusted bytes and checks what must hold for any bytes. The property
//! tests and the fuzz targets share these functions.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::io::Write;
use std::sync::atomic::AtomicU64;

use dvs_prep::input::fingerprint::Fingerprint;
use dvs_prep::pipeline::collect::{CollectLimits, Collector};
use dvs_prep::pipeline::memory_budget::{BufferPool, MemoryBudget};
use dvs_shared::aedat::{AedatError, EventSummary};
use dvs_shared::archive::{Archive, Entry, Member, Visitor};
use dvs_shared::classes::read_mapping;
use dvs_shared::formats::{
    AddressLayout, DatasetForm, Decoded, Format, ReadOptions, ReadyFrames, SampleError, decode,
    events_npy, events_npz, frames_npz,
};
use dvs_shared::frames::{frame_count, integrate};
use dvs_shared::recording::Recording;
use dvs_shared::samples::{self, MAX_NAME_BYTES, MAX_WINDOWS};
use dvs_shared::{CacheFile, ChunkCodec, Frames, SensorSize, Set, SplitMode};

/// If a recording is accepted, its windows and frames hold exactly the events that its index
/// counts.
pub fn aedat(bytes: &[u8], sensor: SensorSize) {
    for keep_invalid in [false, true] {
        let Ok(recording) = Recording::new(bytes, sensor, keep_invalid) else {
            continue;
        };
        let all = recording.window(i64::MIN, i64::MAX);
        assert_eq!(all.number, recording.counts().kept);
        let mut seen = EventSummary::EMPTY;
        let mut times = Vec::new();
        all.for_each(|t, cell| {
            assert!(cell < sensor.frame_cells());
            seen.append(&EventSummary {
                kept: 1,
                t_min: t,
                t_max: t,
                t_first: t,
                t_last: t,
                sorted: true,
            });
            times.push(t);
        });
        assert_eq!((seen.kept, seen.sorted), (all.number, all.sorted));
        assert_eq!((seen.t_first, seen.t_last), (all.t_first, all.t_last));
        let Some((first, last)) = recording.span() else {
            assert!(times.is_empty());
            continue;
        };
        assert_eq!((first, last), (seen.t_min, seen.t_max));
        let (start, end) = (first + (last - first) / 3, last - (last - first) / 4);
        let window = recording.window(start, end);
        let inside = times.iter().filter(|t| (start..end).contains(t)).count();
        assert_eq!(window.number, inside as u64);
        let us = ((last - first) / 70).max(1) as u64;
        for split in [
            SplitMode::Number { frames: 3 },
            SplitMode::Time { frames: 70 },
            SplitMode::Duration { us },
        ] {
            let Ok(frames) = frame_count(&window, split) else {
                continue;
            };
            let (mut made, mut counted) = (0, 0);
            integrate(&window, split, frames, |frame| {
                made += 1;
                counted += frame.counts().iter().map(|&c| u64::from(c)).sum::<u64>();
            });
            assert_eq!((made, counted), (frames, window.number));
        }
    }
}

/// The limit in bytes for decompressed data.
const INFLATED: u64 = 1 << 18;

/// Reads the bytes as a recording of every format and as every kind of sample. An accepted
/// recording fits the sensor and has no more events than the limit. Accepted frames have the
/// announced number and size.
pub fn formats(bytes: &[u8], sensor: SensorSize) {
    let check_recording = |packets: &[u8], sensor, limit: usize| {
        let recording = Recording::new(packets, sensor, true).unwrap();
        assert!(recording.counts().kept <= limit as u64);
        // For larger sensors, filling frames takes a hundred times as long as reading.
        if sensor.frame_cells() <= 1 << 12 {
            aedat(packets, sensor);
        }
    };
    for format in [
        Format::of_recording(bytes),
        Format::Aedat2,
        Format::Aedat4,
        Format::Prophesee,
        Format::AtisBin,
    ] {
        let limit = format.max_events(bytes.len() as u64, INFLATED);
        for options in all_read_options(sensor) {
            let fits = format != Format::Aedat2 || bytes.starts_with(b"#!AER-DAT2.");
            let Some(Ok(decoded)) = fits.then(|| decode(bytes, format, &options, INFLATED)) else {
                continue;
            };
            assert!(options.sensor.is_none_or(|sensor| sensor == decoded.sensor));
            assert!(!decoded.recognised.chars().any(char::is_control));
            if options.ignore_outside {
                assert_no_events_outside(&decoded, &options);
            }
            if !matches!(format, Format::Aedat3 | Format::Aedat30) {
                check_recording(&decoded.packets, decoded.sensor, limit);
            }
        }
    }
    let limit = Format::Npz.max_events(bytes.len() as u64, INFLATED);
    let options = ReadOptions {
        sensor: Some(sensor),
        ..ReadOptions::default()
    };
    let read = [
        events_npz(bytes, &options, limit),
        events_npy(bytes, &options, limit),
    ];
    for events in read.into_iter().flatten() {
        check_recording(&events.packets, sensor, limit);
    }
    let expected = ReadyFrames {
        sensor: None,
        frames: None,
        limit: 64,
    };
    let announced = Cell::new((0, 0));
    let mut made = 0;
    let read = frames_npz::<SampleError>(
        bytes,
        expected,
        |frames, sensor| {
            announced.set((frames, sensor.frame_cells()));
            Ok(())
        },
        |counts| {
            made += 1;
            assert_eq!(counts.len(), announced.get().1);
        },
    );
    assert!(read.is_err() || made == announced.get().0);
}

/// Headers of Prophesee's files, all for 16 x 8 pixels.
const PROPHESEE_HEADERS: [&str; 6] = [
    "% evt 2.0\n% geometry 16x8\n% end\n",
    "% format EVT21;width=16;height=8\n% end\n",
    "% format EVT21;endianness=little;width=16;height=8\n% end\n",
    "% format EVT21;endianness=legacy;width=16;height=8\n% end\n",
    "% format EVT3;height=8;width=16\n% end\n",
    "% Version 2\n% Width 16\n% Height 8\n\x0c\x08",
];

/// Reads the bytes after the first as words of one of Prophesee's encodings, which the first byte
/// chooses.
pub fn prophesee(bytes: &[u8]) {
    let Some((&first, words)) = bytes.split_first() else {
        return;
    };
    let header = PROPHESEE_HEADERS[usize::from(first) % PROPHESEE_HEADERS.len()];
    let sensor = SensorSize {
        width: 16,
        height: 8,
    };
    formats(&[header.as_bytes(), words].concat(), sensor);
}

/// Reads the bytes as the events of a file of N-MNIST. All whole events are read or counted.
pub fn atis_bin(bytes: &[u8]) {
    let options = ReadOptions {
        form: DatasetForm::NMnist,
        ignore_outside: true,
        ..ReadOptions::default()
    };
    let Ok(decoded) = decode(bytes, Format::AtisBin, &options, INFLATED) else {
        return;
    };
    assert_eq!(decoded.cut_short.is_some(), !bytes.len().is_multiple_of(5));
    aedat(&decoded.packets, decoded.sensor);
    let read = Recording::new(&decoded.packets, decoded.sensor, false).unwrap();
    let all = read.counts().kept + decoded.seen.outside;
    assert_eq!(all, bytes.len() as u64 / 5);
}

/// Options with which a user can read a recording.
fn all_read_options(sensor: SensorSize) -> Vec<ReadOptions> {
    let plain = ReadOptions::default();
    let sized = ReadOptions {
        sensor: Some(sensor),
        ..plain
    };
    let mut options = vec![
        plain,
        sized,
        ReadOptions {
            ignore_outside: true,
            ..sized
        },
        ReadOptions {
            stream: Some(1),
            keep_invalid: true,
            ignore_outside: true,
            ..sized
        },
    ];
    options.extend(AddressLayout::ALL.map(|layout| ReadOptions {
        layout: Some(layout),
        ..sized
    }));
    options
}

/// If the reader ignored events outside the sensor, no such event is left.
fn assert_no_events_outside(decoded: &Decoded<'_>, options: &ReadOptions) {
    let read = Recording::new(&decoded.packets, decoded.sensor, options.keep_invalid);
    assert!(!matches!(read, Err(AedatError::OutsideSensor { .. })));
}

/// If names of classes are accepted, there is at least one, and all are different.
pub fn mapping(text: &[u8]) {
    let Ok(names) = read_mapping(text) else {
        return;
    };
    let different: HashSet<&String> = names.iter().collect();
    assert!((1..=256).contains(&names.len()) && different.len() == names.len());
}

/// If a label file is accepted, each of its rows is a valid sample with a unique name and label.
pub fn labels(text: &[u8]) {
    let Ok(windows) = samples::read_labels(text) else {
        return;
    };
    assert!(windows.len() <= MAX_WINDOWS);
    let mut names = HashSet::new();
    for window in windows {
        assert!(window.start_us <= window.end_us);
        assert!(names.insert((window.sample_name("r"), window.label)));
    }
}

/// If a trial list is accepted, it names at least one recording, and each only once.
pub fn trials(text: &[u8]) {
    let Ok(list) = samples::read_trials(text) else {
        return;
    };
    assert!(!list.is_empty());
    let mut names = HashSet::new();
    for name in list {
        assert!(name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control));
        assert!(names.insert(name));
    }
}

/// Hands members to a collector with small limits, so that every path through it is taken.
struct Feed<'a, 'b>(&'a mut Collector<'b>);

impl Visitor for Feed<'_, '_> {
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()> {
        let size = entry.size;
        if let Some(ready) = self.0.take(entry)? {
            assert!(size <= RECORDING && ready.member.recording().is_some());
        }
        Ok(())
    }

    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()> {
        self.0.unreadable(&member, error);
        Ok(())
    }
}

/// The collector's limit in bytes for one recording.
const RECORDING: u64 = 1 << 20;

/// Reads an archive in any container. The collector accepts or refuses each member.
pub fn archive(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let Ok(archive) = Archive::find(file.path()) else {
        return;
    };
    let (budget, buffers) = (MemoryBudget::new(RECORDING, 2), BufferPool::new(1 << 16));
    let fingerprint = Fingerprint::default();
    let limits = CollectLimits {
        waiting: 1 << 12,
        recording: RECORDING,
        inflated: 1 << 16,
        read: ReadOptions::default(),
    };
    let folder = std::env::temp_dir();
    let mut collector = Collector::new(&budget, &buffers, &fingerprint, limits, &folder);
    let read = archive.visit_all(&AtomicU64::new(0), &mut Feed(&mut collector));
    collector.list_samples();
    for (_, problem) in collector.take_problems(Vec::new()) {
        assert!(!problem.to_string().is_empty());
    }
    if let Err(error) = read {
        assert!(!error.to_string().contains('\u{1b}'));
    }
}

/// If a cache can be opened, every sample that passes its check can be read.
pub fn cache(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let Ok(cache) = CacheFile::open(file.path()) else {
        return;
    };
    let (mut codec, mut frames) = (ChunkCodec::default(), Frames::default());
    for set in Set::ALL {
        for row in 0..cache.set(set).samples.len() {
            let checked = cache.check(set, row, &mut codec, &mut frames);
            let read = cache.read(set, row, &mut codec, &mut frames);
            assert!(checked.is_err() || read.is_ok());
        }
    }
}
