//! AEDAT 2.0, as jAER records it: text lines that begin with `#`, then a 32-bit address and a
//! 32-bit time in microseconds for every event, both big-endian.
//!
//! Source:
//! <https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-2.0.html>.
//! jAER counts x and y from the lower right pixel as the camera sees it, AEDAT 3.1 from the upper
//! left. Both coordinates are flipped, so that a gesture looks the same whichever program recorded
//! it.
//!
//! The meaning of an address depends on the camera. The header's line `AEChip` names it. Recordings
//! of the DVS128 from before there were other cameras have no such line. Neither have recordings of
//! the simulator v2e, which writes the addresses of a DAVIS with 346 x 260 or 240 x 180 pixels, or
//! those of a DVS640 (`v2ecore/output/aedat2_output.py`). The addresses themselves then decide: a
//! layout is ruled out if it does not have the bits that are set. If they do not decide, the
//! recording is refused.

use thiserror::Error;

use super::camera::{self, Address, AddressLayout};
use super::clock::{Clock, MINUTE};
use super::packets::{EventError, Packets};
use super::{DatasetForm, Decoded, FIRST_AEDAT2, ReadOptions};
use crate::aedat::{CutShort, EventCounts, outside_camera, too_many_unexplained};
use crate::event::SensorSize;
use crate::words::printable;

/// The last line of newer headers.
const LAST_LINE: &[u8] = b"#End Of ASCII Header";
/// Text before the camera's name, in upper or lower case.
const CHIP: &[u8] = b"aechip";
/// Text in the first comment of a recording by v2e.
const V2E: &[u8] = b"created by AEDat2Output in v2e";
/// Text that v2e writes in the header if it marked noise events. It is copied from
/// `v2ecore/output/aedat2_output.py`.
const NOISE_LABELS: &[u8] = b"noise events are labeled as addressed external input events";
/// Sizes of the DAVIS cameras that v2e writes, the smaller first.
const V2E_SIZES: [SensorSize; 2] = [
    SensorSize {
        width: 240,
        height: 180,
    },
    SensorSize {
        width: 346,
        height: 260,
    },
];
const EVENT: usize = 8;
/// Times wrap around after 2^32 us.
const TIME_BITS: u32 = 32;

/// What is wrong with a recording. Byte offsets count from its start.
#[derive(Debug, Error)]
pub enum Aedat2Error {
    /// The version is unknown.
    #[error("it is AEDAT {0:?}; 2.0 is known")]
    Version(String),
    /// The first line does not end.
    #[error("its first line does not end")]
    FirstLine,
    /// v2e marked noise in the addresses, in a bit of x.
    #[error(
        "its header says that v2e marked noise events in their addresses, and in those of a DVS640 that mark takes the place \
         of a bit of x; simulate again without --label_signal_noise"
    )]
    NoiseLabels,
    /// The addresses of the camera are unknown.
    #[error(
        "its header names the camera {0:?}, whose addresses are not known; say with --layout how to read them: {choices}",
        choices = AddressLayout::choices()
    )]
    Camera(String),
    /// No camera is named, and several layouts or none explain the addresses.
    #[error(
        "its header names no camera, and its addresses do not tell which it was{}; say with --layout how to read them: {}",
        if *.sensor_given { " on a sensor of the size that --sensor says" } else { "" },
        AddressLayout::choices()
    )]
    Layout {
        /// Whether the user gave a size, which rules layouts out.
        sensor_given: bool,
    },
    /// Cameras of several sizes have the layout.
    #[error(
        "the camera's size is not known: the addresses are a DAVIS's and reach column {x} and row {y}, and nothing says how \
         many there are; say it with --sensor{}", .example.map_or(String::new(), |size| format!(", as in --sensor {size}"))
    )]
    Size {
        /// Highest column.
        x: u32,
        /// Highest row.
        y: u32,
        /// The smallest camera with this column and row, as in `--sensor`, if there is one.
        example: Option<&'static str>,
    },
    /// Too many events have addresses that the camera does not have.
    #[error(
        "{number} of its {of} events have bits in their addresses that a {layout} does not have, the first at byte {offset} \
         with the address {address:#010x}; at most 1 % may. If another camera recorded it, say so with --layout and --sensor"
    )]
    Unexplained {
        /// Number of these events.
        number: u64,
        /// Number of all events.
        of: u64,
        layout: AddressLayout,
        /// Start of the first such event.
        offset: usize,
        address: u32,
    },
    /// An event cannot be counted.
    #[error("the event at byte {offset}: {reason}")]
    Event {
        /// Start of the event.
        offset: u64,
        reason: EventError,
    },
    /// Events lie outside the camera. Their coordinates count from its last row and column.
    #[error(
        "the event at byte {offset} has column {x} and row {y} in its address, {}{}",
        outside_camera(*.camera, *.number, *.of),
        if too_many_unexplained(*.number, *.of) {
            ". If another camera recorded it, say so with --layout and --sensor"
        } else {
            ""
        }
    )]
    OutsideCamera {
        /// Start of the first such event.
        offset: u64,
        /// Column in the address.
        x: i64,
        /// Row in the address.
        y: i64,
        camera: SensorSize,
        /// Number of events outside.
        number: u64,
        /// Number of all events.
        of: u64,
    },
}

