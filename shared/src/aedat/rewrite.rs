//! Copies a recording and changes or leaves out some of its events. Every packet keeps its offset.
//! Few recordings need a copy; all others are read in place.

use super::header::FileHeader;
use super::layout::{EVENT_BYTES, POLARITY_EVENT};
use super::packet::{Header, u32_at};
use super::{AedatError, EventCounts, PACKET_HEADER};
use crate::event::SensorSize;

/// Byte of `eventNumber` in a packet's header.
const NUMBER: usize = 20;
const Y_SHIFT: u32 = 2;
const Y_MASK: u32 = 0x7fff << Y_SHIFT;

/// The changes to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Flips y on a camera of this size.
    pub flip_y: Option<SensorSize>,
    /// Keeps only the events of this camera.
    pub source: Option<u16>,
    /// Leaves out events outside this sensor, unless their valid bit is clear and `keep_invalid` is
    /// not set.
    pub inside: Option<SensorSize>,
    /// Whether events with a clear valid bit count.
    pub keep_invalid: bool,
}

/// Numbers of events that a copy leaves out.
#[derive(Debug, Default)]
struct LeftOut {
    /// Events outside the sensor.
    outside: u64,
    /// Events of other cameras.
    other_cameras: u64,
    /// Events whose y cannot be flipped because the camera has fewer rows.
    unflippable: u64,
    /// Byte, column and row of the first of these.
    first_unflippable: Option<(usize, u16, u16)>,
    /// Events that were examined and count.
    seen: u64,
}

/// Returns a copy of `recording` with the changes in `rewrite`, and the numbers of events left out.
/// Events of other cameras are counted as events of other types. Departures from the format are
/// copied, so that [`index`](super::index) finds them.
///
/// # Errors
/// Returns an error if the file header is invalid, or if y is to be flipped, an event lies outside
/// the camera and `inside` is not set.
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
                left_out.other_cameras += events as u64;
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
    if let (Some((offset, x, y)), Some(camera)) = (left_out.first_unflippable, rewrite.flip_y) {
        return Err(AedatError::OutsideCamera {
            offset,
            x,
            y,
            camera,
            number: left_out.unflippable,
            of: left_out.seen,
        });
    }
    let counts = EventCounts {
        outside: left_out.outside,
        other_types: left_out.other_cameras,
        ..EventCounts::default()
    };
    Ok((bytes, counts))
}

impl Rewrite {
    /// Rewrites the events, closes the gaps of those that are left out, and returns how many are
    /// kept. Each event has `size` bytes; the first begins at byte `offset` of the recording.
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
            if let Some(camera) = self.flip_y {
                match camera.height.checked_sub(1 + u32::from(y)) {
                    Some(turned) => word = word & !Y_MASK | turned << Y_SHIFT,
                    None => outside = true,
                }
            }
            if outside && counts && self.inside.is_none() {
                left_out.unflippable += 1;
                left_out
                    .first_unflippable
                    .get_or_insert((offset + at, x, y));
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
