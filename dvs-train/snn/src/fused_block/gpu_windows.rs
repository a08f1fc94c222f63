//! Windows of cells that are pooled together, in the memory of the CubeCL backends.

use cubecl::prelude::*;

use super::FusedBlock;

/// How windows cover an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tiling {
    /// Nothing is pooled, so each cell is a window.
    Cells,
    /// All windows have 2 x 2 cells.
    Even,
    /// The height or the width is odd. Windows at the lower or the right border lack cells, and are
    /// not pooled.
    Odd,
}

impl Tiling {
    fn of(block: &FusedBlock) -> Self {
        let [.., height, width] = block.shape;
        match (block.pool, height % 2 == 0 && width % 2 == 0) {
            (false, _) => Self::Cells,
            (true, true) => Self::Even,
            (true, false) => Self::Odd,
        }
    }

    /// Returns the number of cells of a window, with those that it lacks.
    pub fn cells(self) -> usize {
        match self {
            Self::Cells => 1,
            Self::Even | Self::Odd => 4,
        }
    }
}

/// Windows of all samples at one time step.
#[derive(Clone, Copy)]
pub struct Grid {
    samples: usize,
    /// Windows on top of each other in an image.
    high: usize,
    /// Windows side by side in an image.
    wide: usize,
}

impl Grid {
    /// Returns the windows that have an output.
    pub fn of_outputs(block: &FusedBlock) -> Self {
        let [n, _, high, wide] = block.output_shape();
        Self {
            samples: n / block.steps,
            high,
            wide,
        }
    }

    /// Returns the windows that cover all cells.
    pub fn of_cells(block: &FusedBlock) -> Self {
        let [n, _, height, width] = block.shape;
        let length = if block.pool { 2 } else { 1 };
        Self {
            samples: n / block.steps,
            high: height.div_ceil(length),
            wide: width.div_ceil(length),
        }
    }

    /// Returns the number of windows.
    pub fn windows(self) -> usize {
        self.samples * self.high * self.wide
    }

    /// Returns the number of cells, with those that windows lack.
    pub fn cells(self, block: &FusedBlock) -> usize {
        self.windows() * Tiling::of(block).cells()
    }

    /// Returns the kernels' argument. A thread takes `vector` channels.
    pub fn launch<R: Runtime>(self, block: &FusedBlock, vector: usize) -> WindowsLaunch<R> {
        let [_, c, height, width] = block.shape;
        WindowsLaunch::new(
            self.windows(),
            self.high,
            self.wide,
            height,
            width,
            c / vector,
            Tiling::of(block),
        )
    }
}

/// Numbers of windows and of vectors of channels, for kernels.
#[derive(CubeType, CubeLaunch, Clone, Copy)]
pub struct Windows {
    /// Windows of all samples at one time step.
    pub number: usize,
    /// Windows on top of each other in an image.
    pub high: usize,
    /// Windows side by side in an image.
    pub wide: usize,
    /// Height of an image.
    pub height: usize,
    /// Width of an image.
    pub width: usize,
    /// Vectors of channels.
    pub columns: usize,
    /// How they cover an image.
    #[cube(comptime)]
    pub tiling: Tiling,
}

#[cube]
impl Windows {
    /// Returns the number of cells of all samples at one time step, with those that windows lack.
    pub fn cells(&self) -> usize {
        self.number * comptime![self.tiling.cells()]
    }
}

/// Memory indices of a window and a vector of channels.
#[derive(CubeType, Clone, Copy)]
pub struct Window {
    /// First cell at the first time step.
    first: usize,
    /// Distance to the cell below, or 0 if the image ends above it.
    down: usize,
    /// Distance to the cell on the right, or 0 if the image ends before it.
    right: usize,
    /// Distance to the next time step.
    step: usize,
    /// Whether the window has all cells, so that it has an output.
    pub complete: bool,
    /// Output at the first time step.
    pub output: usize,
    /// Distance to the output of the next time step.
    pub output_step: usize,
}

