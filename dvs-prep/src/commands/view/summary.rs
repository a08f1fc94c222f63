//! Describes the samples that are shown.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use dvs_shared::Set;
use dvs_shared::select::name_of;
use dvs_shared::view::Timing;
use dvs_shared::view::terminal::visible;
use dvs_shared::words::counted;
use serde::Serialize;

use super::input::ShownInput;
use super::sample::ShownSample;
use crate::cli::report::{grouped, line, size};

/// The JSON object: the input, the samples and the picture.
#[derive(Debug, Serialize)]
pub struct ViewSummary {
    input: String,
    input_kind: &'static str,
    /// How recordings were read, and the reason.
    recognised: Vec<String>,
    /// `null` if no picture is written.
    #[serde(rename = "picture")]
    pub written: Option<WrittenPicture>,
    samples: Vec<SampleSummary>,
}

#[derive(Debug, Serialize)]
pub struct WrittenPicture {
    kind: &'static str,
    path: String,
    width: u32,
    height: u32,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct SampleSummary {
    sample: String,
    label: Option<u8>,
    label_name: String,
    set: Option<&'static str>,
    /// Index in the set, from 0; `null` if the sample was found by its name alone.
    index: Option<usize>,
    split_by: &'static str,
    duration_us: u64,
    start_us: i64,
    end_us: i64,
    events: u64,
    /// Frames shown in the picture or in the terminal.
    frames_shown: Vec<usize>,
    frames: Vec<FrameSummary>,
    #[serde(skip)]
    timing: Option<String>,
}

#[derive(Debug, Serialize)]
struct FrameSummary {
    events_off: u64,
    events_on: u64,
    /// Microseconds after the sample's first event; `null` if unknown.
    start_us: Option<i64>,
    end_us: Option<i64>,
}

impl WrittenPicture {
    pub fn new(kind: &'static str, path: &Path, width: u32, height: u32) -> Self {
        Self {
            kind,
            path: path.to_string_lossy().into_owned(),
            width,
            height,
            bytes: fs::metadata(path).map_or(0, |m| m.len()),
        }
    }
}

impl ViewSummary {
    pub fn new(shown: &ShownInput) -> Self {
        let samples = shown.samples.iter();
        Self {
            input: shown.path.to_string_lossy().into_owned(),
            input_kind: shown.kind,
            recognised: shown.recognised.clone(),
            written: None,
            samples: samples
                .map(|s| SampleSummary::new(s, &shown.label_names))
                .collect(),
        }
    }

    /// Writes the description as text.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let shown = |text: &str| text.chars().map(visible).collect::<String>();
        line(out, self.input_kind, &shown(&self.input))?;
        for recognised in &self.recognised {
            line(out, "recognised", &shown(recognised))?;
        }
        for sample in &self.samples {
            line(out, "sample", &shown(&sample.to_text()))?;
        }
        let mut timings = self.samples.iter().filter_map(|s| s.timing.as_ref());
        if let Some(note) = timings.next() {
            line(out, "frame durations", note)?;
        }
        if let Some(written) = &self.written {
            let WrittenPicture {
                kind,
                width,
                height,
                bytes,
                ..
            } = written;
            let path = shown(&written.path);
            line(
                out,
                kind,
                &format!("{path}, {width} x {height} pixels, {}", size(*bytes)),
            )?;
        }
        Ok(())
    }
}

fn events(number: u64) -> String {
    match number {
        1 => counted(1, "event"),
        number => format!("{} events", grouped(number)),
    }
}

impl SampleSummary {
    fn new(sample: &ShownSample, names: &[String]) -> Self {
        let frame = |(at, &[events_off, events_on]): (usize, &[u64; 2])| {
            let span = sample.timing.span_us(at);
            FrameSummary {
                events_off,
                events_on,
                start_us: span.map(|(start, _)| start),
                end_us: span.map(|(_, end)| end),
            }
        };
        Self {
            sample: sample.listed.full_name(),
            label: sample.listed.label,
            label_name: name_of(sample.listed.label, names),
            set: sample.listed.set.map(Set::name),
            index: sample.listed.index,
            split_by: sample.split.split_by().name(),
            duration_us: sample.split.duration_us(),
            start_us: sample.start_us,
            end_us: sample.end_us,
            events: sample.total(),
            frames_shown: sample.shown.clone(),
            frames: sample.events.iter().enumerate().map(frame).collect(),
            timing: match sample.timing {
                Timing::Fixed(_) => None,
                _ => sample.timing.note(),
            },
        }
    }

    fn to_text(&self) -> String {
        let place = match self.set {
            Some(set) => match self.index {
                Some(index) => format!(" ({set} {index})"),
                None => format!(" ({set})"),
            },
            None => String::new(),
        };
        let frames = self.frames.len();
        let shown = match self.frames_shown.len() {
            0 => String::new(),
            shown if shown == frames => String::new(),
            shown => format!(", {shown} of them shown"),
        };
        let split = match self.split_by {
            "duration" => format!("{frames} frames of {} us", self.duration_us),
            by => format!("{frames} frames split by {by}"),
        };
        format!(
            "{} {}{place}: {} in {split}{shown}, from {} to {} us",
            self.sample,
            self.label_name,
            events(self.events),
            self.start_us,
            self.end_us
        )
    }
}
