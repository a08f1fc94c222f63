//! Works on one recording, on any thread: check and index; select, integrate and encode each
//! sample.

mod whole;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use dvs_shared::archive::Member;
use dvs_shared::formats::{self, Format, FormatError};
use dvs_shared::frames::{self, MAX_FRAMES_BY_DURATION};
use dvs_shared::recording::Recording;
use dvs_shared::samples::{MAX_OVERLAP, Window};
use dvs_shared::{CountType, Set};
use rayon::prelude::*;

use super::chunks::{self, Chunks, FrameMemory, Tools};
use super::recording_result::{InputKind, RecordingResult};
use super::settings::{Progress, Settings};
use crate::input::error::InputProblem;
use crate::input::fingerprint::Fingerprint;
use crate::pipeline::EventSink;
use crate::pipeline::chunk_store::{ChunkStore, StagedSample};
use crate::pipeline::collect::{FileBytes, FileSamples, WorkItem};
use crate::pipeline::memory_budget::BufferPool;
use crate::pipeline::step_times::{Step, StepTimes};

/// State that workers share.
pub(super) struct Work<'a> {
    pub settings: Settings,
    pub progress: &'a Progress,
    pub staging: ChunkStore,
    pub buffers: &'a BufferPool,
    /// Memory for frames that are larger than usual.
    pub frames: FrameMemory,
    pub fingerprint: &'a Fingerprint,
    pub times: StepTimes,
    /// The widest count type so far. Chunks that begin with it need no widening later.
    pub widest: AtomicU8,
    pub finished: Mutex<HashMap<String, RecordingResult>>,
    /// Problems, each with the recording that it concerns.
    pub problems: Mutex<Vec<(String, InputProblem)>>,
    /// If set, receives the events of samples instead of their frames.
    pub sink: Option<&'a dyn EventSink>,
}

impl Work<'_> {
    /// Does all the work on one recording or sample.
    pub(super) fn recording(&self, ready: WorkItem<'_>) {
        let WorkItem {
            member,
            format,
            source,
            task,
            loan,
        } = ready;
        if let FileBytes::File(_, bytes) = source {
            self.progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        let result = source.load(self.buffers).and_then(|bytes| {
            let hash = || {
                self.times
                    .timed(Step::Hash, || self.fingerprint.add(&member, &bytes))
            };
            let work = || match &task {
                FileSamples::Windows(windows) => self.windows(&member, format, &bytes, windows),
                FileSamples::Whole(sample) => self.whole(sample, format, &bytes),
            };
            let (result, ()) = rayon::join(work, hash);
            self.buffers.give(bytes);
            result
        });
        drop(loan);
        let name = member.recording().unwrap_or_default();
        match result {
            Ok(finished) => {
                lock(&self.finished).insert(name, finished);
            }
            Err(problem) => lock(&self.problems).push((name, problem)),
        }
    }

    /// Makes the samples of a recording.
    fn windows(
        &self,
        member: &Member,
        format: Format,
        bytes: &[u8],
        windows: &[Window],
    ) -> Result<RecordingResult, InputProblem> {
        let (file, name) = (member.file_name(), member.recording().unwrap_or_default());
        let wrong = |reason: FormatError| InputProblem::Format {
            file: file.clone(),
            reason,
        };
        let options = &self.settings.read;
        let start = Instant::now();
        let decoded =
            formats::decode(bytes, format, options, self.settings.inflated()).map_err(wrong)?;
        let recording = Recording::new(&decoded.packets, decoded.sensor, options.keep_invalid)
            .map_err(|e| wrong(e.into()))?;
        self.times.add(Step::Parse, start.elapsed());
        chunks::check_size(&self.settings, decoded.sensor, &file)?;
        let in_windows = |w: &Window| recording.window(w.start_us, w.end_us).number;
        let events = windows.iter().map(in_windows).sum();
        let limit = recording.counts().kept * MAX_OVERLAP;
        if events > limit {
            return Err(InputProblem::Overlap {
                recording: name,
                events,
                limit,
            });
        }
        let samples = windows
            .par_iter()
            .map_init(Tools::default, |tools, &window| {
                self.sample(None, window.sample_name(&name), &recording, window, tools)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut counts = recording.counts();
        counts.add(&decoded.seen);
        Ok(RecordingResult {
            samples,
            counts,
            outside_windows: recording.counts().kept - inside_windows(&recording, windows),
            bytes: bytes.len() as u64,
            span: recording.span(),
            cut_short: recording.cut_short().or(decoded.cut_short),
            sensor: decoded.sensor,
            kind: InputKind::Recordings,
            recognised: format!("{}, {}", InputKind::Recordings, decoded.recognised),
            precision: None,
            file,
        })
    }

    /// Makes one sample. Its set is not known yet if a trial list has to tell.
    fn sample(
        &self,
        set: Option<Set>,
        name: String,
        recording: &Recording<'_>,
        window: Window,
        tools: &mut Tools,
    ) -> Result<StagedSample, InputProblem> {
        let start = Instant::now();
        let split = self.settings.split;
        let events = recording.window(window.start_us, window.end_us);
        if let Some(sink) = self.sink {
            sink.take(set, &name, window.label, &events)?;
            self.progress.samples.fetch_add(1, Ordering::Relaxed);
            return Ok(StagedSample {
                name,
                window,
                events: events.number,
                chunks: Vec::new(),
            });
        }
        let frames =
            frames::frame_count(&events, split).map_err(|frames| InputProblem::TooManyFrames {
                sample: name.clone(),
                frames,
                us: split.duration_us(),
                limit: MAX_FRAMES_BY_DURATION,
            })?;
        let mut chunks = Chunks::new(
            &self.settings,
            &self.frames,
            tools,
            events.sensor(),
            self.widest(),
        );
        frames::integrate(&events, split, frames, |frame| chunks.push(frame));
        self.stage(name, window, events.number, frames, chunks, start)
    }

    /// Stores the chunks of a sample until all samples are done. Work on the sample began at
    /// `start`.
    fn stage(
        &self,
        name: String,
        window: Window,
        events: u64,
        frames: usize,
        chunks: Chunks<'_>,
        start: Instant,
    ) -> Result<StagedSample, InputProblem> {
        let (chunks, counts, encoding) = chunks.finish(&name, frames)?;
        self.widest.fetch_max(counts as u8, Ordering::Relaxed);
        let chunks = self
            .staging
            .put(chunks)
            .map_err(|reason| InputProblem::Io {
                action: "write",
                path: "the staging file beside the cache".into(),
                reason,
            })?;
        self.times
            .add(Step::Integrate, start.elapsed().saturating_sub(encoding));
        self.times.add(Step::Compress, encoding);
        self.progress.samples.fetch_add(1, Ordering::Relaxed);
        Ok(StagedSample {
            name,
            window,
            events,
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
}

/// Number of events in at least one window. Windows may overlap, so they are merged first.
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
