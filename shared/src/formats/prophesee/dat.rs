//! DAT: one 64-bit word for every event.
//!
//! Source: <https://docs.prophesee.ai/stable/data/file_formats/dat.html>. After the header, two
//! bytes give the type and the size of the events. An event is a time of 32 bits, 14 bits of x, 14
//! bits of y and 4 bits of polarity. Times wrap around after 71 minutes.

use super::PropheseeError;
use super::reading::{Reading, Unplaced};
use crate::formats::clock::{Clock, MINUTE};

pub(super) const WORD: usize = 8;
/// Bytes that give the type and the size of the events.
pub(super) const PREFIX: usize = 2;
/// Types of brightness changes: without and with a name of their own.
const CHANGES: [u8; 2] = [0x00, 0x0c];
const TIME_BITS: u32 = 32;

/// The bytes after type and size, which are at byte `start`.
///
/// # Errors
/// Returns an error if the events are not brightness changes.
pub(super) fn events(bytes: &[u8], start: usize) -> Result<&[u8], PropheseeError> {
    let Some((&[kind, size], events)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(PropheseeError::DatCut { offset: start });
    };
    if usize::from(size) != WORD || !CHANGES.contains(&kind) {
        return Err(PropheseeError::DatEvents {
            offset: start,
            kind,
            size,
        });
    }
    Ok(events)
}

/// Reads the events, the first of which is at byte `start`.
pub(super) fn decode(
    events: &[u8],
    start: usize,
    reading: &mut Reading,
) -> Result<(), PropheseeError> {
    let mut clock = Clock::new(TIME_BITS, MINUTE);
    let (words, _) = events.as_chunks::<WORD>();
    for (i, &[a, b, c, d, e, f, g, h]) in words.iter().enumerate() {
        let offset = start + i * WORD;
        let t = clock.time(u32::from_le_bytes([a, b, c, d]).into());
        let word = u32::from_le_bytes([e, f, g, h]);
        let place = (i64::from(word & 0x3fff), i64::from(word >> 14 & 0x3fff));
        match word >> 28 {
            polarity @ 0..=1 => reading.event(offset, t, place, polarity == 1)?,
            other => reading.unplaced(offset, 1, Unplaced::Polarity(other as u8)),
        }
    }
    Ok(())
}
