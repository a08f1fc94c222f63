//! Every reader of bytes that may come from anywhere, with what must hold whatever the bytes are. The property tests and
//! the fuzz targets share these.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::HashSet;
use std::io;
use std::io::Write;
use std::sync::atomic::AtomicU64;

use dvs_prep::aedat::Stretch;
use dvs_prep::archive::{Archive, Entry, Member, Visitor};
use dvs_prep::budget::{Budget, Buffers};
use dvs_prep::fingerprint::Fingerprint;
use dvs_prep::frames::{frame_count, integrate};
use dvs_prep::intake::{Intake, Limits};
use dvs_prep::recording::Recording;
use dvs_prep::samples::{self, MAX_NAME_BYTES, MAX_WINDOWS};
use dvs_shared::{CacheFile, ChunkCodec, Frames, SensorSize, Set, SplitMode};

/// A recording: where it is accepted, windows and frames hold exactly the events that the index counts.
pub fn aedat(bytes: &[u8], sensor: SensorSize) {
    for keep_invalid in [false, true] {
        let Ok(recording) = Recording::new(bytes, sensor, keep_invalid) else {
            continue;
        };
        let all = recording.window(i64::MIN, i64::MAX);
        assert_eq!(all.number, recording.counts().kept);
        let mut seen = Stretch::EMPTY;
        let mut times = Vec::new();
        all.for_each(|t, cell| {
            assert!(cell < sensor.frame_cells());
            seen.append(&Stretch {
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

/// A label file: where it is accepted, its rows are samples that the dataset can have, each with a name of its own.
pub fn labels(text: &[u8]) {
    let Ok(windows) = samples::read_labels(text) else {
        return;
    };
    assert!(windows.len() <= MAX_WINDOWS);
    let mut names = HashSet::new();
    for window in windows {
        assert!(window.label < 11 && window.start_us <= window.end_us);
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
struct Feed<'a, 'b>(&'a mut Intake<'b>);

impl Visitor for Feed<'_, '_> {
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()> {
        let size = entry.size;
        if let Some(ready) = self.0.take(entry)? {
            assert!(size <= RECORDING || !ready.recording.is_empty());
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
    let (budget, buffers) = (Budget::new(RECORDING, 2), Buffers::new(1 << 16));
    let fingerprint = Fingerprint::default();
    let limits = Limits {
        waiting: 1 << 12,
        recording: RECORDING,
    };
    let folder = std::env::temp_dir();
    let mut intake = Intake::new(&budget, &buffers, &fingerprint, limits, &folder);
    let read = archive.visit_all(&AtomicU64::new(0), &mut Feed(&mut intake));
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
