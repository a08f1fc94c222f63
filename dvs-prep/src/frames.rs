//! A sample's events, divided into frames and counted per cell.
//!
//! The semantics are SpikingJelly 2.0's (`integrate_events_by_fixed_frames_number`,
//! `integrate_events_by_fixed_duration`). Two cases it leaves open are settled here so that every event is in
//! exactly one frame: an empty slice of time is an empty frame, and where times go backwards an event goes to the
//! frame of its own time, the nearest frame where that lies outside the sample.

use dvs_shared::split_mode::SplitMode;

use crate::recording::WindowEvents;

/// The most frames of a fixed duration a sample may have.
pub const MAX_FRAMES_BY_DURATION: i64 = 65_536;

/// T for a sample; `Err` holds the number a too short duration would give.
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

/// Counts `events` into `frames` frames (see [`frame_count`]) and calls `done` with each in turn: `[2, H, W]` counts.
pub fn integrate(
    events: &WindowEvents<'_>,
    split: SplitMode,
    frames: usize,
    mut done: impl FnMut(&[u32]),
) {
    let mut frame = Frame {
        counts: vec![0; events.sensor().frame_cells()],
        left: frames,
    };
    match split {
        SplitMode::Number { .. } => by_number(events, &mut frame, &mut done),
        SplitMode::Time { .. } => {
            let length = (events.t_last - events.t_first).div_euclid(frames as i64);
            by_time(events, length, &mut frame, &mut done);
        }
        SplitMode::Duration { us } => {
            by_time(
                events,
                i64::try_from(us).unwrap_or(i64::MAX),
                &mut frame,
                &mut done,
            );
        }
    }
    while frame.left > 0 {
        frame.finish(&mut done);
    }
}

/// The frame being counted.
struct Frame {
    counts: Vec<u32>,
    /// Frames not yet finished, this one included.
    left: usize,
}

impl Frame {
    #[inline]
    fn count(&mut self, cell: usize) {
        // A recording's index has checked every coordinate, so no cell lies outside.
        if let Some(count) = self.counts.get_mut(cell) {
            *count += 1;
        }
    }

    fn finish(&mut self, done: &mut impl FnMut(&[u32])) {
        done(&self.counts);
        self.counts.fill(0);
        self.left -= 1;
    }
}

/// Frame i takes events `i * d .. (i + 1) * d` with d = N / T, the last all that are left.
fn by_number(events: &WindowEvents<'_>, frame: &mut Frame, done: &mut impl FnMut(&[u32])) {
    let share = events.number / frame.left as u64;
    let mut room = share;
    events.for_each(|_, cell| {
        while room == 0 && frame.left > 1 {
            frame.finish(done);
            room = share;
        }
        room = room.saturating_sub(1);
        frame.count(cell);
    });
}

/// Frame i takes `t_first + i * length <= t < t_first + (i + 1) * length`, the last all later ones.
fn by_time(
    events: &WindowEvents<'_>,
    length: i64,
    frame: &mut Frame,
    done: &mut impl FnMut(&[u32]),
) {
    if events.sorted {
        let mut end = events.t_first.saturating_add(length);
        events.for_each(|t, cell| {
            while t >= end && frame.left > 1 {
                frame.finish(done);
                end = end.saturating_add(length);
            }
            frame.count(cell);
        });
        return;
    }
    let last = frame.left - 1;
    let index = |t: i64| match length {
        ..=0 => last,
        _ => (t - events.t_first)
            .div_euclid(length)
            .clamp(0, last as i64) as usize,
    };
    let mut placed = Vec::with_capacity(events.number as usize);
    events.for_each(|t, cell| placed.push((index(t), cell)));
    placed.sort_by_key(|&(i, _)| i);
    let mut current = 0;
    for (i, cell) in placed {
        while current < i {
            frame.finish(done);
            current += 1;
        }
        frame.count(cell);
    }
}
