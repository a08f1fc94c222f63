//! Reads the archive on one thread and works on its recordings on all threads: read and inflate;
//! check and index; select, integrate and encode each sample. The result is every sample in the
//! order of the cache.

pub mod chunk_store;
mod chunks;
pub mod collect;
pub mod input_check;
pub mod memory_budget;
mod prepared_dataset;
mod recording_result;
mod settings;
pub mod step_times;
mod work;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU8;
use std::time::Instant;

use dvs_shared::Set;
use dvs_shared::archive::{Archive, ClassFolders, Entry, Member, Visitor, VisitorError};

use self::chunks::FrameMemory;
pub use self::prepared_dataset::{InputStats, PreparedDataset};
pub use self::recording_result::InputKind;
use self::recording_result::RecordingResult;
pub use self::settings::{Progress, Settings};
use self::work::{Work, lock};
use crate::input::error::{InputProblem, InputProblems, RecordingProblem};
use crate::input::fingerprint::Fingerprint;
use crate::pipeline::chunk_store::ChunkStore;
use crate::pipeline::collect::{CollectLimits, Collector, WorkItem};
use crate::pipeline::input_check::{
    earlier_data_may_be_damaged, missing, recordings_to_skip, unread_recordings,
};
use crate::pipeline::memory_budget::{BufferPool, MemoryBudget};
use crate::pipeline::step_times::{Step, StepTimes};

/// Receives the events of each sample as soon as the sample is found; no frames are made from them.
pub trait EventSink: Sync {
    /// Takes the events of one sample. Its set is not known yet if a trial list has to tell.
    ///
    /// # Errors
    /// Returns an error if they cannot be written.
    fn take(
        &self,
        set: Option<Set>,
        name: &str,
        label: u8,
        events: &dvs_shared::recording::WindowEvents<'_>,
    ) -> Result<(), InputProblem>;
}

/// Passes members to the intake, and ready recordings to `spawn`.
struct Feed<'a, 'b, F> {
    intake: &'a mut Collector<'b>,
    spawn: F,
}

impl<'b, F: FnMut(WorkItem<'b>)> Visitor for Feed<'_, 'b, F> {
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()> {
        if let Some(ready) = self.intake.take(entry)? {
            (self.spawn)(ready);
        }
        Ok(())
    }

    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()> {
        if VisitorError::is(&error) {
            return Err(error);
        }
        self.intake.unreadable(&member, error);
        Ok(())
    }
}

/// Reads `archive` and prepares every sample on the threads of `pool`. If data does not fit into
/// memory, it goes to unnamed files in `spill_folder`.
///
/// # Errors
/// Returns all problems found in the input.
pub fn prepare(
    archive: &Archive,
    settings: Settings,
    pool: &rayon::ThreadPool,
    spill_folder: &Path,
    progress: &Progress,
) -> Result<PreparedDataset, InputProblems> {
    run(archive, settings, pool, spill_folder, progress, None)
}

/// Does the same as [`prepare`], but passes the events of every sample to `sink`; the samples then
/// have no frames.
///
/// # Errors
/// Returns all problems found in the input, and those of `sink`.
pub fn events(
    archive: &Archive,
    settings: Settings,
    pool: &rayon::ThreadPool,
    spill_folder: &Path,
    progress: &Progress,
    sink: &dyn EventSink,
) -> Result<PreparedDataset, InputProblems> {
    run(archive, settings, pool, spill_folder, progress, Some(sink))
}

