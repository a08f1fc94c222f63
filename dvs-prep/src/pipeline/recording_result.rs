//! The result of the work on a recording.

use std::fmt;

use dvs_shared::SensorSize;
use dvs_shared::aedat::{CutShort, EventCounts};
use dvs_shared::formats::{EVENTS_NPY, EVENTS_NPZ, FRAMES_NPZ, TimePrecision};
use dvs_shared::samples::Window;
use dvs_shared::words::counted;

use crate::pipeline::chunk_store::StagedSample;

/// The result of the work on a recording or sample.
pub(super) struct RecordingResult {
    pub samples: Vec<StagedSample>,
    pub counts: EventCounts,
    pub outside_windows: u64,
    pub bytes: u64,
    pub span: Option<(i64, i64)>,
    pub cut_short: Option<CutShort>,
    /// Sensor size.
    pub sensor: SensorSize,
    pub kind: InputKind,
    /// How it was read, and the reason, in words.
    pub recognised: String,
    /// Precision of its times, if they were in milliseconds.
    pub precision: Option<TimePrecision>,
    /// File name of the recording or sample.
    pub file: String,
}

/// Type of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputKind {
    /// Recordings with trial lists and label files.
    Recordings,
    /// SpikingJelly's samples of events.
    Events,
    /// SpikingJelly's samples of ready frames.
    Frames,
    /// figshare's samples of events.
    Figshare,
    /// Recordings that are one sample each.
    WholeRecordings,
}

impl fmt::Display for InputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recordings => f.write_str("recordings with label files"),
            Self::Events => f.write_str(EVENTS_NPZ),
            Self::Frames => f.write_str(FRAMES_NPZ),
            Self::Figshare => f.write_str(EVENTS_NPY),
            Self::WholeRecordings => f.write_str("one sample a file"),
        }
    }
}

impl RecordingResult {
    /// Adds the warnings about this recording.
    pub fn warn(&self, name: &str, warnings: &mut Vec<String>) {
        if let Some(cut) = self.cut_short {
            let (whole, ends) = (cut.events, self.span.map_or(0, |(_, last)| last));
            let beyond = self
                .samples
                .iter()
                .filter(|s| s.window.end_us > ends)
                .count();
            warnings.push(format!(
                "{} is cut short: its last packet, at byte {}, has {} of its {} bytes. What is whole is kept, \
                 {} of that packet among it, up to {ends} us; {beyond} of the {} windows end later",
                self.file, cut.offset, cut.left, cut.need, counted(whole.into(), "event"), self.samples.len()
            ));
        }
        let backwards = self.counts.backwards;
        if backwards > 0 {
            warnings.push(format!(
                "{name}: the time goes backwards at {}; windows are selected by time all the same",
                counted(backwards, "event")
            ));
        }
        if self.samples.is_empty() {
            warnings.push(format!(
                "{name} gives no samples: its label file has no rows"
            ));
        }
        if let Some(left_out) = self.counts.left_out() {
            warnings.push(format!("{}: {left_out}", self.file));
        }
        warnings.extend(self.empty_samples());
    }

    /// Describes the samples without events, each with the reason.
    pub fn empty_samples(&self) -> impl Iterator<Item = String> {
        let span = match self.kind {
            InputKind::Frames => "was counted elsewhere".to_owned(),
            _ => self.counts.why_empty(self.span),
        };
        let empty = self.samples.iter().filter(|s| s.events == 0);
        empty.map(move |sample| {
            let Window {
                label,
                start_us,
                end_us,
                ..
            } = sample.window;
            format!(
                "{} (label {label}): no events from {start_us} to {end_us} us, so its frames are empty; the \
                 recording {span}",
                sample.name
            )
        })
    }
}
