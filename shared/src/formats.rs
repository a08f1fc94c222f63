//! Converts recordings and samples of all formats to the form that is indexed: AEDAT 3.1 packets.

mod aedat2;
mod aedat3;
mod aedat4;
mod atis_bin;
mod camera;
mod clock;
mod form;
mod npy;
mod packets;
mod prophesee;
mod samples;

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

pub use self::aedat2::Aedat2Error;
pub use self::aedat4::Aedat4Error;
pub use self::atis_bin::AtisBinError;
pub use self::camera::AddressLayout;
pub use self::form::{CIFAR10_CLASSES, DatasetForm};
pub use self::npy::{NpyError, write_header as write_npy_header};
pub use self::packets::EventError;
pub use self::prophesee::PropheseeError;
pub use self::samples::{
    EVENTS_NPY, EVENTS_NPZ, FRAMES_NPZ, ReadyFrames, SampleError, SampleEvents, TimePrecision,
    events_npy, events_npz, frames_npz, holds_frames,
};
use crate::aedat::{AedatError, CutShort, EVENT_BYTES, EventCounts};
use crate::event::SensorSize;
use crate::test_split::TestSplit;

/// First bytes of a recording in any version of AEDAT.
const FIRST_AEDAT: &[u8] = b"#!AER-DAT";
/// First bytes of a RAW or DAT file of Prophesee.
const FIRST_PROPHESEE: &[u8] = b"% ";
const FIRST_AEDAT2: &[u8] = b"#!AER-DAT2.";
const FIRST_AEDAT30: &[u8] = b"#!AER-DAT3.0";
const FIRST_AEDAT4: &[u8] = b"#!AER-DAT4.";
/// First bytes of a file that identify its format.
pub const FIRST_BYTES: usize = 12;
/// Most bytes that one byte of a compressed file may become. SpikingJelly's files take about 6
/// bytes per event.
const RATIO: u64 = 16;
/// Most bytes that one byte of Prophesee's files may become: events of at least two bytes, as EVT
/// 3.0 has them without vectors.
const PROPHESEE_RATIO: u64 = 4;
/// Ratio of the largest limit for compressed files to the smallest.
const LEAST_IN_MOST: u64 = 4;
/// Bytes per event while a sample is converted: its columns and the packets, as they grow.
const SAMPLE_EVENT: usize = 40;
/// Bytes per event if the events are counted first, with the share of the packets' headers.
const COUNTED_EVENT: usize = EVENT_BYTES + 1;
/// Bytes per event while a recording is converted; there are only packets.
const RECORDING_EVENT: usize = 2 * EVENT_BYTES;

/// The format of a recording or a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// AEDAT 3.1, read in place.
    Aedat3,
    /// AEDAT 3.0.
    Aedat30,
    Aedat2,
    Aedat4,
    /// Prophesee's RAW and DAT files, whose headers tell them apart.
    Prophesee,
    /// SpikingJelly's `.npz`.
    Npz,
    /// figshare's `.npy`.
    Npy,
    /// Events of 40 bits, as N-MNIST has.
    AtisBin,
}

/// How to read recordings and samples if they do not say it themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Size of the frames. It overrides the size in the recording.
    pub sensor: Option<SensorSize>,
    /// Layout of AEDAT 2's addresses. It overrides the camera's name.
    pub layout: Option<AddressLayout>,
    /// Number of the event stream (AEDAT 4) or camera (AEDAT 3) to read, if there are several.
    pub stream: Option<i32>,
    /// Whether events whose valid bit is clear are kept.
    pub keep_invalid: bool,
    /// Whether events outside the sensor are left out and counted instead of causing an error.
    pub ignore_outside: bool,
    /// The test set of a dataset that has no split of its own.
    pub test_split: Option<TestSplit>,
    /// The form of the dataset. It is not an option of the user but follows from the input's names.
    pub form: DatasetForm,
}

