//! Decides whether a recording that ends inside its last packet was cut short or is damaged.

use super::error::MAX_CUT_EVENTS;
use super::layout::{EVENT_BYTES, PACKET_HEADER, POLARITY_EVENT};
use super::packet::Header;
use super::{AedatError, CutShort};

/// Describes how the packet at `offset`, which claims more bytes than are left, was cut short.
///
/// # Errors
/// Returns an error if the header is damaged: a whole packet follows, or the packet claims more
/// events than any packet has. A packet of another type may claim any number, because its events
/// are not read and a reader that only follows lengths stops there too.
pub(super) fn cut_short(
    recording: &[u8],
    offset: usize,
    header: &Header,
) -> Result<CutShort, AedatError> {
    let left = recording.len() - offset - PACKET_HEADER;
    let next = next_packet(recording, offset + PACKET_HEADER);
    let polarity = header.event_type == POLARITY_EVENT;
    if next.is_some() || polarity && header.capacity > MAX_CUT_EVENTS {
        return Err(AedatError::Length {
            offset,
            number: header.capacity,
            need: header.bytes(),
            left,
            next,
        });
    }
    Ok(CutShort {
        offset,
        need: PACKET_HEADER as u64 + header.bytes(),
        left: PACKET_HEADER + left,
        events: if polarity { header.events_in(left) } else { 0 },
    })
}

/// Returns the first byte, from `from` on, at which a whole packet of polarity events seems to
/// begin. This search runs only if the chain of packets is broken.
fn next_packet(recording: &[u8], from: usize) -> Option<usize> {
    (from..recording.len()).find(|&at| {
        let Some(header) = Header::at(recording, at) else {
            return false;
        };
        header.event_type == POLARITY_EVENT
            && header.size as usize == EVENT_BYTES
            && header.ts_offset == 4
            && (1..=header.capacity).contains(&header.number)
            && header.bytes() <= (recording.len() - at - PACKET_HEADER) as u64
    })
}
