//! AEDAT 3, as cAER records: version 3.1 is indexed where it lies. Of version 3.0, whose y counts from the bottom, y is
//! turned; where one of several cameras is chosen, or events outside the sensor are left out, a copy is made too.
//!
//! Source: <https://docs.inivation.com/software/software-advanced-usage/file-formats/aedat-3.0.html>.

use std::borrow::Cow;

use super::camera;
use super::{Decoded, ReadOptions};
use crate::SensorSize;
use crate::aedat::{self, AedatError, EventCounts, FileHeader, Rewrite, Source, Version};

/// Reads a recording.
///
/// # Errors
/// See [`AedatError`].
pub(super) fn decode<'a>(
    recording: &'a [u8],
    options: &ReadOptions,
) -> Result<Decoded<'a>, AedatError> {
    let header = FileHeader::read(recording)?;
    let named = camera_of(&header, recording, options)?;
    let camera = named.and_then(|name| Some((name, camera::named(name)?.sensor)));
    let sensor = match (options.sensor, camera) {
        (Some(sensor), _) | (None, Some((_, sensor))) => sensor,
        (None, None) => {
            let names: Vec<&str> = header.sources.iter().map(|s| s.name).collect();
            return Err(AedatError::NoSensor {
                found: names.join(", ").chars().take(80).collect(),
            });
        }
    };
    // Rows are turned on the camera that recorded them, whatever size the frames are to have.
    let rows = camera.map_or(sensor, |(_, size)| size).height;
    let changes = Rewrite {
        turn_y: (header.version == Version::V30).then_some(rows),
        source: options.stream,
        inside: options.ignore_outside.then_some(sensor),
        keep_invalid: options.keep_invalid,
    };
    let (packets, outside) = match changes {
        Rewrite {
            turn_y: None,
            source: None,
            inside: None,
            ..
        } => (Cow::Borrowed(recording), 0),
        _ => {
            let (copy, outside) = aedat::rewrite(recording, changes)?;
            (Cow::Owned(copy), outside)
        }
    };
    Ok(Decoded {
        packets,
        sensor,
        recognised: recognised(header.version, sensor, options.sensor, camera),
        seen: EventCounts {
            outside,
            ..EventCounts::default()
        },
        cut_short: None,
    })
}

/// The name of the camera whose events are read, if the header tells it. A file that was recorded from another says which
/// camera that came from.
fn camera_of<'a>(
    header: &FileHeader<'a>,
    recording: &[u8],
    options: &ReadOptions,
) -> Result<Option<&'a str>, AedatError> {
    let sources: Vec<&Source<'a>> = header.sources.iter().filter(|s| !s.former).collect();
    let number = match (options.stream, sources.as_slice()) {
        // Which of them the events are of, their packets tell.
        (Some(_), _) | (None, [_, _, ..]) => {
            let cameras = aedat::cameras(recording)?;
            if let Some(asked) = options.stream.filter(|asked| !cameras.contains(asked)) {
                let found = header.names_of(&cameras);
                return Err(AedatError::NoSuchSource { asked, found });
            }
            // Several are refused when the recording is indexed.
            options.stream.or_else(|| cameras.first().copied())
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
    let former: Vec<&Source<'a>> = header.sources.iter().filter(|s| s.former).collect();
    Ok(Some(
        match (camera::named(source.name), former.as_slice()) {
            (None, [former]) => former.name,
            _ => source.name,
        },
    ))
}

/// What decided how the recording is read.
fn recognised(
    version: Version,
    sensor: SensorSize,
    asked: Option<SensorSize>,
    camera: Option<(&str, SensorSize)>,
) -> String {
    let (version, y) = match version {
        Version::V30 => ("3.0", "y counts from the bottom and is turned"),
        Version::V31 => ("3.1", "y counts from the top"),
    };
    let by = match (asked, camera) {
        (None, Some((name, _))) => format!("as its source {name} has"),
        _ => "as --sensor says".to_owned(),
    };
    format!("AEDAT {version}: {sensor} pixels, {by}; {y}; bit 1 is 1 for ON")
}
