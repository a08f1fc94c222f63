//! Copies a recording and changes or leaves out some of its events. Every packet keeps its place. Few recordings need this;
//! all others are read where they lie.

use super::header::FileHeader;
use super::layout::{EVENT_BYTES, POLARITY_EVENT};
use super::packet::{Header, u32_at};
use super::{AedatError, EventCounts, PACKET_HEADER};
use crate::SensorSize;

/// Byte of `eventNumber` in a packet's header.
const NUMBER: usize = 20;
const Y_SHIFT: u32 = 2;
const Y_MASK: u32 = 0x7fff << Y_SHIFT;

/// What is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Turns y upside down on this camera.
    pub turn_y: Option<SensorSize>,
    /// Leaves out the events of all cameras but this one.
    pub source: Option<u16>,
    /// Leaves out events outside this sensor, unless their valid bit is clear and `keep_invalid` is not set.
    pub inside: Option<SensorSize>,
    /// Whether events with a clear valid bit count.
    pub keep_invalid: bool,
}

/// What was left out of a copy.
#[derive(Debug, Default)]
struct LeftOut {
    /// Events outside the sensor.
    outside: u64,
    /// Events of other cameras.
    of_others: u64,
    /// Events whose y cannot be turned, because the camera has fewer rows.
    not_turned: u64,
    /// Byte, column and row of the first of those.
    first_not_turned: Option<(usize, u16, u16)>,
    /// Events that were looked at.
    seen: u64,
}

/// A copy of `recording` with the changes that `rewrite` asks for, and what was left out: events outside the sensor, and
/// those of other cameras as events of other types. What departs from the format stays as it is, for
/// [`index`](super::index) to find.
///
/// # Errors
/// If it does not begin as a recording does, or if y is to be turned and an event lies outside the camera.
pub fn rewrite(recording: &[u8], rewrite: Rewrite) -> Result<(Vec<u8>, EventCounts), AedatError> {
    let mut at = FileHeader::read(recording)?.end;
    let mut bytes = recording.to_vec();
    let mut left_out = LeftOut::default();
    while let Some(header) = Header::at(recording, at) {
        let left = recording.len() - at - PACKET_HEADER;
        let size = header.size as usize;
        let polarity = header.event_type == POLARITY_EVENT;
        if polarity && size >= EVENT_BYTES && header.number <= header.capacity {
            let events = header.events_in(left) as usize;
            let other = rewrite.source.is_some_and(|source| source != header.source);
            let packet = &mut bytes[at..][..PACKET_HEADER + events * size];
            let kept = if other {
                left_out.of_others += events as u64;
                0
            } else {
                let offset = at + PACKET_HEADER;
                rewrite.events(&mut packet[PACKET_HEADER..], size, offset, &mut left_out)
            };
            if kept < events {
                packet[NUMBER..][..4].copy_from_slice(&(kept as u32).to_le_bytes());
            }
        }
        if header.bytes() > left as u64 {
            break;
        }
        at += PACKET_HEADER + header.bytes() as usize;
    }
    if let (Some((offset, x, y)), Some(camera)) = (left_out.first_not_turned, rewrite.turn_y) {
        return Err(AedatError::OutsideCamera {
            offset,
            x,
            y,
            camera,
            number: left_out.not_turned,
            of: left_out.seen,
        });
    }
    let counts = EventCounts {
        outside: left_out.outside,
        other_types: left_out.of_others,
        ..EventCounts::default()
    };
    Ok((bytes, counts))
}

impl Rewrite {
    /// Changes events of `size` bytes each, which lie at byte `offset`, moves those that stay to the front, and returns how
    /// many they are.
    fn events(
        &self,
        events: &mut [u8],
        size: usize,
        offset: usize,
        left_out: &mut LeftOut,
    ) -> usize {
        let mut kept = 0;
        for at in (0..events.len()).step_by(size) {
            let mut word = u32_at(events, at);
            let (x, y) = ((word >> 17) as u16, ((word & Y_MASK) >> Y_SHIFT) as u16);
            let counts = self.keep_invalid || word & 1 != 0;
            left_out.seen += u64::from(counts);
            let mut outside = false;
            if let Some(camera) = self.turn_y {
                match camera.height.checked_sub(1 + u32::from(y)) {
                    Some(turned) => word = word & !Y_MASK | turned << Y_SHIFT,
                    None => outside = true,
                }
            }
            if outside && counts && self.inside.is_none() {
                left_out.not_turned += 1;
                left_out.first_not_turned.get_or_insert((offset + at, x, y));
            }
            let y = ((word & Y_MASK) >> Y_SHIFT) as u16;
            outside |= self.inside.is_some_and(|sensor| !sensor.contains(x, y));
            if outside && counts {
                left_out.outside += 1;
                continue;
            }
            events.copy_within(at..at + size, kept * size);
            events[kept * size..][..4].copy_from_slice(&word.to_le_bytes());
            kept += 1;
        }
        kept
    }
}
