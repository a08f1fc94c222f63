//! Kernels of batch normalisation on the CubeCL backends. A matrix has a row for each cell of each
//! image and a column for each vector of N channels.

use cubecl::prelude::*;

use crate::backend::gpu::{Place, Threads, place, put_sum, sum_lanes};

/// Values of a channel whose mean is the shift of its moments.
const PILOTS: usize = 16;

/// Kernel of `deviations`: writes the sums for the matrix `x` to `parts`, and the value that they
/// deviate from to `shift`.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn deviations_kernel<F: Float, N: Size>(
    x: &Array<Vector<F, N>>,
    shift: &mut Array<Vector<f32, N>>,
    parts: &mut Array<Vector<f32, N>>,
    rows: usize,
    columns: usize,
    #[comptime] threads: Threads,
    #[define(F)] _dtype: StorageType,
) {
    let place = place(threads);
    let mut near = Vector::<f32, N>::new(0.0f32);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut squares = Vector::<f32, N>::new(0.0f32);
    if place.column < columns {
        // Deviations from a value near the mean keep their digits even if the mean is far from
        // zero.
        for pilot in 0..PILOTS {
            let row = pilot * (rows / PILOTS);
            near += Vector::cast_from(x[row * columns + place.column]);
        }
        near *= Vector::new(comptime![1.0 / PILOTS as f32]);
        let mut row = place.row;
        while row < rows {
            let deviation = Vector::cast_from(x[row * columns + place.column]) - near;
            sum += deviation;
            squares += deviation * deviation;
            row += place.step;
        }
    }
    put_sum(parts, sum, &place, columns, 0usize, 2usize, threads);
    put_sum(parts, squares, &place, columns, 1usize, 2usize, threads);
    if place.first && place.column < columns && CUBE_POS_Y == 0 {
        shift[place.column] = near;
    }
}

/// Numbers of [`statistics_kernel()`].
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct StatisticsParams {
    /// Cubes whose sums are added up.
    parts: usize,
    /// Channels.
    columns: usize,
    /// 1 / the number of values per channel.
    share: f32,
    /// Unbiased variance / biased variance.
    unbiased: f32,
    /// Weight of the batch in the running statistics.
    momentum: f32,
    /// Added to the variance.
    epsilon: f32,
}

/// Adds up the sums of [`deviations_kernel()`] and computes what [`super::statistics`] does.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn statistics_kernel<N: Size>(
    near: &Array<Vector<f32, N>>,
    parts: &Array<Vector<f32, N>>,
    gamma: &Array<Vector<f32, N>>,
    beta: &Array<Vector<f32, N>>,
    old_mean: &Array<Vector<f32, N>>,
    old_variance: &Array<Vector<f32, N>>,
    scale: &mut Array<Vector<f32, N>>,
    shift: &mut Array<Vector<f32, N>>,
    mean: &mut Array<Vector<f32, N>>,
    inverse: &mut Array<Vector<f32, N>>,
    new_mean: &mut Array<Vector<f32, N>>,
    new_variance: &mut Array<Vector<f32, N>>,
    numbers: &StatisticsParams,
    #[comptime] threads: Threads,
) {
    let (place, columns) = (place(threads), numbers.columns);
    let sum = part_sum::<N>(
        parts,
        &place,
        numbers.parts,
        columns,
        0usize,
        2usize,
        threads,
    );
    let squares = part_sum::<N>(
        parts,
        &place,
        numbers.parts,
        columns,
        1usize,
        2usize,
        threads,
    );
    if place.first && place.column < columns {
        let at = place.column;
        let share = Vector::<f32, N>::new(numbers.share);
        let deviation = sum * share;
        let centre = near[at] + deviation;
        let zero = Vector::<f32, N>::new(0.0f32);
        let variance = max(squares * share - deviation * deviation, zero);
        let one = Vector::<f32, N>::new(1.0f32);
        let spread = one / (variance + Vector::new(numbers.epsilon)).sqrt();
        let slope = gamma[at] * spread;
        scale[at] = slope;
        shift[at] = beta[at] - centre * slope;
        mean[at] = centre;
        inverse[at] = spread;
        let momentum = Vector::<f32, N>::new(numbers.momentum);
        let kept = one - momentum;
        new_mean[at] = kept * old_mean[at] + momentum * centre;
        let unbiased = variance * Vector::new(numbers.unbiased);
        new_variance[at] = kept * old_variance[at] + momentum * unbiased;
    }
}

/// Adds up `number` parts with `each` sums: those of [`gradient_sums_kernel()`], or of another kernel
/// that has a third sum.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn sums_kernel<N: Size>(
    parts: &Array<Vector<f32, N>>,
    inverse: &Array<Vector<f32, N>>,
    sums: &mut Array<Vector<f32, N>>,
    dgamma: &mut Array<Vector<f32, N>>,
    dbeta: &mut Array<Vector<f32, N>>,
    third: &mut ComptimeOption<Array<Vector<f32, N>>>,
    number: usize,
    columns: usize,
    #[comptime] each: usize,
    #[comptime] threads: Threads,
) {
    let place = place(threads);
    let sum = part_sum::<N>(parts, &place, number, columns, 0usize, each, threads);
    let centred = part_sum::<N>(parts, &place, number, columns, 1usize, each, threads);
    let wanted = place.first && place.column < columns;
    if wanted {
        sums[place.column] = sum;
        sums[columns + place.column] = centred;
        dbeta[place.column] = sum;
        dgamma[place.column] = centred * inverse[place.column];
    }
    #[comptime]
    match third {
        ComptimeOption::Some(third) => {
            let sum = part_sum::<N>(parts, &place, number, columns, 2usize, each, threads);
            if wanted {
                third[place.column] = sum;
            }
        }
        ComptimeOption::None => {}
    }
}

