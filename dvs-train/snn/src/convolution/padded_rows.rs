//! The layout of images for the kernels: a tape of padded rows.
//!
//! The rows of one channel of all images follow one another. There is a zero behind each row, and a
//! row of zeros, or two, behind each image. On this tape a convolution has no edges: output `p`
//! sums over inputs `p + ky * stride + kx` for any image size, and vectors may cross the ends of
//! rows and images. Threads divide the tape into blocks of rows. A block of all channels stays in
//! the L2 cache.

use std::mem::MaybeUninit;

use multiversion::multiversion;

/// Approximate number of cells in a block. The values for one vector of channels stay in the L1
/// cache.
const CELLS: usize = 576;
/// Cells behind a plane, which the last vector of outputs may read.
const SLACK: usize = 64;
/// Values in a cache line.
const LINE: usize = 16;

/// Number and size of images, `[N, H, W]`.
pub type Images = [usize; 3];

/// The layout of some images.
#[derive(Clone, Copy, Debug)]
pub struct PaddedRows {
    images: usize,
    height: usize,
    width: usize,
    /// Rows from the start of an image to the next.
    pitch: usize,
    /// Rows of a block. The last block may have fewer.
    rows: usize,
}

impl PaddedRows {
    /// Creates the layout of `images` of this size.
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

    /// Creates the layout of images with an even height. The number of `rows` per block is even, so
    /// that pairs of rows stay together.
    pub fn in_pairs([images, height, width]: Images, rows: usize) -> Self {
        Self {
            images,
            height,
            width,
            pitch: height + 2,
            rows,
        }
    }

    /// Returns the distance from a row to the next.
    pub fn stride(&self) -> usize {
        self.width + 1
    }

    /// Returns the number of cells in a block, including zeros.
    pub fn cells(&self) -> usize {
        self.rows * self.stride()
    }

    /// Returns the number of blocks.
    pub fn blocks(&self) -> usize {
        match self.width {
            0 => 0,
            _ => (self.images * self.pitch).div_ceil(self.rows),
        }
    }

    /// Returns a block by its number.
    pub fn block(&self, at: usize) -> Block {
        let from = at * self.rows;
        let end = self.images * self.pitch;
        Block {
            tape: *self,
            from,
            rows: self.rows.min(end.saturating_sub(from)),
        }
    }

    /// Splits a tensor of `channels` into each block's parts, in the order of images and channels.
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
    /// Number of rows.
    pub rows: usize,
}

/// The rows of a block that belong to one image and channel.
#[derive(Debug)]
pub struct Part<'a, T> {
    row: usize,
    values: &'a mut [T],
}

impl Block {
    /// Returns the number of cells in the block, including zeros.
    pub fn cells(&self) -> usize {
        self.rows * self.tape.stride()
    }

    /// Writes `channel` of `channels` to the block's `parts`. Cell (row, column) is at
    /// `row * stride + column` of `values`.
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
    /// The planes, one after the other.
    pub values: Vec<f32>,
    /// Length of a plane.
    pub length: usize,
    /// Distance from a row to the next.
    pub stride: usize,
}

impl Planes {
    /// Allocates room for `channels` channels.
    pub fn new(tape: &PaddedRows, channels: usize) -> Self {
        let cells = (tape.rows + 2) * tape.stride() + SLACK;
        // An odd number of cache lines, so that channels do not compete for the same cache sets.
        let length = (cells.div_ceil(LINE) | 1) * LINE;
        Self {
            values: vec![0.0; channels * length],
            length,
            stride: tape.stride(),
        }
    }

    /// Returns the planes in order.
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.length)
    }

    /// Loads channels from `first` on from a tensor of `channels`. Channels beyond the last are
    /// zero.
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
                // The row's position if there were one more image before the first.
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

/// Returns the share of values that are not zero.
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
