//! Packets, their headers and the bits of an event.

use super::event_summary::EventSummary;
use super::layout::{EVENT_BYTES, PACKET_HEADER, POLARITY_EVENT};
use crate::event::Event;

/// Consecutive packets with at least one event that counts.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Byte of the first packet.
    pub(super) at: usize,
    /// Byte after the last packet.
    pub(super) end: usize,
    /// Summary of the events.
    pub events: EventSummary,
}

/// The header of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub event_type: u16,
    /// Number of the camera.
    pub source: u16,
    pub size: u32,
    pub ts_offset: u32,
    pub overflow: u32,
    pub capacity: u32,
    pub number: u32,
}

/// The events of one polarity packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    /// Byte of the first event.
    pub events_at: usize,
    pub number: u32,
    pub stride: u32,
    pub ts_offset: u32,
    pub overflow: u32,
}

/// Decodes a polarity event; `time_high` is the packet's overflow, shifted left by 31 bits.
#[inline]
fn decode(word: u32, timestamp: u32, time_high: i64) -> Event {
    Event {
        t: time_high | i64::from(timestamp),
        x: (word >> 17) as u16,
        y: ((word >> 2) & 0x7fff) as u16,
        polarity: word & 2 != 0,
        valid: word & 1 != 0,
    }
}

/// Returns the data word and timestamp of an event, as in a recording. The packet's overflow is
/// `t >> 31`.
pub fn encode(event: Event) -> [u8; EVENT_BYTES] {
    let word = u32::from(event.valid)
        | u32::from(event.polarity) << 1
        | u32::from(event.y & 0x7fff) << 2
        | u32::from(event.x & 0x7fff) << 17;
    let timestamp = (event.t & 0x7fff_ffff) as u32;
    let mut bytes = [0; EVENT_BYTES];
    bytes[..4].copy_from_slice(&word.to_le_bytes());
    bytes[4..].copy_from_slice(&timestamp.to_le_bytes());
    bytes
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

impl Header {
    /// The header at byte `at`; `None` if the recording ends inside it.
    pub(super) fn at(recording: &[u8], at: usize) -> Option<Self> {
        let header = recording.get(at..)?.get(..PACKET_HEADER)?;
        let [size, ts_offset, overflow, capacity, number] =
            [4, 8, 12, 16, 20].map(|i| u32_at(header, i));
        Some(Self {
            event_type: u16::from_le_bytes([header[0], header[1]]),
            source: u16::from_le_bytes([header[2], header[3]]),
            size,
            ts_offset,
            overflow,
            capacity,
            number,
        })
    }

    /// Bytes that the events take.
    pub(super) fn bytes(&self) -> u64 {
        u64::from(self.capacity) * u64::from(self.size)
    }

    /// Number of events that lie whole in the first `left` bytes.
    pub(super) fn events_in(&self, left: usize) -> u32 {
        let whole = left as u64 / u64::from(self.size.max(1));
        self.number.min(u32::try_from(whole).unwrap_or(u32::MAX))
    }

    /// The packet of this header, which begins at byte `offset`.
    pub(super) fn packet(&self, offset: usize, number: u32) -> Packet {
        Packet {
            events_at: offset + PACKET_HEADER,
            number,
            stride: self.size,
            ts_offset: self.ts_offset,
            overflow: self.overflow,
        }
    }
}

impl Block {
    /// Calls `event` with every event of the block in file order, even if its valid bit is clear.
    #[inline]
    pub fn for_each(&self, recording: &[u8], mut event: impl FnMut(Event)) {
        let recording = &recording[..self.end];
        let mut at = self.at;
        while let Some(header) = Header::at(recording, at) {
            let left = self.end - at - PACKET_HEADER;
            if header.event_type == POLARITY_EVENT {
                // Only the last packet of a recording may be cut short. Its whole events are read.
                let packet = header.packet(at, header.events_in(left));
                #[expect(
                    clippy::redundant_closure,
                    reason = "`&mut event` would not be inlined, which makes counting a third slower"
                )]
                packet.for_each(recording, |e| event(e));
            }
            at += PACKET_HEADER + header.bytes().min(left as u64) as usize;
        }
    }
}

impl Packet {
    /// Value that the overflow adds to every timestamp.
    pub(super) fn time_high(&self) -> i64 {
        i64::from(self.overflow) << 31
    }

    pub(super) fn events<'a>(&self, recording: &'a [u8]) -> &'a [u8] {
        &recording[self.events_at..][..self.number as usize * self.stride as usize]
    }

    /// Calls `event` with every event of the packet in file order.
    #[inline]
    pub(super) fn for_each(&self, recording: &[u8], mut event: impl FnMut(Event)) {
        let events = self.events(recording);
        if events.is_empty() {
            return;
        }
        // The only layout that the format defines has its own loop, with constant offsets and no
        // checks.
        if self.stride as usize == EVENT_BYTES && self.ts_offset == 4 {
            for e in events.chunks_exact(EVENT_BYTES) {
                event(decode(u32_at(e, 0), u32_at(e, 4), self.time_high()));
            }
        } else {
            for e in events.chunks_exact(self.stride as usize) {
                let timestamp = u32_at(e, self.ts_offset as usize);
                event(decode(u32_at(e, 0), timestamp, self.time_high()));
            }
        }
    }
}