struct Header {
    /// Byte after the header.
    end: usize,
    /// The camera that the header names.
    chip: Option<String>,
    /// Whether v2e wrote the recording.
    v2e: bool,
    /// Whether v2e marked noise events.
    noise_labels: bool,
}

/// How to read a recording's addresses, and why.
struct Reading {
    layout: AddressLayout,
    layout_reason: String,
    /// Size of the camera, on which coordinates are flipped.
    camera: SensorSize,
    /// Size of the frames.
    sensor: SensorSize,
    sensor_reason: String,
}

/// Reads a recording of at most `limit` events.
///
/// # Errors
/// Returns an error if the recording cannot be read: see [`Aedat2Error`].
pub(super) fn decode(
    recording: &[u8],
    options: &ReadOptions,
    limit: usize,
) -> Result<Decoded<'static>, Aedat2Error> {
    let header = Header::read(recording)?;
    let start = header.end;
    let (events, rest) = recording[start..].as_chunks::<EVENT>();
    let reading = Reading::decide(&header, events, options)?;
    let Reading { layout, camera, .. } = reading;
    let mut packets = Packets::new(reading.sensor, limit, events.len());
    let mut clock = Clock::new(TIME_BITS, MINUTE);
    let mut seen = EventCounts::default();
    let mut first_unexplained = None;
    for (i, event) in events.iter().enumerate() {
        let offset = start + i * EVENT;
        let (address, time) = address_and_time(event);
        let t = clock.time(time.into());
        match layout.read(address) {
            Address::Special => seen.other_types += 1,
            Address::Unexplained => {
                seen.unexplained += 1;
                first_unexplained.get_or_insert((offset, address));
            }
            Address::Polarity { x, y, on } => {
                let place = (
                    flip_coordinate(x, camera.width),
                    flip_coordinate(y, camera.height),
                );
                packets
                    .push(offset as u64, t, place, on)
                    .map_err(|reason| Aedat2Error::Event {
                        offset: offset as u64,
                        reason,
                    })?;
            }
        }
    }
    if let Some((offset, address)) = first_unexplained
        && too_many_unexplained(seen.unexplained, events.len() as u64)
    {
        return Err(Aedat2Error::Unexplained {
            number: seen.unexplained,
            of: events.len() as u64,
            layout,
            offset,
            address,
        });
    }
    let packed = packets
        .finish(options.ignore_outside)
        .map_err(|(offset, reason)| outside(offset, reason, camera))?;
    seen.outside = packed.outside;
    Ok(Decoded {
        packets: packed.packets.into(),
        sensor: reading.sensor,
        recognised: reading.to_string(),
        seen,
        cut_short: (!rest.is_empty()).then(|| CutShort {
            offset: recording.len() - rest.len(),
            need: EVENT as u64,
            left: rest.len(),
            events: 0,
        }),
    })
}

