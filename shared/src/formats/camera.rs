//! Cameras by the names that recordings give them, and how jAER packs their events into AEDAT 2
//! addresses.
//!
//! Source: jAER's classes `DVS128`, `DVS640` (`ch.unizh.ini.jaer.chip.retina`) and `DavisChip`
//! (`eu.seebetter.ini.chips`).

use std::fmt;
use std::str::FromStr;

use crate::event::{DVS128, SensorSize};

/// Marks jAER's special events; in a DAVIS's addresses, frames and inertial measurements.
const SPECIAL: u32 = 1 << 31;
/// Bits that are clear in every address of a DVS128.
const DVS128_UNUSED: u32 = 0x7fff_0000;
/// Marks a synchronisation pulse of a DVS128.
const DVS128_SYNC: u32 = 1 << 15;
/// Marks an event from a DAVIS's external input.
const DAVIS_EXTERNAL: u32 = 1 << 10;

/// How a camera's events are packed into AEDAT 2 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressLayout {
    /// DVS128: polarity at bit 0 (0 is ON), 7 bits of x from bit 1, 7 bits of y from bit 8.
    Dvs128,
    /// A DVS128 that lies on its side, as in CIFAR10-DVS: 7 bits of y from bit 1, 7 bits of x from
    /// bit 8.
    Cifar10Dvs,
    /// DAVIS: polarity at bit 11, 10 bits of x from bit 12, 9 bits of y from bit 22.
    Davis,
    /// DVS640: polarity at bit 0, 10 bits of x from bit 1, 10 bits of y from bit 11.
    Dvs640,
}

/// The meaning of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A brightness change. Its coordinates count from the lower right.
    Polarity { x: u32, y: u32, on: bool },
    /// Other data from the camera: frames, measurements, pulses.
    Special,
    /// Bits are set that the camera does not have.
    Unexplained,
}

/// A camera that is known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Camera {
    pub sensor: SensorSize,
    pub layout: AddressLayout,
}

impl AddressLayout {
    pub const ALL: [Self; 4] = [Self::Dvs128, Self::Cifar10Dvs, Self::Davis, Self::Dvs640];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dvs128 => "dvs128",
            Self::Cifar10Dvs => "cifar10dvs",
            Self::Davis => "davis",
            Self::Dvs640 => "dvs640",
        }
    }

    /// The names of all layouts, as `dvs128, davis or dvs640`.
    pub(super) fn choices() -> String {
        let [others @ .., last] = Self::ALL.map(Self::name);
        format!("{} or {last}", others.join(", "))
    }

    /// The size of the only camera that has the layout; `None` if cameras of several sizes have it.
    pub(super) fn sensor(self) -> Option<SensorSize> {
        match self {
            Self::Dvs128 | Self::Cifar10Dvs => Some(DVS128),
            Self::Davis => None,
            Self::Dvs640 => Some(SensorSize {
                width: 640,
                height: 480,
            }),
        }
    }

    /// Says how the layout encodes polarity.
    pub(super) fn polarity(self) -> &'static str {
        match self {
            Self::Dvs128 | Self::Cifar10Dvs => "bit 0 is 0 for ON",
            Self::Davis => "bit 11 is 1 for ON",
            Self::Dvs640 => "bit 0 is 1 for ON",
        }
    }

    /// Decodes `address`.
    #[inline]
    pub(super) fn read(self, address: u32) -> Address {
        let special = match self {
            // A DVS128's addresses have 16 bits, even those of pulses.
            Self::Dvs128 | Self::Cifar10Dvs if address & DVS128_UNUSED != 0 => {
                return Address::Unexplained;
            }
            Self::Dvs128 | Self::Cifar10Dvs => SPECIAL | DVS128_SYNC,
            Self::Davis => SPECIAL | DAVIS_EXTERNAL,
            Self::Dvs640 => SPECIAL,
        };
        if address & special != 0 {
            return Address::Special;
        }
        let (unused, x, y, on) = match self {
            Self::Dvs128 => (
                !0x7fff,
                address >> 1 & 0x7f,
                address >> 8 & 0x7f,
                address & 1 == 0,
            ),
            Self::Cifar10Dvs => (
                !0x7fff,
                address >> 8 & 0x7f,
                address >> 1 & 0x7f,
                address & 1 == 0,
            ),
            Self::Davis => (
                0x3ff,
                address >> 12 & 0x3ff,
                address >> 22 & 0x1ff,
                address >> 11 & 1 == 1,
            ),
            Self::Dvs640 => (
                !0x1f_ffff,
                address >> 1 & 0x3ff,
                address >> 11 & 0x3ff,
                address & 1 == 1,
            ),
        };
        match address & unused {
            0 => Address::Polarity { x, y, on },
            _ => Address::Unexplained,
        }
    }
}

