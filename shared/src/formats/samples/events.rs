//! Reads files of events.

use std::cell::Cell;

use super::columns::{Columns, InArray};
use super::{Npz, SampleError, SampleEvents, TimePrecision, array};
use crate::file_kind;
use crate::formats::ReadOptions;
use crate::formats::npy::{Header, NpyError, Piece};

/// Columns of figshare's array: x, y, p, t.
const COLUMNS: u64 = 4;
const US_PER_MS: f64 = 1000.0;

/// Reads SpikingJelly's events. There may be at most `limit`.
///
/// # Errors
/// Returns an error if the file cannot be read: see [`SampleError`].
pub fn events_npz(
    bytes: &[u8],
    options: &ReadOptions,
    limit: usize,
) -> Result<SampleEvents, SampleError> {
    let allowed = Cell::new(0);
    let mut npz = Npz::new(bytes, &allowed)?;
    let mut columns = Columns::new(limit);
    let mut expected = None;
    for name in ["t", "x", "y", "p"] {
        npz.array(name, |header, file| {
            let events = *expected.get_or_insert(header.elements());
            if header.shape != [events] {
                let expected = match name {
                    "t" => "one-dimensional".to_owned(),
                    _ => format!("({events},), as that of `t`"),
                };
                let found = header.shape.clone();
                return Err(array(name)(NpyError::Shape { found, expected }));
            }
            columns.check_number(events)?;
            header
                .elements_of(file, |first, piece| {
                    piece
                        .for_each_whole(first, |index, whole| columns.set(name, index, whole))
                        .map_err(InArray::within(name))
                })
                .map_err(InArray::into_sample(name))
        })?;
    }
    columns.into_events(options, None)
}

/// Reads figshare's events. There may be at most `limit`. Their times are rounded to whole
/// microseconds.
///
/// # Errors
/// Returns an error if the file cannot be read: see [`SampleError`].
pub fn events_npy(
    bytes: &[u8],
    options: &ReadOptions,
    limit: usize,
) -> Result<SampleEvents, SampleError> {
    const NAME: &str = "events";
    if let Some(kind) = file_kind::foreign(bytes) {
        return Err(SampleError::Foreign(kind));
    }
    let mut file = bytes;
    let header = Header::read(&mut file).map_err(array(NAME))?;
    let &[events, COLUMNS] = header.shape.as_slice() else {
        let (found, expected) = (header.shape.clone(), "(events, 4)".to_owned());
        return Err(array(NAME)(NpyError::Shape { found, expected }));
    };
    let mut columns = Columns::new(limit);
    columns.check_number(events)?;
    let mut precision = TimePrecision {
        whole_ms: true,
        step_us: 0.0,
    };
    let mut latest = 0.0_f64;
    let place = |index: u64| match header.fortran {
        false => (index / COLUMNS, index % COLUMNS),
        true => (index % events, index / events),
    };
    header
        .elements_of(&mut file, |first, piece| {
            let mut element = |index: u64, ms: f64| {
                let (event, column) = place(index);
                let wrong = |expected| NpyError::Element {
                    index,
                    value: ms.to_string(),
                    expected,
                };
                if column < 3 {
                    let whole = ms as i64;
                    if whole as f64 != ms {
                        return Err(
                            wrong("a whole number, as coordinates and polarities are").into()
                        );
                    }
                    return columns.set(["x", "y", "p"][column as usize], event, whole);
                }
                let us = (ms * US_PER_MS).round();
                if us.is_nan() || us.abs() > 9e15 {
                    return Err(wrong("a time in milliseconds").into());
                }
                precision.whole_ms &= ms.fract() == 0.0;
                latest = latest.max(ms);
                columns.set("t", event, us as i64)
            };
            match piece {
                Piece::Ints(ints) => (first..)
                    .zip(ints)
                    .try_for_each(|(index, &int)| element(index, int as f64)),
                Piece::Floats(floats) => (first..)
                    .zip(floats)
                    .try_for_each(|(index, &float)| element(index, float)),
            }
            .map_err(InArray::within(NAME))
        })
        .map_err(InArray::into_sample(NAME))?;
    if let Some(bits) = header.mantissa() {
        let exponent = latest.max(1.0).log2().floor() as i32;
        precision.step_us = US_PER_MS * 2f64.powi(exponent + 1 - bits as i32);
    }
    columns.into_events(options, Some(precision))
}
