//! AEDAT 3.1: a recording's bytes, checked and indexed packet by packet.
//!
//! Format: <https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html>. Text lines
//! beginning with `#` up to `#!END-HEADER`, then packets: a header of 28 bytes and `eventCapacity` events of
//! `eventSize` bytes, of which the first `eventNumber` count. Everything is little-endian.
//!
//! One pass checks every event that will be counted and notes what each block of packets holds, so that selecting a
//! sample's window afterwards touches only the blocks it overlaps.
//!
//! A recording that ends inside its last packet was cut short: the whole events before the cut are kept and the cut is
//! said, as a recording that the camera's computer stopped writing is still worth using. Whatever else departs from
//! the format is an error.

mod cut;
mod error;
mod header;
mod layout;
mod packet;
mod stretch;
mod survey;

use dvs_shared::SensorSize;

use self::cut::cut_short;
pub use self::error::AedatError;
use self::header::header_end;
pub use self::header::{FIRST_LINES, source};
pub use self::layout::{EVENT_BYTES, PACKET_HEADER, POLARITY_EVENT};
use self::packet::Header;
pub use self::packet::{Block, encode};
pub use self::stretch::Stretch;
use self::survey::survey;

/// Bytes after which a block of packets is ended. A block takes 64 bytes of memory, so the index of a recording stays
/// below a fiftieth of it, however few events its packets have.
const BLOCK_BYTES: usize = 4096;

/// Where a recording ends inside its last packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutShort {
    /// Start of the packet in bytes.
    pub offset: usize,
    /// Bytes it should have, its header included.
    pub need: u64,
    /// Bytes it has.
    pub left: usize,
    /// Events of it that are whole and kept.
    pub events: u32,
}

/// What was seen in a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Polarity events that count.
    pub kept: u64,
    /// Polarity events left out because their valid bit is clear.
    pub invalid: u64,
    /// Events of other types, skipped by length.
    pub other_types: u64,
    /// Events whose time lies before that of the event before them.
    pub backwards: u64,
}

/// The index of one recording.
#[derive(Debug, Default)]
pub struct Index {
    /// The blocks, in file order.
    pub blocks: Vec<Block>,
    /// Totals.
    pub counts: EventCounts,
    /// Where the recording ends inside its last packet, if it does.
    pub cut_short: Option<CutShort>,
}

/// Checks `recording` and indexes its packets. With `keep_invalid`, events whose valid bit is clear count too.
///
/// # Errors
/// The first place at which the recording departs from the format or the sensor. One that is cut short inside its last
/// packet does not: see [`Index::cut_short`].
pub fn index(
    recording: &[u8],
    sensor: SensorSize,
    keep_invalid: bool,
) -> Result<Index, AedatError> {
    let mut at = header_end(recording)?;
    let mut index = Index::default();
    let mut previous = i64::MIN;
    let mut block = Block {
        at,
        end: at,
        events: Stretch::EMPTY,
    };
    while at < recording.len() {
        let offset = at;
        let left = recording.len() - at;
        let Some(header) = Header::at(recording, at) else {
            index.cut_short = Some(CutShort {
                offset,
                need: PACKET_HEADER as u64,
                left,
                events: 0,
            });
            break;
        };
        let left = left - PACKET_HEADER;
        let mut number = header.number;
        if header.bytes() > left as u64 {
            let cut = cut_short(recording, offset, &header)?;
            index.cut_short = Some(cut);
            number = cut.events;
        }
        at += PACKET_HEADER + header.bytes().min(left as u64) as usize;
        if header.event_type != POLARITY_EVENT {
            if header.number > header.capacity && index.cut_short.is_none() {
                return Err(number_beyond_capacity(offset, &header));
            }
            index.counts.other_types += u64::from(number);
            continue;
        }
        check_layout(offset, &header)?;
        let packet = header.packet(offset, number);
        let (events, seen) = survey(&packet, recording, sensor, keep_invalid, &mut previous)?;
        index.counts.kept += events.kept;
        index.counts.invalid += seen.invalid;
        index.counts.backwards += seen.backwards;
        block.end = at;
        block.events.append(&events);
        if block.end - block.at >= BLOCK_BYTES {
            index.end(&mut block);
        }
    }
    index.end(&mut block);
    Ok(index)
}

impl Index {
    /// Ends `block` and begins the next where it ended.
    fn end(&mut self, block: &mut Block) {
        if block.events.kept > 0 {
            self.blocks.push(*block);
        }
        block.at = block.end;
        block.events = Stretch::EMPTY;
    }
}

/// Whether a packet's events are as the format says.
fn check_layout(offset: usize, header: &Header) -> Result<(), AedatError> {
    let Header {
        size,
        ts_offset,
        capacity,
        number,
        ..
    } = *header;
    if number > capacity {
        return Err(number_beyond_capacity(offset, header));
    }
    let ts_fits = u64::from(ts_offset) + 4 <= u64::from(size);
    if number > 0 && ((size as usize) < EVENT_BYTES || ts_offset < 4 || !ts_fits) {
        return Err(AedatError::EventLayout {
            offset,
            size,
            ts_offset,
        });
    }
    Ok(())
}

fn number_beyond_capacity(offset: usize, header: &Header) -> AedatError {
    AedatError::NumberBeyondCapacity {
        offset,
        number: header.number,
        capacity: header.capacity,
    }
}
