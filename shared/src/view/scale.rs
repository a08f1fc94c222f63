//! The scale between sensor pixels and picture pixels.

use std::fmt;
use std::str::FromStr;

use crate::event::SensorSize;

/// The largest factor in either direction.
const MAX_FACTOR: u32 = 64;

/// An integer factor, so that all sensor pixels look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Each sensor pixel becomes a square with this many pixels per side.
    Up(u32),
    /// Each square with this many sensor pixels per side becomes one pixel, with the sum of their
    /// counts.
    Down(u32),
}

impl Scale {
    /// The scale at which the longer side has about `side` pixels, and never more.
    pub fn to_fit(size: SensorSize, side: u32) -> Self {
        let longer = size.width.max(size.height).max(1);
        match side / longer {
            0 => Self::Down(longer.div_ceil(side.max(1))),
            factor => Self::Up(factor.min(MAX_FACTOR)),
        }
    }

    /// Number of sensor pixels per side of a square.
    pub fn binned(self) -> u32 {
        match self {
            Self::Up(_) => 1,
            Self::Down(factor) => factor.max(1),
        }
    }

    /// How often each pixel is repeated in each direction.
    pub fn repeated(self) -> u32 {
        match self {
            Self::Up(factor) => factor.max(1),
            Self::Down(_) => 1,
        }
    }

    /// Scaled width and height of a frame of this size.
    pub fn apply(self, size: SensorSize) -> SensorSize {
        let side = |pixels: u32| {
            pixels
                .div_ceil(self.binned())
                .saturating_mul(self.repeated())
        };
        SensorSize {
            width: side(size.width),
            height: side(size.height),
        }
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (up, digits) = match text.strip_prefix("1/") {
            Some(digits) => (false, digits),
            None => (true, text),
        };
        match digits.parse() {
            Ok(factor @ 1..=MAX_FACTOR) if up => Ok(Self::Up(factor)),
            Ok(factor @ 1..=MAX_FACTOR) => Ok(Self::Down(factor)),
            _ => Err(format!(
                "it is a whole number from 1 to {MAX_FACTOR}, or 1/2 to 1/{MAX_FACTOR} to make frames smaller"
            )),
        }
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up(factor) => write!(f, "{factor}"),
            Self::Down(factor) => write!(f, "1/{factor}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_sensors_fit_the_requested_size() {
        for (width, height, side, expected) in [
            (128, 128, 384, Scale::Up(3)),
            (34, 34, 384, Scale::Up(11)),
            (1, 1, 384, Scale::Up(64)),
            (346, 260, 384, Scale::Up(1)),
            (1280, 720, 384, Scale::Down(4)),
            (129, 10, 128, Scale::Down(2)),
        ] {
            let size = SensorSize { width, height };
            let scale = Scale::to_fit(size, side);
            assert_eq!(scale, expected);
            let scaled = scale.apply(size);
            assert!(scaled.width.max(scaled.height) <= side);
        }
    }

    #[test]
    fn scales_round_trip_through_text() {
        for scale in [Scale::Up(1), Scale::Up(64), Scale::Down(2), Scale::Down(64)] {
            assert_eq!(scale.to_string().parse(), Ok(scale));
        }
        for wrong in ["", "0", "1/0", "65", "2/3", "-1", "1.5", "x"] {
            assert!(wrong.parse::<Scale>().is_err(), "{wrong}");
        }
    }
}
