//! Batch normalisation on the CPU, with as few passes over memory as possible: one for the moments
//! and one to normalise; in the backward pass, one for the sums and one for the gradient.
//!
//! Threads divide the planes. A plane is the cells of one image and channel.

use burn::backend::flex::FlexTensor;
use multiversion::multiversion;
use rayon::prelude::*;

use super::{Affine, Saved};
use crate::backend::cpu::{dims, map, map2, sum, sum2, tensor, values, zeros};

/// Values that are added up in single precision before double precision is used. They stay in the
/// L1 cache.
const CHUNK: usize = 4096;

/// Returns the mean and the biased variance of each channel of `x` `[N, C, H, W]`.
pub fn moments(x: &FlexTensor) -> Vec<[f64; 2]> {
    let [_, c, height, width] = dims(x);
    let cells = height * width;
    let planes: Vec<Partial> = values(x).par_chunks(cells.max(1)).map(partial).collect();
    (0..c)
        .map(|channel| {
            let images = planes.iter().skip(channel).step_by(c);
            let all = images.fold(Partial::default(), |a, b| a.merge(b));
            [all.mean, all.squares / all.count.max(1.0)]
        })
        .collect()
}

/// Returns `x` `[N, C, H, W]` times each channel's scale, plus its shift.
pub fn scale(x: &FlexTensor, affine: &Affine<FlexTensor>) -> FlexTensor {
    #[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
    fn plane(x: &[f32], scale: f32, shift: f32, y: &mut [f32]) {
        map(y, x, |x| x * scale + shift);
    }
    let shape @ [n, c, height, width] = dims(x);
    let cells = height * width;
    let (scale, shift) = (values(&affine.scale), values(&affine.shift));
    let mut y = zeros(n * c * cells);
    y.par_chunks_mut(cells.max(1))
        .zip(values(x).par_chunks(cells.max(1)))
        .enumerate()
        .for_each(|(at, (y, x))| plane(x, scale[at % c], shift[at % c], y));
    tensor(y, shape)
}

/// Returns the gradients of x, gamma and beta.
pub fn backward(grad: &FlexTensor, x: &FlexTensor, saved: &Saved<FlexTensor>) -> [FlexTensor; 3] {
    let shape @ [n, c, height, width] = dims(x);
    let cells = height * width;
    let (dy, x) = (values(grad), values(x));
    let mean = values(&saved.mean);
    let sums: Vec<Sums> = dy
        .par_chunks(cells.max(1))
        .zip(x.par_chunks(cells.max(1)))
        .enumerate()
        .map(|(at, (dy, x))| Sums::of(dy, x, mean[at % c]))
        .collect();
    let (slopes, [dgamma, dbeta]) = Slope::of(&sums, n * cells, saved);
    let mut dx = zeros(n * c * cells);
    dx.par_chunks_mut(cells.max(1))
        .zip(dy.par_chunks(cells.max(1)))
        .zip(x.par_chunks(cells.max(1)))
        .enumerate()
        .for_each(|(at, ((dx, dy), x))| slopes[at % c].apply(dy, x, dx));
    [tensor(dx, shape), dgamma, dbeta]
}

/// Count, mean and sum of squared deviations of some values of a channel.
#[derive(Clone, Copy, Debug, Default)]
struct Partial {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Partial {
    /// Merges both by Chan's formula.
    fn merge(self, other: &Self) -> Self {
        let count = self.count + other.count;
        let share = other.count / count.max(1.0);
        let apart = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + apart * share,
            squares: self.squares + other.squares + apart * apart * self.count * share,
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn partial(plane: &[f32]) -> Partial {
    let mut whole = Partial::default();
    for chunk in plane.chunks(CHUNK) {
        let count = chunk.len() as f64;
        let mean = sum(chunk, |x| x) / count;
        // `near` is the mean rounded to single precision. The last term below corrects the squares
        // for this.
        let near = mean as f32;
        let squares = sum(chunk, |x| (x - near) * (x - near));
        let off = mean - f64::from(near);
        whole = whole.merge(&Partial {
            count,
            mean,
            squares: squares - count * off * off,
        });
    }
    whole
}

/// Sums over a channel for the backward pass.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    /// Sum of dy.
    pub dy: f64,
    /// Sum of dy (x - mean).
    pub dy_centred: f64,
}

impl Sums {
    fn of(dy: &[f32], x: &[f32], mean: f32) -> Self {
        #[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
        fn plane(dy: &[f32], x: &[f32], mean: f32) -> Sums {
            let mut sums = Sums::default();
            for (dy, x) in dy.chunks(CHUNK).zip(x.chunks(CHUNK)) {
                sums.add(dy, x, mean);
            }
            sums
        }
        plane(dy, x, mean)
    }

