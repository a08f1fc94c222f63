//! A recording with some of its events changed or left out, in a copy in which every packet stays where it is: for what
//! few recordings need, so that the others are read where they lie.

use super::header::FileHeader;
use super::layout::{EVENT_BYTES, POLARITY_EVENT};
use super::packet::{Header, u32_at};
use super::{AedatError, PACKET_HEADER};
use crate::SensorSize;

/// Byte of `eventNumber` in a packet's header.
const NUMBER: usize = 20;
const Y_SHIFT: u32 = 2;
const Y_MASK: u32 = 0x7fff << Y_SHIFT;

/// What is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Turns y upside down on a camera of so many rows.
    pub turn_y: Option<u32>,
    /// Leaves out the events of all cameras but this one.
    pub source: Option<u16>,
    /// Leaves out events outside this sensor, unless their valid bit is clear and `keep_invalid` is not set.
    pub inside: Option<SensorSize>,
    /// Whether events with a clear valid bit count.
    pub keep_invalid: bool,
}

/// A copy of `recording` with the changes that `rewrite` asks for, and how many events outside the sensor were left out.
/// What departs from the format stays as it is, for [`index`](super::index) to find.
///
/// # Errors
/// If it does not begin as a recording does.
pub fn rewrite(recording: &[u8], rewrite: Rewrite) -> Result<(Vec<u8>, u64), AedatError> {
    let mut at = FileHeader::read(recording)?.end;
    let mut bytes = recording.to_vec();
    let mut outside = 0;
    while let Some(header) = Header::at(recording, at) {
        let left = recording.len() - at - PACKET_HEADER;
        let size = header.size as usize;
        let polarity = header.event_type == POLARITY_EVENT;
        if polarity && size >= EVENT_BYTES && header.number <= header.capacity {
            let events = header.events_in(left) as usize;
            let other = rewrite.source.is_some_and(|source| source != header.source);
            let packet = &mut bytes[at..][..PACKET_HEADER + events * size];
            let kept = match other {
                true => 0,
                false => rewrite.events(&mut packet[PACKET_HEADER..], size, &mut outside),
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
    Ok((bytes, outside))
}

impl Rewrite {
    /// Changes events of `size` bytes each, moves those that stay to the front, and returns how many they are.
    fn events(&self, events: &mut [u8], size: usize, outside: &mut u64) -> usize {
        let mut kept = 0;
        for at in (0..events.len()).step_by(size) {
            let mut word = u32_at(events, at);
            let (x, y) = ((word >> 17) as u16, ((word & Y_MASK) >> Y_SHIFT) as u16);
            let counts = self.keep_invalid || word & 1 != 0;
            if let Some(rows) = self.turn_y {
                // One beyond the last row comes out beyond it again.
                let turned = rows.wrapping_sub(1 + u32::from(y));
                word = word & !Y_MASK | turned << Y_SHIFT & Y_MASK;
            }
            let y = ((word & Y_MASK) >> Y_SHIFT) as u16;
            if counts && self.inside.is_some_and(|sensor| !sensor.contains(x, y)) {
                *outside += 1;
                continue;
            }
            events.copy_within(at..at + size, kept * size);
            events[kept * size..][..4].copy_from_slice(&word.to_le_bytes());
            kept += 1;
        }
        kept
    }
}
