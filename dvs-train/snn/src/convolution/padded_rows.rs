//! How images are laid out for the kernels: on a tape.
//!
//! The rows of one channel of all images stand one after the other, a zero behind each row and a row of zeros, or two,
//! behind each image. On that tape a convolution has no edges: output `p` is the sum of inputs `p + ky * stride + kx`,
//! whatever the images' size, so that vectors run on over the ends of rows and images. Threads share out the tape in
//! blocks of rows; a block of all channels stays in the second cache.

use std::mem::MaybeUninit;

use multiversion::multiversion;

/// Cells of a block, about: what is kept of it for one vector of channels stays in the nearest cache.
const CELLS: usize = 576;
/// Behind a plane, so that the last vector of outputs may read on.
const SLACK: usize = 64;
/// Values in a line of the cache.
const LINE: usize = 16;

/// Number and size of images, `[N, H, W]`.
pub type Images = [usize; 3];

/// The layout of some images.
#[derive(Clone, Copy, Debug)]
pub struct PaddedRows {
    images: usize,
    height: usize,
    width: usize,
    /// Rows from an image to the next.
    pitch: usize,
    /// Of a block, the last one perhaps fewer.
    rows: usize,
}

impl PaddedRows {
    /// Of `images` of this size.
    pub fn new([images, height, width]: Images) -> Self {
        let pitch = height + 1;
        Self {
            images,
            height,
            width,
            pitch,
            rows: (CELLS / (width + 1)).clamp(1, (images * pitch).max(1)),
        }
    }

    /// Of images of an even height, with an even number of `rows` in each block, so that pairs of rows stay together.
    pub fn in_pairs([images, height, width]: Images, rows: usize) -> Self {
        Self {
            images,
            height,
            width,
            pitch: height + 2,
            rows,
        }
    }

    /// From a row to the next.
    pub fn stride(&self) -> usize {
        self.width + 1
    }

    /// Cells of a block, the zeros among them.
    pub fn cells(&self) -> usize {
        self.rows * self.stride()
    }

    /// How many blocks the tape has.
    pub fn blocks(&self) -> usize {
        match self.width {
            0 => 0,
            _ => (self.images * self.pitch).div_ceil(self.rows),
        }
    }

    /// A block by its number.
    pub fn block(&self, at: usize) -> Block {
        let from = at * self.rows;
        let end = self.images * self.pitch;
        Block {
            tape: *self,
            from,
            rows: self.rows.min(end.saturating_sub(from)),
        }
    }

    /// Each block's parts of a tensor of `channels`, those of one image after those of another.
    pub fn split<'a, T>(&self, tensor: &'a mut [T], channels: usize) -> Vec<Vec<Part<'a, T>>> {
        let mut blocks: Vec<_> = (0..self.blocks()).map(|_| Vec::new()).collect();
        let planes = tensor.chunks_exact_mut((self.height * self.width).max(1));
        for (at, mut plane) in planes.enumerate() {
            let from = at / channels.max(1) * self.pitch;
            let mut row = from;
            while !plane.is_empty() {
                let block = row / self.rows;
                let end = ((block + 1) * self.rows).min(from + self.height);
                let (values, rest) = plane.split_at_mut((end - row) * self.width);
                blocks[block].push(Part {
                    row: row - block * self.rows,
                    values,
                });
                (plane, row) = (rest, end);
            }
        }
        blocks
    }
}

/// Some rows of a tape.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    tape: PaddedRows,
    from: usize,
    /// How many.
    pub rows: usize,
}

/// The rows of a block that one image and channel has.
#[derive(Debug)]
pub struct Part<'a, T> {
    row: usize,
    values: &'a mut [T],
}

impl Block {
    /// Cells of the block, the zeros among them.
    pub fn cells(&self) -> usize {
        self.rows * self.tape.stride()
    }

    /// Writes `channel` of `channels` to the block's `parts`; cell (row, column) is at `row * stride + column`.
    #[inline(always)]
    pub fn store(
        &self,
        values: &[f32],
        channel: usize,
        channels: usize,
        parts: &mut [Part<'_, MaybeUninit<f32>>],
    ) {
        let width = self.tape.width;
        for part in parts.iter_mut().skip(channel).step_by(channels) {
            for (y, to) in part.values.chunks_exact_mut(width).enumerate() {
                let from = (part.row + y) * (width + 1);
                for (to, &from) in to.iter_mut().zip(&values[from..from + width]) {
                    to.write(from);
                }
            }
        }
    }
}

/// Some channels of a block, with the rows above and below it. Cell (row, column) of each is at
/// `1 + (row + 1) * stride + column` of its plane.
#[derive(Debug)]
pub struct Planes {
    /// The planes.
    pub values: Vec<f32>,
    /// Length of each.
    pub length: usize,
    /// From a row to the next.
    pub stride: usize,
}

impl Planes {
    /// Room for some channels.
    pub fn new(tape: &PaddedRows, channels: usize) -> Self {
        let cells = (tape.rows + 2) * tape.stride() + SLACK;
        // An odd number of cache lines, so that channels don't fall into the same places of the cache.
        let length = (cells.div_ceil(LINE) | 1) * LINE;
        Self {
            values: vec![0.0; channels * length],
            length,
            stride: tape.stride(),
        }
    }

    /// One channel after the other.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.length)
    }

    /// Takes channels from `first` on of a tensor of `channels`; those that it doesn't have are zero.
    pub fn load(&mut self, block: &Block, tensor: &[f32], channels: usize, first: usize) {
        let PaddedRows {
            images,
            height,
            width,
            pitch,
            ..
        } = block.tape;
        for (at, plane) in self.values.chunks_exact_mut(self.length).enumerate() {
            let channel = first + at;
            if channel >= channels {
                plane.fill(0.0);
                continue;
            }
            let (rows, rest) = plane[1..].split_at_mut((block.rows + 2) * (width + 1));
            rest.fill(0.0);
            for (at, row) in rows.chunks_exact_mut(width + 1).enumerate() {
                // The row's place, were there an image before the first.
                let place = block.from + at + pitch - 1;
                let (image, y) = (place / pitch, place % pitch);
                if y >= height || image == 0 || image > images {
                    row.fill(0.0);
                    continue;
                }
                let from = (((image - 1) * channels + channel) * height + y) * width;
                row[..width].copy_from_slice(&tensor[from..from + width]);
                row[width] = 0.0;
            }
        }
    }
}

/// Share of values that are not zero.
pub fn share<'a>(pieces: impl Iterator<Item = &'a [f32]>) -> f64 {
    let (mut ones, mut all) = (0, 0);
    for piece in pieces {
        (ones, all) = (ones + count(piece), all + piece.len());
    }
    ones as f64 / all.max(1) as f64
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn count(values: &[f32]) -> usize {
    let count: u32 = values.iter().map(|&value| u32::from(value != 0.0)).sum();
    count as usize
}