    /// Adds values of one channel, at most some thousand.
    #[inline(always)]
    pub fn add(&mut self, dy: &[f32], x: &[f32], mean: f32) {
        self.dy += sum(dy, |dy| dy);
        self.dy_centred += sum2(dy, x, |dy, x| dy * (x - mean));
    }
}

/// dx as a function of dy and x, for one channel.
///
/// ```text
/// dx = scale (dy - shift - (x - mean) slope)
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Slope {
    scale: f32,
    shift: f32,
    slope: f32,
    mean: f32,
}

impl Slope {
    /// Returns the slopes of all channels, and the gradients of gamma and beta. `sums` has one
    /// entry per plane, in order, and `count` is this rank's number of values per channel.
    pub fn of(
        sums: &[Sums],
        count: usize,
        saved: &Saved<FlexTensor>,
    ) -> (Vec<Self>, [FlexTensor; 2]) {
        let (gamma, mean, inverse) = (
            values(&saved.gamma),
            values(&saved.mean),
            values(&saved.inverse),
        );
        let (c, count) = (gamma.len(), (saved.ranks.size() * count) as f64);
        let mut sums: Vec<[f64; 2]> = (0..c)
            .map(|channel| {
                let planes = sums.iter().skip(channel).step_by(c);
                planes.fold([0.0; 2], |[dy, dy_centred], plane| {
                    [dy + plane.dy, dy_centred + plane.dy_centred]
                })
            })
            .collect();
        // Those of gamma and beta are of this rank's samples alone, as are those of all weights.
        let dgamma = sums.iter().zip(&*inverse);
        let dgamma = dgamma.map(|([_, sum], &inverse)| (sum * f64::from(inverse)) as f32);
        let (dgamma, dbeta) = (dgamma.collect(), sums.iter().map(|[dy, _]| *dy as f32));
        let dbeta = dbeta.collect();
        saved.ranks.sum(&mut sums);
        let slopes = sums.iter().enumerate().map(|(channel, [dy, dy_centred])| {
            let inverse = f64::from(inverse[channel]);
            Self {
                scale: (f64::from(gamma[channel]) * inverse) as f32,
                shift: (dy / count) as f32,
                slope: (dy_centred * inverse * inverse / count) as f32,
                mean: mean[channel],
            }
        });
        let slopes = slopes.collect();
        (slopes, [tensor(dgamma, [c]), tensor(dbeta, [c])])
    }

    fn apply(&self, dy: &[f32], x: &[f32], dx: &mut [f32]) {
        #[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
        fn plane(slope: &Slope, dy: &[f32], x: &[f32], dx: &mut [f32]) {
            map2(dx, dy, x, |dy, x| slope.dx(dy, x));
        }
        plane(self, dy, x, dx);
    }

    /// Like `apply`, but replaces dy by dx in `d`.
    pub fn apply_in_place(&self, x: &[f32], d: &mut [f32]) {
        #[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
        fn plane(slope: &Slope, x: &[f32], d: &mut [f32]) {
            for (d, &x) in d.iter_mut().zip(x) {
                *d = slope.dx(*d, x);
            }
        }
        plane(self, x, d);
    }

    #[inline(always)]
    fn dx(&self, dy: f32, x: f32) -> f32 {
        self.scale * (dy - self.shift - (x - self.mean) * self.slope)
    }
}
