//! AEDAT 3, as cAER records it. Version 3.1 is indexed in place. A copy is made to flip y (version
//! 3.0), to choose one of several cameras, or to leave out events outside the sensor.
//!
//! Source:
//! <https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.0.html>.

use std::borrow::Cow;

use super::camera;
use super::{Decoded, ReadOptions};
use crate::aedat::{self, AedatError, EventCounts, FileHeader, Rewrite, Source, Version};
use crate::event::SensorSize;

/// Reads a recording.
///
/// # Errors
/// Returns an error if the recording cannot be read: see [`AedatError`].
pub(super) fn decode<'a>(
    recording: &'a [u8],
    options: &ReadOptions,
) -> Result<Decoded<'a>, AedatError> {
    let header = FileHeader::read(recording)?;
    let named = camera_of(&header, recording, options)?;
    let camera = named.and_then(|name| Some((name, camera::named(name)?.sensor)));
    let source = options.stream.and_then(|stream| u16::try_from(stream).ok());
    let sensor = match (options.sensor, camera) {
        (Some(sensor), _) | (None, Some((_, sensor))) => sensor,
        (None, None) => {
            return Err(AedatError::NoSensor {
                found: named.unwrap_or_default().to_owned(),
            });
        }
    };
    // Rows are flipped on the camera that recorded them, whatever the size of the frames.
    let size = camera.map_or(sensor, |(_, size)| size);
    let changes = Rewrite {
        flip_y: (header.version == Version::V30).then_some(size),
        source,
        inside: options.ignore_outside.then_some(sensor),
        keep_invalid: options.keep_invalid,
    };
    let (packets, seen) = match changes {
        Rewrite {
            flip_y: None,
            source: None,
            inside: None,
            ..
        } => (Cow::Borrowed(recording), EventCounts::default()),
        _ => {
            let (copy, seen) = aedat::rewrite(recording, changes)?;
            (Cow::Owned(copy), seen)
        }
    };
    Ok(Decoded {
        packets,
        sensor,
        recognised: recognised(header.version, sensor, options, camera),
        seen,
        cut_short: None,
    })
}

/// Name of the camera whose events are read, if the header has it. If the events were recorded
/// again from a file, this is the camera that the file came from.
fn camera_of<'a>(
    header: &'a FileHeader,
    recording: &[u8],
    options: &ReadOptions,
) -> Result<Option<&'a str>, AedatError> {
    let sources: Vec<&Source> = header.sources.iter().filter(|s| !s.former).collect();
    let number = match (options.stream, sources.as_slice()) {
        // The packets show which camera the events come from.
        (Some(_), _) | (None, [_, _, ..]) => {
            let cameras = aedat::cameras(recording)?;
            let is_there = |asked: &i32| cameras.iter().any(|&camera| i32::from(camera) == *asked);
            if let Some(asked) = options.stream.filter(|asked| !is_there(asked)) {
                let found = header.names_of(&cameras);
                return Err(AedatError::NoSuchSource { asked, found });
            }
            // The index refuses events of several cameras.
            let asked = options.stream.and_then(|stream| u16::try_from(stream).ok());
            asked.or_else(|| cameras.first().copied())
        }
        _ => None,
    };
    let of_number = sources
        .iter()
        .find(|s| number.is_some() && s.number == number);
    let source = match (of_number, sources.as_slice()) {
        (Some(source), _) | (None, [source]) => source,
        _ => return Ok(None),
    };
    let former: Vec<&Source> = header.sources.iter().filter(|s| s.former).collect();
    let known = camera::named(&source.name);
    Ok(Some(match (known, former.as_slice()) {
        (None, [former]) => &former.name,
        _ => &source.name,
    }))
}

/// Says how the recording was read, and why.
fn recognised(
    version: Version,
    sensor: SensorSize,
    options: &ReadOptions,
    camera: Option<(&str, SensorSize)>,
) -> String {
    let (version, y) = match version {
        Version::V30 => ("3.0", "y counts from the bottom and is turned"),
        Version::V31 => ("3.1", "y counts from the top"),
    };
    let which = match options.stream {
        Some(number) => format!("camera {number}, as --stream says; "),
        None => String::new(),
    };
    let by = match (options.sensor, camera) {
        (None, Some((name, _))) => format!("as its source {name} has"),
        (_, Some((name, size))) if size != sensor => {
            format!("as --sensor says, for a {name} of {size}")
        }
        _ => "as --sensor says".to_owned(),
    };
    format!("AEDAT {version}: {which}{sensor} pixels, {by}; {y}; bit 1 is 1 for ON")
}
