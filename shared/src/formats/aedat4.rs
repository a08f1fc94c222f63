//! AEDAT 4, as DV and dv-processing record it: a line of text, a header, and packets of several
//! streams, each compressed separately.
//!
//! Format:
//! <https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-4.0.html>.
//! The header and packets are FlatBuffers, each after its size. An event packet is a vector of
//! 16-byte structs: time in microseconds (i64), x, y (i16), polarity (bool). Coordinates count from
//! the upper left, as in AEDAT 3.
//!
//! A recording that was never closed has no table of its packets. It may end inside a packet, which
//! is then left out and reported.

mod flatbuffer;
mod streams;

use std::io::{self, Read};

use thiserror::Error;

use self::flatbuffer::Buffer;
use self::streams::{Stream, Streams};
use super::packets::{EventError, Packets};
use super::{Decoded, ReadOptions};
use crate::aedat::{CutShort, EventCounts, too_many_unexplained};
use crate::event::SensorSize;
use crate::words::printable;

const FIRST_LINE: &[u8] = b"#!AER-DAT4.0\r\n";
/// Most bytes of the header. Real headers have some thousands.
const MAX_HEADER: u32 = 1 << 20;
/// Most bytes of an inflated event packet: a million events.
const MAX_PACKET: u64 = 16 << 20;
const PACKET_HEADER: usize = 8;
const EVENT: usize = 16;
/// Bits for the index of an event in the largest packet.
const INDEX_BITS: u32 = 21;

/// What is wrong with a recording. Byte offsets count from its start.
#[derive(Debug, Error)]
pub enum Aedat4Error {
    /// The version is unknown.
    #[error("it is AEDAT {0}; 4.0 is known")]
    Version(String),
    /// The size of the sensor is unknown.
    #[error(
        "the camera's size is not known, because the header does not say it; say it with --sensor, as in --sensor 346x260"
    )]
    NoSensor,
    /// The header is broken.
    #[error("its header is broken: {0}")]
    Header(String),
    /// The compression method is unknown.
    #[error("its packets are compressed by method {0}; 0 to 4 are known")]
    Compression(i32),
    /// There is no stream of events.
    #[error("it holds no stream of events")]
    NoStream,
    /// There are several streams of events.
    #[error(
        "it holds several streams of events: {found}. --stream chooses one by its number, as --stream {example}"
    )]
    Streams {
        /// Numbers, cameras and sizes of the streams.
        found: String,
        /// One of the numbers.
        example: i32,
    },
    /// The requested stream does not exist.
    #[error("it holds no stream of events {asked}, which --stream asks for; it holds {found}")]
    NoSuchStream {
        asked: i32,
        /// Numbers, cameras and sizes of the streams of events.
        found: String,
    },
    /// Too many packets are of unknown streams, or too many events have an invalid polarity.
    #[error(
        "{number} of its {of} {what}, the first in the packet at byte {offset}; at most 1 % may. It is damaged"
    )]
    Unexplained {
        /// Number of these packets or events.
        number: u64,
        /// Number of all packets or events.
        of: u64,
        /// What is wrong with them.
        what: &'static str,
        /// Start of the first such packet.
        offset: usize,
    },
    /// A packet's size is impossible.
    #[error("the packet at byte {offset} claims {size} bytes")]
    Size {
        /// Start of the packet.
        offset: usize,
        size: i32,
    },
    /// A packet cannot be inflated.
    #[error("the packet at byte {offset} cannot be inflated: {reason}")]
    Inflate {
        /// Start of the packet.
        offset: usize,
        reason: io::Error,
    },
    /// A packet inflates to more than the limit.
    #[error("the packet at byte {offset} inflates to more than the limit of {MAX_PACKET} bytes")]
    TooLarge {
        /// Start of the packet.
        offset: usize,
    },
    /// A packet is not a packet of events.
    #[error("the packet at byte {offset} is not a packet of events: {reason}")]
    Packet {
        /// Start of the packet.
        offset: usize,
        reason: String,
    },
    /// An event cannot be counted.
    #[error("event {index} of the packet at byte {offset}: {reason}")]
    Event {
        /// Start of the packet.
        offset: usize,
        /// Position of the event in the packet, from 0.
        index: usize,
        reason: EventError,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Lz4,
    Zstd,
}

