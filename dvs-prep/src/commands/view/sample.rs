//! A sample to show: some of its frames, and the events and times of all frames.

use dvs_shared::SplitMode;
use dvs_shared::event::SensorSize;
use dvs_shared::select::{ListedSample, name_of};
use dvs_shared::view::{Clip, Timing, ViewError, caption, duration};

use super::Output;
use crate::cli::report::grouped;

/// Memory limit in bytes for the shown frames of all samples.
const MAX_BYTES: usize = 384 << 20;

#[derive(Clone, Debug)]
pub struct ShownSample {
    pub listed: ListedSample,
    pub split: SplitMode,
    pub size: SensorSize,
    /// Number of frames, T.
    pub frames: usize,
    /// Indices of the frames that are shown, in order.
    pub shown: Vec<usize>,
    /// Counts of the shown frames, `[shown, 2, H, W]`.
    pub counts: Vec<u32>,
    /// OFF and ON events of every frame.
    pub events: Vec<[u64; 2]>,
    /// When each frame begins and ends.
    pub timing: Timing,
    /// First microsecond of its window.
    pub start_us: i64,
    /// First microsecond after its window.
    pub end_us: i64,
}

/// Takes the frames of a sample one by one and keeps those to show.
pub struct FrameCollector {
    size: SensorSize,
    shown: Vec<usize>,
    counts: Vec<u32>,
    events: Vec<[u64; 2]>,
}

impl FrameCollector {
    /// For one of `samples` samples; it has `frames` frames, and at most `max_frames` are shown.
    pub fn new(size: SensorSize, frames: usize, max_frames: usize, samples: usize) -> Self {
        let room = MAX_BYTES / samples.max(1) / (size.frame_cells() * size_of::<u32>()).max(1);
        let shown = evenly_spaced_indices(frames, max_frames.min(room.max(1)));
        Self {
            size,
            shown,
            counts: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Takes the next frame, `[2, H, W]`.
    pub fn push(&mut self, counts: impl Iterator<Item = u32>) {
        let at = self.events.len();
        let shown = self.shown.binary_search(&at).is_ok();
        let plane = self.size.frame_cells() / 2;
        let mut events = [0; 2];
        for (cell, count) in counts.enumerate() {
            events[usize::from(cell >= plane)] += u64::from(count);
            if shown {
                self.counts.push(count);
            }
        }
        self.events.push(events);
    }

    pub fn finish(
        self,
        listed: ListedSample,
        split: SplitMode,
        timing: Timing,
        (start_us, end_us): (i64, i64),
    ) -> ShownSample {
        ShownSample {
            listed,
            split,
            size: self.size,
            frames: self.events.len(),
            shown: self.shown,
            counts: self.counts,
            events: self.events,
            timing,
            start_us,
            end_us,
        }
    }
}

/// At most `most` of `frames` frames, evenly spaced, including the first and the last. If `most` is
/// 1, only the middle frame.
fn evenly_spaced_indices(frames: usize, most: usize) -> Vec<usize> {
    match most {
        0 => Vec::new(),
        _ if frames <= most => (0..frames).collect(),
        1 => vec![frames / 2],
        most => (0..most).map(|i| i * (frames - 1) / (most - 1)).collect(),
    }
}

impl ShownSample {
    /// Number of events in all frames.
    pub fn total(&self) -> u64 {
        self.events.iter().flatten().sum()
    }

    /// Duration of the window in microseconds.
    pub fn span_us(&self) -> f64 {
        self.end_us as f64 - self.start_us as f64
    }

    /// The title of the sample's pictures.
    pub fn title(&self, names: &[String]) -> Vec<String> {
        let how = match self.split {
            SplitMode::Duration { us } => format!("frames of {}", duration(us as f64)),
            split => format!("frames split by {}", split.split_by().name()),
        };
        let frames = match self.shown.len() {
            shown @ 1.. if shown < self.frames => format!("{shown} of {} {how}", self.frames),
            _ => format!("{} {how}", self.frames),
        };
        let unit = if self.total() == 1 { "event" } else { "events" };
        vec![
            self.listed.full_name(),
            name_of(self.listed.label, names),
            format!("{} {unit}", grouped(self.total())),
            format!("{:.3} s", self.span_us() / 1e6),
            frames,
        ]
    }

    /// The frames to show with their captions. `among_others` adds the class to captions in the
    /// terminal.
    pub fn clip(
        &self,
        kind: Output,
        among_others: bool,
        names: &[String],
    ) -> Result<Clip<'_, u32>, ViewError> {
        let captions = self.shown.iter().map(|&at| {
            let events = self.events[at].iter().sum();
            let mut parts = caption(at, self.frames, events, &self.timing);
            if kind == Output::Look && among_others {
                // Frames in the terminal have no title.
                parts.insert(0, name_of(self.listed.label, names));
            }
            parts
        });
        let mut title = self.title(names);
        if kind == Output::Animation {
            // The caption below each frame gives the rest.
            title.truncate(2);
        }
        Clip::new(&self.counts, self.size, title, captions.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_frames_are_evenly_spaced() {
        assert_eq!(evenly_spaced_indices(16, 4), [0, 5, 10, 15]);
        assert_eq!(evenly_spaced_indices(3, 4), [0, 1, 2]);
        assert_eq!(evenly_spaced_indices(16, 1), [8]);
        assert_eq!(evenly_spaced_indices(0, 1), [0; 0]);
        assert_eq!(evenly_spaced_indices(16, 0), [0; 0]);
        let many = evenly_spaced_indices(16_384, 1000);
        assert_eq!((many.len(), many[0], many[999]), (1000, 0, 16_383));
        assert!(many.is_sorted());
    }
}
