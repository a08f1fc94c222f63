//! Converts between planes, in which the cells of a channel are together, and vectors, in which the
//! channels of a cell are together.

use pulp::{Simd, WithSimd};

/// Side of the squares that are transposed in registers.
const SIDE: usize = 4;

/// `to[j][i] = from[i][j]`
pub struct Transpose<'a> {
    /// A matrix.
    pub from: &'a [f32],
    /// Length of its rows.
    pub columns: usize,
    /// Its transpose.
    pub to: &'a mut [f32],
    /// Length of the transpose's rows.
    pub rows: usize,
}

impl WithSimd for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            from,
            columns,
            to,
            rows,
        } = self;
        let (whole_rows, whole_columns) = (rows / SIDE * SIDE, columns / SIDE * SIDE);
        for j in (0..whole_columns).step_by(SIDE) {
            for i in (0..whole_rows).step_by(SIDE) {
                let square: [[f32; SIDE]; SIDE] = std::array::from_fn(|row| {
                    let at = (i + row) * columns + j;
                    from[at..at + SIDE]
                        .first_chunk()
                        .copied()
                        .unwrap_or_default()
                });
                for column in 0..SIDE {
                    let at = (j + column) * rows + i;
                    to[at..at + SIDE].copy_from_slice(&square.map(|row| row[column]));
                }
            }
            for (i, j) in (whole_rows..rows).flat_map(|i| (j..j + SIDE).map(move |j| (i, j))) {
                to[j * rows + i] = from[i * columns + j];
            }
        }
        for (j, i) in (whole_columns..columns).flat_map(|j| (0..rows).map(move |i| (j, i))) {
            to[j * rows + i] = from[i * columns + j];
        }
    }
}
