//! A recording: its bytes, its index, and the events of any time window.

use crate::aedat::{self, AedatError, Block, CutShort, EventCounts, EventSummary, Index};
use crate::event::{Event, SensorSize};

/// A recording whose bytes have all been checked.
#[derive(Debug)]
pub struct Recording<'a> {
    bytes: &'a [u8],
    index: Index,
    sensor: SensorSize,
    keep_invalid: bool,
}

/// The events of one window, in file order.
#[derive(Debug)]
pub struct WindowEvents<'a> {
    recording: &'a Recording<'a>,
    start: i64,
    end: i64,
    parts: Vec<Part>,
    /// Number of events.
    pub number: u64,
    /// Time of the first event in file order, in microseconds; 0 if there are none.
    pub t_first: i64,
    /// Time of the last event in file order; 0 if there are none.
    pub t_last: i64,
    /// Whether times never decrease.
    pub sorted: bool,
}

/// A block with events in the window.
#[derive(Debug)]
struct Part {
    /// Position in the index.
    block: u32,
    /// Whether all events of the block are in the window.
    whole: bool,
}

impl<'a> Recording<'a> {
    /// Checks and indexes `bytes`.
    ///
    /// # Errors
    /// Returns an error if the recording is invalid: see [`AedatError`].
    pub fn new(
        bytes: &'a [u8],
        sensor: SensorSize,
        keep_invalid: bool,
    ) -> Result<Self, AedatError> {
        let index = aedat::index(bytes, sensor, keep_invalid)?;
        Ok(Self {
            bytes,
            index,
            sensor,
            keep_invalid,
        })
    }

    pub fn counts(&self) -> EventCounts {
        self.index.counts
    }

    /// `Some` if the recording ends inside its last packet.
    pub fn cut_short(&self) -> Option<CutShort> {
        self.index.cut_short
    }

    /// First and last time of the recording in microseconds; `None` if no event counts.
    pub fn span(&self) -> Option<(i64, i64)> {
        let blocks = self.index.blocks.iter().map(|b| &b.events);
        let first = blocks.clone().map(|e| e.t_min).min()?;
        let last = blocks.map(|e| e.t_max).max()?;
        Some((first, last))
    }

    /// Selects every event that counts with `start <= t < end` (microseconds).
    pub fn window(&'a self, start: i64, end: i64) -> WindowEvents<'a> {
        let mut all = EventSummary::EMPTY;
        let mut parts = Vec::new();
        let overlapping = |b: &Block| b.events.t_max >= start && b.events.t_min < end;
        let blocks = (0..).zip(&self.index.blocks);
        for (i, block) in blocks.filter(|(_, b)| overlapping(b)) {
            let whole = block.events.t_min >= start && block.events.t_max < end;
            let events = if whole {
                block.events
            } else {
                self.part_of(block, start, end)
            };
            if events.kept > 0 {
                all.append(&events);
                parts.push(Part { block: i, whole });
            }
        }
        WindowEvents {
            recording: self,
            start,
            end,
            parts,
            number: all.kept,
            t_first: all.t_first,
            t_last: all.t_last,
            sorted: all.sorted,
        }
    }

    /// Summarises the events of `block` in the window from `start` to `end`. This is for blocks
    /// that the window covers only in part.
    fn part_of(&self, block: &Block, start: i64, end: i64) -> EventSummary {
        let mut part = EventSummary::EMPTY;
        block.for_each(self.bytes, |e| {
            if (e.valid || self.keep_invalid) && e.t >= start && e.t < end {
                part.append(&EventSummary {
                    kept: 1,
                    t_min: e.t,
                    t_max: e.t,
                    t_first: e.t,
                    t_last: e.t,
                    sorted: true,
                });
            }
        });
        part
    }
}

impl WindowEvents<'_> {
    pub fn sensor(&self) -> SensorSize {
        self.recording.sensor
    }

    /// Calls `event` with the time (microseconds) and the cell (index into `[polarity, y, x]`) of
    /// every event.
    #[inline]
    pub fn for_each(&self, event: impl FnMut(i64, usize)) {
        self.for_each_near(i64::MIN, i64::MAX, event);
    }

    /// Like [`WindowEvents::for_each`], but skips blocks whose events are all before `from`, or all
    /// at `to` or later.
    #[inline]
    pub fn for_each_near(&self, from: i64, to: i64, mut event: impl FnMut(i64, usize)) {
        let SensorSize { width, height } = self.recording.sensor;
        let keep_invalid = self.recording.keep_invalid;
        let mut count = |e: Event| {
            let row = u32::from(e.polarity) * height + u32::from(e.y);
            event(e.t, (row * width + u32::from(e.x)) as usize);
        };
        let Recording { bytes, index, .. } = self.recording;
        let (start, end) = (self.start, self.end);
        for part in &self.parts {
            let block = &index.blocks[part.block as usize];
            if block.events.t_max < from || block.events.t_min >= to {
                continue;
            }
            if part.whole {
                block.for_each(bytes, |e| {
                    if e.valid || keep_invalid {
                        count(e);
                    }
                });
            } else {
                block.for_each(bytes, |e| {
                    if (e.valid || keep_invalid) && e.t >= start && e.t < end {
                        count(e);
                    }
                });
            }
        }
    }
}
