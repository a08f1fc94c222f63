//! Cameras by the names that recordings give them.

use dvs_shared::SensorSize;
use dvs_shared::event::DVS128;

/// How jAER packs a camera's events into an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Addresses {
    /// DVS128: polarity, 7 bits of x, 7 bits of y.
    Dvs128,
    /// DAVIS: 9 bits of y from bit 22, 10 bits of x from bit 12, polarity at bit 11.
    Davis,
}

/// The camera called `name`, as `DVS128`, `DAVIS240C` or `eu.seebetter.ini.chips.davis.Davis346blue`.
pub(super) fn named(name: &str) -> Option<(SensorSize, Addresses)> {
    let name = name.trim().rsplit('.').next()?.to_ascii_lowercase();
    let sized = |width, height| Some((SensorSize { width, height }, Addresses::Davis));
    if name.starts_with("dvs128") || name == "tmpdiff128" {
        return Some((DVS128, Addresses::Dvs128));
    }
    match name.strip_prefix("davis")? {
        n if n.starts_with("240") => sized(240, 180),
        n if n.starts_with("346") => sized(346, 260),
        n if n.starts_with("640") => sized(640, 480),
        n if n.starts_with("208") => sized(208, 192),
        n if n.starts_with("128") => sized(128, 128),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cameras_are_known_by_every_way_to_name_them() {
        let size = |name| named(name).map(|(s, a)| (s.width, s.height, a));
        assert_eq!(size("DVS128"), Some((128, 128, Addresses::Dvs128)));
        assert_eq!(
            size("ch.unizh.ini.caviar.chip.retina.Tmpdiff128"),
            Some((128, 128, Addresses::Dvs128))
        );
        assert_eq!(size(" DAVIS240C "), Some((240, 180, Addresses::Davis)));
        assert_eq!(
            size("eu.seebetter.ini.chips.davis.Davis346blue"),
            Some((346, 260, Addresses::Davis))
        );
        assert_eq!(size("ATIS304"), None);
    }
}
