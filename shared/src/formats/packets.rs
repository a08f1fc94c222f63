//! Events on their way into the form in which recordings are indexed: packets of AEDAT 3.1, in memory.

use thiserror::Error;

use crate::aedat::{EVENT_BYTES, FIRST_LINES, PACKET_HEADER, POLARITY_EVENT, encode, outside};
use crate::{Event, SensorSize};

/// Events of a packet: one block of the index, about.
const PACKET_EVENTS: usize = 512;

/// An event that cannot be counted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EventError {
    /// Events outside the sensor.
    #[error("x = {x}, y = {y} lies {}", outside(*.sensor, *.number, *.of))]
    OutsideSensor {
        /// Column of the first.
        x: i64,
        /// Its row.
        y: i64,
        /// The sensor.
        sensor: SensorSize,
        /// How many lie outside.
        number: u64,
        /// Events that there are.
        of: u64,
    },
    /// A time before the clock began.
    #[error("t = {t} us is negative, or beyond the limit of 2^62 us")]
    Time {
        /// The time.
        t: i64,
    },
    /// More events than memory has room for.
    #[error(
        "there are more than {limit} events, the limit for a file of its size, which --memory raises"
    )]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// Packets that are being filled.
pub(super) struct Packets {
    bytes: Vec<u8>,
    sensor: SensorSize,
    limit: usize,
    /// Events that were taken.
    taken: usize,
    /// Events outside the sensor, which are left out.
    outside: u64,
    /// Place, column and row of the first of those.
    first_outside: Option<(u64, i64, i64)>,
    /// The overflow of the current packet's times.
    overflow: u32,
    events: Vec<u8>,
}

/// Packets that are full.
pub(super) struct Packed {
    /// The packets, behind a header: a recording.
    pub packets: Vec<u8>,
    /// Events in them.
    pub number: u64,
    /// Events outside the sensor, which are not in them.
    pub outside: u64,
}

impl Packets {
    /// No packets yet, of events of `sensor`, `limit` at most. There is room for the events that are `expected`.
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
            events: Vec::with_capacity(PACKET_EVENTS * EVENT_BYTES),
        }
    }

    /// Appends an event, unless it lies outside the sensor. `place` is where it stands in its file.
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
        if !(0..1 << 62).contains(&t) {
            return Err(EventError::Time { t });
        }
        if self.taken >= self.limit {
            return Err(EventError::TooMany { limit: self.limit });
        }
        self.taken += 1;
        let overflow = (t >> 31) as u32;
        if overflow != self.overflow || self.events.len() >= PACKET_EVENTS * EVENT_BYTES {
            self.end_packet();
            self.overflow = overflow;
        }
        self.events.extend(encode(Event {
            t,
            x: x as u16,
            y: y as u16,
            polarity,
            valid: true,
        }));
        Ok(())
    }

    fn end_packet(&mut self) {
        let number = (self.events.len() / EVENT_BYTES) as u32;
        if number == 0 {
            return;
        }
        self.bytes.extend(POLARITY_EVENT.to_le_bytes());
        self.bytes.extend(0u16.to_le_bytes());
        for field in [EVENT_BYTES as u32, 4, self.overflow, number, number, number] {
            self.bytes.extend(field.to_le_bytes());
        }
        self.bytes.append(&mut self.events);
    }

    /// The packets.
    ///
    /// # Errors
    /// If events lie outside the sensor and `ignore_outside` is not set: the place of the first of them, and the error.
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
