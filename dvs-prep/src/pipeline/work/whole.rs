//! Works on a file that is one sample: its events, or its ready frames.

use std::borrow::Cow;
use std::cell::RefCell;
use std::time::Instant;

use dvs_shared::aedat::{CutShort, EventCounts};
use dvs_shared::archive::SampleId;
use dvs_shared::event::DVS128;
use dvs_shared::formats::{
    self, Decoded, Format, ReadOptions, ReadyFrames, SampleError, TimePrecision, events_npy,
    events_npz, frames_npz, holds_frames,
};
use dvs_shared::frames::MAX_FRAMES_BY_DURATION;
use dvs_shared::recording::Recording;
use dvs_shared::samples::Window;
use dvs_shared::{SensorSize, SplitMode};

use super::super::chunks::{self, Chunks, Tools};
use super::super::recording_result::{InputKind, RecordingResult};
use super::Work;
use crate::input::error::InputProblem;
use crate::pipeline::step_times::Step;

impl Work<'_> {
    /// Makes the sample of a file.
    pub(super) fn whole(
        &self,
        id: &SampleId,
        format: Format,
        bytes: &[u8],
    ) -> Result<RecordingResult, InputProblem> {
        let file = id.file_name();
        let wrong = |reason: SampleError| InputProblem::Format {
            file: file.clone(),
            reason: reason.into(),
        };
        let options = &self.settings.read;
        options
            .check(format)
            .map_err(|reason| InputProblem::Format {
                file: file.clone(),
                reason,
            })?;
        if format == Format::Npz && holds_frames(bytes).map_err(wrong)? {
            return self.ready_frames(id, bytes);
        }
        let start = Instant::now();
        let events = match format {
            Format::Npz | Format::Npy => self.arrays(format, bytes).map_err(wrong)?,
            _ => {
                let floor = self.settings.inflated();
                let decoded = formats::decode(bytes, format, options, floor);
                Events::from(decoded.map_err(|reason| InputProblem::Format {
                    file: file.clone(),
                    reason,
                })?)
            }
        };
        let sensor = events.sensor;
        let recording = Recording::new(&events.packets, sensor, events.keep_invalid(options));
        let recording = recording.map_err(|e| InputProblem::Format {
            file: file.clone(),
            reason: e.into(),
        })?;
        self.times.add(Step::Parse, start.elapsed());
        chunks::check_size(&self.settings, sensor, &file)?;
        let span = recording.span();
        let (start_us, end_us) = span.map_or((0, 0), |(first, last)| (first, last + 1));
        let window = Window {
            label: id.label,
            k: 0,
            start_us,
            end_us,
            line: 0,
        };
        let name = id.sample_name();
        let set = Some(id.set);
        let sample = self.sample(set, name, &recording, window, &mut Tools::default())?;
        let mut counts = recording.counts();
        counts.add(&events.seen);
        Ok(RecordingResult {
            samples: vec![sample],
            counts,
            outside_windows: 0,
            bytes: bytes.len() as u64,
            span,
            cut_short: recording.cut_short().or(events.cut_short),
            sensor,
            kind: events.kind,
            recognised: events.recognised,
            precision: events.precision,
            file,
        })
    }

    /// Reads events that are stored as arrays.
    fn arrays(&self, format: Format, bytes: &[u8]) -> Result<Events<'static>, SampleError> {
        let options = &self.settings.read;
        let limit = format.max_events(bytes.len() as u64, self.settings.inflated());
        let (read, kind) = match format {
            Format::Npy => (events_npy(bytes, options, limit)?, InputKind::Figshare),
            _ => (events_npz(bytes, options, limit)?, InputKind::Events),
        };
        Ok(Events {
            packets: read.packets.into(),
            sensor: read.sensor,
            seen: EventCounts {
                outside: read.outside,
                ..EventCounts::default()
            },
            cut_short: None,
            kind,
            recognised: format!("{kind}: {} pixels, {}", read.sensor, read.recognised),
            precision: read.precision,
        })
    }

    /// Makes the sample of a file with ready frames.
    fn ready_frames(&self, id: &SampleId, bytes: &[u8]) -> Result<RecordingResult, InputProblem> {
        let (file, settings) = (id.file_name(), &self.settings);
        if self.sink.is_some() {
            return Err(InputProblem::NoEvents { file });
        }
        if !settings.split_given {
            return Err(InputProblem::ReadyFrames { file });
        }
        let split = settings.split;
        let expected = ReadyFrames {
            sensor: settings.read.sensor,
            frames: (split.frames() > 0).then(|| split.frames()),
            limit: MAX_FRAMES_BY_DURATION as u64,
        };
        let start = Instant::now();
        let mut tools = Tools::default();
        let chunks = RefCell::new(None);
        let (mut frames, mut events) = (0, 0);
        let mut sensor = DVS128;
        let mut tools = Some(&mut tools);
        frames_npz(
            bytes,
            expected,
            |number, size| {
                chunks::check_size(settings, size, &file)?;
                (frames, sensor) = (number, size);
                if let Some(tools) = tools.take() {
                    let begun = Chunks::new(settings, &self.frames, tools, size, self.widest());
                    *chunks.borrow_mut() = Some(begun);
                }
                Ok(())
            },
            |counts| {
                events += counts.iter().map(|&c| u64::from(c)).sum::<u64>();
                if let Some(chunks) = chunks.borrow_mut().as_mut() {
                    chunks.push_counts(counts);
                }
            },
        )
        .map_err(|error| match error {
            ReadyError::Sample(reason) => InputProblem::Format {
                file: file.clone(),
                reason: reason.into(),
            },
            ReadyError::InputProblem(problem) => problem,
        })?;
        let Some(chunks) = chunks.into_inner() else {
            return Err(InputProblem::ReadyFrames { file });
        };
        // The file name of a sample with frames of fixed duration ends in the number of frames.
        let suffix = format!("_{frames}");
        let name = match split {
            SplitMode::Duration { .. } => id.name.strip_suffix(&suffix).unwrap_or(&id.name),
            _ => &id.name,
        };
        let window = Window {
            label: id.label,
            k: 0,
            start_us: 0,
            end_us: 0,
            line: 0,
        };
        let sample = self.stage(name.to_owned(), window, events, frames, chunks, start)?;
        Ok(RecordingResult {
            samples: vec![sample],
            counts: EventCounts {
                kept: events,
                ..EventCounts::default()
            },
            outside_windows: 0,
            bytes: bytes.len() as u64,
            span: None,
            cut_short: None,
            sensor,
            kind: InputKind::Frames,
            recognised: format!(
                "{}: {sensor} pixels, as they have; {split}",
                InputKind::Frames
            ),
            precision: None,
            file,
        })
    }
}

