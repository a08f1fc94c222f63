//! One recording: its bytes, their index, and the events of any window of time.

use dvs_shared::Event;
use dvs_shared::event::SensorSize;

use crate::aedat::{self, AedatError, EventCounts, Index, Packet};

/// A recording that has been checked from end to end.
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
    parts: Vec<Part>,
    /// How many there are.
    pub number: u64,
    /// Time of the first, in microseconds; 0 where there are none.
    pub t_first: i64,
    /// Time of the last in file order; 0 where there are none.
    pub t_last: i64,
    /// Whether their times never decrease.
    pub sorted: bool,
}

/// A packet that holds events of the window.
#[derive(Debug)]
enum Part {
    /// All that count.
    Whole(Packet),
    /// Those with `start <= t < end`.
    Between(Packet, i64, i64),
}

impl<'a> Recording<'a> {
    /// Checks and indexes `bytes`.
    ///
    /// # Errors
    /// See [`AedatError`].
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

    /// What the recording holds.
    pub fn counts(&self) -> EventCounts {
        self.index.counts
    }

    /// First and last moment of the recording in microseconds, or `None` where no event counts.
    pub fn span(&self) -> Option<(i64, i64)> {
        let packets = &self.index.packets;
        let first = packets.iter().map(|p| p.t_min).min()?;
        let last = packets.iter().map(|p| p.t_max).max()?;
        Some((first, last))
    }

    /// Every event that counts with `start <= t < end` (microseconds).
    pub fn window(&'a self, start: i64, end: i64) -> WindowEvents<'a> {
        let mut events = WindowEvents {
            recording: self,
            parts: Vec::new(),
            number: 0,
            t_first: 0,
            t_last: 0,
            sorted: true,
        };
        let overlapping = |p: &&Packet| p.t_max >= start && p.t_min < end;
        for packet in self.index.packets.iter().filter(overlapping) {
            let whole = packet.t_min >= start && packet.t_max < end;
            if whole {
                events.append(packet.kept, packet.t_first, packet.t_last, packet.sorted);
                events.parts.push(Part::Whole(*packet));
                continue;
            }
            let (mut number, mut t_first, mut t_last, mut sorted) = (0, 0, i64::MIN, true);
            packet.for_each(self.bytes, |e| {
                if (e.valid || self.keep_invalid) && e.t >= start && e.t < end {
                    sorted &= e.t >= t_last;
                    t_first = if number == 0 { e.t } else { t_first };
                    t_last = e.t;
                    number += 1;
                }
            });
            if number > 0 {
                events.append(number, t_first, t_last, sorted);
                events.parts.push(Part::Between(*packet, start, end));
            }
        }
        events
    }
}

impl WindowEvents<'_> {
    fn append(&mut self, number: u64, t_first: i64, t_last: i64, sorted: bool) {
        if self.number == 0 {
            self.t_first = t_first;
        } else {
            self.sorted &= t_first >= self.t_last;
        }
        self.sorted &= sorted;
        self.t_last = t_last;
        self.number += number;
    }

    /// Size of the sensor they come from.
    pub fn sensor(&self) -> SensorSize {
        self.recording.sensor
    }

    /// Calls `event` with the time (microseconds) and the cell (index into `[polarity, y, x]`) of every event.
    #[inline]
    pub fn for_each(&self, mut event: impl FnMut(i64, usize)) {
        let SensorSize { width, height } = self.recording.sensor;
        let keep_invalid = self.recording.keep_invalid;
        let mut count = |e: Event| {
            let row = u32::from(e.polarity) * height + u32::from(e.y);
            event(e.t, (row * width + u32::from(e.x)) as usize);
        };
        let bytes = self.recording.bytes;
        for part in &self.parts {
            match *part {
                Part::Whole(packet) => packet.for_each(bytes, |e| {
                    if e.valid || keep_invalid {
                        count(e);
                    }
                }),
                Part::Between(packet, start, end) => packet.for_each(bytes, |e| {
                    if (e.valid || keep_invalid) && e.t >= start && e.t < end {
                        count(e);
                    }
                }),
            }
        }
    }
}
