//! The archive on one thread, the work on its recordings on all: read and inflate; check and index; select,
//! integrate and encode each sample. What comes out is every sample in the cache's order.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dvs_shared::cache_format::frame_bytes;
use dvs_shared::event::DVS128;
use dvs_shared::{ChunkCodec, CountType, SplitMode};
use rayon::prelude::*;

use crate::aedat::{CutShort, EventCounts};
use crate::archive::{Archive, Container, Entry, Member, Visitor};
use crate::budget::{Budget, Buffers};
use crate::cache_writer::NamedSample;
use crate::error::{Problem, Problems};
use crate::fingerprint::Fingerprint;
use crate::frames::{self, MAX_FRAMES_BY_DURATION};
use crate::intake::{Intake, IntakeError, Limits, Ready, Source};
use crate::recording::Recording;
use crate::samples::{MAX_OVERLAP, Window};
use crate::shortcomings::{may_have_begun_earlier, missing, not_reached, skippable, some_of};
use crate::staging::{ChunkBuilder, EncodedChunk, StagedSample, Staging};
use crate::step_times::{Step, StepTimes};

/// What the caller decides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How samples become frames.
    pub split: SplitMode,
    /// Whether events with a clear valid bit count.
    pub keep_invalid: bool,
    /// Whether damaged recordings are left out, instead of no cache being made.
    pub skip_damaged: bool,
    /// Worker threads.
    pub jobs: usize,
    /// Bytes of memory to stay within.
    pub memory: u64,
}

impl Settings {
    /// Threads that may work on samples at once: no more than memory has room for their frames, which a worker
    /// holds raw, shuffled and encoded.
    pub fn workers(&self) -> usize {
        let held =
            4 * frame_bytes(self.split.frames().max(1) as usize, DVS128, CountType::U16) as u64;
        let room = (self.memory / 2 / held).max(1);
        self.jobs.min(usize::try_from(room).unwrap_or(usize::MAX))
    }
}

/// The share of the memory for frames whose counts take several bytes, which are held raw, shuffled and encoded.
const WIDE_SHARE: u64 = 16;

/// How far a run is; read by whoever shows progress.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of the container read.
    pub bytes: AtomicU64,
    /// Samples done.
    pub samples: AtomicU64,
}

/// What was seen of the input.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Recordings that are listed.
    pub recordings: u64,
    /// Recordings left out because no list names them.
    pub unlisted: u64,
    /// Recordings that end inside their last packet.
    pub cut_short: u64,
    /// Events of the listed recordings.
    pub counts: EventCounts,
    /// Events that lie in no sample's window.
    pub outside_windows: u64,
    /// Bytes of the listed recordings.
    pub raw_bytes: u64,
}

/// Everything the cache will hold.
pub struct Prepared {
    /// Samples in trial-list order, then label-row order.
    pub sets: [Vec<NamedSample>; 2],
    /// Their chunks.
    pub staging: Staging,
    /// SHA-256 of the input.
    pub source_sha256: String,
    /// Listed recordings left out because they are damaged, in trial-list order.
    pub skipped: Vec<String>,
    /// What was seen of it.
    pub tally: Tally,
    /// What a user should know: samples without events, windows outside a recording, times going backwards.
    pub warnings: Vec<String>,
    /// Time spent.
    pub times: StepTimes,
}

/// What a worker makes of a recording.
struct Finished {
    samples: Vec<StagedSample>,
    counts: EventCounts,
    outside_windows: u64,
    bytes: u64,
    span: Option<(i64, i64)>,
    cut_short: Option<CutShort>,
}

/// Hands the members to the intake, and what can be worked on to `spawn`.
struct Feed<'a, 'b, F> {
    intake: &'a mut Intake<'b>,
    spawn: F,
}

impl<'b, F: FnMut(Ready<'b>)> Visitor for Feed<'_, 'b, F> {
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()> {
        if let Some(ready) = self.intake.take(entry)? {
            (self.spawn)(ready);
        }
        Ok(())
    }

    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()> {
        if IntakeError::is(&error) {
            return Err(error);
        }
        self.intake.unreadable(&member, error);
        Ok(())
    }
}

