//! The work on one recording, on any thread: check and index; select, integrate and encode each sample.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dvs_shared::cache_format::frame_bytes;
use dvs_shared::event::DVS128;
use dvs_shared::{ChunkCodec, CountType};
use rayon::prelude::*;

use super::finished::Finished;
use super::settings::{Progress, Settings};
use crate::archive::Member;
use crate::budget::{Budget, Buffers};
use crate::error::Problem;
use crate::fingerprint::Fingerprint;
use crate::frames::{self, MAX_FRAMES_BY_DURATION};
use crate::intake::{Ready, Source};
use crate::recording::Recording;
use crate::samples::{MAX_OVERLAP, Window};
use crate::staging::{ChunkBuilder, EncodedChunk, StagedSample, Staging};
use crate::step_times::{Step, StepTimes};

/// The share of the memory for frames whose counts take several bytes, which are held raw, shuffled and encoded.
pub(super) const WIDE_SHARE: u64 = 16;

/// What a worker uses for one sample after another.
#[derive(Default)]
struct Tools {
    codec: ChunkCodec,
    builder: ChunkBuilder,
}

/// What workers share.
pub(super) struct Work<'a> {
    pub settings: Settings,
    pub progress: &'a Progress,
    pub staging: Staging,
    pub buffers: &'a Buffers,
    /// Memory for frames whose counts take several bytes.
    pub wide: Budget,
    pub fingerprint: &'a Fingerprint,
    pub times: StepTimes,
    /// The widest count type so far: chunks begun later need not be widened afterwards.
    pub widest: AtomicU8,
    pub finished: Mutex<HashMap<String, Finished>>,
    /// Problems, each with the recording it is of.
    pub problems: Mutex<Vec<(String, Problem)>>,
}

impl Work<'_> {
    /// Everything a worker does with one recording.
    pub(super) fn recording(&self, ready: Ready<'_>) {
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
