//! AEDAT 3.1: checks a recording's bytes and indexes them packet by packet.
//!
//! Format:
//! <https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.1.html>.
//! A file begins with text lines that start with `#`, up to `#!END-HEADER`. Packets follow. A
//! packet has a header of 28 bytes and room for `eventCapacity` events of `eventSize` bytes. Its
//! first `eventNumber` events are used. Everything is little-endian.
//!
//! A single pass checks every event that is used. It also notes what each block of packets contains.
//! To select a sample's window later, only the blocks that overlap it are read. Changes that few
//! recordings need, such as flipping y, are made in a copy (`rewrite`) beforehand.
//!
//! If a recording ends inside its last packet, the whole events before the cut are kept and the cut
//! is reported, because such a recording is still usable. Up to 1 % of the events may be in packets
//! of unknown types. Any other departure from the format is an error.

mod cut;
mod error;
mod event_summary;
mod header;
mod layout;
mod packet;
mod rewrite;
mod survey;

use std::collections::BTreeSet;

use self::cut::cut_short;
pub use self::error::AedatError;
pub(crate) use self::error::{outside, outside_camera};
pub use self::event_summary::EventSummary;
pub use self::header::{FIRST_LINES, FileHeader, Source, Version};
pub use self::layout::{EVENT_BYTES, PACKET_HEADER, POLARITY_EVENT};
use self::layout::{FIRST_OWN_TYPE, LAST_DEFINED_TYPE};
use self::packet::Header;
pub use self::packet::{Block, encode};
pub use self::rewrite::{Rewrite, rewrite};
use self::survey::survey;
use crate::event::SensorSize;
use crate::words::counted;

/// Bytes after which a block of packets ends. A block takes 64 bytes of memory, so the index stays
/// below a fiftieth of the recording's size, however few events its packets have.
const BLOCK_BYTES: usize = 4096;

/// The point at which a recording ends inside its last packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutShort {
    /// Start of the packet in bytes.
    pub offset: usize,
    /// Bytes that the packet should have, including its header.
    pub need: u64,
    /// Bytes that it has.
    pub left: usize,
    /// Whole events in the packet, which are kept.
    pub events: u32,
}

/// Numbers of events in a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Polarity events that count.
    pub kept: u64,
    /// Polarity events left out because their valid bit is clear.
    pub invalid: u64,
    /// Events left out because they lie outside the sensor.
    pub outside: u64,
    /// Events of other types or other cameras; in AEDAT 4, packets of other streams; in Prophesee's
    /// files, words of other types.
    pub other_types: u64,
    /// Events, or packets in AEDAT 4, that the format or the camera does not explain. In Prophesee's
    /// files, also events before the first time. They are left out.
    pub unexplained: u64,
    /// Events with an earlier time than the event before them.
    pub backwards: u64,
}

impl EventCounts {
    /// Describes to the user which events were left out; `None` if there are none.
    pub fn left_out(&self) -> Option<String> {
        let parts = [
            (self.outside, "outside the sensor"),
            (
                self.unexplained,
                "with addresses, types or times that the format does not explain",
            ),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| format!("{} {what}", counted(*number, "event")))
            .collect();
        (!parts.is_empty()).then(|| format!("left out {}", parts.join(" and ")))
    }

    /// Describes the events of a recording that has none in a window, in words that follow "the
    /// recording".
    pub fn why_empty(&self, span: Option<(i64, i64)>) -> String {
        if let Some((first, last)) = span {
            return format!("has events from {first} to {last} us");
        }
        match (self.invalid, self.left_out()) {
            (0, None) => "has no events at all".to_owned(),
            (0, Some(left_out)) => format!("has no others: {left_out}"),
            (invalid, _) => format!(
                "has {}, all with a clear valid bit: --keep-invalid counts them",
                counted(invalid, "event")
            ),
        }
    }

    pub fn add(&mut self, other: &Self) {
        let Self {
            kept,
            invalid,
            outside,
            other_types,
            unexplained,
            backwards,
        } = other;
        self.kept += kept;
        self.invalid += invalid;
        self.outside += outside;
        self.other_types += other_types;
        self.unexplained += unexplained;
        self.backwards += backwards;
    }
}

/// Whether more events are unexplained than the 1 % that may be left out.
pub(crate) fn too_many_unexplained(unexplained: u64, of: u64) -> bool {
    unexplained.saturating_mul(100) > of
}

