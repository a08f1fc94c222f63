//! Animations of the frames of one sample, or of several samples side by side.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use gif::{Encoder, EncodingError, Frame, Repeat};

use super::clip::{Clip, Scaled};
use super::picture::Picture;
use super::scale::Scale;
use super::sheet::{GAP, grid_columns};
use super::text::Text;
use super::{Style, ViewError};

/// Height of a line of text, in pixels.
const LINE: u32 = 15;
/// Approximate width of a frame in pixels, for one clip and for several.
const ALONE: u32 = 384;
const AMONG_OTHERS: u32 = 256;
/// Minimum width of a tile in pixels, so that captions fit.
const NARROWEST: u32 = 160;

/// Clips that play simultaneously, each from its first frame to its last.
#[derive(Debug)]
pub struct Animation<'a, 'c, C> {
    tiles: Vec<Tile<'a, 'c, C>>,
    style: Style,
    frames: usize,
    columns: u32,
    /// The largest width and the largest height of a frame.
    largest: (u32, u32),
    caption_lines: u32,
}

#[derive(Debug)]
struct Tile<'a, 'c, C> {
    clip: Scaled<'a, 'c, C>,
    title: Vec<String>,
}

impl<'a, 'c, C: Copy + Into<u32>> Animation<'a, 'c, C> {
    /// Creates an animation of these clips. A clip with fewer frames than others shows each one for
    /// proportionally longer.
    ///
    /// # Errors
    /// Returns an error if there is no frame, or if the picture would be too large.
    pub fn new(clips: &'c [Clip<'a, C>], style: &Style) -> Result<Self, ViewError> {
        let text = Text::new(LINE);
        let side = if clips.len() == 1 {
            ALONE
        } else {
            AMONG_OTHERS
        };
        let scaled = clips.iter().filter(|clip| clip.frames() > 0).map(|clip| {
            let scale = style.scale;
            clip.scaled(scale.unwrap_or_else(|| Scale::to_fit(clip.size(), side)))
        });
        let scaled: Vec<_> = scaled.collect();
        let width = scaled.iter().map(|clip| clip.size().width).max();
        let height = scaled.iter().map(|clip| clip.size().height).max();
        let largest = (width.unwrap_or(0).max(NARROWEST), height.unwrap_or(0));
        let captions = clips.iter().flat_map(|clip| {
            (0..clip.frames()).map(|at| text.whole_lines(clip.caption(at), largest.0).len())
        });
        let animation = Self {
            caption_lines: captions.max().unwrap_or(0) as u32,
            frames: clips.iter().map(Clip::frames).max().unwrap_or(0),
            columns: grid_columns(scaled.len()),
            tiles: scaled
                .into_iter()
                .map(|clip| Tile {
                    title: text.lines(&clip.clip().title, largest.0),
                    clip,
                })
                .collect(),
            style: style.clone(),
            largest,
        };
        if animation.frames == 0 {
            return Err(ViewError::Nothing);
        }
        animation.page()?;
        Ok(animation)
    }

    /// Number of frames of the animation.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Draws frame `at` of all clips.
    ///
    /// # Errors
    /// Returns an error if `at` is beyond the last frame.
    pub fn picture(&self, at: usize) -> Result<Picture, ViewError> {
        if at >= self.frames {
            return Err(ViewError::Nothing);
        }
        let mut page = self.page()?;
        let text = Text::new(LINE);
        let (width, row) = (self.largest.0 + GAP, self.row(&text) as u32);
        for (place, tile) in (0..).zip(&self.tiles) {
            let x = GAP + place % self.columns * width;
            // Align the ends of all titles with the frames, however many lines each has.
            let missing = self.title_lines() - tile.title.len() as u32;
            let mut y = GAP + place / self.columns * row + missing * text.line();
            for line in &tile.title {
                text.draw(&mut page, x, y, line);
                y += text.line();
            }
            y += GAP / 2;
            let at = at * tile.clip.clip().frames() / self.frames;
            page.put(x, y, &tile.clip, at);
            y += self.largest.1 + GAP / 2;
            for line in text.whole_lines(tile.clip.clip().caption(at), self.largest.0) {
                text.draw(&mut page, x, y, &line);
                y += text.line();
            }
        }
        Ok(page)
    }

    /// Writes an endlessly repeating GIF. Frame `at` is shown for `delay(at)`, rounded to
    /// hundredths of a second, the unit of GIF. Browsers show frames of less than two hundredths
    /// for longer.
    ///
    /// # Errors
    /// Returns an error if `out` cannot be written.
    pub fn write_gif(
        &self,
        out: impl Write,
        delay: impl Fn(usize) -> Duration,
    ) -> Result<(), ViewError> {
        let page = self.page()?;
        // The page does not exceed the size limit of a GIF.
        let (width, height) = (page.width() as u16, page.height() as u16);
        let mut encoder =
            Encoder::new(out, width, height, &page.palette().concat()).map_err(io_error)?;
        encoder.set_repeat(Repeat::Infinite).map_err(io_error)?;
        for at in 0..self.frames {
            let picture = self.picture(at)?;
            let hundredths = (delay(at).as_secs_f64() * 100.0).round();
            let frame = Frame {
                width,
                height,
                delay: hundredths.clamp(2.0, f64::from(u16::MAX)) as u16,
                buffer: Cow::Borrowed(picture.pixels()),
                ..Frame::default()
            };
            encoder.write_frame(&frame).map_err(io_error)?;
        }
        let mut out = encoder.into_inner().map_err(io_error)?;
        Ok(out.flush()?)
    }

    /// An empty page for all tiles.
    fn page(&self) -> Result<Picture, ViewError> {
        let row = self.row(&Text::new(LINE));
        let rows = (self.tiles.len() as u64).div_ceil(self.columns.into());
        let width = u64::from(self.largest.0) + u64::from(GAP);
        let gap = u64::from(GAP);
        Picture::new(
            gap + width * u64::from(self.columns),
            gap + row * rows,
            &self.style.colours,
        )
    }

    fn title_lines(&self) -> u32 {
        let lines = self.tiles.iter().map(|tile| tile.title.len());
        lines.max().unwrap_or(0) as u32
    }

    /// Distance between rows of tiles, in pixels.
    fn row(&self, text: &Text) -> u64 {
        let lines = self.title_lines() + self.caption_lines;
        u64::from(self.largest.1) + u64::from(lines * text.line() + 2 * GAP)
    }
}

