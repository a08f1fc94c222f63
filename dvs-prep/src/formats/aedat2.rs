//! AEDAT 2.0, as jAER records: text lines beginning with `#`, then for every event a 32-bit address and a 32-bit time in
//! microseconds, both big-endian.
//!
//! Format: <https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-2.0.html>. jAER counts x and y
//! from the lower right pixel as the camera sees it, AEDAT 3 from the upper left; both coordinates are turned, so that a
//! gesture looks the same whichever program recorded it. In a DVS128's address the polarity bit is set for OFF, in a
//! DAVIS's for ON.

use dvs_shared::SensorSize;
use dvs_shared::event::DVS128;
use thiserror::Error;

use super::camera::{self, Addresses};
use super::packets::{EventError, Packets};
use super::{Decoded, FIRST_AEDAT2};
use crate::aedat::CutShort;

/// The last line of newer headers.
const LAST_LINE: &[u8] = b"#End Of ASCII Header";
const CHIP: &[u8] = b"AEChip:";
const EVENT: usize = 8;
/// Marks what jAER calls special events, and in a DAVIS's address frames and inertial measurements.
const SPECIAL: u32 = 1 << 31;
const DVS128_SYNC: u32 = 1 << 15;
const DAVIS_EXTERNAL: u32 = 1 << 10;
/// Times wrap around after 2^32 us; a time that is half of it earlier than the one before has wrapped.
const WRAP: i64 = 1 << 32;

/// What is wrong with a recording. Byte offsets count from its start.
#[derive(Debug, Error)]
pub enum Aedat2Error {
    /// A camera whose addresses are not known.
    #[error("its header names the camera {0:?}; DVS128 and DAVIS cameras are known")]
    Camera(String),
    /// An event cannot be counted.
    #[error("the event at byte {offset}: {source}")]
    Event {
        /// Its start.
        offset: usize,
        /// Why.
        source: EventError,
    },
}

/// Reads a recording, whose camera has `sensor` pixels where that is said.
///
/// # Errors
/// See [`Aedat2Error`].
pub(super) fn decode(
    recording: &[u8],
    sensor: Option<SensorSize>,
    limit: usize,
) -> Result<Decoded<'static>, Aedat2Error> {
    let (start, chip) = header(recording);
    let (size, addresses) = match chip {
        Some(chip) => camera::named(&chip)
            .ok_or_else(|| Aedat2Error::Camera(chip.chars().take(80).collect()))?,
        // The oldest recordings name no camera: there was but one.
        None => match sensor {
            None | Some(DVS128) => (DVS128, Addresses::Dvs128),
            Some(sensor) => (sensor, Addresses::Davis),
        },
    };
    let sensor = sensor.unwrap_or(size);
    let mut packets = Packets::new(sensor, limit, recording.len() / EVENT);
    let (mut other_types, mut last, mut wrapped) = (0, 0, 0);
    let (events, rest) = recording[start..].as_chunks::<EVENT>();
    for (i, &[a, b, c, d, e, f, g, h]) in events.iter().enumerate() {
        let address = u32::from_be_bytes([a, b, c, d]);
        let time = i64::from(u32::from_be_bytes([e, f, g, h]));
        if last - time > WRAP / 2 {
            wrapped += WRAP;
        }
        last = time;
        let special = match addresses {
            Addresses::Dvs128 => address & (SPECIAL | DVS128_SYNC) != 0,
            Addresses::Davis => address & (SPECIAL | DAVIS_EXTERNAL) != 0,
        };
        if special {
            other_types += 1;
            continue;
        }
        let (x, y, polarity) = match addresses {
            Addresses::Dvs128 => (address >> 1 & 0x7f, address >> 8 & 0x7f, address & 1 == 0),
            Addresses::Davis => (
                address >> 12 & 0x3ff,
                address >> 22 & 0x1ff,
                address >> 11 & 1 == 1,
            ),
        };
        let from_other_side = |all: u32, pixel: u32| i64::from(all) - 1 - i64::from(pixel);
        packets
            .push(
                wrapped + time,
                from_other_side(size.width, x),
                from_other_side(size.height, y),
                polarity,
            )
            .map_err(|source| Aedat2Error::Event {
                offset: start + i * EVENT,
                source,
            })?;
    }
    Ok(Decoded {
        packets: packets.finish().into(),
        sensor,
        other_types,
        cut_short: (!rest.is_empty()).then(|| CutShort {
            offset: recording.len() - rest.len(),
            need: EVENT as u64,
            left: rest.len(),
            events: 0,
        }),
    })
}

