//! Recordings of Prophesee's cameras: RAW files with events in EVT 2.0, 2.1 or 3.0, and DAT files.
//!
//! Sources: <https://docs.prophesee.ai/stable/data/file_formats/raw.html>,
//! <https://docs.prophesee.ai/stable/data/file_formats/dat.html>, and for the words
//! <https://docs.prophesee.ai/stable/data/encoding_formats/index.html>.
//! Both files begin with text lines, which name the encoding and mostly the size of the sensor. x
//! and y count from the upper left. A line `% t0` is faery's: it subtracts this time from every
//! event when it writes a file.
//!
//! A RAW file is a stream of words, and a word means what earlier words made of it. Words of types
//! that the specification reserves, and events whose time or place no earlier word gives, are left
//! out and counted. Triggers and other data of the camera are counted, too.

mod dat;
mod evt2;
mod evt21;
mod evt3;
mod header;
mod reading;

use thiserror::Error;

use self::header::{Encoding, Header, MAX_HEADER, WordOrder};
use self::reading::Reading;
pub use self::reading::Unplaced;
use super::packets::EventError;
use super::{Decoded, ReadOptions};
use crate::aedat::CutShort;
use crate::event::{MAX_PIXELS, SensorSize};

/// What is wrong with a recording. Byte offsets count from its start.
#[derive(Debug, Error)]
pub enum PropheseeError {
    /// The header ends inside a line.
    #[error("it ends inside its header, in the line at byte {offset}")]
    HeaderCut {
        /// Start of the line.
        offset: usize,
    },
    /// The header exceeds the limit.
    #[error("its header goes on after {MAX_HEADER} bytes, the limit")]
    HeaderTooLong,
    /// The header does not name the encoding.
    #[error(
        "its header does not say how events are encoded: it has neither a line `% format EVT3` or `% evt 3.0`, as RAW files \
         have, nor `% Version 2`, as DAT files have"
    )]
    NoEncoding,
    /// Two lines of the header name different encodings.
    #[error("its header says {first:?} and {second:?}, which do not agree; correct the wrong line")]
    Contradiction { first: String, second: String },
    /// The encoding of a RAW file is unknown.
    #[error("its events are encoded as {0:?}; EVT 2.0, 2.1 and 3.0 are known")]
    Encoding(String),
    /// The version of a DAT file is unknown.
    #[error("it is a DAT file of version {0:?}; version 2 is known")]
    DatVersion(String),
    /// The order of bytes is unknown.
    #[error(
        "its header says that the endianness of its words is {0:?}; little is read, and for EVT 2.1 also legacy"
    )]
    Endianness(String),
    /// Nothing tells in which order the halves of EVT 2.1 words come.
    #[error(
        "its header does not say in which order the halves of its 64-bit words come, and the words do not tell; add \
         `;endianness=little` (GenX320) or `;endianness=legacy` (IMX636) to its line `% format EVT21`"
    )]
    WordOrder,
    /// The header gives no valid size, or several.
    #[error(
        "its header says that the sensor is {widths} pixels wide and {heights} pixels high; one number from 1 to {MAX_PIXELS} \
         is allowed for each. Say the size with --sensor, as in --sensor 1280x720"
    )]
    Size {
        /// The widths in the header.
        widths: String,
        /// The heights in the header.
        heights: String,
    },
    /// The header does not give the size.
    #[error(
        "the camera's size is not known, because the header does not say it; say it with --sensor, as in --sensor 1280x720"
    )]
    NoSensor,
    /// The start time is invalid.
    #[error(
        "its header says that the time begins at t0 = {0:?}, not at a whole number of us from 0 to 2^62"
    )]
    T0(String),
    /// A DAT file holds something other than brightness changes.
    #[error(
        "the two bytes at byte {offset} say that its events are of type {kind:#04x} with {size} bytes; only brightness changes \
         are read, of type 0x00 or 0x0c with 8 bytes"
    )]
    DatEvents {
        /// Position of the two bytes.
        offset: usize,
        kind: u8,
        size: u8,
    },
    /// A DAT file ends before its events.
    #[error("it ends at byte {offset}, before the two bytes that say what its events are")]
    DatCut {
        /// Byte after the header.
        offset: usize,
    },
    /// The recording has events of two cameras.
    #[error(
        "it holds events of two cameras: from byte {offset} on, rows are marked as those of the {}. Only recordings of one camera \
         are read",
        if *.second { "second (slave)" } else { "first (master)" }
    )]
    TwoCameras {
        /// Start of the first word of the other camera.
        offset: usize,
        /// Whether the other camera is the second.
        second: bool,
    },
    /// Too many events have no time or place, or are of unknown types.
    #[error(
        "{number} of its {of} events cannot be used, the first at byte {offset}: {reason}; at most 1 % may. It is damaged, or \
         its header names the wrong encoding"
    )]
    Unplaced {
        /// Number of these events.
        number: u64,
        /// Number of all events.
        of: u64,
        /// Start of the first word concerned.
        offset: usize,
        reason: Unplaced,
    },
    /// An event cannot be counted.
    #[error("the event at byte {offset}: {reason}")]
    Event {
        /// Start of the word.
        offset: u64,
        reason: EventError,
    },
}