fn io_error(error: EncodingError) -> ViewError {
    match error {
        EncodingError::Io(error) => error.into(),
        error => io::Error::other(error).into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::event::SensorSize;

    use super::super::{Background, Colours, Scheme};
    use super::*;

    #[test]
    fn clips_of_different_lengths_end_together() {
        let style = Style {
            colours: Colours::new(Background::White, Scheme::Accessible),
            scale: Some(Scale::Up(1)),
        };
        let size = SensorSize {
            width: 1,
            height: 1,
        };
        // Frame t has t + 1 OFF events.
        let counts: Vec<Vec<u16>> = [1, 2, 5]
            .map(|frames| (0..frames).flat_map(|t| [t + 1, 0]).collect())
            .to_vec();
        let clips = counts
            .iter()
            .map(|counts| Clip::new(counts, size, vec![], vec![]).unwrap());
        let clips: Vec<_> = clips.collect();
        let animation = Animation::new(&clips, &style).unwrap();
        assert_eq!(animation.frames(), 5);
        let mut seen = Vec::new();
        for at in 0..5 {
            let picture = animation.picture(at).unwrap();
            let row = &picture.pixels()[(GAP + GAP / 2) as usize * picture.width() as usize..];
            let tile = |column: u32| row[(GAP + column * (NARROWEST + GAP)) as usize];
            seen.push([tile(0), tile(1)]);
        }
        let distinct = |column: usize| {
            let mut colours: Vec<u8> = seen.iter().map(|tiles| tiles[column]).collect();
            colours.dedup();
            colours.len()
        };
        assert_eq!([distinct(0), distinct(1)], [1, 2]);
        assert!(animation.picture(5).is_err());
    }
}
