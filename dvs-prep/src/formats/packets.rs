//! Events on their way into the form in which recordings are indexed: packets of AEDAT 3.1, in memory.

use dvs_shared::{Event, SensorSize};
use thiserror::Error;

use crate::aedat::{EVENT_BYTES, FIRST_LINES, PACKET_HEADER, POLARITY_EVENT, encode};

/// Events of a packet: one block of the index, about.
const PACKET_EVENTS: usize = 512;

/// An event that cannot be counted.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EventError {
    /// An event outside the sensor.
    #[error(
        "x = {x}, y = {y} lies beyond the sensor's {sensor} pixels; --sensor names another size"
    )]
    OutsideSensor {
        /// Its column.
        x: i64,
        /// Its row.
        y: i64,
        /// The sensor.
        sensor: SensorSize,
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
    /// Events that may still come.
    room: usize,
    limit: usize,
    /// The overflow of the current packet's times.
    overflow: u32,
    events: Vec<u8>,
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
            room: limit,
            limit,
            overflow: 0,
            events: Vec::with_capacity(PACKET_EVENTS * EVENT_BYTES),
        }
    }

    /// Appends an event.
    pub(super) fn push(
        &mut self,
        t: i64,
        x: i64,
        y: i64,
        polarity: bool,
    ) -> Result<(), EventError> {
        let SensorSize { width, height } = self.sensor;
        if !(0..i64::from(width)).contains(&x) || !(0..i64::from(height)).contains(&y) {
            let sensor = self.sensor;
            return Err(EventError::OutsideSensor { x, y, sensor });
        }
        if !(0..1 << 62).contains(&t) {
            return Err(EventError::Time { t });
        }
        if self.room == 0 {
            return Err(EventError::TooMany { limit: self.limit });
        }
        self.room -= 1;
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

    /// The packets, behind a header: a recording.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end_packet();
        self.bytes
    }
}
