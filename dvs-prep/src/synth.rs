//! Makes an archive of synthetic gestures in the exact form of IBM's `DvsGesture.tar.gz`.
//!
//! The eleven gestures are drawn as an event camera sees them (`gesture`, `camera`), so that a
//! network can learn them: opposite arm circles differ only in their direction in time. Users
//! differ in body and habits, and the last users form the test set, as in the real dataset.
//!
//! `classes` makes data in the form of other datasets instead.
//!
//! The bytes of the archive depend only on the options, not on threads or the clock. The inflated
//! bytes do not depend on the machine either; the compressed bytes may.

mod camera;
mod classes;
mod error;
mod gesture;
mod options;
mod random;
mod recording;
mod tarball;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::mpsc;

pub use classes::{ClassForm, ClassOptions, SAMPLES, write_classes};
use dvs_shared::file_kind::irregular;
use dvs_shared::labels::LABEL_NAMES;
use dvs_shared::output::{AtomicFile, OutputLock};
pub use error::SynthError;
use flate2::Compression;
pub use options::{
    COMPRESSION, EVENTS_PER_SECOND, GESTURE_SECONDS, Light, MAX_EVENTS, MAX_RECORDINGS, MAX_USERS,
    SynthOptions,
};
use options::{Trial, check, compression, expected_events, trials};
use rayon::ThreadPoolBuilder;
use recording::{ROWS, Recording};
use tarball::{Part, TarWriter, member};

/// Bytes of recordings to hold in memory before they are written.
const MEMORY: f64 = 300e6;
/// Generous estimate of the compressed size relative to the raw size.
const COMPRESSED: f64 = 0.75;
/// The folder of all members.
const FOLDER: &str = "DvsGesture";

/// Progress of writing the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SynthProgress {
    /// Recordings written so far.
    pub recordings: u32,
    /// Total number of recordings.
    pub of: u32,
    /// Events written so far.
    pub events: u64,
}

/// Statistics of the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SynthSummary {
    /// Recordings in `trials_to_train.txt`.
    pub train_recordings: u32,
    /// Recordings in `trials_to_test.txt`.
    pub test_recordings: u32,
    /// Number of label rows in all recordings.
    pub samples: u32,
    /// Number of events in all recordings, including those between gestures.
    pub events: u64,
    /// Size of the archive before compression in bytes.
    pub raw_bytes: u64,
    /// Size of the archive in bytes.
    pub archive_bytes: u64,
}

/// A recording and its labels, ready to be written.
struct RecordingResult {
    parts: [[Part; 2]; 2],
    events: u64,
}

/// Writes the archive that `options` describe and calls `progress` after each recording.
///
/// The archive is written under a temporary name beside the target and renamed when it is complete.
/// This takes up to about 400 MB of memory, or the size of one recording if that is more.
///
/// # Errors
/// See [`SynthError`].
pub fn write_archive(
    options: &SynthOptions,
    progress: impl Fn(SynthProgress) + Sync,
) -> Result<SynthSummary, SynthError> {
    let compression = compression(options)?;
    check(options)?;
    let [train, test] = trials(options);
    let path = options.output.as_path();
    match irregular(path) {
        Ok(None) => {}
        Ok(Some(kind)) => {
            return Err(SynthError::Irregular {
                path: path.into(),
                kind,
            });
        }
        Err(source) => {
            return Err(SynthError::Io {
                path: path.into(),
                source,
            });
        }
    }
    if !options.force && path.exists() {
        return Err(SynthError::Exists { path: path.into() });
    }
    let io_error = |source| SynthError::Io {
        path: path.into(),
        source,
    };

    let lock = OutputLock::try_acquire(path)?.ok_or(SynthError::Busy { path: path.into() })?;
    let unfinished = AtomicFile::create(&lock, path).map_err(io_error)?;
    let file = File::options()
        .write(true)
        .open(unfinished.path())
        .map_err(io_error)?;
    let mut tar =
        TarWriter::new(BufWriter::with_capacity(1 << 20, file), compression).map_err(io_error)?;
    tar.append_text(&format!("{FOLDER}/gesture_mapping.csv"), &mapping())
        .map_err(io_error)?;

    let trials = [train.as_slice(), &test].concat();
    let mut done = SynthProgress {
        of: trials.len() as u32,
        ..SynthProgress::default()
    };
    generate(options, compression, &trials, |finished| {
        for parts in &finished.parts {
            tar.append(parts).map_err(io_error)?;
        }
        done.recordings += 1;
        done.events += finished.events;
        progress(done);
        Ok(())
    })?;

    for (name, trials, end) in [("train", &train, ""), ("test", &test, "\n")] {
        // The two real lists also end differently.
        let mut list: String = trials
            .iter()
            .map(|trial| format!("{trial}.aedat\n"))
            .collect();
        list.push_str(end);
        tar.append_text(&format!("{FOLDER}/trials_to_{name}.txt"), &list)
            .map_err(io_error)?;
    }
    let (out, raw_bytes) = tar.finish().map_err(io_error)?;
    let file = out.into_inner().map_err(|e| io_error(e.into_error()))?;
    let archive_bytes = file.metadata().map_err(io_error)?.len();
    unfinished.finish(options.force).map_err(io_error)?;
    Ok(SynthSummary {
        train_recordings: train.len() as u32,
        test_recordings: test.len() as u32,
        samples: done.of * ROWS as u32,
        events: done.events,
        raw_bytes,
        archive_bytes,
    })
}

