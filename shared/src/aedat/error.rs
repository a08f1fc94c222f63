//! Where an AEDAT file departs from the format.

use thiserror::Error;

use super::layout::EVENT_BYTES;
use crate::SensorSize;
use crate::file_kind;
use crate::words::counted;

/// The most events a packet is believed to have lost when the recording ends inside it; the camera's own packets have
/// some thousands. One that claims more has a damaged header.
pub(super) const MAX_CUT_EVENTS: u32 = 1 << 20;

/// The most bytes of a header; real ones have some hundred.
pub(super) const MAX_HEADER: usize = 1 << 20;

/// Where a recording departs from the format. Byte offsets count from the start of the recording.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AedatError {
    /// The first line names another format or none.
    #[error("not an AEDAT 3 recording: {found}")]
    NotAedat3 {
        /// What it is, or how it begins.
        found: String,
    },
    /// A version that is not known.
    #[error("it is AEDAT {found}; 3.0 and 3.1 are known")]
    Version {
        /// The version.
        found: String,
    },
    /// Packets that are encoded.
    #[error(
        "its packets are encoded as {found:?}; only RAW packets are read. Record or export it without compression"
    )]
    Encoding {
        /// What the header's line `#Format` says.
        found: String,
    },
    /// `#!END-HEADER` is missing.
    #[error(
        "the header does not end: no line `#!END-HEADER` before byte {offset}, where a line does not begin with `#`"
    )]
    HeaderWithoutEnd {
        /// Where a line does not begin with `#`.
        offset: usize,
    },
    /// The header is longer than any.
    #[error("its header goes on after {MAX_HEADER} bytes, the limit")]
    HeaderTooLong,
    /// The header names no camera whose size is known.
    #[error(
        "the camera's size is not known, because the header names {}; say it with --sensor, as in --sensor 128x128",
        named(.found)
    )]
    NoSensor {
        /// The cameras that it names.
        found: String,
    },
    /// Events of several cameras.
    #[error(
        "it holds events of several cameras: {found}. --stream chooses one by its number, as --stream {example}"
    )]
    Sources {
        /// Their numbers and names.
        found: String,
        /// One of the numbers.
        example: u16,
    },
    /// A camera that is not there.
    #[error(
        "it holds no events of camera {asked}, which --stream asks for; it holds those of {found}"
    )]
    NoSuchSource {
        /// The camera's number.
        asked: i32,
        /// The numbers and names of those there are.
        found: String,
    },
    /// A packet claims more bytes than are left, and not because the recording was cut short inside it.
    #[error(
        "the packet at byte {offset} claims {number} events in {need} bytes, and {left} bytes are left; {} \
         Its header is damaged", why(.next)
    )]
    Length {
        /// Start of the packet.
        offset: usize,
        /// `eventCapacity`.
        number: u32,
        /// Bytes they take.
        need: u64,
        /// Bytes there are.
        left: usize,
        /// Where another whole packet begins among them.
        next: Option<usize>,
    },
    /// More events than room for them.
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
    /// Polarity events too short to hold what they must.
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
    /// Packets of types that the format does not define.
    #[error(
        "{number} of its {of} events are in packets of types that AEDAT 3 does not define, the first of type {kind} at \
         byte {offset}; at most 1 % may be. Its packets' headers are damaged, or another program's"
    )]
    UnknownTypes {
        /// How many.
        number: u64,
        /// Events of all types.
        of: u64,
        /// `eventType` of the first such packet.
        kind: u16,
        /// Start of that packet.
        offset: usize,
    },
    /// Events of AEDAT 3.0 outside the camera, whose y counts from its last row.
    #[error("the event at byte {offset} lies at x = {x}, y = {y} from the bottom, {}", outside_camera(*.camera, *.number, *.of))]
    OutsideCamera {
        /// Start of the first such event.
        offset: usize,
        /// Its column.
        x: u16,
        /// Its row, from the bottom.
        y: u16,
        /// The camera.
        camera: SensorSize,
        /// How many lie outside.
        number: u64,
        /// Events that there are.
        of: u64,
    },
    /// Events outside the sensor.
    #[error("the event at byte {offset} lies at x = {x}, y = {y}, {}", outside(*.sensor, *.number, *.of))]
    OutsideSensor {
        /// Start of the first such event.
        offset: usize,
        /// Its column.
        x: u16,
        /// Its row.
        y: u16,
        /// The sensor.
        sensor: SensorSize,
        /// How many lie outside.
        number: u64,
        /// Events that there are.
        of: u64,
    },
}

impl AedatError {
    /// The error of bytes that are no AEDAT 3 recording.
    pub(super) fn not_aedat3(bytes: &[u8]) -> Self {
        let found = match file_kind::by_content(bytes) {
            Some(kind) => format!("it {kind}"),
            None => {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(16)]);
                format!("it begins with {start:?}; AEDAT 2.0, 3.0, 3.1 and 4.0 are read")
            }
        };
        Self::NotAedat3 { found }
    }
}

/// What is wrong with events outside a sensor, and what to do about it.
pub(crate) fn outside(sensor: SensorSize, number: u64, of: u64) -> String {
    format!(
        "beyond the sensor's {sensor} pixels, as {number} of its {}; --sensor names another size, --ignore-outside leaves \
         such events out and counts them",
        counted(of, "event")
    )
}

/// The same of events outside the camera that recorded them, for which no frames are large enough.
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