/// Where the events begin, and the camera that the header names.
fn header(recording: &[u8]) -> (usize, Option<String>) {
    let (mut at, mut chip) = (0, None);
    debug_assert!(recording.starts_with(FIRST_AEDAT2));
    while recording[at..].starts_with(b"#") {
        let Some(length) = recording[at..].iter().position(|&b| b == b'\n') else {
            break;
        };
        let line = &recording[at..at + length];
        // An event may begin with the same byte, but it has no text.
        if line.iter().any(|&b| b < b' ' && b != b'\t' && b != b'\r') {
            break;
        }
        at += length + 1;
        if let Some(place) = line.windows(CHIP.len()).position(|w| w == CHIP) {
            let name = String::from_utf8_lossy(&line[place + CHIP.len()..]);
            chip.get_or_insert(name.trim().to_owned());
        }
        if line.trim_ascii_end() == LAST_LINE {
            break;
        }
    }
    (at, chip)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::recording::Recording;

    fn recording(chip: &str, events: &[(u32, u32)]) -> Vec<u8> {
        let mut bytes = FIRST_AEDAT2.to_vec();
        bytes.extend(b"0\r\n# This is a raw AE data file\r\n");
        if !chip.is_empty() {
            bytes.extend(format!("# AEChip: {chip}\r\n").as_bytes());
        }
        for (address, time) in events {
            bytes.extend(address.to_be_bytes());
            bytes.extend(time.to_be_bytes());
        }
        bytes
    }

    fn events(decoded: &Decoded<'_>) -> Vec<(i64, usize)> {
        let recording = Recording::new(&decoded.packets, decoded.sensor, false).unwrap();
        let mut events = Vec::new();
        recording
            .window(i64::MIN, i64::MAX)
            .for_each(|t, cell| events.push((t, cell)));
        events
    }

    #[test]
    fn a_dvs128_counts_from_the_other_corner_and_off_is_1() {
        let all = [
            (0, 5),
            (127 << 8 | 126 << 1 | 1, 7),
            (DVS128_SYNC, 8),
            (2, 6),
        ];
        for chip in ["", "eu.seebetter.ini.chips.DVS128"] {
            let decoded = decode(&recording(chip, &all), None, 9).unwrap();
            assert_eq!((decoded.sensor, decoded.other_types), (DVS128, 1));
            let on = 128 * 128;
            assert_eq!(
                events(&decoded),
                [(5, on + 127 * 128 + 127), (7, 1), (6, on + 127 * 128 + 126)]
            );
        }
    }

    #[test]
    fn a_davis_has_frames_between_and_times_that_wrap() {
        let all = [
            (179 << 22 | 239 << 12 | 1 << 11, u32::MAX),
            (SPECIAL | 5, u32::MAX),
            (0, 3),
        ];
        let mut bytes = recording("eu.seebetter.ini.chips.davis.DAVIS240C", &all);
        bytes.extend([1, 2, 3]);
        let decoded = decode(&bytes, None, 9).unwrap();
        assert_eq!((decoded.sensor.width, decoded.sensor.height), (240, 180));
        let last = u32::MAX.into();
        assert_eq!(
            events(&decoded),
            [(last, 180 * 240), (WRAP + 3, 180 * 240 - 1)]
        );
        let cut = decoded.cut_short.unwrap();
        assert_eq!((cut.offset, cut.left), (bytes.len() - 3, 3));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let said = |bytes: &[u8], limit| decode(bytes, None, limit).err().unwrap().to_string();
        let davis = "Davis346red";
        let beyond = recording(davis, &[(300 << 22, 1)]);
        let place = beyond.len() - 8;
        assert!(said(&beyond, 9).contains(&format!("byte {place}: x = 345, y = -41")));
        assert!(said(&recording("ATIS", &[]), 9).contains("\"ATIS\""));
        assert!(said(&recording("", &[(0, 1), (0, 2)]), 1).contains("more than 1 events"));
    }
}