#[cube]
impl Window {
    /// Returns a window of a vector of channels, `column`.
    pub fn new(windows: &Windows, number: usize, column: usize) -> Self {
        match comptime![windows.tiling] {
            Tiling::Cells => Window::of_one_cell(windows, number, column),
            Tiling::Even => Window::of_even_image(windows, number, column),
            Tiling::Odd => Window::of_odd_image(windows, number, column),
        }
    }

    fn of_one_cell(windows: &Windows, number: usize, column: usize) -> Self {
        let first = number * windows.columns + column;
        let step = windows.number * windows.columns;
        Window {
            first,
            down: 0usize,
            right: 0usize,
            step,
            complete: true,
            output: first,
            output_step: step,
        }
    }

    fn of_even_image(windows: &Windows, number: usize, column: usize) -> Self {
        let columns = windows.columns;
        let down = 2 * windows.wide * columns;
        let row = number / windows.wide;
        let place = number % windows.wide;
        let output_step = windows.number * columns;
        Window {
            first: 2 * row * down + 2 * place * columns + column,
            down,
            right: columns,
            step: 4 * output_step,
            complete: true,
            output: number * columns + column,
            output_step,
        }
    }

    fn of_odd_image(windows: &Windows, number: usize, column: usize) -> Self {
        let columns = windows.columns;
        let (high, wide) = (windows.height / 2, windows.width / 2);
        let image = number / windows.wide / windows.high;
        let row = number / windows.wide % windows.high;
        let place = number % windows.wide;
        let top = image * windows.height + 2 * row;
        let images = windows.number / windows.wide / windows.high;
        Window {
            first: (top * windows.width + 2 * place) * columns + column,
            down: select(row < high, windows.width * columns, 0usize),
            right: select(place < wide, columns, 0usize),
            step: images * windows.height * windows.width * columns,
            complete: row < high && place < wide,
            output: ((image * high + row) * wide + place) * columns + column,
            output_step: images * high * wide * columns,
        }
    }

    /// Returns the index of a cell at step `t`. If the window lacks the cell, this is the index of
    /// another one of its cells. Cells are numbered in reading order.
    pub fn cell(&self, t: usize, #[comptime] cell: usize) -> usize {
        let top = self.first + t * self.step;
        let left = if comptime![cell >= 2] {
            top + self.down
        } else {
            top
        };
        if comptime![cell % 2 == 1] {
            left + self.right
        } else {
            left
        }
    }
}

/// One neuron in the backward pass: a cell of a window, for a vector of channels.
#[derive(CubeType, Clone, Copy)]
pub struct Cell {
    /// Whether there is such a neuron.
    pub inside: bool,
    /// Its current at the first time step.
    pub first: usize,
    /// Distance to the next time step.
    pub step: usize,
    /// Its window.
    window: Window,
    /// How windows cover an image.
    #[cube(comptime)]
    pub tiling: Tiling,
}

#[cube]
impl Cell {
    /// Returns the cell of a row. Neighbouring rows are the cells of a window, in reading order.
    pub fn new(windows: &Windows, row: usize, column: usize) -> Self {
        let cells = comptime![windows.tiling.cells()];
        let window = Window::new(windows, row / cells, column);
        let (down, right) = (row % cells / 2, row % cells % 2);
        let counted = row < windows.cells() && column < windows.columns;
        let inside = if comptime![windows.tiling == Tiling::Odd] {
            counted && (down == 0 || window.down > 0) && (right == 0 || window.right > 0)
        } else {
            counted
        };
        Cell {
            inside,
            first: window.first + down * window.down + right * window.right,
            step: window.step,
            window,
            tiling: comptime![windows.tiling],
        }
    }

    /// Returns the gradient of the window's output at step `t`, or 0 if it has none.
    pub fn gradient<F: Float, N: Size>(
        &self,
        grad: &Array<Vector<F, N>>,
        #[comptime] t: usize,
    ) -> Vector<f32, N> {
        let mut gradient = Vector::<f32, N>::new(0.0f32);
        if self.window.complete {
            gradient = Vector::cast_from(grad[self.window.output + t * self.window.output_step]);
        }
        gradient
    }
}
