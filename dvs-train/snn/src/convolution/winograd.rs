//! Winograd's convolution F(2 x 2, 3 x 3), with fewer than half the products of the plain one.
//!
//! ```text
//! Y = A' (G g G' * B' d B) A      g: 3 x 3 weights, d: 4 x 4 inputs, Y: 2 x 2 outputs,
//!                                 *: element by element
//!
//!      1  0 -1  0           1    0    0
//! B' = 0  1  1  0      G =  1/2  1/2  1/2     A' = 1  1  1  0
//!      0 -1  1  0           1/2 -1/2  1/2          0  1 -1 -1
//!      0  1  0 -1           0    0    1
//! ```
//!
//! The products are summed over the input channels, which makes 16 matrix products of weights with
//! inputs. Source: Lavin and Gray, [Fast Algorithms for Convolutional Neural
//! Networks](https://arxiv.org/abs/1509.09308) (2015).

use pulp::{Arch, Simd, WithSimd};

use super::outputs::Outputs;
use super::padded_rows::{Block, Images, PaddedRows, Planes};
use super::weights::Weights;

/// Output channels that are computed together.
const TILE: usize = 8;
/// Elements of the transformed weights, inputs and outputs.
const POINTS: usize = 16;
/// Approximate number of vectors of 2 x 2 outputs in a block. With more, the transformed inputs do
/// not fit the L2 cache.
const VECTORS: usize = 4;

/// Fewest input channels for which the saved products outweigh the transforms.
const CHANNELS: usize = 16;

/// Whether images can be split into vectors of 2 x 2 outputs, and the transforms pay.
pub fn serves(weights: &Weights<'_>, [_, height, width]: Images, lanes: usize) -> bool {
    let fits = height % 2 == 0 && width % (2 * lanes) == 0 && width > 0;
    fits && weights.inputs >= CHANNELS
}

/// Returns the tape for these kernels.
pub fn tape(images: Images, lanes: usize) -> PaddedRows {
    let vectors = images[2] / (2 * lanes);
    PaddedRows::in_pairs(images, 2 * (VECTORS / vectors).max(1))
}

/// Returns the transformed weights, `[C_out / TILE, POINTS, C_in, TILE]`, padded with zeros.
pub fn filters(weights: &Weights<'_>) -> Vec<f32> {
    let tiles = weights.outputs.div_ceil(TILE);
    let mut filters = vec![0.0; tiles * POINTS * weights.inputs * TILE];
    for output in 0..weights.outputs {
        for input in 0..weights.inputs {
            let g = std::array::from_fn(|y| {
                filter(std::array::from_fn(|x| {
                    weights.at(output, input, 3 * y + x)
                }))
            });
            for x in 0..4 {
                let column = filter(g.map(|row: [f32; 4]| row[x]));
                for (y, value) in column.into_iter().enumerate() {
                    let tile = output / TILE * POINTS + 4 * y + x;
                    filters[(tile * weights.inputs + input) * TILE + output % TILE] = value;
                }
            }
        }
    }
    filters
}

/// `G g`
fn filter([a, b, c]: [f32; 3]) -> [f32; 4] {
    [a, (a + b + c) * 0.5, (a - b + c) * 0.5, c]
}

/// `B' d`
#[inline(always)]
fn inputs<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 4] {
    [
        simd.sub_f32s(a, c),
        simd.add_f32s(b, c),
        simd.sub_f32s(c, b),
        simd.sub_f32s(b, d),
    ]
}

/// `A' m`
#[inline(always)]
fn outputs<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> [S::f32s; 2] {
    [
        simd.add_f32s(simd.add_f32s(a, b), c),
        simd.sub_f32s(simd.sub_f32s(b, c), d),
    ]
}

#[inline(always)]
fn transposed<T: Copy, const N: usize, const M: usize>(matrix: [[T; N]; M]) -> [[T; M]; N] {
    std::array::from_fn(|j| std::array::from_fn(|i| matrix[i][j]))
}