/// The error for events outside the sensor. If they are outside the camera, it has the coordinates
/// in the address.
fn outside(offset: u64, reason: EventError, camera: SensorSize) -> Aedat2Error {
    match reason {
        EventError::OutsideSensor {
            x, y, number, of, ..
        } if x < 0 || y < 0 => Aedat2Error::OutsideCamera {
            offset,
            x: i64::from(camera.width) - 1 - x,
            y: i64::from(camera.height) - 1 - y,
            camera,
            number,
            of,
        },
        reason => Aedat2Error::Event { offset, reason },
    }
}

/// Address and time of an event.
fn address_and_time(&[a, b, c, d, e, f, g, h]: &[u8; EVENT]) -> (u32, u32) {
    (
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    )
}

/// Counts a coordinate from the other side of a camera with `pixels` pixels.
fn flip_coordinate(pixel: u32, pixels: u32) -> i64 {
    i64::from(pixels) - 1 - i64::from(pixel)
}

impl Header {
    fn read(recording: &[u8]) -> Result<Self, Aedat2Error> {
        debug_assert!(recording.starts_with(FIRST_AEDAT2));
        let mut header = Self {
            end: 0,
            chip: None,
            v2e: false,
            noise_labels: false,
        };
        while let Some(line) = header_line(&recording[header.end..]) {
            let text = line.trim_ascii_end();
            if header.end == 0 && text != b"#!AER-DAT2.0" {
                let version = &text[FIRST_AEDAT2.len() - 2..];
                let version = String::from_utf8_lossy(&version[..version.len().min(16)]);
                return Err(Aedat2Error::Version(version.into_owned()));
            }
            header.end += line.len();
            header.v2e |= find(text, V2E).is_some();
            header.noise_labels |= find(text, NOISE_LABELS).is_some();
            if let Some(place) = find(&text.to_ascii_lowercase(), CHIP) {
                let name = String::from_utf8_lossy(&text[place + CHIP.len()..]);
                let name = name.trim_start_matches([':', ' ', '\t']).trim();
                header.chip.get_or_insert(printable(name, 80));
            }
            if text == LAST_LINE {
                break;
            }
        }
        match header.end {
            0 => Err(Aedat2Error::FirstLine),
            _ => Ok(header),
        }
    }
}

/// The text line that `rest` begins with. An event may begin with the same byte as a line, but it
/// contains bytes that are not text.
fn header_line(rest: &[u8]) -> Option<&[u8]> {
    let line = rest.split_inclusive(|&b| b == b'\n').next()?;
    let text = line.strip_suffix(b"\n")?;
    let is_text = text.iter().all(|&b| b >= b' ' || b == b'\t' || b == b'\r');
    (line.starts_with(b"#") && is_text).then_some(line)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|w| w == part)
}

/// How well a layout explains a recording's addresses.
#[derive(Clone, Copy, Default)]
struct AddressStatistics {
    /// Brightness changes.
    polarity: u64,
    /// Frames, measurements and pulses.
    special: u64,
    /// Events that the layout does not explain.
    not: u64,
    /// Brightness changes outside the given size.
    outside: u64,
    /// Highest column.
    x: u32,
    /// Highest row.
    y: u32,
}

impl AddressStatistics {
    fn by(layout: AddressLayout, size: Option<SensorSize>, events: &[[u8; EVENT]]) -> Self {
        let mut all = Self::default();
        for event in events {
            match layout.read(address_and_time(event).0) {
                Address::Polarity { x, y, .. } => {
                    all.polarity += 1;
                    let inside = |size: SensorSize| x < size.width && y < size.height;
                    all.outside += u64::from(size.is_some_and(|size| !inside(size)));
                    (all.x, all.y) = (all.x.max(x), all.y.max(y));
                }
                Address::Unexplained => all.not += 1,
                Address::Special => all.special += 1,
            }
        }
        all
    }

