//! Decodes the pictures that the program draws.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

pub(super) type Rgb = [u8; 3];

/// A picture, row by row.
pub(super) struct Pixels {
    pub(super) width: usize,
    pub(super) height: usize,
    rgb: Vec<Rgb>,
}

impl Pixels {
    pub(super) fn at(&self, x: usize, y: usize) -> Rgb {
        self.rgb[y * self.width + x]
    }
}

pub(super) fn png(path: &Path) -> Pixels {
    let mut decoder = png::Decoder::new(BufReader::new(File::open(path).unwrap()));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    Pixels {
        width: info.width as usize,
        height: info.height as usize,
        rgb: bytes.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect(),
    }
}

/// Returns each frame of a GIF and its delay in hundredths of a second.
pub(super) fn gif(path: &Path) -> Vec<(Pixels, u16)> {
    let mut options = gif::DecodeOptions::new();
    options.set_color_output(gif::ColorOutput::RGBA);
    let mut decoder = options.read_info(File::open(path).unwrap()).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        let colours = frame.buffer.chunks_exact(4);
        let pixels = Pixels {
            width: frame.width.into(),
            height: frame.height.into(),
            rgb: colours.map(|c| [c[0], c[1], c[2]]).collect(),
        };
        frames.push((pixels, frame.delay));
    }
    assert_eq!(decoder.repeat(), gif::Repeat::Infinite);
    frames
}
