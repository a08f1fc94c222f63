//! The `.bin` files of N-MNIST, N-Caltech101 and other datasets that were recorded with an ATIS:
//! events of 40 bits and nothing else.
//!
//! Source: `Read_Ndataset.m`, which comes with N-MNIST. An event is a byte x, a byte y, and 24 bits
//! in big-endian order: the polarity (1 is ON), then 23 bits of time in microseconds. x and y count
//! from the upper left.
//!
//! Some later programs take an event in row 240 for a mark that the time has overflowed. N-MNIST's
//! own reader and SpikingJelly do not, and they disagree with those programs by 8192 us for each
//! such event. Here such an event lies outside the sensor, and the message says so.

use thiserror::Error;

use super::packets::{EventError, Packets};
use super::{Decoded, ReadOptions};
use crate::aedat::{CutShort, EventCounts};
use crate::file_kind;

const EVENT: usize = 5;
/// The row that some programs take for a mark of overflowing time.
const OVERFLOW_ROW: i64 = 240;

/// What is wrong with a file.
#[derive(Debug, Error)]
pub enum AtisBinError {
    /// Something else was saved under the name of a sample.
    #[error("it {0}")]
    Foreign(&'static str),
    /// The file does not say how large the sensor is.
    #[error(
        "a .bin file does not say how many pixels its camera has; say it with --sensor, as in --sensor 34x34"
    )]
    Size,
    /// An event cannot be counted.
    #[error(
        "the event at byte {offset}: {reason}{}",
        if is_overflow_mark(.reason) {
            ". Some programs take row 240 for a mark of overflowing time, others for a pixel; --ignore-outside leaves these \
             events out and the times as they are"
        } else {
            ""
        }
    )]
    Event {
        /// Start of the event.
        offset: u64,
        reason: EventError,
    },
}

fn is_overflow_mark(reason: &EventError) -> bool {
    matches!(
        reason,
        EventError::OutsideSensor {
            y: OVERFLOW_ROW,
            ..
        }
    )
}

/// Reads a file of at most `limit` events.
///
/// # Errors
/// Returns an error if the file cannot be read: see [`AtisBinError`].
pub(super) fn decode(
    file: &[u8],
    options: &ReadOptions,
    limit: usize,
) -> Result<Decoded<'static>, AtisBinError> {
    if let Some(kind) = file_kind::foreign(file).filter(|_| !file.is_empty()) {
        return Err(AtisBinError::Foreign(kind));
    }
    let known = match options.sensor {
        Some(sensor) => Some((sensor, "as --sensor says")),
        // Only N-MNIST has these files in a form that is known.
        None => options
            .form
            .sensor()
            .filter(|_| options.form.has_bin_files()),
    };
    let (sensor, reason) = known.ok_or(AtisBinError::Size)?;
    let (events, rest) = file.as_chunks::<EVENT>();
    let mut packets = Packets::new(sensor, limit, events.len());
    for (offset, &[x, y, high, middle, low]) in (0..).step_by(EVENT).zip(events) {
        let t = u32::from_be_bytes([0, high & 0x7f, middle, low]);
        packets
            .push(offset, t.into(), (x.into(), y.into()), high & 0x80 != 0)
            .map_err(|reason| AtisBinError::Event { offset, reason })?;
    }
    let packed = packets
        .finish(options.ignore_outside)
        .map_err(|(offset, reason)| AtisBinError::Event { offset, reason })?;
    Ok(Decoded {
        packets: packed.packets.into(),
        sensor,
        recognised: format!(
            "ATIS .bin: {sensor} pixels, {reason}; y counts from the top; polarity 1 is ON"
        ),
        seen: EventCounts {
            outside: packed.outside,
            ..EventCounts::default()
        },
        cut_short: (!rest.is_empty()).then(|| CutShort {
            offset: file.len() - rest.len(),
            need: EVENT as u64,
            left: rest.len(),
            events: 0,
        }),
    })
}
