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
    start: i64,
    end: i64,
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
struct Part {
    /// Its place in the index.
    packet: u32,
    /// Whether all its events are the window's.
    whole: bool,
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
            start,
            end,
            parts: Vec::new(),
            number: 0,
            t_first: 0,
            t_last: 0,
            sorted: true,
        };
        let packets = (0..).zip(&self.index.packets);
        for (i, packet) in packets.filter(|(_, p)| p.t_max >= start && p.t_min < end) {
            let whole = packet.t_min >= start && packet.t_max < end;
            let seen = if whole {
                Some(*packet)
            } else {
                self.part_of(packet, start, end)
            };
            if let Some(seen) = seen {
                events.append(&seen);
                events.parts.push(Part { packet: i, whole });
            }
        }
        events
    }

    /// What a packet holds of a window that does not hold all of it.
    fn part_of(&self, packet: &Packet, start: i64, end: i64) -> Option<Packet> {
        let (mut number, mut t_first, mut t_last, mut sorted) = (0, 0, i64::MIN, true);
        packet.for_each(self.bytes, |e| {
            if (e.valid || self.keep_invalid) && e.t >= start && e.t < end {
                sorted &= e.t >= t_last;
                t_first = if number == 0 { e.t } else { t_first };
                t_last = e.t;
                number += 1;
            }
        });
        let mut part = *packet;
        (part.kept, part.t_first, part.t_last, part.sorted) = (number, t_first, t_last, sorted);
        (number > 0).then_some(part)
    }
}

impl WindowEvents<'_> {
    fn append(&mut self, packet: &Packet) {
        if self.number == 0 {
            self.t_first = packet.t_first;
        } else {
            self.sorted &= packet.t_first >= self.t_last;
        }
        self.sorted &= packet.sorted;
        self.t_last = packet.t_last;
        self.number += packet.kept;
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
        let Recording { bytes, index, .. } = self.recording;
        let (start, end) = (self.start, self.end);
        for part in &self.parts {
            let packet = &index.packets[part.packet as usize];
            if part.whole {
                packet.for_each(bytes, |e| {
                    if e.valid || keep_invalid {
                        count(e);
                    }
                });
            } else {
                packet.for_each(bytes, |e| {
                    if (e.valid || keep_invalid) && e.t >= start && e.t < end {
                        count(e);
                    }
                });
            }
        }
    }
}