/// Reads a recording of at most `limit` events.
///
/// # Errors
/// Returns an error if the recording cannot be read: see [`Aedat4Error`].
pub(super) fn decode(
    recording: &[u8],
    options: &ReadOptions,
    limit: usize,
) -> Result<Decoded<'static>, Aedat4Error> {
    let header = Header::read(recording)?;
    let stream = header.streams.choose(options.stream)?;
    let sensor = options.sensor.or(stream.sensor);
    let sensor = sensor.ok_or(Aedat4Error::NoSensor)?;
    let mut packets = Packets::new(sensor, limit, 0);
    let mut inflated = Vec::new();
    let mut seen = EventCounts::default();
    // Packets of unnamed streams, and events whose polarity is neither 0 nor 1.
    let (mut unnamed, mut neither) = (Unexplained::default(), Unexplained::default());
    let (mut at, mut cut_short) = (header.end, None);
    while at < header.packets_end {
        let left = header.packets_end - at;
        let head = recording[at..header.packets_end].first_chunk::<PACKET_HEADER>();
        let Some(&[a, b, c, d, e, f, g, h]) = head else {
            cut_short = Some((PACKET_HEADER as u64, left));
            break;
        };
        let id = i32::from_le_bytes([a, b, c, d]);
        let claimed = i32::from_le_bytes([e, f, g, h]);
        let size = usize::try_from(claimed).map_err(|_| Aedat4Error::Size {
            offset: at,
            size: claimed,
        })?;
        if size > left - PACKET_HEADER {
            // In a closed file, a packet that extends past the end is damaged.
            if header.closed {
                return Err(Aedat4Error::Size {
                    offset: at,
                    size: claimed,
                });
            }
            cut_short = Some(((PACKET_HEADER + size) as u64, left));
            break;
        }
        let content = &recording[at + PACKET_HEADER..][..size];
        if id == stream.id {
            inflate(header.compression, content, at, &mut inflated)?;
            let events = events(&inflated).ok_or_else(|| Aedat4Error::Packet {
                offset: at,
                reason: "its vector of events does not lie in it".to_owned(),
            })?;
            for (index, event) in events.iter().enumerate() {
                let [t @ .., _, _, _, _, _, _, _, _] = *event;
                let [.., x0, x1, y0, y1, polarity, _, _, _] = *event;
                neither.of += 1;
                if polarity > 1 {
                    neither.add(at);
                    continue;
                }
                let place = (
                    i16::from_le_bytes([x0, x1]).into(),
                    i16::from_le_bytes([y0, y1]).into(),
                );
                packets
                    .push(
                        (at as u64) << INDEX_BITS | index as u64,
                        i64::from_le_bytes(t),
                        place,
                        polarity == 1,
                    )
                    .map_err(|reason| Aedat4Error::Event {
                        offset: at,
                        index,
                        reason,
                    })?;
            }
        } else if header.streams.has(id) {
            seen.other_types += 1;
        } else {
            unnamed.add(at);
        }
        unnamed.of += 1;
        at += PACKET_HEADER + size;
    }
    unnamed.check_limit("packets are of streams that its header does not name")?;
    neither.check_limit("events have a polarity that is neither 0 nor 1")?;
    seen.unexplained = unnamed.number + neither.number;
    let packed = packets
        .finish(options.ignore_outside)
        .map_err(|(place, reason)| Aedat4Error::Event {
            offset: (place >> INDEX_BITS) as usize,
            index: (place & ((1 << INDEX_BITS) - 1)) as usize,
            reason,
        })?;
    seen.outside = packed.outside;
    Ok(Decoded {
        packets: packed.packets.into(),
        sensor,
        recognised: recognised(stream, sensor, options),
        seen,
        cut_short: cut_short.map(|(need, left)| CutShort {
            offset: at,
            need,
            left,
            events: 0,
        }),
    })
}

/// Counts packets or events that are unexplained.
#[derive(Default)]
struct Unexplained {
    number: u64,
    /// Number of all such packets or events, explained or not.
    of: u64,
    /// Start of the first packet that is affected.
    first: Option<usize>,
}

impl Unexplained {
    fn add(&mut self, packet: usize) {
        self.number += 1;
        self.first.get_or_insert(packet);
    }

    /// Returns an error if there are more than may be left out; `what` says what is wrong with
    /// them.
    fn check_limit(&self, what: &'static str) -> Result<(), Aedat4Error> {
        let Self { number, of, .. } = *self;
        match self.first {
            Some(offset) if too_many_unexplained(number, of) => Err(Aedat4Error::Unexplained {
                number,
                of,
                what,
                offset,
            }),
            _ => Ok(()),
        }
    }
}

