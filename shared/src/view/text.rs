//! Text in pictures, with a built-in font so that pictures are the same on every machine.

use ab_glyph::{Font, FontRef, PxScale, ScaleFont, point};

use super::colours;
use super::picture::Picture;

/// Separator of the parts of a text.
const BETWEEN: &str = "   ";
const CUT: char = '\u{2026}';

/// Text of one size.
pub struct Text {
    /// `None` only if the built-in font were invalid.
    font: Option<FontRef<'static>>,
    pixels: f32,
}

impl Text {
    /// Creates text with this height in pixels.
    pub fn new(pixels: u32) -> Self {
        let font = FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT);
        Self {
            font: font.ok(),
            pixels: pixels as f32,
        }
    }

    /// Distance between lines in pixels.
    pub fn line(&self) -> u32 {
        (self.pixels * 1.2).ceil() as u32
    }

    /// Width of `text` in pixels.
    pub fn width(&self, text: &str) -> u32 {
        let Some(font) = &self.font else { return 0 };
        let font = font.as_scaled(PxScale::from(self.pixels));
        let advance = |c| font.h_advance(font.glyph_id(c));
        text.chars().map(advance).sum::<f32>().ceil() as u32
    }

    /// Draws `text` with its upper left corner at `x`, `y`.
    pub fn draw(&self, picture: &mut Picture, x: u32, y: u32, text: &str) {
        let Some(font) = &self.font else { return };
        let scaled = font.as_scaled(PxScale::from(self.pixels));
        let mut at = x as f32;
        for c in text.chars() {
            let id = scaled.glyph_id(c);
            let place = point(at, y as f32 + scaled.ascent());
            at += scaled.h_advance(id);
            let glyph = id.with_scale_and_position(self.pixels, place);
            let Some(outline) = font.outline_glyph(glyph) else {
                continue;
            };
            let bounds = outline.px_bounds();
            outline.draw(|dx, dy, coverage| {
                let (x, y) = (bounds.min.x + dx as f32, bounds.min.y + dy as f32);
                if x >= 0.0 && y >= 0.0 && coverage > 0.0 {
                    picture.darken(x as u32, y as u32, colours::ink(coverage));
                }
            });
        }
    }

    /// Arranges `parts` in lines of at most `width` pixels; a part that is too long for a line is
    /// cut in the middle.
    pub fn lines(&self, parts: &[String], width: u32) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for part in parts {
            let part = self.cut(part, width);
            match lines.last_mut() {
                Some(line) if self.width(&format!("{line}{BETWEEN}{part}")) <= width => {
                    *line += BETWEEN;
                    *line += &part;
                }
                _ => lines.push(part),
            }
        }
        lines
    }

    /// Like [`Text::lines`], but omits a part that is too long for a line, because half a number
    /// would mislead.
    pub fn whole_lines(&self, parts: &[String], width: u32) -> Vec<String> {
        let fitting = parts.iter().filter(|part| self.width(part) <= width);
        self.lines(&fitting.cloned().collect::<Vec<_>>(), width)
    }

    /// Keeps both ends of `text` if it is wider than `width`, because names of samples differ at
    /// either end.
    fn cut(&self, text: &str, width: u32) -> String {
        if self.width(text) <= width {
            return text.to_owned();
        }
        let chars: Vec<char> = text.chars().collect();
        let kept = |n: usize| -> String {
            let (head, tail) = (n - n / 2, n / 2);
            let head = chars[..head].iter();
            let tail = chars[chars.len() - tail..].iter();
            head.chain([&CUT]).chain(tail).collect()
        };
        (0..chars.len())
            .rev()
            .map(kept)
            .find(|text| self.width(text) <= width)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_text_is_wrapped_or_shortened() {
        let text = Text::new(14);
        let parts = ["one".to_owned(), "two".to_owned(), "three".to_owned()];
        let whole = format!("one{BETWEEN}two{BETWEEN}three");
        assert_eq!(text.lines(&parts, text.width(&whole)), [whole.as_str()]);
        let narrow = text.lines(&parts, text.width(&whole) - 1);
        assert_eq!(narrow, [format!("one{BETWEEN}two"), "three".to_owned()]);
        let name = "a name that is longer than all the others@7".to_owned();
        for width in [0, 5, 20, 60, 120] {
            let lines = text.lines(std::slice::from_ref(&name), width);
            assert_eq!(lines.len(), 1);
            assert!(text.width(&lines[0]) <= width, "{width}: {lines:?}");
        }
        assert_eq!(text.whole_lines(&[name.clone(), "7".to_owned()], 60), ["7"]);
        let cut = &text.lines(&[name], 120)[0];
        assert!(cut.starts_with("a na") && cut.ends_with("@7"), "{cut}");
    }
}
