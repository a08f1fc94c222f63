//! A recording that has been worked on.

use std::fmt;

use dvs_shared::SensorSize;

use crate::aedat::{CutShort, EventCounts};
use crate::formats::{Format, TimePrecision};
use crate::samples::Window;
use crate::staging::StagedSample;

/// What a worker makes of a recording.
pub(super) struct Finished {
    pub samples: Vec<StagedSample>,
    pub counts: EventCounts,
    pub outside_windows: u64,
    pub bytes: u64,
    pub span: Option<(i64, i64)>,
    pub cut_short: Option<CutShort>,
    /// The camera's pixels.
    pub sensor: SensorSize,
    /// What it came as.
    pub kind: Kind,
    /// How exact its times are, where they were milliseconds.
    pub precision: Option<TimePrecision>,
    /// The name of its file.
    pub file: String,
}

/// What the input is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Recordings with trial lists and label files.
    Recording(Format),
    /// SpikingJelly's samples of events.
    Events,
    /// SpikingJelly's samples of ready frames.
    Frames,
    /// figshare's samples of events.
    Figshare,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording(format) => write!(f, "recordings with label files, {format}"),
            Self::Events => f.write_str("SpikingJelly's events, npz"),
            Self::Frames => f.write_str("SpikingJelly's ready frames, npz"),
            Self::Figshare => f.write_str("figshare's events, npy in milliseconds"),
        }
    }
}

impl Finished {
    /// Adds what a user should know of it.
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
                 {whole} events of that packet among it, up to {ends} us; {beyond} of the {} windows end later",
                self.file, cut.offset, cut.left, cut.need, self.samples.len()
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
            None if self.kind == Kind::Frames => "was counted elsewhere".to_owned(),
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
                sample.name
            ));
        }
    }
}
