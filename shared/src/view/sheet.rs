//! Contact sheets: the frames of one sample in a grid, or those of several samples in one row each.

use super::clip::{Clip, Scaled};
use super::picture::Picture;
use super::scale::Scale;
use super::text::Text;
use super::{Style, ViewError};

/// Gap around and between frames, in pixels.
pub const GAP: u32 = 8;
/// Heights of a line of the title and of captions, in pixels.
const TITLE: u32 = 17;
const CAPTION: u32 = 13;
/// Approximate width of a frame in pixels, for few frames and for many.
const OF_FEW: u32 = 256;
const OF_MANY: u32 = 128;
/// Maximum number of frames that count as few.
const FEW: usize = 36;
/// Minimum width of the page in pixels, so that titles fit.
const NARROWEST: u32 = 256;

/// The layout of the frames of one clip.
struct Block<'a, 'c, C> {
    clip: Scaled<'a, 'c, C>,
    columns: u32,
    title: Vec<String>,
    captions: Vec<Vec<String>>,
    /// Number of lines of the longest caption.
    caption_lines: u32,
}

/// Draws the frames of one clip in a grid, or of several clips in one row each.
///
/// # Errors
/// Returns an error if there is no clip, or if the picture would be too large.
pub fn contact_sheet<C: Copy + Into<u32>>(
    clips: &[Clip<'_, C>],
    style: &Style,
) -> Result<Picture, ViewError> {
    let (title, caption) = (Text::new(TITLE), Text::new(CAPTION));
    let mut blocks: Vec<Block<'_, '_, C>> = clips
        .iter()
        .map(|clip| {
            let few = clips.len() == 1 && clip.frames() <= FEW;
            let side = if few { OF_FEW } else { OF_MANY };
            let scale = style
                .scale
                .unwrap_or_else(|| Scale::to_fit(clip.size(), side));
            let columns = match clips {
                [_] => grid_columns(clip.frames()),
                _ => clip.frames() as u32,
            };
            Block::new(clip.scaled(scale), columns, &caption)
        })
        .collect();
    if blocks.is_empty() {
        return Err(ViewError::Nothing);
    }
    let inner = blocks.iter().map(Block::width).max().unwrap_or(0);
    let inner = inner.max(NARROWEST.into());
    let mut height = u64::from(GAP);
    for block in &mut blocks {
        let room = inner.min(u32::MAX.into()) as u32;
        block.title = title.lines(&block.clip.clip().title, room);
        height += block.height(&title, &caption);
    }
    let mut page = Picture::new(inner + 2 * u64::from(GAP), height, &style.colours)?;
    let mut y = GAP;
    for block in &blocks {
        block.draw(&mut page, y, &title, &caption);
        y += block.height(&title, &caption) as u32;
    }
    Ok(page)
}

/// Number of columns of a grid of `tiles` that is nearly square and, if possible, has no empty
/// places.
pub fn grid_columns(tiles: usize) -> u32 {
    let side = (tiles as f64).sqrt().ceil() as usize;
    let whole = (side..2 * side).find(|columns| tiles.is_multiple_of(*columns));
    whole.unwrap_or(side).max(1) as u32
}

impl<'a, 'c, C: Copy + Into<u32>> Block<'a, 'c, C> {
    fn new(clip: Scaled<'a, 'c, C>, columns: u32, caption: &Text) -> Self {
        let width = clip.size().width;
        let captions: Vec<Vec<String>> = (0..clip.clip().frames())
            .map(|at| caption.whole_lines(clip.clip().caption(at), width))
            .collect();
        Self {
            caption_lines: captions.iter().map(Vec::len).max().unwrap_or(0) as u32,
            captions,
            title: Vec::new(),
            columns: columns.max(1),
            clip,
        }
    }

    fn width(&self) -> u64 {
        let tile = u64::from(self.clip.size().width) + u64::from(GAP);
        tile * u64::from(self.columns) - u64::from(GAP)
    }

    /// Distance between rows of tiles, in pixels.
    fn row(&self, caption: &Text) -> u64 {
        u64::from(self.clip.size().height) + u64::from(caption.line() * self.caption_lines + GAP)
    }

    fn height(&self, title: &Text, caption: &Text) -> u64 {
        let rows = (self.captions.len() as u64).div_ceil(self.columns.into());
        u64::from(self.title.len() as u32 * title.line() + GAP) + rows * self.row(caption)
    }

    /// Draws the block with its upper edge at `y`, on a page that has room for it.
    fn draw(&self, page: &mut Picture, y: u32, title: &Text, caption: &Text) {
        let mut top = y;
        for line in &self.title {
            title.draw(page, GAP, top, line);
            top += title.line();
        }
        top += GAP / 2;
        let size = self.clip.size();
        for (at, lines) in self.captions.iter().enumerate() {
            let (row, column) = (at as u32 / self.columns, at as u32 % self.columns);
            let x = GAP + column * (size.width + GAP);
            let mut y = top + row * self.row(caption) as u32;
            page.put(x, y, &self.clip, at);
            y += size.height;
            for line in lines {
                caption.draw(page, x, y, line);
                y += caption.line();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::event::SensorSize;

    use super::super::{Background, Colours, Scheme};
    use super::*;

    #[test]
    fn grids_are_nearly_square_and_full_if_possible() {
        for (tiles, columns) in [
            (0, 1),
            (1, 1),
            (2, 2),
            (4, 2),
            (6, 3),
            (8, 4),
            (10, 5),
            (11, 4),
            (16, 4),
        ] {
            assert_eq!(grid_columns(tiles), columns, "{tiles}");
        }
    }

    #[test]
    fn refuses_oversized_and_empty_sheets() {
        let counts = vec![0_u8; 2 * 128 * 128];
        let size = SensorSize {
            width: 128,
            height: 128,
        };
        let clip = Clip::new(&counts, size, vec![], vec![]).unwrap();
        let style = |scale| Style {
            colours: Colours::new(Background::Black, Scheme::Accessible),
            scale: Some(scale),
        };
        assert!(contact_sheet(std::slice::from_ref(&clip), &style(Scale::Up(64))).is_ok());
        let many = vec![clip; 9];
        for scale in [Scale::Up(64), Scale::Up(u32::MAX)] {
            let error = contact_sheet(&many, &style(scale)).unwrap_err();
            assert!(matches!(error, ViewError::TooLarge { .. }), "{error}");
        }
        assert!(contact_sheet::<u8>(&[], &style(Scale::Up(1))).is_err());
    }
}