/// The index of one recording.
#[derive(Debug, Default)]
pub struct Index {
    /// In file order.
    pub blocks: Vec<Block>,
    pub counts: EventCounts,
    /// Set if the recording ends inside its last packet.
    pub cut_short: Option<CutShort>,
}

/// Checks `recording` and indexes its packets. With `keep_invalid`, events whose valid bit is clear
/// count too.
///
/// # Errors
/// Returns an error if the recording departs from the format or has events outside the sensor. It
/// is not an error if the recording is cut short inside its last packet: see [`Index::cut_short`].
pub fn index(
    recording: &[u8],
    sensor: SensorSize,
    keep_invalid: bool,
) -> Result<Index, AedatError> {
    let mut at = FileHeader::read(recording)?.end;
    let mut index = Index::default();
    let mut camera = None;
    let mut previous = i64::MIN;
    let mut first_outside = None;
    let mut first_unknown = None;
    let mut block = Block {
        at,
        end: at,
        events: EventSummary::EMPTY,
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
            // With an event size of 0, the packet has no events.
            number = if header.size == 0 { 0 } else { number };
            if header.number > header.capacity && index.cut_short.is_none() {
                return Err(number_beyond_capacity(offset, &header));
            }
            if (LAST_DEFINED_TYPE + 1..FIRST_OWN_TYPE).contains(&header.event_type)
                || header.event_type > i16::MAX as u16
            {
                index.counts.unexplained += u64::from(number);
                first_unknown.get_or_insert((header.event_type, offset));
            } else {
                index.counts.other_types += u64::from(number);
            }
            continue;
        }
        check_layout(offset, &header)?;
        if number > 0 && *camera.get_or_insert(header.source) != header.source {
            return Err(several_cameras(recording));
        }
        let packet = header.packet(offset, number);
        let (events, seen) = survey(&packet, recording, sensor, keep_invalid, &mut previous);
        if seen.outside > 0 && first_outside.is_none() {
            first_outside = survey::first_outside(&packet, recording, sensor, keep_invalid);
        }
        index.counts.add(&seen);
        block.end = at;
        block.events.append(&events);
        if block.end - block.at >= BLOCK_BYTES {
            index.end(&mut block);
        }
    }
    index.end(&mut block);
    let EventCounts {
        kept,
        invalid,
        outside,
        other_types,
        unexplained,
        ..
    } = index.counts;
    if let Some((offset, x, y)) = first_outside {
        return Err(AedatError::OutsideSensor {
            offset,
            x,
            y,
            sensor,
            number: outside,
            of: kept + outside,
        });
    }
    let of = kept + invalid + other_types + unexplained;
    match first_unknown {
        Some((kind, offset)) if too_many_unexplained(unexplained, of) => {
            Err(AedatError::UnknownTypes {
                number: unexplained,
                of,
                kind,
                offset,
            })
        }
        _ => Ok(index),
    }
}

/// The error for a recording with events of several cameras.
fn several_cameras(recording: &[u8]) -> AedatError {
    match FileHeader::read(recording).and_then(|header| Ok((header, cameras(recording)?))) {
        Ok((header, cameras)) => AedatError::Sources {
            found: header.names_of(&cameras),
            example: cameras.first().copied().unwrap_or_default(),
        },
        Err(error) => error,
    }
}

/// Returns the numbers of the cameras that have polarity events in `recording`. Reads only the
/// headers of packets.
///
/// # Errors
/// Returns an error if the file header is invalid.
pub fn cameras(recording: &[u8]) -> Result<BTreeSet<u16>, AedatError> {
    let mut at = FileHeader::read(recording)?.end;
    let mut cameras = BTreeSet::new();
    while let Some(header) = Header::at(recording, at) {
        let left = recording.len() - at - PACKET_HEADER;
        if header.event_type == POLARITY_EVENT && header.events_in(left) > 0 {
            cameras.insert(header.source);
        }
        if header.bytes() > left as u64 {
            break;
        }
        at += PACKET_HEADER + header.bytes() as usize;
    }
    Ok(cameras)
}

impl Index {
    /// Stores `block` if it has events, and resets it for the next block.
    fn end(&mut self, block: &mut Block) {
        if block.events.kept > 0 {
            self.blocks.push(*block);
        }
        block.at = block.end;
        block.events = EventSummary::EMPTY;
    }
}

/// Checks the number and layout of a packet's events.
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