/// Generates `trials` on all threads and passes them to `write` in order.
fn generate(
    options: &SynthOptions,
    compression: Option<Compression>,
    trials: &[Trial],
    mut write: impl FnMut(RecordingResult) -> Result<(), SynthError>,
) -> Result<(), SynthError> {
    // A separate pool: this thread waits, and if it belonged to the pool, it could wait forever.
    let pool = ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .thread_name(|i| format!("synth-{i}"))
        .build()
        .map_err(|source| SynthError::Threads {
            jobs: options.jobs,
            source,
        })?;
    let raw = expected_events(options) * 8.0;
    let capacity = if compression.is_some() {
        raw * COMPRESSED
    } else {
        raw
    };
    let ahead = ((MEMORY / capacity) as usize).clamp(1, pool.current_num_threads() + 1);
    pool.in_place_scope(|scope| {
        let mut waiting = trials.iter();
        let mut ordered = VecDeque::new();
        loop {
            while ordered.len() < ahead
                && let Some(&trial) = waiting.next()
            {
                let (sender, receiver) = mpsc::sync_channel(1);
                scope.spawn(move |_| {
                    // Sending fails only after writing has failed, and then nothing waits for the
                    // result.
                    let _ = sender.send(finish(options, compression, trial, capacity as usize));
                });
                ordered.push_back((trial, receiver));
            }
            let Some((trial, receiver)) = ordered.pop_front() else {
                return Ok(());
            };
            let finished = receiver.recv().map_err(|_| SynthError::BrokenOff {
                recording: trial.to_string(),
            })?;
            write(finished.map_err(|source| SynthError::Io {
                path: options.output.clone(),
                source,
            })?)?;
        }
    })
}

/// Generates and compresses one recording.
fn finish(
    options: &SynthOptions,
    compression: Option<Compression>,
    trial: Trial,
    capacity: usize,
) -> io::Result<RecordingResult> {
    let recording = Recording::new(options, trial.user, trial.light);
    let labels = recording.labels.clone();
    let (events_parts, events) = member(
        &format!("{FOLDER}/{trial}.aedat"),
        compression,
        capacity,
        |out| recording.write(out),
    )?;
    let (label_parts, ()) = member(
        &format!("{FOLDER}/{trial}_labels.csv"),
        compression,
        labels.len(),
        |out| out.write_all(labels.as_bytes()),
    )?;
    Ok(RecordingResult {
        parts: [events_parts, label_parts],
        events,
    })
}

/// Contents of `gesture_mapping.csv`.
fn mapping() -> String {
    let rows = LABEL_NAMES.iter().zip(1..);
    let rows = rows.map(|(name, class)| format!("{name},{class}\n"));
    std::iter::once("Action,Label\n".to_owned())
        .chain(rows)
        .collect()
}