/// How the 4 x 4 inputs of a block are grouped into vectors. Neighbours in a vector are two cells
/// apart.
#[derive(Clone, Copy, Debug)]
struct Grid {
    /// Pairs of rows.
    pub pairs: usize,
    /// Vectors per pair of rows.
    pub vectors: usize,
    /// Distance from a row to the next.
    pub stride: usize,
}

impl Grid {
    /// Returns each vector's number and first cell.
    #[inline(always)]
    fn places(self, lanes: usize) -> impl Iterator<Item = (usize, usize)> {
        let cell =
            move |at: usize| at / self.vectors * 2 * self.stride + at % self.vectors * 2 * lanes;
        (0..self.pairs * self.vectors).map(move |at| (at, cell(at)))
    }
}

/// Transforms inputs: `B' d B`.
struct Transform<'a> {
    pub planes: &'a Planes,
    pub grid: Grid,
    /// Transformed inputs, `[POINTS, C_in, vectors, lanes]`.
    pub out: &'a mut [f32],
}

impl WithSimd for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let lanes = S::F32_LANES;
        let out = S::as_mut_simd_f32s(self.out).0;
        let point = out.len() / POINTS;
        let channels = self.planes.iter().count();
        let vectors = point / channels.max(1);
        for (channel, plane) in self.planes.iter().enumerate() {
            for (at, cell) in self.grid.places(lanes) {
                let mut d = [[simd.splat_f32s(0.0); 4]; 4];
                for (y, d) in d.iter_mut().enumerate() {
                    let row = &plane[cell + y * self.grid.stride..][..2 * lanes + 2];
                    let [a, b] = deinterleave(simd, row);
                    let [c, e] = deinterleave(simd, &row[2..]);
                    *d = inputs(simd, [a, b, c, e]);
                }
                for (x, column) in transposed(d).into_iter().enumerate() {
                    for (y, value) in inputs(simd, column).into_iter().enumerate() {
                        out[(4 * y + x) * point + channel * vectors + at] = value;
                    }
                }
            }
        }
    }
}

/// Returns the even and the odd cells of two vectors, in an order that `interleave_shfl_f32s`
/// undoes.
#[inline(always)]
fn deinterleave<S: Simd>(simd: S, cells: &[f32]) -> [S::f32s; 2] {
    let cells = S::as_simd_f32s(cells).0;
    simd.deinterleave_shfl_f32s([cells[0], cells[1]])
}

/// Sums the products of a tile of output channels over the input channels, and transforms the sums
/// to outputs.
struct Multiply<'a> {
    /// The tile's weights, `[POINTS, C_in, TILE]`.
    pub filters: &'a [f32],
    /// Transformed inputs, `[POINTS, C_in, vectors, lanes]`.
    pub inputs: &'a [f32],
    pub grid: Grid,
    /// Buffer for the products, `[POINTS, TILE, vectors, lanes]`.
    pub products: &'a mut [f32],
    /// Output channels, each `row` long.
    pub out: &'a mut [f32],
    /// Length of an output channel.
    pub row: usize,
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let products = S::as_mut_simd_f32s(self.products).0;
        let inputs = S::as_simd_f32s(self.inputs).0;
        let point = products.len() / POINTS;
        let vectors = point / TILE;
        let filters = self.filters.as_chunks::<TILE>().0;
        let channels = (filters.len() / POINTS).max(1);
        let points = filters
            .chunks_exact(channels)
            .zip(inputs.chunks_exact(channels * vectors));
        for (products, (filters, inputs)) in products.chunks_exact_mut(point).zip(points) {
            for first in (0..vectors).step_by(2) {
                match (S::REGISTER_COUNT > 16, vectors - first) {
                    (true, 1) => multiply::<S, 8, 1>(simd, filters, inputs, first, products),
                    (true, _) => multiply::<S, 8, 2>(simd, filters, inputs, first, products),
                    (false, 1) => multiply::<S, 4, 1>(simd, filters, inputs, first, products),
                    (false, _) => multiply::<S, 4, 2>(simd, filters, inputs, first, products),
                }
            }
        }
        for (channel, out) in self.out.chunks_exact_mut(self.row).take(TILE).enumerate() {
            for (at, cell) in self.grid.places(S::F32_LANES) {
                let mut m = [[simd.splat_f32s(0.0); 4]; 4];
                for (i, m) in m.as_flattened_mut().iter_mut().enumerate() {
                    *m = products[i * point + channel * vectors + at];
                }
                let mut half = [[simd.splat_f32s(0.0); 2]; 4];
                for (half, row) in half.iter_mut().zip(m) {
                    *half = outputs(simd, row);
                }
                let [left, right] = transposed(half);
                let (left, right) = (outputs(simd, left), outputs(simd, right));
                for y in 0..2 {
                    let row = &mut out[cell + y * self.grid.stride..][..2 * S::F32_LANES];
                    let pair = simd.interleave_shfl_f32s([left[y], right[y]]);
                    S::as_mut_simd_f32s(row).0.copy_from_slice(&pair);
                }
            }
        }
    }
}

