//! Divides a sample's events into frames and counts them per cell.
//!
//! The semantics are SpikingJelly 2.0's (`integrate_events_by_fixed_frames_number`,
//! `integrate_events_by_fixed_duration`). SpikingJelly leaves two cases open. Here, an empty slice
//! of time is an empty frame. If times go backwards, an event goes to the frame of its own time, or
//! to the nearest frame if that time lies outside the sample. Every event is thus in exactly one
//! frame.

use crate::recording::WindowEvents;
use crate::split_mode::SplitMode;

/// Most frames that a sample may have if their duration is fixed.
pub const MAX_FRAMES_BY_DURATION: i64 = 16_384;

/// Bytes of frames that are counted at once if times go backwards: 64 frames of a DVS128. This
/// bounds the memory of such a sample.
const AT_ONCE: usize = 2 << 20;

/// T of a sample; `Err` with the number of frames if the duration is too short.
pub fn frame_count(events: &WindowEvents<'_>, split: SplitMode) -> Result<usize, i64> {
    match split {
        SplitMode::Number { frames } | SplitMode::Time { frames } => Ok(frames as usize),
        SplitMode::Duration { us } => {
            let us = i64::try_from(us).unwrap_or(i64::MAX);
            let span = events.t_last - events.t_first;
            let whole = span.div_euclid(us);
            let frames = (whole + i64::from(span.rem_euclid(us) > 0)).max(1);
            if frames > MAX_FRAMES_BY_DURATION {
                Err(frames)
            } else {
                Ok(frames as usize)
            }
        }
    }
}

/// Counts `events` into `frames` frames (see [`frame_count`]) and calls `done` with each in turn.
pub fn integrate(
    events: &WindowEvents<'_>,
    split: SplitMode,
    frames: usize,
    mut done: impl FnMut(&Frame),
) {
    let mut counting = Frames {
        current: Frame::new(events.sensor().frame_cells()),
        left: frames,
    };
    match split {
        SplitMode::Number { .. } => by_number(events, &mut counting, &mut done),
        SplitMode::Time { .. } => {
            let length = (events.t_last - events.t_first).div_euclid(frames as i64);
            by_time(events, length, &mut counting, &mut done);
        }
        SplitMode::Duration { us } => {
            let length = i64::try_from(us).unwrap_or(i64::MAX);
            by_time(events, length, &mut counting, &mut done);
        }
    }
    while counting.left > 0 {
        counting.finish(&mut done);
    }
}

/// Events per cell, `[polarity, y, x]`. Nearly all counts fit a byte, so a frame counts in bytes
/// and fits the processor's L1 cache.
pub struct Frame {
    /// Counts modulo 256.
    low: Vec<u8>,
    /// The cell of every count that passed a multiple of 256, once per multiple.
    carried: Vec<usize>,
}

impl Frame {
    fn new(cells: usize) -> Self {
        Self {
            low: vec![0; cells],
            carried: Vec::new(),
        }
    }

    #[inline]
    fn count(&mut self, cell: usize) {
        // The recording's index has checked every coordinate, so every cell is in range.
        if let Some(count) = self.low.get_mut(cell) {
            *count = count.wrapping_add(1);
            if *count == 0 {
                self.carried.push(cell);
            }
        }
    }

    /// The counts, if all fit a byte.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.carried.is_empty().then_some(&self.low)
    }

    pub fn counts(&self) -> Vec<u32> {
        let mut counts: Vec<u32> = self.low.iter().map(|&c| c.into()).collect();
        for &cell in &self.carried {
            counts[cell] += 256;
        }
        counts
    }

    fn clear(&mut self) {
        self.low.fill(0);
        self.carried.clear();
    }
}

/// The current frame and the number of frames left.
struct Frames {
    current: Frame,
    /// Unfinished frames, including the current one.
    left: usize,
}

impl Frames {
    #[inline]
    fn count(&mut self, cell: usize) {
        self.current.count(cell);
    }

    fn finish(&mut self, done: &mut impl FnMut(&Frame)) {
        done(&self.current);
        self.current.clear();
        self.left -= 1;
    }
}