/// The events of a file in any format.
struct Events<'a> {
    /// AEDAT 3 with the events.
    packets: Cow<'a, [u8]>,
    sensor: SensorSize,
    /// Numbers of events left out so far.
    seen: EventCounts,
    cut_short: Option<CutShort>,
    kind: InputKind,
    recognised: String,
    precision: Option<TimePrecision>,
}

impl Events<'_> {
    /// Whether events with a clear valid bit count. Only recordings have such events.
    fn keep_invalid(&self, options: &ReadOptions) -> bool {
        options.keep_invalid || self.kind != InputKind::WholeRecordings
    }
}

impl<'a> From<Decoded<'a>> for Events<'a> {
    fn from(decoded: Decoded<'a>) -> Self {
        let kind = InputKind::WholeRecordings;
        Self {
            packets: decoded.packets,
            sensor: decoded.sensor,
            seen: decoded.seen,
            cut_short: decoded.cut_short,
            kind,
            recognised: format!("{kind}, {}", decoded.recognised),
            precision: None,
        }
    }
}

/// Why ready frames cannot be used.
enum ReadyError {
    Sample(SampleError),
    InputProblem(InputProblem),
}

impl From<SampleError> for ReadyError {
    fn from(error: SampleError) -> Self {
        Self::Sample(error)
    }
}

impl From<InputProblem> for ReadyError {
    fn from(problem: InputProblem) -> Self {
        Self::InputProblem(problem)
    }
}
