//! The convolution on the CubeCL backends: in 32 bits by the kernels of this crate, and in 16 bits by
//! the fastest of some kernels.

use burn::tensor::ops::{FloatTensor, ModuleOps};
use burn::tensor::{DType, TensorMetadata};
use burn_cubecl::ops::numeric::zeros;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use cubecl::{CubeCount, CubeDim};

use super::gpu_kernels::{SizesLaunch, add_parts_kernel, convolve_kernel, weight_gradient_kernel};
use super::gpu_tuned::{self, Operation};
use super::{ConvolutionBackend, Geometry};
use crate::backend::gpu::{channels_last, channels_second, cubes, dims, empty, in_type, width};
use crate::backend::gpu_tiles::{THREADS, TILE};

/// Cubes that keep a large GPU busy. The cells are divided into parts to have as many.
const BUSY: usize = 1024;
/// Fewest cells of a part.
const FEWEST_CELLS: usize = 1024;

impl<R, F, I, BT> ConvolutionBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn convolve(
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        half: Option<FloatTensor<Self>>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let w = half.unwrap_or(w);
        if !geometry.has_own_kernels(kernel(&w)) {
            return Self::conv2d(x, w, None, geometry.options());
        }
        let (x, w) = (channels_last(x), channels_last(w));
        let [n, height, width, _] = dims(&x);
        let out = empty(&x, [n, height, width, w.shape()[0]], x.dtype);
        channels_second(run(Operation::Forward, x, w, out))
    }

    fn images(x: FloatTensor<Self>) -> FloatTensor<Self> {
        channels_second(channels_last(x))
    }

    fn input_gradient(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        if !geometry.has_own_kernels(kernel(&w)) {
            return Self::conv2d_x_backward(x, w, grad, geometry.options());
        }
        let [n, inputs, height, width] = dims(&x);
        let (grad, w) = (channels_last(grad), channels_last(w));
        let out = empty(&grad, [n, height, width, inputs], grad.dtype);
        channels_second(run(Operation::InputGradient, grad, w, out))
    }

    fn weight_gradient(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        w: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        if !geometry.has_own_kernels(kernel(&w)) {
            return Self::conv2d_weight_backward(x, w, grad, geometry.options());
        }
        let [outputs, inputs, ..] = dims::<R, 4>(&w);
        let (grad, x) = (channels_last(grad), channels_last(x));
        let out = empty(&x, [outputs, 3, 3, inputs], DType::F32);
        channels_second(run(Operation::WeightGradient, x, grad, out))
    }
}

/// Height and width of a kernel.
fn kernel<R: CubeRuntime>(w: &CubeTensor<R>) -> [usize; 2] {
    let [.., height, width] = dims::<R, 4>(w);
    [height, width]
}

/// Computes `operation` from its factors `a` and `b`, see [`Operation`], into `out`.
fn run<R: CubeRuntime>(
    operation: Operation,
    a: CubeTensor<R>,
    b: CubeTensor<R>,
    out: CubeTensor<R>,
) -> CubeTensor<R> {
    if [&a, &b, &out].iter().any(|x| x.shape().num_elements() == 0) {
        return zeros(out.device.clone(), out.shape(), out.dtype);
    }
    let b = in_type(b, a.dtype);
    // Matrix units round 32-bit factors to 11 digits.
    if cfg!(feature = "autotune") && a.dtype != DType::F32 {
        return gpu_tuned::run(operation, a, b, out);
    }
    plain(operation, &a, &b, &out);
    out
}

/// Computes `operation` from its factors `a` and `b`, see [`Operation`], with the kernels of this
/// crate.
pub fn plain<R: CubeRuntime>(
    operation: Operation,
    a: &CubeTensor<R>,
    b: &CubeTensor<R>,
    out: &CubeTensor<R>,
) {
    match operation {
        Operation::Forward => convolve(a, b, out, false),
        Operation::InputGradient => convolve(a, b, out, true),
        Operation::WeightGradient => weight_gradient(a, b, out),
    }
}

/// See [`convolve_kernel()`].
fn convolve<R: CubeRuntime>(x: &CubeTensor<R>, w: &CubeTensor<R>, out: &CubeTensor<R>, back: bool) {
    let ([n, height, width_, inputs], [.., outputs]) = (dims(x), dims::<R, 4>(out));
    let cells = n * height * width_;
    let vector = width(x, inputs, 4).min(width(x, outputs, 4));
    // Vulkan allows 65,535 cubes along each axis.
    let tiles = cells.div_ceil(TILE);
    let layers = tiles.div_ceil(1 << 15);
    let across = tiles.div_ceil(layers);
    // SAFETY: a thread reads a cell or a weight only if it is within the images and the weights, and
    // writes only cells and channels of out. All three have the same type.
    unsafe {
        convolve_kernel::launch_unchecked(
            &out.client,
            CubeCount::Static(across as u32, outputs.div_ceil(TILE) as u32, layers as u32),
            CubeDim::new_1d(THREADS as u32),
            x.required_address_type().max(out.required_address_type()),
            vector,
            x.clone().into_array_arg(),
            w.clone().into_array_arg(),
            out.clone().into_array_arg(),
            SizesLaunch::new(height, width_, inputs, outputs, cells),
            vector,
            back,
            x.dtype.into(),
        );
    }
}

/// Computes the gradient of the weights from the inputs `x` and the gradient of the outputs.
fn weight_gradient<R: CubeRuntime>(x: &CubeTensor<R>, grad: &CubeTensor<R>, out: &CubeTensor<R>) {
    let ([n, height, width_, inputs], [.., outputs]) = (dims(x), dims::<R, 4>(grad));
    let cells = n * height * width_;
    let weights = outputs * 9 * inputs;
    let vector = width(x, inputs, 4).min(width(x, outputs, 4));
    let (across, down) = ((9 * inputs).div_ceil(TILE), outputs.div_ceil(TILE));
    let parts = BUSY.div_ceil(across * down);
    let parts = parts.min(cells / FEWEST_CELLS).max(1);
    let sums = empty(x, [parts, weights], DType::F32);
    // SAFETY: as in `convolve`. Each cube writes its own weights of its own part.
    unsafe {
        weight_gradient_kernel::launch_unchecked(
            &sums.client,
            CubeCount::Static(across as u32, down as u32, parts as u32),
            CubeDim::new_1d(THREADS as u32),
            x.required_address_type().max(grad.required_address_type()),
            vector,
            x.clone().into_array_arg(),
            grad.clone().into_array_arg(),
            sums.clone().into_array_arg(),
            SizesLaunch::new(height, width_, inputs, outputs, cells),
            cells.div_ceil(parts),
            vector,
            x.dtype.into(),
        );
    }
    let (count, dim) = cubes(out, weights);
    // SAFETY: a thread stops unless its index is below the number of weights.
    unsafe {
        add_parts_kernel::launch_unchecked(
            &out.client,
            count,
            dim,
            sums.required_address_type(),
            sums.into_array_arg(),
            out.clone().into_array_arg(),
            weights,
            parts,
        );
    }
}
