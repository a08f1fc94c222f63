//! Files with one sample each: SpikingJelly's `.npz` of events or of ready frames, and figshare's
//! `.npy` of events in milliseconds.
//!
//! Layouts: SpikingJelly 2.0's `DVS128Gesture` (arrays `t`, `x`, `y`, `p` with one element per
//! event; `frames` `[T, 2, H, W]`), and the archives ibmGestureTrain and ibmGestureTest that tonic
//! 1.7 reads (one array `[events, 4]` with the columns x, y, p and t in milliseconds).

mod columns;
mod events;
mod frames;

use std::cell::Cell;
use std::io::{self, Cursor, Read};

use thiserror::Error;
use zip::ZipArchive;

pub use self::events::{events_npy, events_npz};
pub use self::frames::{ReadyFrames, frames_npz};
use super::npy::{Header, NpyError};
use super::packets::EventError;
use crate::event::SensorSize;
use crate::file_kind;
use crate::limited_reader::LimitedReader;

/// Most bytes that are read to find the arrays of an `.npz`.
const MAX_DIRECTORY: u64 = 1 << 17;

/// What is wrong with a sample's file.
#[derive(Debug, Error)]
pub enum SampleError {
    /// Something else was saved under the name of a sample.
    #[error("it {0}")]
    Foreign(&'static str),
    /// The `.npz` is not a whole zip file.
    #[error("it is not a whole .npz: {0}")]
    Npz(io::Error),
    /// An array is missing.
    #[error("it has no array `{name}`; it has {found}")]
    Missing {
        name: &'static str,
        /// Names of the arrays in the file.
        found: String,
    },
    /// Something is wrong with an array.
    #[error("array `{name}`: {reason}")]
    Array {
        /// Name of the array.
        name: &'static str,
        reason: NpyError,
    },
    /// Neither the file nor its dataset says how large the sensor is.
    #[error(
        "an .npz or .npy file does not say how many pixels its camera has; say it with --sensor, as in --sensor 128x128"
    )]
    Size,
    /// An event cannot be counted.
    #[error("event {index}: {reason}")]
    Event {
        /// Position of the event, from 0.
        index: u64,
        reason: EventError,
    },
    /// The frames do not have the requested size.
    #[error("its frames have {found} pixels; --sensor says {expected}")]
    Sensor {
        /// The size in the file.
        found: SensorSize,
        /// The requested size.
        expected: SensorSize,
    },
    /// The sample does not have the requested number of frames.
    #[error("it has {found} frames, not {expected}: it was made with other --frames")]
    Frames {
        /// The number in the file.
        found: u64,
        /// The requested number.
        expected: u32,
    },
    /// The number of frames is outside the limits.
    #[error("it has {found} frames; a sample has from 1 to {limit}")]
    FrameNumber {
        /// The number in the file.
        found: u64,
        limit: u64,
    },
}

/// Names of sample formats in summaries: SpikingJelly's events, figshare's events, and ready
/// frames.
pub const EVENTS_NPZ: &str = "SpikingJelly's events, npz";
/// See [`EVENTS_NPZ`].
pub const EVENTS_NPY: &str = "figshare's events, npy in milliseconds";
/// See [`EVENTS_NPZ`].
pub const FRAMES_NPZ: &str = "SpikingJelly's ready frames, npz";

/// Precision of the times in figshare's arrays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimePrecision {
    /// Whether every time is a whole number of milliseconds.
    pub whole_ms: bool,
    /// Microseconds between the largest time and the next that its type has.
    pub step_us: f64,
}

/// Events of a sample, in packets.
pub struct SampleEvents {
    /// An AEDAT 3.1 recording with the events.
    pub packets: Vec<u8>,
    /// Size of the frames.
    pub sensor: SensorSize,
    /// Why that size was chosen, and how the file was read: the end of a line for the user.
    pub recognised: String,
    /// Number of events.
    pub number: u64,
    /// Events outside the sensor, which were left out.
    pub outside: u64,
    /// Precision of the times, if they were in milliseconds.
    pub precision: Option<TimePrecision>,
}

fn array(name: &'static str) -> impl Fn(NpyError) -> SampleError {
    move |reason| SampleError::Array { name, reason }
}

/// An `.npz` in memory.
struct Npz<'a, 'b>(ZipArchive<LimitedReader<'b, Cursor<&'a [u8]>>>);

impl<'a, 'b> Npz<'a, 'b> {
    fn new(bytes: &'a [u8], allowed: &'b Cell<u64>) -> Result<Self, SampleError> {
        if let Some(kind) = file_kind::foreign(bytes) {
            return Err(SampleError::Foreign(kind));
        }
        allowed.set(MAX_DIRECTORY);
        let zip = ZipArchive::new(LimitedReader {
            inner: Cursor::new(bytes),
            allowed,
        })
        .map_err(|e| SampleError::Npz(e.into()))?;
        allowed.set(u64::MAX);
        Ok(Self(zip))
    }

    fn has(&self, name: &str) -> bool {
        self.0.index_for_name(&format!("{name}.npy")).is_some()
    }

    /// Calls `read` with the header and the elements of an array.
    fn array<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Header, &mut dyn Read) -> Result<T, SampleError>,
    ) -> Result<T, SampleError> {
        if !self.has(name) {
            let names = self.0.file_names().filter_map(|n| n.ok());
            let mut found: Vec<String> = names.take(10).map(|n| format!("{n:?}")).collect();
            found.sort_unstable();
            let found = match found.is_empty() {
                true => "none at all".to_owned(),
                false => found.join(", "),
            };
            return Err(SampleError::Missing { name, found });
        }
        let mut file = self
            .0
            .by_name(&format!("{name}.npy"))
            .map_err(|e| SampleError::Npz(e.into()))?;
        let header = Header::read(&mut file).map_err(array(name))?;
        read(&header, &mut file)
    }
}

/// Whether an `.npz` holds ready frames.
///
/// # Errors
/// Returns an error if the bytes are not an `.npz`.
pub fn holds_frames(bytes: &[u8]) -> Result<bool, SampleError> {
    let allowed = Cell::new(0);
    Ok(Npz::new(bytes, &allowed)?.has("frames"))
}
