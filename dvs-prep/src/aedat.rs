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

mod error;
mod layout;

use dvs_shared::event::{Event, SensorSize};

pub use self::error::AedatError;
use self::error::MAX_CUT_EVENTS;
pub use self::layout::{EVENT_BYTES, PACKET_HEADER, POLARITY_EVENT};

/// Bytes after which a block of packets is ended. A block takes 64 bytes of memory, so the index of a recording stays
/// below a fiftieth of it, however few events its packets have.
const BLOCK_BYTES: usize = 4096;

const FIRST_LINE: &[u8] = b"#!AER-DAT3.";
const LAST_LINE: &[u8] = b"#!END-HEADER";

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

/// What events in file order come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Events that count.
    pub kept: u64,
    /// Smallest time of those, in microseconds.
    pub t_min: i64,
    /// Largest time of those.
    pub t_max: i64,
    /// Time of the first of those.
    pub t_first: i64,
    /// Time of the last of those.
    pub t_last: i64,
    /// Whether their times never decrease.
    pub sorted: bool,
}

impl Stretch {
    /// No events.
    pub const EMPTY: Self = Self {
        kept: 0,
        t_min: i64::MAX,
        t_max: i64::MIN,
        t_first: 0,
        t_last: 0,
        sorted: true,
    };

    /// Appends events that come next in the file.
    pub fn append(&mut self, next: &Self) {
        if next.kept == 0 {
            return;
        }
        if self.kept == 0 {
            *self = *next;
            return;
        }
        self.sorted &= next.sorted && next.t_first >= self.t_last;
        self.t_min = self.t_min.min(next.t_min);
        self.t_max = self.t_max.max(next.t_max);
        self.t_last = next.t_last;
        self.kept += next.kept;
    }
}

/// Packets that stand one after the other, with at least one event that counts.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Byte of its first packet.
    at: usize,
    /// Byte after its last.
    end: usize,
    /// What its events come to.
    pub events: Stretch,
}

/// The header of a packet.
#[derive(Clone, Copy, Debug)]
struct Header {
    event_type: u16,
    size: u32,
    ts_offset: u32,
    overflow: u32,
    capacity: u32,
    number: u32,
}

/// The events of one polarity packet.
#[derive(Clone, Copy, Debug)]
struct Packet {
    /// Byte of its first event.
    events_at: usize,
    number: u32,
    stride: u32,
    ts_offset: u32,
    overflow: u32,
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

/// Splits a polarity event into its parts; `time_high` is the packet's overflow, shifted.
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

/// The data word and timestamp of an event, as a recording holds them. The packet's overflow is `t >> 31`.
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

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

impl Header {
    /// The header at byte `at`; `None` where the recording ends before it does.
    fn at(recording: &[u8], at: usize) -> Option<Self> {
        let header = recording.get(at..)?.get(..PACKET_HEADER)?;
        let [size, ts_offset, overflow, capacity, number] =
            [4, 8, 12, 16, 20].map(|i| u32_at(header, i));
        Some(Self {
            event_type: u16::from_le_bytes([header[0], header[1]]),
            size,
            ts_offset,
            overflow,
            capacity,
            number,
        })
    }

    /// Bytes its events take.
    fn bytes(&self) -> u64 {
        u64::from(self.capacity) * u64::from(self.size)
    }

    /// Those of its events that count and of which `left` bytes hold the whole.
    fn events_in(&self, left: usize) -> u32 {
        let whole = left as u64 / u64::from(self.size.max(1));
        self.number.min(u32::try_from(whole).unwrap_or(u32::MAX))
    }

    /// The packet of this header, which stands at `offset`.
    fn packet(&self, offset: usize, number: u32) -> Packet {
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
    /// Calls `event` with every event of the block, in file order, those with a clear valid bit too.
    #[inline]
    pub fn for_each(&self, recording: &[u8], mut event: impl FnMut(Event)) {
        let recording = &recording[..self.end];
        let mut at = self.at;
        while let Some(header) = Header::at(recording, at) {
            let left = self.end - at - PACKET_HEADER;
            if header.event_type == POLARITY_EVENT {
                // Only the last packet of a recording may be cut short, and only its whole events are read.
                let packet = header.packet(at, header.events_in(left));
                packet.for_each(recording, &mut event);
            }
            at += PACKET_HEADER + header.bytes().min(left as u64) as usize;
        }
    }
}

impl Packet {
    /// What the overflow adds to every timestamp.
    fn time_high(&self) -> i64 {
        i64::from(self.overflow) << 31
    }

    fn events<'a>(&self, recording: &'a [u8]) -> &'a [u8] {
        &recording[self.events_at..][..self.number as usize * self.stride as usize]
    }

