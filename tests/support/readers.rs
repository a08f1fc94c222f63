//! Every reader of bytes that may come from anywhere, with what must hold whatever the bytes are. The property tests and
//! the fuzz targets share these.

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
    AddressLayout, Decoded, Format, ReadOptions, ReadyFrames, SampleError, decode, events_npy,
    events_npz, frames_npz,
};
use dvs_shared::frames::{frame_count, integrate};
use dvs_shared::recording::Recording;
use dvs_shared::samples::{self, MAX_NAME_BYTES, MAX_WINDOWS};
use dvs_shared::{CacheFile, ChunkCodec, Frames, SensorSize, Set, SplitMode};

/// A recording: where it is accepted, windows and frames hold exactly the events that the index counts.
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

/// Room for what is compressed, in bytes.
const INFLATED: u64 = 1 << 18;

/// Bytes as a recording of every format and as every kind of sample: what is accepted is a recording of the sensor, of no
/// more events than there was room for, or so many frames of one size.
pub fn formats(bytes: &[u8], sensor: SensorSize) {
    let whole = |packets: &[u8], sensor, limit: usize| {
        let recording = Recording::new(packets, sensor, true).unwrap();
        assert!(recording.counts().kept <= limit as u64);
        // Of larger sensors, to fill frames takes a hundred times as long as to read.
        if sensor.frame_cells() <= 1 << 12 {
            aedat(packets, sensor);
        }
    };
    for format in [Format::of_recording(bytes), Format::Aedat2, Format::Aedat4] {
        let limit = format.max_events(bytes.len() as u64, INFLATED);
        for options in every_way(sensor) {
            let fits = format != Format::Aedat2 || bytes.starts_with(b"#!AER-DAT2.");
            let Some(Ok(decoded)) = fits.then(|| decode(bytes, format, &options, INFLATED)) else {
                continue;
            };
            assert!(options.sensor.is_none_or(|sensor| sensor == decoded.sensor));
            assert!(!decoded.recognised.chars().any(char::is_control));
            if options.ignore_outside {
                outside_is_left_out(&decoded, &options);
            }
            if !matches!(format, Format::Aedat3 | Format::Aedat30) {
                whole(&decoded.packets, decoded.sensor, limit);
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
        whole(&events.packets, sensor, limit);
    }
    let expected = ReadyFrames {
        sensor: None,
        frames: None,
        limit: 64,
    };
    let said = Cell::new((0, 0));
    let mut made = 0;
    let read = frames_npz::<SampleError>(
        bytes,
        expected,
        |frames, sensor| {
            said.set((frames, sensor.frame_cells()));
            Ok(())
        },
        |counts| {
            made += 1;
            assert_eq!(counts.len(), said.get().1);
        },
    );
    assert!(read.is_err() || made == said.get().0);
}

/// The ways to read a recording that a user can ask for.
fn every_way(sensor: SensorSize) -> Vec<ReadOptions> {
    let plain = ReadOptions::default();
    let sized = ReadOptions {
        sensor: Some(sensor),
        ..plain
    };
    let mut ways = vec![
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
    ways.extend(AddressLayout::ALL.map(|layout| ReadOptions {
        layout: Some(layout),
        ..sized
    }));
    ways
}

/// A recording that was read without the events outside its sensor has none of them.
fn outside_is_left_out(decoded: &Decoded<'_>, options: &ReadOptions) {
    let read = Recording::new(&decoded.packets, decoded.sensor, options.keep_invalid);
    assert!(!matches!(read, Err(AedatError::OutsideSensor { .. })));
}

/// Names of classes: where they are accepted, there are some, all different.
pub fn mapping(text: &[u8]) {
    let Ok(names) = read_mapping(text) else {
        return;
    };
    let different: HashSet<&String> = names.iter().collect();
    assert!((1..=256).contains(&names.len()) && different.len() == names.len());
}

/// A label file: where it is accepted, its rows are samples that the dataset can have, each with a name of its own.
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

/// A trial list: where it is accepted, it names recordings, each once.
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

/// Hands members to an intake whose bounds are small, so that every way through it is taken.
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

const RECORDING: u64 = 1 << 20;

/// An archive of any container: its members are taken in or refused.
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
    let mut intake = Collector::new(&budget, &buffers, &fingerprint, limits, &folder);
    let read = archive.visit_all(&AtomicU64::new(0), &mut Feed(&mut intake));
    intake.list_samples();
    for (_, problem) in intake.take_problems(Vec::new()) {
        assert!(!problem.to_string().is_empty());
    }
    if let Err(error) = read {
        assert!(!error.to_string().contains('\u{1b}'));
    }
}

/// A cache: where it is opened, every sample is read or refused.
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
