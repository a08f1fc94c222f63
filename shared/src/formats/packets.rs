//! Converts events to the form that is indexed: AEDAT 3.1 packets in memory.

use thiserror::Error;

use crate::aedat::{EVENT_BYTES, FIRST_LINES, PACKET_HEADER, POLARITY_EVENT, encode, outside};
use crate::event::{Event, SensorSize};

/// Events of a packet, which is thus about one block of the index.
const PACKET_EVENTS: usize = 512;
/// Byte of the header at which its three numbers of events stand.
const NUMBERS: usize = 16;

/// Why an event cannot be counted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EventError {
    /// Events lie outside the sensor.
    #[error("x = {x}, y = {y} lies {}", outside(*.sensor, *.number, *.of))]
    OutsideSensor {
        /// Column of the first such event.
        x: i64,
        /// Row of the first such event.
        y: i64,
        sensor: SensorSize,
        /// Number of events outside.
        number: u64,
        /// Number of all events.
        of: u64,
    },
    /// The time is negative or beyond the limit of 2^62 us.
    #[error("t = {t} us is negative, or beyond the limit of 2^62 us")]
    Time {
        /// The time in microseconds.
        t: i64,
    },
    /// There are more events than memory allows.
    #[error(
        "there are more than {limit} events, the limit for a file of its size, which --memory raises"
    )]
    TooMany {
        /// Most events allowed.
        limit: usize,
    },
}

/// Packets under construction.
pub(super) struct Packets {
    bytes: Vec<u8>,
    sensor: SensorSize,
    limit: usize,
    /// Number of events added.
    taken: usize,
    /// Events outside the sensor, which are left out.
    outside: u64,
    /// Position, column and row of the first event outside the sensor.
    first_outside: Option<(u64, i64, i64)>,
    /// Overflow of the current packet's times.
    overflow: u32,
    /// Start of the current packet.
    packet: usize,
    /// Length of the recording at which the current packet has all its events.
    full: usize,
}

/// Finished packets.
pub(super) struct Packed {
    /// A recording: a header and the packets.
    pub packets: Vec<u8>,
    /// Number of events in the packets.
    pub number: u64,
    /// Events outside the sensor, which were left out.
    pub outside: u64,
}

impl Packets {
    /// Creates packets for at most `limit` events of `sensor`, with room for `expected` events.
    pub(super) fn new(sensor: SensorSize, limit: usize, expected: usize) -> Self {
        let expected = expected.min(limit);
        let headers = FIRST_LINES.len() + (expected / PACKET_EVENTS + 2) * PACKET_HEADER;
        let mut bytes = Vec::with_capacity(headers + expected * EVENT_BYTES);
        bytes.extend_from_slice(FIRST_LINES);
        Self {
            bytes,
            sensor,
            limit,
            taken: 0,
            outside: 0,
            first_outside: None,
            overflow: 0,
            // There is no packet yet.
            packet: FIRST_LINES.len(),
            full: 0,
        }
    }

    /// Number of events so far, those outside the sensor too.
    pub(super) fn pushed(&self) -> u64 {
        self.taken as u64 + self.outside
    }

    /// Appends an event, unless it lies outside the sensor. `place` is its position in the file.
    #[inline]
    pub(super) fn push(
        &mut self,
        place: u64,
        t: i64,
        (x, y): (i64, i64),
        polarity: bool,
    ) -> Result<(), EventError> {
        let SensorSize { width, height } = self.sensor;
        if !(0..i64::from(width)).contains(&x) || !(0..i64::from(height)).contains(&y) {
            self.outside += 1;
            self.first_outside.get_or_insert((place, x, y));
            return Ok(());
        }
        self.begin(t, 1)?;
        self.bytes.extend(encode(Event {
            t,
            x: x as u16,
            y: y as u16,
            polarity,
            valid: true,
        }));
        Ok(())
    }

    /// Appends an event for each bit i of `mask`, at the column `x` + i, unless it lies outside the
    /// sensor.
    #[inline]
    pub(super) fn push_vector(
        &mut self,
        place: u64,
        t: i64,
        (x, y): (i64, i64),
        polarity: bool,
        mut mask: u32,
    ) -> Result<(), EventError> {
        let SensorSize { width, height } = self.sensor;
        let is_inside = x >= 0
            && x + i64::from(u32::BITS - mask.leading_zeros()) <= i64::from(width)
            && (0..i64::from(height)).contains(&y);
        if is_inside && mask != 0 {
            self.begin(t, mask.count_ones() as usize)?;
        }
        while mask != 0 {
            let x = x + i64::from(mask.trailing_zeros());
            mask &= mask - 1;
            if is_inside {
                self.bytes.extend(encode(Event {
                    t,
                    x: x as u16,
                    y: y as u16,
                    polarity,
                    valid: true,
                }));
            } else {
                self.push(place, t, (x, y), polarity)?;
            }
        }
        Ok(())
    }

    /// Makes sure that `events` events of the time `t` may follow in the current packet.
    #[inline]
    fn begin(&mut self, t: i64, events: usize) -> Result<(), EventError> {
        if !(0..1 << 62).contains(&t) {
            return Err(EventError::Time { t });
        }
        if events > self.limit - self.taken {
            return Err(EventError::TooMany { limit: self.limit });
        }
        self.taken += events;
        let overflow = (t >> 31) as u32;
        if overflow != self.overflow || self.bytes.len() >= self.full {
            self.end_packet();
            self.begin_packet(overflow);
        }
        Ok(())
    }

    /// Writes the header of a packet, whose number of events is not known yet.
    fn begin_packet(&mut self, overflow: u32) {
        self.overflow = overflow;
        self.packet = self.bytes.len();
        self.full = self.packet + PACKET_HEADER + PACKET_EVENTS * EVENT_BYTES;
        self.bytes.extend(POLARITY_EVENT.to_le_bytes());
        self.bytes.extend(0u16.to_le_bytes());
        for field in [EVENT_BYTES as u32, 4, overflow, 0, 0, 0] {
            self.bytes.extend(field.to_le_bytes());
        }
    }

    /// Writes the number of events into the header of the current packet, if there is one.
    fn end_packet(&mut self) {
        let (Some(length), Some(numbers)) = (
            self.bytes.len().checked_sub(self.packet + PACKET_HEADER),
            self.bytes
                .get_mut(self.packet + NUMBERS..self.packet + PACKET_HEADER),
        ) else {
            return;
        };
        let number = ((length / EVENT_BYTES) as u32).to_le_bytes();
        numbers.copy_from_slice(&[number; 3].concat());
    }

    /// Finishes the packets.
    ///
    /// # Errors
    /// Returns an error if events lie outside the sensor and `ignore_outside` is not set, together
    /// with the position of the first of them.
    pub(super) fn finish(mut self, ignore_outside: bool) -> Result<Packed, (u64, EventError)> {
        let number = self.taken as u64;
        if let Some((place, x, y)) = self.first_outside.filter(|_| !ignore_outside) {
            let error = EventError::OutsideSensor {
                x,
                y,
                sensor: self.sensor,
                number: self.outside,
                of: number + self.outside,
            };
            return Err((place, error));
        }
        self.end_packet();
        Ok(Packed {
            packets: self.bytes,
            number,
            outside: self.outside,
        })
    }
}