/// First and last time of each frame, in microseconds after the sample's first event, for display.
/// All are `None` for an empty sample.
///
/// Frames split by number span from their earliest event to their latest; a frame without events
/// is `None`. Other frames span their slice of time, whatever events they have. The last frame of
/// a split by time ends at the last event.
pub fn time_spans(
    events: &WindowEvents<'_>,
    split: SplitMode,
    frames: usize,
) -> Vec<Option<(i64, i64)>> {
    let mut spans = vec![None; frames];
    if events.number == 0 {
        return spans;
    }
    let length = match split {
        SplitMode::Number { .. } => {
            let share = events.number / frames as u64;
            let mut seen = 0_u64;
            events.for_each(|t, _| {
                let frame = seen.checked_div(share).map_or(usize::MAX, |i| i as usize);
                let t = t - events.t_first;
                if let Some(span) = spans.get_mut(frame.min(frames - 1)) {
                    let (first, last) = span.unwrap_or((t, t));
                    *span = Some((t.min(first), t.max(last)));
                }
                seen += 1;
            });
            return spans;
        }
        SplitMode::Time { .. } => (events.t_last - events.t_first).div_euclid(frames as i64),
        SplitMode::Duration { us } => i64::try_from(us).unwrap_or(i64::MAX),
    };
    for (i, span) in (0..).zip(&mut spans) {
        let start = length.saturating_mul(i);
        *span = Some((start, start.saturating_add(length)));
    }
    if let (SplitMode::Time { .. }, Some(Some(last))) = (split, spans.last_mut()) {
        last.1 = events.t_last - events.t_first;
    }
    spans
}

/// Frame i takes events `i * d .. (i + 1) * d` with d = N / T. The last frame takes the rest.
fn by_number(events: &WindowEvents<'_>, frames: &mut Frames, done: &mut impl FnMut(&Frame)) {
    let share = events.number / frames.left as u64;
    let mut room = share;
    events.for_each(|_, cell| {
        while room == 0 && frames.left > 1 {
            frames.finish(done);
            room = share;
        }
        room = room.saturating_sub(1);
        frames.count(cell);
    });
}

/// Frame i takes `t_first + i * length <= t < t_first + (i + 1) * length`. The last frame takes all
/// later events.
fn by_time(
    events: &WindowEvents<'_>,
    length: i64,
    frames: &mut Frames,
    done: &mut impl FnMut(&Frame),
) {
    if events.sorted {
        let mut end = events.t_first.saturating_add(length);
        events.for_each(|t, cell| {
            while t >= end && frames.left > 1 {
                frames.finish(done);
                end = end.saturating_add(length);
            }
            frames.count(cell);
        });
        return;
    }
    let last = frames.left - 1;
    let index = |t: i64| match length {
        ..=0 => last,
        _ => (t - events.t_first)
            .div_euclid(length)
            .clamp(0, last as i64) as usize,
    };
    // Each group of frames has one pass over the blocks that may have its events, so that memory
    // does not grow with the number of events.
    let at_once = (AT_ONCE / events.sensor().frame_cells()).max(1);
    let mut group: Vec<Frame> = (0..=last.min(at_once - 1))
        .map(|_| Frame::new(events.sensor().frame_cells()))
        .collect();
    let start_of = |frame: usize| {
        let after_first = length.saturating_mul(frame as i64);
        events.t_first.saturating_add(after_first)
    };
    for first in (0..=last).step_by(at_once) {
        let group = &mut group[..at_once.min(last + 1 - first)];
        let next = first + group.len();
        // The outermost frames also take events outside them. If the length is 0, the last frame
        // takes everything.
        let (from, to) = match (first, length) {
            (_, ..=0) => (i64::MIN, i64::MAX),
            (0, _) if next > last => (i64::MIN, i64::MAX),
            (0, _) => (i64::MIN, start_of(next)),
            _ if next > last => (start_of(first), i64::MAX),
            _ => (start_of(first), start_of(next)),
        };
        events.for_each_near(from, to, |t, cell| {
            if let Some(frame) = group.get_mut(index(t).wrapping_sub(first)) {
                frame.count(cell);
            }
        });
        for frame in group {
            done(frame);
            frame.clear();
            frames.left -= 1;
        }
    }
}