    fn fits(&self, sensor: SensorSize) -> bool {
        self.x < sensor.width && self.y < sensor.height
    }
}

impl Reading {
    fn decide(
        header: &Header,
        events: &[[u8; EVENT]],
        options: &ReadOptions,
    ) -> Result<Self, Aedat2Error> {
        let named = header.chip.as_deref().map(camera::named);
        let is_dvs128 = |camera: Option<camera::Camera>| {
            camera.is_some_and(|camera| camera.layout == AddressLayout::Dvs128)
        };
        let (layout, layout_reason) = match (options.layout, named, &header.chip) {
            (Some(layout), ..) => (layout, "as --layout says".to_owned()),
            // The files of CIFAR10-DVS do not say how the camera lay.
            (None, named, _)
                if options.form == DatasetForm::Cifar10Dvs && named.is_none_or(is_dvs128) =>
            {
                (AddressLayout::Cifar10Dvs, "as in CIFAR10-DVS".to_owned())
            }
            (None, Some(Some(camera)), Some(chip)) => {
                let name = chip.rsplit('.').next().unwrap_or_default();
                (camera.layout, format!("as its AEChip {name} has"))
            }
            (None, Some(None), Some(chip)) => return Err(Aedat2Error::Camera(chip.clone())),
            _ => layout_from_addresses(header, events, options)?,
        };
        if layout == AddressLayout::Dvs640 && header.noise_labels {
            return Err(Aedat2Error::NoiseLabels);
        }
        // A user who gives the layout overrides the header's camera and its size.
        let camera = named.flatten().filter(|_| options.layout.is_none());
        let known = match (camera, layout.sensor()) {
            (Some(camera), _) => Some((camera.sensor, "as that camera has".to_owned())),
            (None, Some(sensor)) => Some((sensor, format!("as a {layout} has"))),
            (None, None) if header.v2e => {
                let [_, larger] = V2E_SIZES;
                let found = AddressStatistics::by(layout, None, events);
                // v2e writes two sizes. The larger is certain if the smaller has no room.
                let certain = !found.fits(V2E_SIZES[0]) && found.fits(larger);
                certain.then(|| (larger, "the size of v2e that has room for them".to_owned()))
            }
            (None, None) => None,
        };
        let (sensor, sensor_reason) = match (options.sensor, &known) {
            (Some(sensor), _) => (sensor, "as --sensor says".to_owned()),
            (None, Some(known)) => known.clone(),
            (None, None) => {
                let AddressStatistics { x, y, .. } = AddressStatistics::by(layout, None, events);
                let example = match (x, y) {
                    (..240, ..180) => Some("240x180"),
                    (..346, ..260) => Some("346x260"),
                    (..640, ..480) => Some("640x480"),
                    _ => None,
                };
                return Err(Aedat2Error::Size { x, y, example });
            }
        };
        Ok(Self {
            layout,
            layout_reason,
            camera: known.map_or(sensor, |(camera, _)| camera),
            sensor,
            sensor_reason,
        })
    }
}

/// Chooses the layout that the addresses allow.
fn layout_from_addresses(
    header: &Header,
    events: &[[u8; EVENT]],
    options: &ReadOptions,
) -> Result<(AddressLayout, String), Aedat2Error> {
    let all = events.len() as u64;
    let possible = |layout: &AddressLayout| {
        // The size that is asked for, or the only size that the camera has.
        let size = options.sensor.or(layout.sensor());
        let found = AddressStatistics::by(*layout, size, events);
        let outside = if options.ignore_outside {
            0
        } else {
            found.outside
        };
        let strange = match layout {
            // v2e does not simulate a DVS128. A DVS128 has few pulses, so many rule it out.
            AddressLayout::Dvs128 if header.v2e => return false,
            AddressLayout::Dvs128 => found.not + outside + found.special,
            _ => found.not + outside,
        };
        !too_many_unexplained(strange, all) && (found.polarity > 0 || all == 0)
    };
    // No address shows that a camera lay on its side.
    let layouts = AddressLayout::ALL.into_iter();
    let upright = layouts.filter(|layout| *layout != AddressLayout::Cifar10Dvs);
    let possible: Vec<AddressLayout> = upright.filter(possible).collect();
    let named = |why: &str| why.to_owned();
    match possible.as_slice() {
        // Only v2e omits the name of a DVS640.
        [AddressLayout::Dvs128, ..] if options.sensor != AddressLayout::Dvs640.sensor() => Ok((
            AddressLayout::Dvs128,
            named("as they have 16 bits and no camera is named"),
        )),
        [layout] if header.v2e => Ok((*layout, named("as v2e writes them"))),
        [layout] => Ok((
            *layout,
            named("the only one that explains the addresses, as no camera is named"),
        )),
        _ => Err(Aedat2Error::Layout {
            sensor_given: options.sensor.is_some(),
        }),
    }
}