    /// Calls `event` with every event of the packet, in file order.
    #[inline]
    fn for_each(&self, recording: &[u8], mut event: impl FnMut(Event)) {
        let events = self.events(recording);
        if events.is_empty() {
            return;
        }
        // The one layout the format knows gets a loop of its own: constant offsets and no checks inside.
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

/// How the packet at `offset`, which claims more bytes than are left, was cut short.
///
/// # Errors
/// Where it was not: a whole packet follows, or it claims more than any packet holds. A packet of another type may
/// claim anything: nothing of it is read, and a reader that goes by lengths alone stops there too.
fn cut_short(recording: &[u8], offset: usize, header: &Header) -> Result<CutShort, AedatError> {
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

/// Where in `recording`, from byte `from` on, a whole packet of polarity events begins, judged by its header: looked
/// for only once the packets' chain is broken.
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

/// What the events of `packet` come to, and what of them is left out. `previous` is the time of the last event that
/// counts, across packets.
fn survey(
    packet: &Packet,
    recording: &[u8],
    sensor: SensorSize,
    keep_invalid: bool,
    previous: &mut i64,
) -> Result<(Stretch, EventCounts), AedatError> {
    let mut seen = EventCounts::default();
    if let Some((t_first, t_last)) = orderly(packet, recording, sensor) {
        seen.backwards = u64::from(t_first < *previous);
        let events = Stretch {
            kept: packet.number.into(),
            t_min: t_first,
            t_max: t_last,
            t_first,
            t_last,
            sorted: true,
        };
        *previous = t_last;
        return Ok((events, seen));
    }
    let mut events = Stretch::EMPTY;
    let (mut outside, mut last) = (false, *previous);
    packet.for_each(recording, |e| {
        if !(e.valid || keep_invalid) {
            seen.invalid += 1;
            return;
        }
        outside |= !sensor.contains(e.x, e.y);
        seen.backwards += u64::from(e.t < last);
        if events.kept == 0 {
            events.t_first = e.t;
        } else {
            events.sorted &= e.t >= last;
        }
        last = e.t;
        events.t_min = events.t_min.min(e.t);
        events.t_max = events.t_max.max(e.t);
        events.kept += 1;
    });
    if outside {
        return Err(outside_sensor(packet, recording, sensor, keep_invalid));
    }
    events.t_last = last;
    *previous = last;
    Ok((events, seen))
}

/// Times of the first and last event of a packet in which all is as usual: every event valid, inside the sensor and
/// not before the one before it. The loop has neither branches nor comparisons, so that it runs several events at a
/// time: what must not be negative is gathered in `signs`, whose highest bit then tells.
fn orderly(packet: &Packet, recording: &[u8], sensor: SensorSize) -> Option<(i64, i64)> {
    if packet.stride as usize != EVENT_BYTES || packet.ts_offset != 4 {
        return None;
    }
    let (events, _) = packet.events(recording).as_chunks::<EVENT_BYTES>();
    let (x_last, y_last) = (sensor.width - 1, sensor.height - 1);
    let first = u64::from_le_bytes(*events.first()?);
    let (mut all, mut signs, mut last) = (1, 0, (first >> 32) as u32);
    for event in events {
        let event = u64::from_le_bytes(*event);
        let (word, timestamp) = (event as u32, (event >> 32) as u32);
        all &= word;
        signs |= x_last.wrapping_sub(word >> 17) | y_last.wrapping_sub((word >> 2) & 0x7fff);
        signs |= timestamp.wrapping_sub(last) | timestamp;
        last = timestamp;
    }
    let usual = all == 1 && signs >> 31 == 0;
    let time = |timestamp: u32| packet.time_high() | i64::from(timestamp);
    usual.then(|| (time((first >> 32) as u32), time(last)))
}

/// The first event of `packet` that counts and lies outside the sensor: looked for only once one is known to.
fn outside_sensor(
    packet: &Packet,
    recording: &[u8],
    sensor: SensorSize,
    keep_invalid: bool,
) -> AedatError {
    let mut offset = packet.events_at;
    let mut found = None;
    packet.for_each(recording, |e| {
        if found.is_none() && !sensor.contains(e.x, e.y) && (e.valid || keep_invalid) {
            found = Some((offset, e));
        }
        offset += packet.stride as usize;
    });
    let (offset, x, y) = found.map_or((packet.events_at, 0, 0), |(o, e)| (o, e.x, e.y));
    AedatError::OutsideSensor {
        offset,
        x,
        y,
        width: sensor.width,
        height: sensor.height,
    }
}

/// Byte after the text header.
fn header_end(recording: &[u8]) -> Result<usize, AedatError> {
    if !recording.starts_with(FIRST_LINE) {
        let start = &recording[..recording.len().min(16)];
        return Err(AedatError::NotAedat3 {
            found: String::from_utf8_lossy(start).into_owned(),
        });
    }
    let mut at = 0;
    while recording[at..].starts_with(b"#") {
        let Some(length) = recording[at..].iter().position(|&b| b == b'\n') else {
            return Err(AedatError::HeaderWithoutEnd {
                offset: recording.len(),
            });
        };
        let line = &recording[at..at + length];
        at += length + 1;
        if line.strip_suffix(b"\r").unwrap_or(line) == LAST_LINE {
            return Ok(at);
        }
    }
    Err(AedatError::HeaderWithoutEnd { offset: at })
}