impl ReadOptions {
    /// Rejects options that have no effect on this format, because the user meant another option or
    /// another file.
    ///
    /// # Errors
    /// Returns an error if there is such an option.
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

/// A recording in the form that is indexed.
#[derive(Debug)]
pub struct Decoded<'a> {
    /// The recording as AEDAT 3.
    pub packets: Cow<'a, [u8]>,
    /// Size of the frames.
    pub sensor: SensorSize,
    /// How the recording was read, and why: a line for the user.
    pub recognised: String,
    /// Numbers of events left out during conversion.
    pub seen: EventCounts,
    /// Set if the recording ends too early.
    pub cut_short: Option<CutShort>,
}

/// What is wrong with a recording or a sample.
#[derive(Debug, Error)]
pub enum FormatError {
    #[error(transparent)]
    Aedat3(#[from] AedatError),
    #[error(transparent)]
    Aedat2(#[from] Aedat2Error),
    #[error(transparent)]
    Aedat4(#[from] Aedat4Error),
    #[error(transparent)]
    Prophesee(#[from] PropheseeError),
    #[error(transparent)]
    AtisBin(#[from] AtisBinError),
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// An option has no effect on this format.
    #[error("{option} is for {wanted}, and this is {found}; leave it out")]
    Unused {
        option: &'static str,
        /// The formats to which the option applies.
        wanted: &'static str,
        /// The format of the file.
        found: Format,
    },
}

impl Format {
    /// Detects the format of a recording by its first bytes. Unknown bytes count as AEDAT 3, whose
    /// reader reports what it found.
    pub fn of_recording(start: &[u8]) -> Self {
        if start.starts_with(FIRST_AEDAT2) {
            Self::Aedat2
        } else if start.starts_with(FIRST_AEDAT4) {
            Self::Aedat4
        } else if start.starts_with(FIRST_AEDAT30) {
            Self::Aedat30
        } else if start.starts_with(FIRST_PROPHESEE) {
            Self::Prophesee
        } else {
            Self::Aedat3
        }
    }

    /// Bytes needed to process a file of `size` bytes. `floor` is the smallest limit for compressed
    /// files.
    pub fn memory(self, size: u64, floor: u64, options: &ReadOptions) -> u64 {
        // Events of AEDAT 3 are left out in a copy.
        let copy = match self {
            Self::Aedat3 if options.ignore_outside || options.stream.is_some() => size,
            _ => self.room(size, floor),
        };
        size.saturating_add(copy)
    }

    /// Bytes that the converted file may take.
    fn room(self, size: u64, floor: u64) -> u64 {
        match self {
            Self::Aedat3 => 0,
            Self::Aedat30 => size,
            // Both forms have eight bytes per event; packets also have headers.
            Self::Aedat2 => size.saturating_add(size / 8 + 4096),
            // Five bytes become eight, with headers nine.
            Self::AtisBin => size.saturating_mul(2).saturating_add(4096),
            _ => size
                .saturating_mul(match self {
                    Self::Prophesee => PROPHESEE_RATIO,
                    _ => RATIO,
                })
                .clamp(floor, floor.saturating_mul(LEAST_IN_MOST)),
        }
    }

    /// Most events that the converted file may have.
    pub fn max_events(self, size: u64, floor: u64) -> usize {
        let an_event = match self {
            Self::Aedat2 => EVENT_BYTES,
            Self::Prophesee | Self::AtisBin => COUNTED_EVENT,
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
            Self::Prophesee => "a RAW or DAT file of Prophesee",
            Self::Npz => "npz",
            Self::Npy => "npy",
            Self::AtisBin => "a .bin file of an ATIS",
        })
    }
}

/// Whether a file with these first bytes is a recording.
pub fn is_recording(start: &[u8]) -> bool {
    start.starts_with(FIRST_AEDAT) || start.starts_with(FIRST_PROPHESEE)
}

/// Converts a recording to the form that is indexed.
///
/// # Errors
/// Returns an error if the recording departs from its format, or if neither it nor `options` says
/// how to read it.
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
        Format::Prophesee => prophesee::decode(recording, options, limit)?,
        Format::AtisBin => atis_bin::decode(recording, options, limit)?,
        _ => aedat3::decode(recording, options)?,
    })
}