impl fmt::Display for AddressLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dvs128 => "DVS128",
            Self::Cifar10Dvs => "DVS128 on its side",
            Self::Davis => "DAVIS",
            Self::Dvs640 => "DVS640",
        })
    }
}

impl FromStr for AddressLayout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|layout| layout.name() == text);
        found.ok_or_else(|| {
            format!(
                "{text:?} is no layout of addresses; write {}",
                Self::choices()
            )
        })
    }
}

/// The camera called `name`, such as `DVS128`, `DAVIS240C` or
/// `eu.seebetter.ini.chips.davis.Davis346blue`.
pub(super) fn named(name: &str) -> Option<Camera> {
    let name = name.trim().rsplit('.').next()?.to_ascii_lowercase();
    let layout = match name.as_str() {
        "dvs128" | "tmpdiff128" => AddressLayout::Dvs128,
        "dvs640" => AddressLayout::Dvs640,
        _ => AddressLayout::Davis,
    };
    let sensor = match layout.sensor() {
        Some(sensor) => sensor,
        None => {
            let rest = name.strip_prefix("davis")?;
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (width, height) = match &rest[..digits] {
                "128" => (128, 128),
                "208" => (208, 192),
                "240" => (240, 180),
                "346" => (346, 260),
                "640" => (640, 480),
                _ => return None,
            };
            SensorSize { width, height }
        }
    };
    Some(Camera { sensor, layout })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_cameras_by_short_and_full_names() {
        let size = |name| named(name).map(|c| (c.sensor.width, c.sensor.height, c.layout));
        assert_eq!(size("DVS128"), Some((128, 128, AddressLayout::Dvs128)));
        assert_eq!(
            size("ch.unizh.ini.caviar.chip.retina.Tmpdiff128"),
            Some((128, 128, AddressLayout::Dvs128))
        );
        assert_eq!(size(" DAVIS240C "), Some((240, 180, AddressLayout::Davis)));
        assert_eq!(
            size("eu.seebetter.ini.chips.davis.Davis346blue"),
            Some((346, 260, AddressLayout::Davis))
        );
        assert_eq!(
            size("ch.unizh.ini.jaer.chip.retina.DVS640"),
            Some((640, 480, AddressLayout::Dvs640))
        );
        for other in ["ATIS304", "DVS128andCochleaAMS1b", "Davis2400", "CDAVIS"] {
            assert_eq!(size(other), None, "{other}");
        }
    }

    #[test]
    fn classifies_addresses_as_polarity_special_or_unexplained() {
        use AddressLayout::{Cifar10Dvs, Davis, Dvs128, Dvs640};
        let polarity = |x, y, on| Address::Polarity { x, y, on };
        assert_eq!(Dvs128.read(127 << 8 | 5 << 1), polarity(5, 127, true));
        assert_eq!(Dvs128.read(1 << 15), Address::Special);
        assert_eq!(Cifar10Dvs.read(127 << 8 | 5 << 1), polarity(127, 5, true));
        for invalid in [1 << 16, 1 << 15 | 1 << 20, 1 << 31 | 1 << 30] {
            assert_eq!(Dvs128.read(invalid), Address::Unexplained);
        }
        assert_eq!(
            Davis.read(259 << 22 | 345 << 12 | 1 << 11),
            polarity(345, 259, true)
        );
        assert_eq!(Davis.read(1 << 10), Address::Special);
        assert_eq!(Davis.read(1), Address::Unexplained);
        assert_eq!(
            Dvs640.read(479 << 11 | 639 << 1 | 1),
            polarity(639, 479, true)
        );
        assert_eq!(Dvs640.read(1 << 21), Address::Unexplained);
        for layout in AddressLayout::ALL {
            assert_eq!(layout.read(1 << 31), Address::Special);
            assert_eq!(layout.name().parse(), Ok(layout));
        }
        assert!("atis".parse::<AddressLayout>().is_err());
    }
}
