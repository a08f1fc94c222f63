//! Pictures, and their encoding as PNG.

use std::io::Write;

use super::ViewError;
use super::clip::Scaled;
use super::colours::{Colours, ink};

/// Maximum number of pixels in a picture.
pub const MAX_PIXELS: u64 = 1 << 27;
/// Maximum number of pixels per side, the limit of GIF.
pub const MAX_SIDE: u64 = 65_535;

/// A picture of at most 256 colours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    palette: Vec<[u8; 3]>,
    pixels: Vec<u8>,
}

/// A picture with any colours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbPicture {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Red, green and blue, `[y, x, 3]`.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Creates an empty page.
    ///
    /// # Errors
    /// Returns an error if the page would be too large.
    pub(super) fn new(width: u64, height: u64, colours: &Colours) -> Result<Self, ViewError> {
        // Check the sides first, because the product might overflow.
        if width.max(height) > MAX_SIDE || width * height > MAX_PIXELS {
            return Err(ViewError::TooLarge { width, height });
        }
        Ok(Self {
            width: width as u32,
            height: height as u32,
            palette: colours.palette(),
            pixels: vec![ink(0.0); (width * height) as usize],
        })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Red, green and blue of each colour.
    pub fn palette(&self) -> &[[u8; 3]] {
        &self.palette
    }

    /// Indices into the palette, `[y, x]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Red, green and blue, `[y, x, 3]`.
    pub fn rgb(&self) -> Vec<u8> {
        let colour = |&index: &u8| self.palette[usize::from(index)];
        self.pixels.iter().flat_map(colour).collect()
    }

    /// Writes the picture as a PNG.
    ///
    /// # Errors
    /// Returns an error if `out` cannot be written.
    pub fn write_png(&self, out: impl Write) -> Result<(), ViewError> {
        let mut encoder = png::Encoder::new(out, self.width, self.height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(self.palette.concat());
        // Adjacent indices are not similar colours, so encoding differences does not improve
        // compression.
        encoder.set_filter(png::Filter::NoFilter);
        write(encoder, &self.pixels)
    }

    /// Draws text over a pixel, if it is in the picture. Overlapping glyphs do not erase each
    /// other.
    pub(super) fn darken(&mut self, x: u32, y: u32, ink: u8) {
        if x < self.width && y < self.height {
            let pixel = &mut self.pixels[y as usize * self.width as usize + x as usize];
            *pixel = ink.max(*pixel);
        }
    }

    /// Draws frame `at` of `clip` with its upper left corner at `x`, `y`. The picture must have
    /// room for it.
    pub(super) fn put<C: Copy + Into<u32>>(
        &mut self,
        x: u32,
        y: u32,
        clip: &Scaled<'_, '_, C>,
        at: usize,
    ) {
        let cells = clip.cells(at);
        let repeated = clip.repeated() as usize;
        let rows = cells.chunks_exact((clip.bins().width as usize).max(1));
        let mut line = Vec::with_capacity(clip.size().width as usize);
        let mut start = y as usize * self.width as usize + x as usize;
        for row in rows {
            line.clear();
            line.extend(row.iter().flat_map(|&c| std::iter::repeat_n(c, repeated)));
            for _ in 0..repeated {
                self.pixels[start..][..line.len()].copy_from_slice(&line);
                start += self.width as usize;
            }
        }
    }
}

impl RgbPicture {
    /// Writes the picture as a PNG.
    ///
    /// # Errors
    /// Returns an error if `out` cannot be written.
    pub fn write_png(&self, out: impl Write) -> Result<(), ViewError> {
        let mut encoder = png::Encoder::new(out, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        write(encoder, &self.rgb)
    }
}

fn write<W: Write>(mut encoder: png::Encoder<'_, W>, pixels: &[u8]) -> Result<(), ViewError> {
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header().map_err(io_error)?;
    writer.write_image_data(pixels).map_err(io_error)?;
    writer.finish().map_err(io_error)
}

fn io_error(error: png::EncodingError) -> ViewError {
    match error {
        png::EncodingError::IoError(error) => error.into(),
        error => std::io::Error::other(error).into(),
    }
}
