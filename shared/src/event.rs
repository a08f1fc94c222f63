//! A polarity event and the sensor that it comes from.

use std::fmt;

/// Width and height of a sensor in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SensorSize {
    pub width: u32,
    pub height: u32,
}

/// The DVS128 camera: 128 x 128 pixels.
pub const DVS128: SensorSize = SensorSize {
    width: 128,
    height: 128,
};

/// Polarities in a frame: 0 is OFF (darker), 1 is ON (brighter).
pub const POLARITIES: u32 = 2;

/// Most pixels of a sensor in x or y. The largest event cameras have 1280.
pub const MAX_PIXELS: u32 = 2048;

impl SensorSize {
    /// A size of `width` x `height`; `None` if either is 0 or above [`MAX_PIXELS`].
    pub const fn checked(width: u32, height: u32) -> Option<Self> {
        if 0 < width && width <= MAX_PIXELS && 0 < height && height <= MAX_PIXELS {
            Some(Self { width, height })
        } else {
            None
        }
    }

    /// Cells of one frame, `polarities * height * width`.
    pub const fn frame_cells(self) -> usize {
        POLARITIES as usize * self.height as usize * self.width as usize
    }

    /// Whether a pixel lies on the sensor.
    #[inline]
    pub const fn contains(self, x: u16, y: u16) -> bool {
        (x as u32) < self.width && (y as u32) < self.height
    }
}

impl fmt::Display for SensorSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.width, self.height)
    }
}

/// A brightness change at one pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Time in microseconds since the recording's clock began.
    pub t: i64,
    /// Column, from 0.
    pub x: u16,
    /// Row, from 0.
    pub y: u16,
    /// True for ON.
    pub polarity: bool,
    /// AEDAT's valid bit. Filters clear it on events that they reject.
    pub valid: bool,
}