/// Returns the sum of `parts`, `[number, sums, columns]`, of their sum `index`. It is complete in the
/// first thread of each lane.
#[cube]
fn part_sum<N: Size>(
    parts: &Array<Vector<f32, N>>,
    place: &Place,
    number: usize,
    columns: usize,
    #[comptime] index: usize,
    #[comptime] sums: usize,
    #[comptime] threads: Threads,
) -> Vector<f32, N> {
    let mut sum = Vector::<f32, N>::new(0.0f32);
    if place.column < columns {
        let mut part = place.row;
        while part < number {
            sum += parts[(part * sums + index) * columns + place.column];
            part += place.step;
        }
    }
    sum_lanes(sum, threads)
}

/// Computes x times each column's scale, plus its shift.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn scale_kernel<F: Float, N: Size>(
    x: &Array<Vector<F, N>>,
    scale: &Array<Vector<f32, N>>,
    shift: &Array<Vector<f32, N>>,
    y: &mut Array<Vector<F, N>>,
    vectors: usize,
    columns: usize,
    #[define(F)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= vectors {
        terminate!();
    }
    let column = at % columns;
    let value = Vector::<f32, N>::cast_from(x[at]);
    y[at] = Vector::cast_from(value * scale[column] + shift[column]);
}

/// Sums dy and dy (x - mean) over each cube's rows.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn gradient_sums_kernel<F: Float, N: Size>(
    dy: &Array<Vector<F, N>>,
    x: &Array<Vector<F, N>>,
    mean: &Array<Vector<f32, N>>,
    parts: &mut Array<Vector<f32, N>>,
    rows: usize,
    columns: usize,
    #[comptime] threads: Threads,
    #[define(F)] _dtype: StorageType,
) {
    let place = place(threads);
    let mut sum = Vector::<f32, N>::new(0.0f32);
    let mut centred = Vector::<f32, N>::new(0.0f32);
    if place.column < columns {
        let mean = mean[place.column];
        let mut row = place.row;
        while row < rows {
            let at = row * columns + place.column;
            let dy = Vector::<f32, N>::cast_from(dy[at]);
            sum += dy;
            centred += dy * (Vector::cast_from(x[at]) - mean);
            row += place.step;
        }
    }
    put_sum(parts, sum, &place, columns, 0usize, 2usize, threads);
    put_sum(parts, centred, &place, columns, 1usize, 2usize, threads);
}

/// Computes dx from dy, x and the sums over all rows.
#[cube(launch_unchecked, address_type = "dynamic")]
pub fn input_gradient_kernel<F: Float, N: Size>(
    dy: &Array<Vector<F, N>>,
    x: &Array<Vector<F, N>>,
    gamma: &Array<Vector<f32, N>>,
    mean: &Array<Vector<f32, N>>,
    inverse: &Array<Vector<f32, N>>,
    sums: &Array<Vector<f32, N>>,
    dx: &mut Array<Vector<F, N>>,
    vectors: usize,
    columns: usize,
    share: f32,
    #[define(F)] _dtype: StorageType,
) {
    let at = ABSOLUTE_POS;
    if at >= vectors {
        terminate!();
    }
    let slope = Slope::<N>::new(gamma, mean, inverse, sums, at % columns, columns, share);
    let d = slope.dx(Vector::cast_from(dy[at]), Vector::cast_from(x[at]));
    dx[at] = Vector::cast_from(d);
}

/// dx as a function of dy and x, for one vector of channels.
///
/// ```text
/// dx = scale (dy - shift - (x - mean) slope)
/// ```
#[derive(CubeType, Clone, Copy)]
pub struct Slope<N: Size> {
    scale: Vector<f32, N>,
    shift: Vector<f32, N>,
    slope: Vector<f32, N>,
    mean: Vector<f32, N>,
}

#[cube]
impl<N: Size> Slope<N> {
    /// Creates the slope of the vector `column` of `columns`. `share` is 1 / the number of values
    /// per channel.
    pub fn new(
        gamma: &Array<Vector<f32, N>>,
        mean: &Array<Vector<f32, N>>,
        inverse: &Array<Vector<f32, N>>,
        sums: &Array<Vector<f32, N>>,
        column: usize,
        columns: usize,
        share: f32,
    ) -> Self {
        let inverse = inverse[column];
        let share = Vector::<f32, N>::new(share);
        Slope::<N> {
            scale: gamma[column] * inverse,
            shift: sums[column] * share,
            slope: sums[columns + column] * inverse * inverse * share,
            mean: mean[column],
        }
    }

    /// Returns dx.
    pub fn dx(&self, dy: Vector<f32, N>, x: Vector<f32, N>) -> Vector<f32, N> {
        self.scale * (dy - self.shift - (x - self.mean) * self.slope)
    }
}
