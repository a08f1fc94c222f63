//! The work on a file that is one sample: its events, or its ready frames.

use std::cell::RefCell;
use std::time::Instant;

use dvs_shared::SplitMode;
use dvs_shared::event::DVS128;

use super::super::chunks::{self, Chunks, Tools};
use super::super::finished::{Finished, Kind};
use super::Work;
use crate::aedat::EventCounts;
use crate::archive::SampleId;
use crate::error::Problem;
use crate::formats::{
    Format, ReadyFrames, SampleError, events_npy, events_npz, frames_npz, holds_frames,
};
use crate::frames::MAX_FRAMES_BY_DURATION;
use crate::recording::Recording;
use crate::samples::Window;
use crate::step_times::Step;

impl Work<'_> {
    /// A file that is one sample.
    pub(super) fn whole(
        &self,
        id: &SampleId,
        format: Format,
        bytes: &[u8],
    ) -> Result<Finished, Problem> {
        let file = id.file_name();
        let wrong = |source: SampleError| Problem::Format {
            file: file.clone(),
            source: source.into(),
        };
        if format == Format::Npz && holds_frames(bytes).map_err(wrong)? {
            return self.ready_frames(id, bytes);
        }
        let sensor = self.settings.sensor.unwrap_or(DVS128);
        let limit = format.max_events(bytes.len() as u64, self.settings.inflated());
        let start = Instant::now();
        let (events, kind, name) = match format {
            Format::Npy => (
                events_npy(bytes, sensor, limit).map_err(wrong)?,
                Kind::Figshare,
                // As SpikingJelly would call it: the first of its label in the recording.
                format!("{}_0", id.name),
            ),
            _ => (
                events_npz(bytes, sensor, limit).map_err(wrong)?,
                Kind::Events,
                id.name.clone(),
            ),
        };
        let recording =
            Recording::new(&events.packets, sensor, true).map_err(|e| Problem::Format {
                file: file.clone(),
                source: e.into(),
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
        let sample = self.sample(name, &recording, window, &mut Tools::default())?;
        Ok(Finished {
            samples: vec![sample],
            counts: recording.counts(),
            outside_windows: 0,
            bytes: bytes.len() as u64,
            span,
            cut_short: None,
            sensor,
            kind,
            precision: events.precision,
            file,
        })
    }

    /// A sample whose frames are there already.
    fn ready_frames(&self, id: &SampleId, bytes: &[u8]) -> Result<Finished, Problem> {
        let (file, settings) = (id.file_name(), &self.settings);
        if self.sink.is_some() {
            return Err(Problem::NoEvents { file });
        }
        if !settings.split_said {
            return Err(Problem::ReadyFrames { file });
        }
        let split = settings.split;
        let expected = ReadyFrames {
            sensor: settings.sensor,
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
            ReadyError::Sample(source) => Problem::Format {
                file: file.clone(),
                source: source.into(),
            },
            ReadyError::Problem(problem) => problem,
        })?;
        let Some(chunks) = chunks.into_inner() else {
            return Err(Problem::ReadyFrames { file });
        };
        // A sample of a fixed duration has its number of frames behind its name.
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
        Ok(Finished {
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
            kind: Kind::Frames,
            precision: None,
            file,
        })
    }
}

/// Why ready frames cannot be used.
enum ReadyError {
    Sample(SampleError),
    Problem(Problem),
}

impl From<SampleError> for ReadyError {
    fn from(error: SampleError) -> Self {
        Self::Sample(error)
    }
}

impl From<Problem> for ReadyError {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}