/// How a recording is read: its encoding, and what decided it.
struct Recognised {
    encoding: &'static str,
    /// Which bit is the polarity.
    polarity: &'static str,
    /// What else was decided, as the rest of a sentence.
    notes: String,
}

/// Reads a recording of at most `limit` events.
///
/// # Errors
/// Returns an error if the recording cannot be read: see [`PropheseeError`].
pub(super) fn decode(
    recording: &[u8],
    options: &ReadOptions,
    limit: usize,
) -> Result<Decoded<'static>, PropheseeError> {
    let header = Header::read(recording)?;
    let sensor = match options.sensor {
        Some(sensor) => sensor,
        None => header.sensor?.ok_or(PropheseeError::NoSensor)?,
    };
    let start = header.end;
    let bytes = recording.get(start..).unwrap_or_default();
    let new = |events| Reading::new(sensor, limit, events, header.t0);
    let (reading, word, recognised) = match header.encoding {
        Encoding::Evt2 => {
            let mut reading = new(evt2::count(bytes));
            evt2::decode(bytes, start, &mut reading)?;
            (
                reading,
                evt2::WORD,
                Recognised::new("EVT 2.0", "bit 28 is 1 for ON"),
            )
        }
        Encoding::Evt21(order) => {
            let (order, why) = match order {
                Some(order) => (order, "as its header says"),
                None => (evt21::order(bytes)?, "as only that explains them"),
            };
            let mut reading = new(evt21::count(bytes, order));
            evt21::decode(bytes, order, start, &mut reading)?;
            let mut recognised = Recognised::new("EVT 2.1", "bit 60 is 1 for ON");
            recognised.notes = match order {
                WordOrder::Little => format!("; the lower half of its words comes first, {why}"),
                WordOrder::Legacy => format!("; the upper half of its words comes first, {why}"),
            };
            (reading, evt21::WORD, recognised)
        }
        Encoding::Evt3 => {
            let mut reading = new(evt3::count(bytes));
            evt3::decode(bytes, start, &mut reading)?;
            (
                reading,
                evt3::WORD,
                Recognised::new("EVT 3.0", "bit 11 is 1 for ON"),
            )
        }
        Encoding::Dat => {
            let events = dat::events(bytes, start)?;
            let mut reading = new(events.len() / dat::WORD);
            dat::decode(events, start + dat::PREFIX, &mut reading)?;
            (
                reading,
                dat::WORD,
                Recognised::new("DAT 2", "bit 28 is 1 for ON"),
            )
        }
    };
    let left = match header.encoding {
        Encoding::Dat => (bytes.len() - dat::PREFIX) % word,
        _ => bytes.len() % word,
    };
    let (packets, seen) = reading.finish(options.ignore_outside)?;
    Ok(Decoded {
        packets: packets.into(),
        sensor,
        recognised: recognised.line(sensor, options, header.t0),
        seen,
        cut_short: (left > 0).then(|| CutShort {
            offset: recording.len() - left,
            need: word as u64,
            left,
            events: 0,
        }),
    })
}

impl Recognised {
    fn new(encoding: &'static str, polarity: &'static str) -> Self {
        Self {
            encoding,
            polarity,
            notes: String::new(),
        }
    }

    /// Says how the recording was read, and why.
    fn line(&self, sensor: SensorSize, options: &ReadOptions, t0: i64) -> String {
        let Self {
            encoding,
            polarity,
            notes,
        } = self;
        let by = match options.sensor {
            Some(_) => "as --sensor says",
            None => "as its header says",
        };
        let later = match t0 {
            0 => String::new(),
            t0 => format!("; its times are {t0} us later, as its header's t0 says"),
        };
        format!(
            "{encoding}: {sensor} pixels, {by}; y counts from the top; {polarity}{notes}{later}"
        )
    }
}
