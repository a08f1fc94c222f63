//! Reads files of ready frames.

use std::cell::Cell;

use super::{Npz, SampleError, array};
use crate::event::{POLARITIES, SensorSize};
use crate::formats::npy::NpyError;

/// The ready frames that are expected.
#[derive(Clone, Copy, Debug)]
pub struct ReadyFrames {
    /// The requested size.
    pub sensor: Option<SensorSize>,
    /// T, if it is fixed.
    pub frames: Option<u32>,
    /// Most frames that a sample may have.
    pub limit: u64,
}

/// Reads SpikingJelly's ready frames. Calls `begin` with their number and size, then `frame` with
/// the counts `[2, H, W]` of each in turn.
///
/// # Errors
/// Returns an error if `begin` does, or if the file cannot be read: see [`SampleError`].
pub fn frames_npz<E: From<SampleError>>(
    bytes: &[u8],
    expected: ReadyFrames,
    begin: impl FnOnce(usize, SensorSize) -> Result<(), E>,
    mut frame: impl FnMut(&[u32]),
) -> Result<(), E> {
    const NAME: &str = "frames";
    let allowed = Cell::new(0);
    let mut npz = Npz::new(bytes, &allowed)?;
    // An error of `begin` is not an error of the file.
    let mut refused = None;
    let read = npz.array(NAME, |header, file| {
        let sensor = match header.shape.as_slice() {
            &[_, polarities, height, width] if polarities == u64::from(POLARITIES) => {
                let size = u32::try_from(width).ok().zip(u32::try_from(height).ok());
                size.and_then(|(width, height)| SensorSize::checked(width, height))
            }
            _ => None,
        };
        let Some(sensor) = sensor.filter(|_| !header.fortran) else {
            return Err(array(NAME)(NpyError::Shape {
                found: header.shape.clone(),
                expected: "(T, 2, H, W), in C's order, with pixels that a sensor has".to_owned(),
            }));
        };
        let found = header.shape[0];
        if let Some(expected) = expected.sensor.filter(|&e| e != sensor) {
            let found = sensor;
            return Err(SampleError::Sensor { found, expected });
        }
        if let Some(expected) = expected.frames.filter(|&e| u64::from(e) != found) {
            return Err(SampleError::Frames { found, expected });
        }
        if !(1..=expected.limit).contains(&found) {
            let limit = expected.limit;
            return Err(SampleError::FrameNumber { found, limit });
        }
        if let Err(error) = begin(found as usize, sensor) {
            refused = Some(error);
            return Ok(());
        }
        let cells = sensor.frame_cells();
        let mut counts = Vec::with_capacity(cells);
        header
            .elements_of(file, |first, piece| {
                piece.for_each_whole(first, |index, count| {
                    let Ok(count) = u32::try_from(count) else {
                        return Err(NpyError::Element {
                            index,
                            value: count.to_string(),
                            expected: "a count of events",
                        });
                    };
                    counts.push(count);
                    if counts.len() == cells {
                        frame(&counts);
                        counts.clear();
                    }
                    Ok(())
                })
            })
            .map_err(array(NAME))
    });
    read?;
    refused.map_or(Ok(()), Err)
}
