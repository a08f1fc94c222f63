//! Colours of events. Each polarity has a colour, stronger for more events; pixels with both
//! polarities mix them.

/// Levels of a polarity: 0 for no event, then from faint to full.
pub const LEVELS: u8 = 12;
/// Steps of the edges of text, from page to ink.
const INKS: u8 = 16;
/// Palette index of the first of these steps, after the mixtures of both polarities.
const FIRST_INK: u8 = LEVELS * LEVELS;
/// Strength of the faintest level.
const FAINTEST: f64 = 0.3;

/// Colour of pixels without events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    #[default]
    Black,
    White,
}

/// The colours of ON and OFF events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheme {
    /// ON blue, OFF orange, from Okabe and Ito's palette for the colour-blind
    /// (<https://jfly.uni-koeln.de/color/>).
    #[default]
    Accessible,
    /// ON blue, OFF green, like SpikingJelly 2.0's `play_frame`.
    SpikingJelly,
}

/// The colours of a picture, in red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colours {
    /// Colour of pixels without events.
    pub background: [u8; 3],
    /// Full-strength colour of pixels with only ON events.
    pub on: [u8; 3],
    /// Full-strength colour of pixels with only OFF events.
    pub off: [u8; 3],
    /// Colour of the page around the frames.
    pub page: [u8; 3],
    /// Colour of text.
    pub ink: [u8; 3],
}

impl Colours {
    /// The colours of a scheme on a background.
    pub fn new(background: Background, scheme: Scheme) -> Self {
        let (on, off) = match (scheme, background) {
            (Scheme::Accessible, Background::Black) => ([86, 180, 233], [230, 110, 0]),
            (Scheme::Accessible, Background::White) => ([0, 114, 178], [213, 94, 0]),
            (Scheme::SpikingJelly, _) => ([0, 0, 255], [0, 255, 0]),
        };
        let (background, page, ink) = match background {
            Background::Black => ([0; 3], [32, 32, 36], [235; 3]),
            Background::White => ([255; 3], [236, 236, 238], [20; 3]),
        };
        Self {
            background,
            on,
            off,
            page,
            ink,
        }
    }

    /// All colours of a picture by index: first every mixture of an OFF level with an ON level,
    /// then those of text from page to ink.
    pub fn palette(&self) -> Vec<[u8; 3]> {
        let cells = (0..LEVELS).flat_map(|off| (0..LEVELS).map(move |on| self.mix(off, on)));
        let inks = (0..INKS).map(|step| {
            let share = f64::from(step) / f64::from(INKS - 1);
            blend(self.page, &[(share, self.ink)])
        });
        cells.chain(inks).collect()
    }

    /// The colour of a pixel with these levels of OFF and ON. Each level moves the background
    /// towards its own colour.
    pub fn mix(&self, off: u8, on: u8) -> [u8; 3] {
        let parts = [(strength(off), self.off), (strength(on), self.on)];
        blend(self.background, &parts)
    }
}

/// Index of the colour for these levels of OFF and ON.
pub fn cell(off: u8, on: u8) -> u8 {
    off.min(LEVELS - 1) * LEVELS + on.min(LEVELS - 1)
}

/// The levels of OFF and ON of an index.
pub fn levels(index: u8) -> (u8, u8) {
    (index / LEVELS, index % LEVELS)
}

/// Index of the colour of a pixel of which text covers this share; 0 is the page.
pub fn ink(coverage: f32) -> u8 {
    let steps = f32::from(INKS - 1);
    FIRST_INK + (coverage.clamp(0.0, 1.0) * steps).round() as u8
}

/// The level of `count` events if `top` events have full strength; `top` is at least 1.
///
/// A single event is visible, and of two counts up to `top` the larger is never fainter.
pub fn level(count: u32, top: u32) -> u8 {
    match count {
        0 => 0,
        count if count >= top => LEVELS - 1,
        count => {
            let steps = u64::from(LEVELS - 2);
            1 + (u64::from(count - 1) * steps / u64::from(top - 1)) as u8
        }
    }
}

