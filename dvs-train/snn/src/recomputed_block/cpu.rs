//! The channels of a block on the CPU. Threads divide the images.

use std::ops::Range;

use burn::backend::flex::Flex;
use burn::tensor::ops::FloatTensor;
use rayon::prelude::*;

use super::RecomputedBlockBackend;
use crate::backend::cpu::{dims, tensor, values, zeros};

impl RecomputedBlockBackend for Flex {
    fn some_channels(x: FloatTensor<Self>, channels: &Range<usize>) -> FloatTensor<Self> {
        let [n, c, height, width] = dims(&x);
        if channels.len() == c {
            return x;
        }
        let cells = height * width;
        let mut part = zeros(n * channels.len() * cells);
        part.par_chunks_mut((channels.len() * cells).max(1))
            .zip(values(&x).par_chunks((c * cells).max(1)))
            .for_each(|(part, x)| {
                part.copy_from_slice(&x[channels.start * cells..channels.end * cells]);
            });
        tensor(part, [n, channels.len(), height, width])
    }

    fn join_channels(mut parts: Vec<FloatTensor<Self>>) -> FloatTensor<Self> {
        if parts.len() == 1 {
            return parts.remove(0);
        }
        let shapes = parts.iter().map(dims::<4>);
        let c = shapes.map(|[_, c, ..]| c).sum::<usize>();
        let [n, _, height, width] = parts.first().map_or([0; 4], dims);
        let images = parts
            .iter()
            .map(|part| (values(part), dims::<4>(part)[1] * height * width));
        let images: Vec<_> = images.collect();
        let mut x = zeros(n * c * height * width);
        x.par_chunks_mut((c * height * width).max(1))
            .enumerate()
            .for_each(|(at, mut x)| {
                for (values, length) in &images {
                    let own;
                    (own, x) = x.split_at_mut(*length);
                    own.copy_from_slice(&values[at * length..(at + 1) * length]);
                }
            });
        tensor(x, [n, c, height, width])
    }
}