/// Computes `VECTORS` vectors from `first` on of the products of a tile's `filters` and the
/// `inputs`, `OUTPUTS` at a time.
#[inline(always)]
fn multiply<S: Simd, const OUTPUTS: usize, const VECTORS: usize>(
    simd: S,
    filters: &[[f32; TILE]],
    inputs: &[S::f32s],
    first: usize,
    products: &mut [S::f32s],
) {
    let vectors = products.len() / TILE;
    for outputs in (0..TILE).step_by(OUTPUTS) {
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; OUTPUTS];
        for (filters, inputs) in filters.iter().zip(inputs.chunks_exact(vectors)) {
            let inputs = &inputs[first..first + VECTORS];
            for (sums, &filter) in sums.iter_mut().zip(&filters[outputs..]) {
                let filter = simd.splat_f32s(filter);
                for (sum, &input) in sums.iter_mut().zip(inputs) {
                    *sum = simd.mul_add_e_f32s(input, filter, *sum);
                }
            }
        }
        for (output, sums) in sums.iter().enumerate() {
            let at = (outputs + output) * vectors + first;
            products[at..at + VECTORS].copy_from_slice(sums);
        }
    }
}

/// Buffers of a thread for the convolution of a block.
pub struct Winograd {
    planes: Planes,
    transformed: Vec<f32>,
    products: Vec<f32>,
    out: Vec<f32>,
    row: usize,
    channels: usize,
    /// Vectors per pair of rows.
    vectors: usize,
}

impl Winograd {
    /// Creates buffers for a tape of [`tape`] and vectors of `lanes` values.
    pub fn new(tape: &PaddedRows, [_, _, width]: Images, channels: usize, lanes: usize) -> Self {
        let row = tape.cells();
        let vectors = width / (2 * lanes);
        let cells = row / tape.stride() * width / 4 * POINTS;
        Self {
            planes: Planes::new(tape, channels),
            transformed: vec![0.0; cells * channels],
            products: vec![0.0; cells * TILE],
            out: vec![0.0; row * TILE],
            row,
            channels,
            vectors,
        }
    }

    /// Computes the outputs of a block.
    pub fn run(
        &mut self,
        arch: Arch,
        block: &Block,
        tensor: &[f32],
        filters: &[f32],
        outputs: &mut Outputs<'_>,
    ) {
        self.planes.load(block, tensor, self.channels, 0);
        let grid = Grid {
            pairs: block.rows / 2,
            vectors: self.vectors,
            stride: self.planes.stride,
        };
        arch.dispatch(Transform {
            planes: &self.planes,
            grid,
            out: &mut self.transformed,
        });
        for filters in filters.chunks((POINTS * self.channels * TILE).max(1)) {
            arch.dispatch(Multiply {
                filters,
                inputs: &self.transformed,
                grid,
                products: &mut self.products,
                out: &mut self.out,
                row: self.row,
            });
            outputs.put(block, &self.out, self.row);
        }
    }
}
