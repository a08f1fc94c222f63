//! Errors for AEDAT 3 files that depart from the format.

use thiserror::Error;

use super::layout::EVENT_BYTES;
use crate::event::SensorSize;
use crate::file_kind;
use crate::words::counted;

/// Most events that a packet may lose if the recording ends inside it. Real packets have some
/// thousands. A packet that claims more has a damaged header.
pub(super) const MAX_CUT_EVENTS: u32 = 1 << 20;

/// Most bytes of a header. Real headers have a few hundred.
pub(super) const MAX_HEADER: usize = 1 << 20;

/// How a recording departs from the format. Byte offsets count from the start of the recording.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AedatError {
    /// The first line names another format or none.
    #[error("not an AEDAT 3 recording: {found}")]
    NotAedat3 {
        /// The detected format, or the first bytes.
        found: String,
    },
    /// The version is unknown.
    #[error("it is AEDAT {found}; 3.0 and 3.1 are known")]
    Version {
        /// For example `3.2`.
        found: String,
    },
    /// The packets are encoded.
    #[error(
        "its packets are encoded as {found:?}; only RAW packets are read. Record or export it without compression"
    )]
    Encoding {
        /// Value of the header line `#Format`.
        found: String,
    },
    /// `#!END-HEADER` is missing.
    #[error(
        "the header does not end: no line `#!END-HEADER` before byte {offset}, where a line does not begin with `#`"
    )]
    HeaderWithoutEnd {
        /// Byte at which the header lines stop.
        offset: usize,
    },
    /// The header exceeds the limit.
    #[error("its header goes on after {MAX_HEADER} bytes, the limit")]
    HeaderTooLong,
    /// The header names no camera of known size.
    #[error(
        "the camera's size is not known, because the header names {}; say it with --sensor, as in --sensor 128x128",
        named(.found)
    )]
    NoSensor {
        /// The camera in the header; empty if there is none.
        found: String,
    },
    /// The recording has events of several cameras.
    #[error(
        "it holds events of several cameras: {found}. --stream chooses one by its number, as --stream {example}"
    )]
    Sources {
        /// Numbers and names of the cameras.
        found: String,
        /// One of the numbers.
        example: u16,
    },
    /// The requested camera has no events in the recording.
    #[error(
        "it holds no events of camera {asked}, which --stream asks for; it holds those of {found}"
    )]
    NoSuchSource {
        asked: i32,
        /// Numbers and names of the cameras with events.
        found: String,
    },
    /// A packet claims more bytes than are left, but the recording was not cut short inside it.
    #[error(
        "the packet at byte {offset} claims {number} events in {need} bytes, and {left} bytes are left; {} \
         Its header is damaged", why(.next)
    )]
    Length {
        /// Start of the packet.
        offset: usize,
        /// `eventCapacity`.
        number: u32,
        /// Bytes that these events take.
        need: u64,
        /// Bytes that are left.
        left: usize,
        /// Start of another whole packet among these bytes.
        next: Option<usize>,
    },
    /// A packet has more events than its capacity.
    #[error(
        "the packet at byte {offset} counts {number} events, beyond its capacity of {capacity}"
    )]
    NumberBeyondCapacity {
        /// Start of the packet.
        offset: usize,
        /// `eventNumber`.
        number: u32,
        /// `eventCapacity`.
        capacity: u32,
    },
    /// The polarity events are too short for their fields.
    #[error(
        "the packet at byte {offset} has polarity events of {size} bytes with the timestamp at byte {ts_offset}; \
         they need at least {EVENT_BYTES} bytes with the timestamp at byte 4 or later"
    )]
    EventLayout {
        /// Start of the packet.
        offset: usize,
        /// `eventSize`.
        size: u32,
        /// `eventTSOffset`.
        ts_offset: u32,
    },
    /// Too many events are in packets of types that the format does not define.
    #[error(
        "{number} of its {of} events are in packets of types that AEDAT 3 does not define, the first of type {kind} at \
         byte {offset}; at most 1 % may be. Its packets' headers are damaged, or another program's"
    )]
    UnknownTypes {
        /// Number of these events.
        number: u64,
        /// Number of events of all types.
        of: u64,
        /// `eventType` of the first such packet.
        kind: u16,
        /// Start of that packet.
        offset: usize,
    },
    /// Events lie outside the camera in AEDAT 3.0, in which y counts from the last row.
    #[error("the event at byte {offset} lies at x = {x}, y = {y} from the bottom, {}", outside_camera(*.camera, *.number, *.of))]
    OutsideCamera {
        /// Start of the first such event.
        offset: usize,
        x: u16,
        /// Row, from the bottom.
        y: u16,
        camera: SensorSize,
        /// Number of events outside.
        number: u64,
        /// Number of all events.
        of: u64,
    },
    /// Events lie outside the sensor.
    #[error("the event at byte {offset} lies at x = {x}, y = {y}, {}", outside(*.sensor, *.number, *.of))]
    OutsideSensor {
        /// Start of the first such event.
        offset: usize,
        x: u16,
        y: u16,
        sensor: SensorSize,
        /// Number of events outside.
        number: u64,
        /// Number of all events.
        of: u64,
    },
}

impl AedatError {
    /// The error for bytes that are not an AEDAT 3 recording.
    pub(super) fn not_aedat3(bytes: &[u8]) -> Self {
        let found = match file_kind::by_content(bytes) {
            Some(kind) => format!("it {kind}"),
            None => {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(16)]);
                format!(
                    "it begins with {start:?}; AEDAT 2.0, 3.0, 3.1 and 4.0 and Prophesee's RAW and DAT are read"
                )
            }
        };
        Self::NotAedat3 { found }
    }
}

/// Says what is wrong with events outside a sensor and which options help.
pub(crate) fn outside(sensor: SensorSize, number: u64, of: u64) -> String {
    format!(
        "beyond the sensor's {sensor} pixels, as {number} of its {}; --sensor names another size, --ignore-outside leaves \
         such events out and counts them",
        counted(of, "event")
    )
}

/// Does the same for events outside the camera that recorded them. Larger frames do not help there.
pub(crate) fn outside_camera(camera: SensorSize, number: u64, of: u64) -> String {
    format!(
        "beyond the camera's {camera} pixels, as {number} of its {}; --ignore-outside leaves such events out and counts them",
        counted(of, "event")
    )
}

fn why(next: &Option<usize>) -> String {
    match next {
        Some(next) => format!("another packet begins at byte {next}."),
        None => format!(
            "a recording cut short loses at most {MAX_CUT_EVENTS} events of its last packet."
        ),
    }
}

fn named(found: &str) -> String {
    match found {
        "" => "no camera".to_owned(),
        found => format!("{found:?}, whose size is not known"),
    }
}
