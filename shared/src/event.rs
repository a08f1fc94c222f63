//! One polarity event and the sensor it comes from.

/// Width and height of a sensor in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SensorSize {
    /// Pixels in x.
    pub width: u32,
    /// Pixels in y.
    pub height: u32,
}

/// The DVS128 camera: 128 x 128 pixels.
pub const DVS128: SensorSize = SensorSize {
    width: 128,
    height: 128,
};

/// Polarities a frame keeps apart: 0 is OFF (darker), 1 is ON (brighter).
pub const POLARITIES: u32 = 2;

impl SensorSize {
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
    /// AEDAT's valid bit; filters clear it on events they reject.
    pub valid: bool,
}
