//! Where an AEDAT file departs from the format.

use thiserror::Error;

use super::layout::EVENT_BYTES;

/// The most events a packet is believed to have lost when the recording ends inside it; the camera's own packets have
/// some thousands. One that claims more has a damaged header.
pub(super) const MAX_CUT_EVENTS: u32 = 1 << 20;

/// Where a recording departs from the format. Byte offsets count from the start of the recording.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AedatError {
    /// The first line names another format or none.
    #[error("not an AEDAT 3 recording: it begins with {found:?}, not \"#!AER-DAT3.1\"")]
    NotAedat3 {
        /// Its first bytes.
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
    /// An event outside the sensor.
    #[error(
        "the event at byte {offset} lies at x = {x}, y = {y}, beyond the sensor's {width} x {height} pixels"
    )]
    OutsideSensor {
        /// Start of the event.
        offset: usize,
        /// Its column.
        x: u16,
        /// Its row.
        y: u16,
        /// Columns there are.
        width: u32,
        /// Rows there are.
        height: u32,
    },
}

fn why(next: &Option<usize>) -> String {
    match next {
        Some(next) => format!("another packet begins at byte {next}."),
        None => format!(
            "a recording cut short loses at most {MAX_CUT_EVENTS} events of its last packet."
        ),
    }
}