/// The level of a square of pixels with `count` events if `top` events have full strength: its
/// share of `top`. [`level`] would make the noise visible everywhere, because most squares have
/// some.
pub fn level_of_square(count: u32, top: u32) -> u8 {
    let (count, top) = (u64::from(count.min(top)), u64::from(top));
    let steps = u64::from(LEVELS - 1);
    ((2 * count * steps + top) / (2 * top)) as u8
}

fn strength(level: u8) -> f64 {
    match level {
        0 => 0.0,
        level => FAINTEST + (1.0 - FAINTEST) * f64::from(level - 1) / f64::from(LEVELS - 2),
    }
}

fn blend(from: [u8; 3], parts: &[(f64, [u8; 3])]) -> [u8; 3] {
    let channel = |c: usize| {
        let base = f64::from(from[c]);
        let added = parts
            .iter()
            .map(|(share, colour)| share * (f64::from(colour[c]) - base));
        (base + added.sum::<f64>()).round().clamp(0.0, 255.0) as u8
    };
    [channel(0), channel(1), channel(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKGROUNDS: [Background; 2] = [Background::Black, Background::White];

    /// Converts an sRGB colour to linear light.
    fn linear(colour: [u8; 3]) -> [f64; 3] {
        colour.map(|c| {
            let c = f64::from(c) / 255.0;
            match c {
                ..=0.04045 => c / 12.92,
                c => ((c + 0.055) / 1.055).powf(2.4),
            }
        })
    }

    /// Matrices that simulate the lack of one kind of cone, for severity 1.0. Source: Machado,
    /// Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision
    /// Deficiency (2009).
    const COLOUR_BLINDNESS: [[[f64; 3]; 3]; 3] = [
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ],
    ];

    fn perceived(matrix: &[[f64; 3]; 3], colour: [u8; 3]) -> [f64; 3] {
        let light = linear(colour);
        matrix.map(|row| row.iter().zip(light).map(|(a, b)| a * b).sum())
    }

    #[test]
    fn polarity_colours_differ_for_colour_blind_viewers() {
        for background in BACKGROUNDS {
            let colours = Colours::new(background, Scheme::Accessible);
            for (kind, blind) in COLOUR_BLINDNESS.iter().enumerate() {
                for level in [1, LEVELS - 1] {
                    let kinds = [(0, 0), (level, 0), (0, level), (level, level)];
                    for (i, a) in kinds.iter().enumerate() {
                        for b in &kinds[..i] {
                            let [a, b] =
                                [a, b].map(|&(off, on)| perceived(blind, colours.mix(off, on)));
                            let distance: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
                            // The faintest colours have a tenth of the light, so they differ less.
                            let least = if level == 1 { 0.02 } else { 0.2 };
                            assert!(
                                distance.sqrt() > least,
                                "{background:?}, kind {kind}, level {level}: {}",
                                distance.sqrt()
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn levels_never_decrease_and_one_event_is_visible() {
        for top in [1, 2, 3, 11, 12, 300, u32::MAX] {
            assert_eq!(level(0, top), 0);
            assert!(level(1, top) >= 1, "{top}");
            assert_eq!(level(top, top), LEVELS - 1);
            assert_eq!(level(u32::MAX, top), LEVELS - 1);
            assert_eq!(level_of_square(top, top), LEVELS - 1);
            assert_eq!(level_of_square(top / 25, top), 0);
            for count in 1..400 {
                assert!(
                    level(count, top) >= level(count - 1, top),
                    "{count} of {top}"
                );
            }
        }
    }

    #[test]
    fn palette_maps_each_index_to_its_colour() {
        for background in BACKGROUNDS {
            for scheme in [Scheme::Accessible, Scheme::SpikingJelly] {
                let colours = Colours::new(background, scheme);
                let palette = colours.palette();
                assert!(palette.len() <= 256);
                let at = |index: u8| palette[usize::from(index)];
                assert_eq!(at(cell(0, 0)), colours.background);
                assert_eq!(at(cell(LEVELS - 1, 0)), colours.off);
                assert_eq!(at(cell(0, LEVELS - 1)), colours.on);
                assert_eq!(at(ink(0.0)), colours.page);
                assert_eq!(at(ink(1.0)), colours.ink);
                assert_eq!(levels(cell(3, 7)), (3, 7));
            }
        }
    }
}