impl std::fmt::Display for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            layout,
            layout_reason,
            camera,
            sensor,
            sensor_reason,
        } = self;
        let on = match camera == sensor {
            true => String::new(),
            false => format!(", for a camera of {camera}"),
        };
        write!(
            f,
            "AEDAT 2.0: addresses of a {layout}, {layout_reason}; {sensor} pixels, {sensor_reason}{on}; x and y count from the lower \
             right and are turned; {}",
            layout.polarity()
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::event::DVS128;
    use crate::recording::Recording;

    const SPECIAL: u32 = 1 << 31;
    const DVS128_SYNC: u32 = 1 << 15;

    fn decoded(bytes: &[u8]) -> Decoded<'static> {
        decode(bytes, &ReadOptions::default(), 9).unwrap()
    }

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
    fn decodes_dvs128_with_flipped_axes_and_inverted_polarity() {
        let plain = [(0, 5), (127 << 8 | 126 << 1 | 1, 7), (2, 6)];
        let pulse = [&plain[..2], &[(DVS128_SYNC, 8)], &plain[2..]].concat();
        let full_name = "eu.seebetter.ini.chips.DVS128";
        for (chip, all, pulses) in [("", &plain[..], 0), (full_name, &pulse, 1)] {
            let decoded = decoded(&recording(chip, all));
            assert_eq!((decoded.sensor, decoded.seen.other_types), (DVS128, pulses));
            let on = 128 * 128;
            assert_eq!(
                events(&decoded),
                [(5, on + 127 * 128 + 127), (7, 1), (6, on + 127 * 128 + 126)]
            );
        }
    }

    #[test]
    fn davis_decoder_skips_frames_and_unwraps_timestamps() {
        let all = [
            (179 << 22 | 239 << 12 | 1 << 11, u32::MAX),
            (SPECIAL | 5, u32::MAX),
            (0, 3),
        ];
        let mut bytes = recording("eu.seebetter.ini.chips.davis.DAVIS240C", &all);
        bytes.extend([1, 2, 3]);
        let decoded = decoded(&bytes);
        assert_eq!((decoded.sensor.width, decoded.sensor.height), (240, 180));
        let last = u32::MAX.into();
        assert_eq!(
            events(&decoded),
            [(last, 180 * 240), ((1 << 32) + 3, 180 * 240 - 1)]
        );
        let cut = decoded.cut_short.unwrap();
        assert_eq!((cut.offset, cut.left), (bytes.len() - 3, 3));
    }

    #[test]
    fn refuses_invalid_addresses_unknown_cameras_and_excess_events() {
        let options = ReadOptions::default();
        let error = |bytes: &[u8], limit| decode(bytes, &options, limit).err().unwrap().to_string();
        let davis = "Davis346red";
        let outside = recording(davis, &[(300 << 22, 1)]);
        let offset = outside.len() - 8;
        assert!(error(&outside, 9).contains(&format!("byte {offset} has column 0 and row 300")));
        assert!(error(&recording("ATIS", &[]), 9).contains("\"ATIS\""));
        assert!(error(&recording("", &[(0, 1), (0, 2)]), 1).contains("more than 1 events"));
    }
}
