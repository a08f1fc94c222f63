//! Columns of a sample's events, which arrive one after the other or all at a time.

use super::{SampleError, SampleEvents, TimePrecision};
use crate::formats::ReadOptions;
use crate::formats::npy::NpyError;
use crate::formats::packets::{EventError, Packets};

/// The columns of each event that were read so far.
pub(super) struct Columns {
    times: Vec<i64>,
    x: Vec<i32>,
    y: Vec<i32>,
    polarity: Vec<bool>,
    limit: usize,
}

/// An error in an array, raised before the array's name is known.
pub(super) enum InArray {
    Array(NpyError),
    Sample(SampleError),
}

impl From<NpyError> for InArray {
    fn from(error: NpyError) -> Self {
        Self::Array(error)
    }
}

impl InArray {
    pub(super) fn within(name: &'static str) -> impl Fn(Self) -> Self {
        move |error| Self::Sample(Self::into_sample(name)(error))
    }

    pub(super) fn into_sample(name: &'static str) -> impl Fn(Self) -> SampleError {
        move |error| match error {
            Self::Array(reason) => SampleError::Array { name, reason },
            Self::Sample(error) => error,
        }
    }
}

impl Columns {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            times: Vec::new(),
            x: Vec::new(),
            y: Vec::new(),
            polarity: Vec::new(),
            limit,
        }
    }

    pub(super) fn check_number(&self, events: u64) -> Result<(), SampleError> {
        let limit = self.limit;
        if events <= limit as u64 {
            return Ok(());
        }
        let reason = EventError::TooMany { limit };
        Err(SampleError::Event {
            index: events,
            reason,
        })
    }

    /// Sets one number of an event. Columns grow as elements arrive, whatever the header claims.
    pub(super) fn set(
        &mut self,
        column: &'static str,
        event: u64,
        value: i64,
    ) -> Result<(), InArray> {
        fn put<T: Default + Clone>(column: &mut Vec<T>, event: usize, value: T) {
            if column.len() <= event {
                column.resize(event + 1, T::default());
            }
            column[event] = value;
        }
        let wrong = |expected| {
            let (index, value) = (event, value.to_string());
            InArray::from(NpyError::Element {
                index,
                value,
                expected,
            })
        };
        let pixel = || i32::try_from(value).map_err(|_| wrong("a coordinate of a pixel"));
        let at = event as usize;
        match column {
            "t" => put(&mut self.times, at, value),
            "x" => put(&mut self.x, at, pixel()?),
            "y" => put(&mut self.y, at, pixel()?),
            _ => match value {
                0 | 1 => put(&mut self.polarity, at, value == 1),
                _ => return Err(wrong("a polarity, 0 or 1")),
            },
        }
        Ok(())
    }

    pub(super) fn into_events(
        self,
        options: &ReadOptions,
        precision: Option<TimePrecision>,
    ) -> Result<SampleEvents, SampleError> {
        let event_error = |(index, reason)| SampleError::Event { index, reason };
        // These files do not name their sensor, but the form of the dataset may.
        let known = match options.sensor {
            Some(sensor) => Some((sensor, "as --sensor says")),
            None => options.form.sensor(),
        };
        let (sensor, reason) = known.ok_or(SampleError::Size)?;
        let mut packets = Packets::new(sensor, self.limit, self.times.len());
        let pixels = self.x.iter().zip(&self.y).zip(&self.polarity);
        for (index, (&t, ((&x, &y), &polarity))) in (0..).zip(self.times.iter().zip(pixels)) {
            packets
                .push(index, t, (x.into(), y.into()), polarity)
                .map_err(|reason| event_error((index, reason)))?;
        }
        let packed = packets
            .finish(options.ignore_outside)
            .map_err(event_error)?;
        Ok(SampleEvents {
            packets: packed.packets,
            sensor,
            recognised: format!("{reason}; y counts from the top; polarity 1 is ON"),
            number: packed.number,
            outside: packed.outside,
            precision,
        })
    }
}
