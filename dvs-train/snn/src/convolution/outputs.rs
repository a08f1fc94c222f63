//! Writes a convolution's outputs, block by block.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::padded_rows::{Block, Images, PaddedRows, Part};

/// The outputs of a block.
pub struct Outputs<'a> {
    parts: Vec<Part<'a, MaybeUninit<f32>>>,
    /// Channels that are not written yet.
    channels: std::ops::Range<usize>,
}

impl Outputs<'_> {
    /// Writes the next channels, at most those that are left. Each has `length`
    /// values, with cell (y, x) at `y * stride + x`.
    pub fn put(&mut self, block: &Block, values: &[f32], length: usize) {
        let channels = self.channels.end;
        for (values, channel) in values.chunks_exact(length).zip(&mut self.channels) {
            block.store(values, channel, channels, &mut self.parts);
        }
    }
}

/// Calls `run` for each block, which must put all channels of the block, and returns the outputs.
/// Each thread has its own `scratch`.
pub fn by_blocks<S>(
    tape: &PaddedRows,
    channels: usize,
    images: Images,
    scratch: impl Fn() -> S + Sync + Send,
    run: impl Fn(&mut S, &Block, &mut Outputs<'_>) + Sync + Send,
) -> Vec<f32> {
    let length = channels * images.iter().product::<usize>();
    let mut out = Vec::with_capacity(length);
    let whole = tape
        .split(&mut out.spare_capacity_mut()[..length], channels)
        .into_par_iter()
        .enumerate()
        .map_init(scratch, |scratch, (at, parts)| {
            let mut outputs = Outputs {
                parts,
                channels: 0..channels,
            };
            run(scratch, &tape.block(at), &mut outputs);
            outputs.channels.is_empty()
        })
        .all(|whole| whole);
    assert!(whole, "a block's outputs are not all there");
    // SAFETY: the parts of the blocks cover the first `length` values, and each part was written
    // completely.
    unsafe { out.set_len(length) };
    out
}
