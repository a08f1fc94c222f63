//! Draws frames with characters.
//!
//! With colours, a character is two pixels, one above the other, in the colours of the pictures.
//! Without colours, a braille character is eight pixels, and a dot is a pixel with events of either
//! polarity: a higher resolution in place of colour. If the terminal is too narrow, the counts of
//! several sensor pixels are added.

use std::fmt::Write;

use super::clip::{Clip, Scaled};
use super::colours::levels;
use super::scale::Scale;
use super::timing::{Timing, duration};
use super::{Colours, ViewError};
use crate::event::POLARITIES;

/// Minimum width of a frame in characters, if the terminal has room for several frames.
const LEAST: usize = 32;
/// Length of the longest bar in characters.
const BAR: usize = 40;
const HALF_BLOCK: char = '\u{2580}';
const BRAILLE: u32 = 0x2800;
const RESET: &str = "\x1b[0m";

/// The abilities of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// No colours.
    Plain,
    /// The 256 colours of xterm.
    Palette,
    /// Any colour.
    Rgb,
}

/// Number of frames that fit side by side in this many columns of characters.
pub fn frames_in(columns: usize) -> usize {
    ((columns + 1) / (LEAST + 1)).max(1)
}

/// Draws the frames of the clips, one clip after the other, within `columns` characters.
///
/// # Errors
/// Returns an error if there is no clip.
pub fn look<C: Copy + Into<u32>>(
    clips: &[Clip<'_, C>],
    columns: usize,
    paint: Paint,
    colours: &Colours,
) -> Result<String, ViewError> {
    if clips.is_empty() {
        return Err(ViewError::Nothing);
    }
    let frames_per_row = frames_in(columns);
    let wide = ((columns + 1) / frames_per_row).saturating_sub(1).max(1);
    let mut tiles = Vec::new();
    for clip in clips {
        // A dot of braille is half a character wide.
        let across = if paint == Paint::Plain {
            2 * wide
        } else {
            wide
        };
        let bins = clip.size().width.div_ceil(across as u32).max(1);
        let scaled = clip.scaled(Scale::Down(bins));
        for at in 0..clip.frames() {
            tiles.push(tile(&scaled, at, paint, colours, wide));
        }
    }
    let mut text = String::new();
    for row in tiles.chunks(frames_per_row) {
        let lines = row.iter().map(|tile| tile.lines.len()).max().unwrap_or(0);
        for line in 0..lines {
            let mut missing = 0;
            for tile in row {
                let (content, width) = match tile.lines.get(line) {
                    Some((content, width)) => (content.as_str(), *width),
                    None => ("", 0),
                };
                let _ = write!(text, "{:missing$}{content}", "");
                missing = wide.saturating_sub(width) + 1;
            }
            text.push('\n');
        }
    }
    Ok(text)
}

/// Lines of a frame, each with its width in characters.
struct Tile {
    lines: Vec<(String, usize)>,
}

fn tile<C: Copy + Into<u32>>(
    clip: &Scaled<'_, '_, C>,
    at: usize,
    paint: Paint,
    colours: &Colours,
    wide: usize,
) -> Tile {
    let cells = clip.cells(at);
    let width = clip.bins().width as usize;
    let mut lines = match paint {
        Paint::Plain => braille(&cells, width),
        _ => half_blocks(&cells, width, paint, colours),
    };
    // Use as many parts as fit.
    let mut caption = String::new();
    for part in clip.clip().caption(at) {
        let between = if caption.is_empty() { "" } else { "  " };
        if caption.chars().count() + between.len() + part.chars().count() <= wide {
            caption += between;
            caption.extend(part.chars().map(visible));
        }
    }
    let width = caption.chars().count();
    lines.push((caption, width));
    Tile { lines }
}

fn half_blocks(
    cells: &[u8],
    width: usize,
    paint: Paint,
    colours: &Colours,
) -> Vec<(String, usize)> {
    let colour = |cell: u8| {
        let (off, on) = levels(cell);
        colours.mix(off, on)
    };
    let mut lines = Vec::new();
    for rows in cells.chunks(2 * width) {
        let (upper, lower) = rows.split_at(width);
        let mut line = String::new();
        let mut last = None;
        // Fill the row below an odd height with background.
        let lower = lower.iter().chain(std::iter::repeat(&0));
        for (&upper, &lower) in upper.iter().zip(lower) {
            let pair = [upper, lower].map(colour);
            if last != Some(pair) {
                let [above, below] = pair.map(|colour| code(colour, paint));
                let _ = write!(line, "\x1b[38;{above};48;{below}m");
                last = Some(pair);
            }
            line.push(HALF_BLOCK);
        }
        line += RESET;
        lines.push((line, width));
    }
    lines
}

/// The escape-code parameters that select a colour, in either palette.
fn code([r, g, b]: [u8; 3], paint: Paint) -> String {
    match paint {
        Paint::Rgb => format!("2;{r};{g};{b}"),
        // In xterm's cube of 6 x 6 x 6 colours, each channel has the values 0, 95, 135, 175, 215,
        // 255.
        _ => {
            let step = |c: u8| match c {
                0..48 => 0,
                48..115 => 1,
                115.. => (u16::from(c) - 35) / 40,
            };
            format!("5;{}", 16 + 36 * step(r) + 6 * step(g) + step(b))
        }
    }
}

fn braille(cells: &[u8], width: usize) -> Vec<(String, usize)> {
    /// The bit of a dot, `[y][x]`.
    const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
    let characters = width.div_ceil(2);
    let rows = cells.chunks(4 * width).map(|rows| {
        let mut dots = vec![BRAILLE; characters];
        for (y, row) in rows.chunks(width).enumerate() {
            for (x, &cell) in row.iter().enumerate() {
                if cell > 0 {
                    dots[x / 2] |= DOTS[y][x % 2];
                }
            }
        }
        let line = dots.into_iter().filter_map(char::from_u32).collect();
        (line, characters)
    });
    rows.collect()
}

/// Returns a table of the events and duration of each frame. Its bars show the durations, or the
/// events if the durations of single frames are unknown.
pub fn table(events: &[[u64; POLARITIES as usize]], timing: &Timing) -> String {
    let durations = matches!(timing, Timing::Spans(_));
    let value = |at: usize| match durations {
        true => timing.duration_us(at).unwrap_or(0.0),
        false => events[at].iter().sum::<u64>() as f64,
    };
    let most = (0..events.len()).map(value).fold(0.0, f64::max);
    let mut text = format!("{:>5}  {:>9}  {:>9}", "frame", "OFF", "ON");
    text += if durations {
        "  duration\n"
    } else {
        "    events\n"
    };
    for (at, [off, on]) in events.iter().enumerate() {
        let said = match durations {
            true => timing.duration_us(at).map_or("-".to_owned(), duration),
            false => (off + on).to_string(),
        };
        let bar = bar(if most > 0.0 { value(at) / most } else { 0.0 });
        let line = format!("{:>5}  {off:>9}  {on:>9}  {said:>8}  {bar}", at + 1);
        text += line.trim_end();
        text.push('\n');
    }
    if let Some(note) = timing.note() {
        let _ = writeln!(text, "duration of the frames: {note}");
    }
    text
}

/// A bar with a resolution of an eighth of a character.
fn bar(share: f64) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as u32;
    let mut bar = "\u{2588}".repeat((eighths / 8) as usize);
    // The blocks from seven eighths to one eighth are consecutive, the narrowest last.
    bar.extend(char::from_u32(0x2590 - eighths % 8).filter(|_| !eighths.is_multiple_of(8)));
    bar
}