/// What a worker uses for one sample after another.
#[derive(Default)]
struct Tools {
    codec: ChunkCodec,
    builder: ChunkBuilder,
}

/// What workers share.
struct Work<'a> {
    settings: Settings,
    progress: &'a Progress,
    staging: Staging,
    buffers: &'a Buffers,
    /// Memory for frames whose counts take several bytes.
    wide: Budget,
    fingerprint: &'a Fingerprint,
    times: StepTimes,
    /// The widest count type so far: chunks begun later need not be widened afterwards.
    widest: AtomicU8,
    finished: Mutex<HashMap<String, Finished>>,
    /// Problems, each with the recording it is of.
    problems: Mutex<Vec<(String, Problem)>>,
}

/// Reads `archive` and prepares every sample, working on the threads of `pool`. Files that memory has no room for
/// lie unnamed in `spill_folder`.
///
/// # Errors
/// Every problem of the input that was found.
pub fn prepare(
    archive: &Archive,
    settings: Settings,
    pool: &rayon::ThreadPool,
    spill_folder: &Path,
    progress: &Progress,
) -> Result<Prepared, Problems> {
    let fingerprint = Fingerprint::default();
    // A recording for each worker, and in a stream one that is being read ahead.
    let ahead = usize::from(archive.container != Container::Folder);
    let budget = Budget::new(settings.memory / 5 * 2, pool.current_num_threads() + ahead);
    let buffers = Buffers::new(settings.memory / 5);
    let limits = Limits {
        waiting: settings.memory / 5,
        recording: settings.memory / 2,
    };
    let mut intake = Intake::new(&budget, &buffers, &fingerprint, limits, spill_folder);
    let work = Work {
        settings,
        progress,
        staging: Staging::new(spill_folder),
        buffers: &buffers,
        wide: Budget::new(settings.memory / WIDE_SHARE, usize::MAX),
        fingerprint: &fingerprint,
        times: StepTimes::default(),
        widest: AtomicU8::new(0),
        finished: Mutex::default(),
        problems: Mutex::default(),
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
    let mut problems = intake.take_problems(std::mem::take(&mut *lock(&work.problems)));
    // What is missing can be told only once everything has been read, or where the rest is given up.
    if read.is_ok() || settings.skip_damaged {
        problems.extend(missing(&intake));
    }
    if let Err(error) = read {
        let suspect = may_have_begun_earlier(archive, &error)
            .then(|| intake.latest().filter(|r| intake.is_listed(r)))
            .flatten();
        problems.extend(suspect.filter(|_| settings.skip_damaged).map(|recording| {
            let recording = recording.clone();
            (Some(recording.clone()), Problem::BeforeDamage { recording })
        }));
        problems.push((None, error.into()));
    }
    if settings.skip_damaged {
        let finished = lock(&work.finished);
        problems.extend(not_reached(&intake, &finished, &problems));
    }
    problems.sort_by_cached_key(|(_, problem)| problem.to_string());
    let skipped = if problems.is_empty() {
        Vec::new()
    } else {
        skippable(&intake, &mut problems, settings.skip_damaged)?
    };
    let left_out = problems.iter().map(|(recording, problem)| match recording {
        Some(_) => format!("left out: {problem}"),
        None => format!("{problem}; what was read before it is used"),
    });
    Ok(work.into_prepared(intake, skipped, left_out.collect()))
}

impl Work<'_> {
    /// Everything a worker does with one recording.
    fn recording(&self, ready: Ready<'_>) {
        let Ready {
            recording: name,
            source,
            windows,
            loan,
        } = ready;
        if let Source::File(_, bytes) = source {
            self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        let result = source.load(self.buffers).and_then(|bytes| {
            let member = Member::Recording(name.clone());
            let hash = || {
                self.times
                    .timed(Step::Hash, || self.fingerprint.add(&member, &bytes))
            };
            let (result, ()) = rayon::join(|| self.samples(&name, &bytes, &windows), hash);
            self.buffers.give(bytes);
            result
        });
        drop(loan);
        match result {
            Ok(finished) => {
                lock(&self.finished).insert(name, finished);
            }
            Err(problem) => lock(&self.problems).push((name, problem)),
        }
    }

    fn samples(&self, name: &str, bytes: &[u8], windows: &[Window]) -> Result<Finished, Problem> {
        let recording = self
            .times
            .timed(Step::Parse, || {
                Recording::new(bytes, DVS128, self.settings.keep_invalid)
            })
            .map_err(|source| Problem::Recording {
                recording: name.to_owned(),
                source,
            })?;
        let in_windows = |w: &Window| recording.window(w.start_us, w.end_us).number;
        let events = windows.iter().map(in_windows).sum();
        let limit = recording.counts().kept * MAX_OVERLAP;
        if events > limit {
            return Err(Problem::Overlap {
                recording: name.to_owned(),
                events,
                limit,
            });
        }
        let samples = windows
            .par_iter()
            .map_init(Tools::default, |tools, window| {
                self.sample(name, &recording, *window, tools)
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Finished {
            samples,
            counts: recording.counts(),
            outside_windows: recording.counts().kept - inside_windows(&recording, windows),
            bytes: bytes.len() as u64,
            span: recording.span(),
            cut_short: recording.cut_short(),
        })
    }

    fn sample(
        &self,
        recording_name: &str,
        recording: &Recording<'_>,
        window: Window,
        tools: &mut Tools,
    ) -> Result<StagedSample, Problem> {
        let Tools { codec, builder } = tools;
        let start = Instant::now();
        let split = self.settings.split;
        let events = recording.window(window.start_us, window.end_us);
        let frames =
            frames::frame_count(&events, split).map_err(|frames| Problem::TooManyFrames {
                sample: window.sample_name(recording_name),
                frames,
                us: split.duration_us(),
                limit: MAX_FRAMES_BY_DURATION,
            })?;
        let frames_a_chunk = split.frames().max(1) as usize;
        builder.begin(self.widest());
        let room = usize::try_from(self.settings.memory / WIDE_SHARE).unwrap_or(usize::MAX);
        let mut chunks: Vec<EncodedChunk> = Vec::with_capacity(frames / frames_a_chunk);
        let mut encoding = Duration::ZERO;
        let mut in_chunk = 0;
        let mut loan = None;
        frames::integrate(&events, split, frames, |frame| {
            // Whoever needs several bytes a count takes turns where memory has no room for all at once.
            let wide = builder.counts() > CountType::U8 || frame.bytes().is_none();
            if wide && loan.is_none() {
                let bytes = frame_bytes(frames_a_chunk, DVS128, CountType::U32);
                loan = Some(self.wide.borrow(bytes as u64));
            }
            builder.push(frame, frames_a_chunk, room);
            in_chunk += 1;
            if in_chunk == frames_a_chunk {
                let start = Instant::now();
                chunks.push(builder.finish(codec));
                encoding += start.elapsed();
                in_chunk = 0;
            }
        });
        let (counts, overfull) = (builder.counts(), builder.overfull());
        if loan.is_some() {
            // What was lent is given back in truth.
            *tools = Tools::default();
        }
        drop(loan);
        if let Some(bytes) = overfull {
            return Err(Problem::TooWide {
                sample: window.sample_name(recording_name),
                frames,
                bytes,
                limit: room,
            });
        }
        self.widest.fetch_max(counts as u8, Ordering::Relaxed);
        let chunks = self.staging.put(chunks).map_err(|source| Problem::Io {
            action: "write",
            path: "the staging file beside the cache".into(),
            source,
        })?;
        self.times
            .add(Step::Integrate, start.elapsed().saturating_sub(encoding));
        self.times.add(Step::Compress, encoding);
        self.progress.samples.fetch_add(1, Ordering::Relaxed);
        Ok(StagedSample {
            window,
            events: events.number,
            chunks,
        })
    }

    fn widest(&self) -> CountType {
        let widest = self.widest.load(Ordering::Relaxed);
        [CountType::U32, CountType::U16]
            .into_iter()
            .find(|&c| c as u8 == widest)
            .unwrap_or(CountType::U8)
    }

    /// Puts the samples in order. Every listed recording has been finished, but for those that are `skipped`.
    fn into_prepared(
        self,
        intake: Intake<'_>,
        skipped: Vec<String>,
        mut warnings: Vec<String>,
    ) -> Prepared {
        let mut finished = self
            .finished
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let unlisted = intake.unlisted();
        let left_out: HashSet<&String> = skipped.iter().collect();
        let mut lists = intake.lists.map(Option::unwrap_or_default);
        for list in &mut lists {
            list.retain(|r| !left_out.contains(r));
        }
        let mut tally = Tally::default();
        let mut sets = [Vec::new(), Vec::new()];
        for (list, set) in lists.iter().zip(&mut sets) {
            for name in list {
                let Some(recording) = finished.remove(name) else {
                    continue;
                };
                tally.add(&recording);
                recording.warn(name, &mut warnings);
                set.extend(
                    recording
                        .samples
                        .into_iter()
                        .map(|s| (s.window.sample_name(name), s)),
                );
            }
        }
        if !unlisted.is_empty() {
            let names = some_of(&unlisted);
            warnings.push(format!(
                "left out, because no trial list names them: {names}"
            ));
        }
        tally.unlisted = unlisted.len() as u64;
        Prepared {
            source_sha256: self.fingerprint.of_dataset(lists.iter().flatten()),
            sets,
            staging: self.staging,
            skipped,
            tally,
            warnings,
            times: self.times,
        }
    }
}

impl Tally {
    fn add(&mut self, recording: &Finished) {
        self.recordings += 1;
        self.raw_bytes += recording.bytes;
        self.outside_windows += recording.outside_windows;
        self.cut_short += u64::from(recording.cut_short.is_some());
        let EventCounts {
            kept,
            invalid,
            other_types,
            backwards,
        } = recording.counts;
        self.counts.kept += kept;
        self.counts.invalid += invalid;
        self.counts.other_types += other_types;
        self.counts.backwards += backwards;
    }
}

impl Finished {
    fn warn(&self, name: &str, warnings: &mut Vec<String>) {
        if let Some(cut) = self.cut_short {
            let (whole, ends) = (cut.events, self.span.map_or(0, |(_, last)| last));
            let beyond = self
                .samples
                .iter()
                .filter(|s| s.window.end_us > ends)
                .count();
            warnings.push(format!(
                "{name}.aedat is cut short: its last packet, at byte {}, has {} of its {} bytes. What is whole is kept, \
                 {whole} events of that packet among it, up to {ends} us; {beyond} of the {} windows end later",
                cut.offset, cut.left, cut.need, self.samples.len()
            ));
        }
        let backwards = self.counts.backwards;
        if backwards > 0 {
            warnings.push(format!(
                "{name}: the time goes backwards at {backwards} events; windows are selected by time all the same"
            ));
        }
        if self.samples.is_empty() {
            warnings.push(format!(
                "{name} gives no samples: its label file has no rows"
            ));
        }
        let span = match self.span {
            Some((first, last)) => format!("spans {first} to {last} us"),
            None => "has no events at all".to_owned(),
        };
        for sample in self.samples.iter().filter(|s| s.events == 0) {
            let Window {
                label,
                start_us,
                end_us,
                ..
            } = sample.window;
            warnings.push(format!(
                "{} (label {label}): no events from {start_us} to {end_us} us, so its frames are empty; the \
                 recording {span}",
                sample.window.sample_name(name)
            ));
        }
    }
}

/// Events that lie in at least one window: windows may overlap, so they are merged first.
fn inside_windows(recording: &Recording<'_>, windows: &[Window]) -> u64 {
    let mut spans: Vec<(i64, i64)> = windows.iter().map(|w| (w.start_us, w.end_us)).collect();
    spans.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
        .into_iter()
        .map(|(start, end)| recording.window(start, end).number)
        .sum()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
