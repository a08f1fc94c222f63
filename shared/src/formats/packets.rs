//! Converts events to the form that is indexed: AEDAT 3.1 packets in memory.

use thiserror::Error;

use crate::aedat::{EVENT_BYTES, FIRST_LINES, PACKET_HEADER, POLARITY_EVENT, encode, outside};
use crate::event::{Event, SensorSize};

/// Events of a packet, which is thus about one block of the index.
const PACKET_EVENTS: usize = 512;

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
    events: Vec<u8>,
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
            events: Vec::with_capacity(PACKET_EVENTS * EVENT_BYTES),
        }
    }

    /// Appends an event, unless it lies outside the sensor. `place` is its position in the file.
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
