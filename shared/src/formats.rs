//! What recordings and samples come in, brought into the one form that is indexed: AEDAT 3.1's packets.

mod aedat2;
mod aedat3;
mod aedat4;
mod camera;
mod npy;
mod packets;
mod samples;

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

pub use self::aedat2::Aedat2Error;
pub use self::aedat4::Aedat4Error;
pub use self::camera::AddressLayout;
pub use self::npy::{NpyError, write_header as write_npy_header};
pub use self::packets::EventError;
pub use self::samples::{
    EVENTS_NPY, EVENTS_NPZ, FRAMES_NPZ, ReadyFrames, SampleError, SampleEvents, TimePrecision,
    events_npy, events_npz, frames_npz, holds_frames,
};
use crate::SensorSize;
use crate::aedat::{AedatError, CutShort, EVENT_BYTES, EventCounts};

/// How recordings of all versions of AEDAT begin.
pub const FIRST_AEDAT: &[u8] = b"#!AER-DAT";
const FIRST_AEDAT2: &[u8] = b"#!AER-DAT2.";
const FIRST_AEDAT30: &[u8] = b"#!AER-DAT3.0";
const FIRST_AEDAT4: &[u8] = b"#!AER-DAT4.";
/// Bytes that tell a format.
pub const FIRST_BYTES: usize = 12;
/// How much larger than its file what is made of something compressed may become. SpikingJelly's files take some 6 bytes
/// an event.
const RATIO: u64 = 16;
/// How often the least that is allowed to what is compressed goes into the most.
const LEAST_IN_MOST: u64 = 4;
/// Bytes that an event of a sample takes while it is brought into packets: its columns and the packet, as they grow.
const SAMPLE_EVENT: usize = 40;
/// The same of a recording, of which there are packets only.
const RECORDING_EVENT: usize = 2 * EVENT_BYTES;

/// What a recording's or a sample's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// AEDAT 3.1: read where it lies.
    Aedat3,
    /// AEDAT 3.0.
    Aedat30,
    /// AEDAT 2.
    Aedat2,
    /// AEDAT 4.
    Aedat4,
    /// SpikingJelly's `.npz`.
    Npz,
    /// figshare's `.npy`.
    Npy,
}

/// How recordings and samples are to be read, as far as they leave it open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Size of the frames, which goes before what a recording says.
    pub sensor: Option<SensorSize>,
    /// How AEDAT 2's addresses are packed, which goes before the camera's name.
    pub layout: Option<AddressLayout>,
    /// Which of several event streams (AEDAT 4) or cameras (AEDAT 3) is read, by its number.
    pub stream: Option<i32>,
    /// Whether events with a clear valid bit count.
    pub keep_invalid: bool,
    /// Whether events outside the sensor are left out and counted, instead of being an error.
    pub ignore_outside: bool,
}

impl ReadOptions {
    /// Refuses options that say nothing of a file of this format: another one is meant, or another file.
    ///
    /// # Errors
    /// If there is such an option.
    pub fn check(&self, format: Format) -> Result<(), FormatError> {
        let unused = |option, wanted| FormatError::Unused {
            option,
            wanted,
            found: format,
        };
        let has_streams = matches!(format, Format::Aedat3 | Format::Aedat30 | Format::Aedat4);
        if self.layout.is_some() && format != Format::Aedat2 {
            return Err(unused("--layout", "AEDAT 2"));
        }
        if self.stream.is_some() && !has_streams {
            return Err(unused("--stream", "AEDAT 3 and AEDAT 4"));
        }
        Ok(())
    }
}

/// A recording as it is indexed.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// AEDAT 3.
    pub packets: Cow<'a, [u8]>,
    /// Size of the frames.
    pub sensor: SensorSize,
    /// How it was read, and what decided that: a line for people.
    pub recognised: String,
    /// What was left out on the way.
    pub seen: EventCounts,
    /// Where it ends too early, if it does.
    pub cut_short: Option<CutShort>,
}

/// What is wrong with a recording or a sample.
#[derive(Debug, Error)]
pub enum FormatError {
    /// AEDAT 3.
    #[error(transparent)]
    Aedat3(#[from] AedatError),
    /// AEDAT 2.
    #[error(transparent)]
    Aedat2(#[from] Aedat2Error),
    /// AEDAT 4.
    #[error(transparent)]
    Aedat4(#[from] Aedat4Error),
    /// A sample's file.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// An option that says nothing of this format.
    #[error("{option} is for {wanted}, and this is {found}; leave it out")]
    Unused {
        /// The option.
        option: &'static str,
        /// The formats that it is for.
        wanted: &'static str,
        /// What the file is.
        found: Format,
    },
}

impl Format {
    /// The format of a recording, by its first bytes. What is none of them is taken for AEDAT 3, whose reader says what it
    /// found.
    pub fn of_recording(start: &[u8]) -> Self {
        if start.starts_with(FIRST_AEDAT2) {
            Self::Aedat2
        } else if start.starts_with(FIRST_AEDAT4) {
            Self::Aedat4
        } else if start.starts_with(FIRST_AEDAT30) {
            Self::Aedat30
        } else {
            Self::Aedat3
        }
    }

    /// Bytes that work on a file of `size` bytes takes; `floor` bytes are allowed at least to what is compressed.
    pub fn memory(self, size: u64, floor: u64, options: &ReadOptions) -> u64 {
        // What is left out of AEDAT 3 is left out in a copy.
        let copy = match self {
            Self::Aedat3 if options.ignore_outside || options.stream.is_some() => size,
            _ => self.room(size, floor),
        };
        size.saturating_add(copy)
    }

    /// Bytes that what is made of such a file may take.
    fn room(self, size: u64, floor: u64) -> u64 {
        match self {
            Self::Aedat3 => 0,
            Self::Aedat30 => size,
            // Eight bytes an event in either form; packets have headers.
            Self::Aedat2 => size.saturating_add(size / 8 + 4096),
            _ => size
                .saturating_mul(RATIO)
                .clamp(floor, floor.saturating_mul(LEAST_IN_MOST)),
        }
    }

    /// How many events may be made of such a file.
    pub fn max_events(self, size: u64, floor: u64) -> usize {
        let an_event = match self {
            Self::Aedat2 => EVENT_BYTES,
            Self::Aedat3 | Self::Aedat30 | Self::Aedat4 => RECORDING_EVENT,
            Self::Npz | Self::Npy => SAMPLE_EVENT,
        };
        usize::try_from(self.room(size, floor)).unwrap_or(usize::MAX) / an_event
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aedat3 => "AEDAT 3.1",
            Self::Aedat30 => "AEDAT 3.0",
            Self::Aedat2 => "AEDAT 2.0",
            Self::Aedat4 => "AEDAT 4.0",
            Self::Npz => "npz",
            Self::Npy => "npy",
        })
    }
}

/// Brings a recording into the form that is indexed.
///
/// # Errors
/// If it departs from its format, or if neither it nor `options` say how to read it.
pub fn decode<'a>(
    recording: &'a [u8],
    format: Format,
    options: &ReadOptions,
    floor: u64,
) -> Result<Decoded<'a>, FormatError> {
    options.check(format)?;
    let limit = format.max_events(recording.len() as u64, floor);
    Ok(match format {
        Format::Aedat2 => aedat2::decode(recording, options, limit)?,
        Format::Aedat4 => aedat4::decode(recording, options, limit)?,
        _ => aedat3::decode(recording, options)?,
    })
}