fn run(
    archive: &Archive,
    settings: Settings,
    pool: &rayon::ThreadPool,
    spill_folder: &Path,
    progress: &Progress,
    sink: Option<&dyn EventSink>,
) -> Result<PreparedDataset, InputProblems> {
    let fingerprint = Fingerprint::default();
    // One recording for each worker, and in a stream one more that is read ahead.
    let ahead = usize::from(!archive.is_folder());
    let budget = MemoryBudget::new(settings.memory / 5 * 2, pool.current_num_threads() + ahead);
    let buffers = BufferPool::new(settings.memory / 5);
    let limits = CollectLimits {
        waiting: settings.memory / 5,
        recording: settings.memory / 2,
        inflated: settings.inflated(),
        read: settings.read,
    };
    let mut intake = Collector::new(&budget, &buffers, &fingerprint, limits, spill_folder);
    if let Some(classes) = &archive.classes {
        intake.name_classes(classes);
    }
    let work = Work {
        settings,
        progress,
        staging: ChunkStore::new(spill_folder),
        buffers: &buffers,
        frames: FrameMemory::new(&settings),
        fingerprint: &fingerprint,
        times: StepTimes::default(),
        widest: AtomicU8::new(0),
        finished: Mutex::default(),
        problems: Mutex::default(),
        sink,
    };
    let start = Instant::now();
    let read = pool.in_place_scope(|scope| {
        let work = &work;
        let mut feed = Feed {
            intake: &mut intake,
            spawn: |ready| scope.spawn(move |_| work.recording(ready)),
        };
        let read = archive.visit_all(&progress.bytes, &mut feed);
        work.times.add(
            Step::Inflate,
            start.elapsed().saturating_sub(budget.waited()),
        );
        work.times.add(Step::Wait, budget.waited());
        read
    });
    intake.list_samples();
    let mut problems = intake.take_problems(std::mem::take(&mut *lock(&work.problems)));
    // Missing files are known only after everything has been read or the rest is given up.
    if read.is_ok() || settings.skip_damaged {
        problems.extend(missing(&intake));
        let beyond = intake.labels_out_of_range().into_iter();
        problems.extend(beyond.filter(|(r, _)| r.as_ref().is_none_or(|r| intake.is_listed(r))));
        problems.extend(sensors(&intake, &lock(&work.finished)));
    }
    if let Err(error) = read {
        let suspect = earlier_data_may_be_damaged(archive, &error)
            .then(|| intake.latest().filter(|r| intake.is_listed(r)))
            .flatten();
        problems.extend(suspect.filter(|_| settings.skip_damaged).map(|recording| {
            let recording = recording.clone();
            let file = intake.file_of(&recording);
            (Some(recording), InputProblem::BeforeDamage { file })
        }));
        problems.push((None, error.into()));
    }
    if settings.skip_damaged {
        let finished = lock(&work.finished);
        problems.extend(unread_recordings(&intake, &finished, &problems));
    }
    problems.sort_by_cached_key(|(_, problem)| problem.to_string());
    let skipped = if problems.is_empty() {
        Vec::new()
    } else {
        recordings_to_skip(&intake, &mut problems, settings.skip_damaged)?
    };
    let left_out = problems.iter().map(|(recording, problem)| match recording {
        Some(_) => format!("left out: {problem}"),
        None => format!("{problem}; what was read before it is used"),
    });
    let mut prepared = work.into_prepared(intake, skipped, left_out.collect());
    let form = archive.classes.as_ref().map(ClassFolders::summary);
    prepared.tally.recognised.extend(form);
    let samples = || prepared.sets.iter().flatten();
    if samples().all(|sample| sample.events == 0) {
        let problem = InputProblem::NoEventsAtAll {
            samples: samples().count(),
            first: prepared.first_empty,
        };
        return Err(problem.into());
    }
    Ok(prepared)
}

/// Recordings or samples whose sensor size differs from that of the first.
fn sensors(
    intake: &Collector<'_>,
    finished: &HashMap<String, RecordingResult>,
) -> Vec<RecordingProblem> {
    let mut listed = intake.lists.iter().flatten().flatten();
    let Some(first) = listed.clone().find_map(|name| finished.get(name)) else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for name in listed.by_ref() {
        if let Some(other) = finished.get(name).filter(|f| f.sensor != first.sensor) {
            let problem = InputProblem::Sensors {
                file: other.file.clone(),
                found: other.sensor,
                first: first.file.clone(),
                expected: first.sensor,
            };
            problems.push((None, problem));
        }
    }
    problems
}