/// Replaces a control character, because names may come from anywhere.
pub fn visible(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::event::SensorSize;

    use super::super::{Background, Scheme};
    use super::*;

    fn colours() -> Colours {
        Colours::new(Background::Black, Scheme::Accessible)
    }

    fn clip<'a>(counts: &'a [u8], width: u32, caption: &[&str]) -> Clip<'a, u8> {
        let height = counts.len() as u32 / 2 / width;
        let caption = caption.iter().map(|&part| part.to_owned()).collect();
        let size = SensorSize { width, height };
        Clip::new(counts, size, vec![], vec![caption]).unwrap()
    }

    #[test]
    fn dots_mark_pixels_with_events() {
        let mut counts = [0; 2 * 3 * 5];
        counts[0] = 1; // OFF at (0, 0)
        counts[3 * 5 + 3 * 3 + 1] = 2; // ON at (1, 3)
        counts[3 * 4 + 2] = 1; // OFF at (2, 4)
        let text = look(
            &[clip(&counts, 3, &["a", "b"])],
            40,
            Paint::Plain,
            &colours(),
        )
        .unwrap();
        assert_eq!(text, "\u{2881}\u{2800}\n\u{2800}\u{2801}\na  b\n");
    }

    #[test]
    fn half_blocks_have_the_colours_of_the_pixels() {
        let text = look(
            &[clip(&[1, 0, 0, 0, 0, 1], 1, &[])],
            10,
            Paint::Rgb,
            &colours(),
        )
        .unwrap();
        let code = |colour| code(colour, Paint::Rgb);
        let Colours {
            on,
            off,
            background,
            ..
        } = colours();
        let expected = format!(
            "\x1b[38;{};48;{}m\u{2580}{RESET}\n\x1b[38;{};48;{}m\u{2580}{RESET}\n\n",
            code(off),
            code(background),
            code(on),
            code(background)
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn palette_code_is_the_nearest_cube_colour() {
        const STEPS: [i32; 6] = [0, 95, 135, 175, 215, 255];
        for c in 0..=255_u8 {
            let nearest = (0..6)
                .min_by_key(|&i| (STEPS[i] - i32::from(c)).abs())
                .unwrap();
            let expected = format!("5;{}", 16 + nearest);
            // A value halfway between two steps has two nearest steps.
            if STEPS
                .iter()
                .filter(|s| (**s - i32::from(c)).abs() == (STEPS[nearest] - i32::from(c)).abs())
                .count()
                == 1
            {
                assert_eq!(code([0, 0, c], Paint::Palette), expected, "{c}");
            }
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let counts = vec![1; 2 * 50 * 50];
        let clip = clip(
            &counts,
            50,
            &["a caption", "that is long", "longer than the frame is wide"],
        );
        let clips = vec![clip; 5];
        for columns in [0, 1, 5, 32, 33, 64, 65, 80, 131, 200] {
            let text = look(&clips, columns, Paint::Plain, &colours()).unwrap();
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(columns.max(1)), "{columns}: {widest:?}");
        }
    }

    #[test]
    fn bars_resolve_eighths_of_a_character() {
        assert_eq!(bar(0.0), "");
        assert_eq!(bar(1.0).chars().count(), BAR);
        assert_eq!(bar(1.5 / BAR as f64), "\u{2588}\u{258c}");
        assert_eq!(bar(1.0 / 8.0 / BAR as f64), "\u{258f}");
        assert_eq!(bar(7.0 / 8.0 / BAR as f64), "\u{2589}");
    }
}