/// Says how the recording was read, and why.
fn recognised(stream: &Stream, sensor: SensorSize, options: &ReadOptions) -> String {
    let by = match options.sensor {
        Some(_) => "as --sensor says",
        None => "as its header says",
    };
    let which = match options.stream {
        Some(number) => format!("stream {number}, as --stream says; "),
        None => String::new(),
    };
    let camera = stream.camera();
    format!(
        "AEDAT 4.0: {which}{sensor} pixels{camera}, {by}; y counts from the top; the byte of polarity is 1 for ON"
    )
}

/// The part of a recording before the packets.
struct Header {
    compression: Compression,
    streams: Streams,
    /// Byte after the header.
    end: usize,
    /// Byte after the last packet.
    packets_end: usize,
    /// Whether the recording was closed: a table of its packets then follows them.
    closed: bool,
}

impl Header {
    fn read(recording: &[u8]) -> Result<Self, Aedat4Error> {
        let broken = |what: &str| Aedat4Error::Header(what.to_owned());
        let rest = recording.strip_prefix(FIRST_LINE).ok_or_else(|| {
            let line = recording.split(|&b| b == b'\n').next().unwrap_or_default();
            let version = String::from_utf8_lossy(line);
            let version = version.trim_start_matches("#!AER-DAT").trim();
            match version {
                "4.0" => broken("its first line does not end in a carriage return and a line feed"),
                other => Aedat4Error::Version(printable(other, 16)),
            }
        })?;
        let (size, rest) = rest
            .split_first_chunk()
            .ok_or_else(|| broken("it ends early"))?;
        let size = u32::from_le_bytes(*size);
        if size > MAX_HEADER {
            return Err(Aedat4Error::Header(format!(
                "it claims {size} bytes, beyond the limit of {MAX_HEADER}"
            )));
        }
        let content = rest
            .get(..size as usize)
            .ok_or_else(|| broken("it ends early"))?;
        let outside = || broken("a part of it does not lie in it");
        let root = Buffer(content).root().ok_or_else(outside)?;
        let compression = match root.field(0).map_or(Some(0), |at| root.i32(at)) {
            Some(0) => Compression::None,
            Some(1 | 2) => Compression::Lz4,
            Some(3 | 4) => Compression::Zstd,
            Some(other) => return Err(Aedat4Error::Compression(other)),
            None => return Err(outside()),
        };
        let table = root
            .field(1)
            .map_or(Some(-1), |at| root.i64(at))
            .ok_or_else(outside)?;
        let info = root
            .field(2)
            .and_then(|at| root.bytes(at))
            .ok_or_else(outside)?;
        let info = std::str::from_utf8(info).map_err(|_| broken("its description is not text"))?;
        let end = FIRST_LINE.len() + 4 + size as usize;
        let table = usize::try_from(table)
            .ok()
            .filter(|t| (end..=recording.len()).contains(t));
        Ok(Self {
            compression,
            streams: Streams::read(info)?,
            end,
            packets_end: table.unwrap_or(recording.len()),
            closed: table.is_some(),
        })
    }
}

/// The events of an inflated packet; `None` if the vector does not lie in the packet.
fn events(packet: &[u8]) -> Option<&[[u8; EVENT]]> {
    let content = packet.get(4..)?;
    let root = Buffer(content).root()?;
    match root.field(0) {
        Some(at) => root.structs::<EVENT>(at),
        None => Some(&[]),
    }
}

/// Inflates a packet into `out`.
fn inflate(
    compression: Compression,
    content: &[u8],
    offset: usize,
    out: &mut Vec<u8>,
) -> Result<(), Aedat4Error> {
    out.clear();
    let mut read = |stream: &mut dyn Read| {
        let read = stream.take(MAX_PACKET + 1).read_to_end(out);
        match read {
            Ok(bytes) if bytes as u64 > MAX_PACKET => Err(Aedat4Error::TooLarge { offset }),
            Ok(_) => Ok(()),
            Err(reason) => Err(Aedat4Error::Inflate { offset, reason }),
        }
    };
    match compression {
        Compression::None => read(&mut &*content),
        Compression::Lz4 => read(&mut lz4_flex::frame::FrameDecoder::new(content)),
        Compression::Zstd => {
            let stream = ruzstd::decoding::StreamingDecoder::new(content);
            read(&mut stream.map_err(|e| Aedat4Error::Inflate {
                offset,
                reason: io::Error::new(io::ErrorKind::InvalidData, e.to_string()),
            })?)
        }
    }
}
