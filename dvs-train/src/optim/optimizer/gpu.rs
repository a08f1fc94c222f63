//! A step of Adam on the CubeCL backends, in one launch per weight.

use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorMetadata};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_snn::backend::gpu::{cubes, empty, width};
use cubecl::prelude::*;

use super::adam::{AdamBackend, AdamStep};

impl<R, F, I, BT> AdamBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn adam(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        kept: [FloatTensor<Self>; 2],
        step: AdamStep,
    ) -> [FloatTensor<Self>; 3] {
        let [mean, square] = kept;
        let old = [weight, gradient, mean, square].map(into_contiguous);
        let length = old[0].shape().num_elements();
        let new = std::array::from_fn(|_| empty(&old[0], [length], DType::F32));
        let width = width(length, 4);
        let vectors = length / width;
        if vectors == 0 {
            return new;
        }
        let (count, dim) = cubes(&old[0], vectors);
        let client = old[0].client.clone();
        let address = old[0].required_address_type();
        let [weight, gradient, mean, square] = old.map(|tensor| tensor.into_array_arg());
        let [w, m, s] = new.clone().map(|tensor| tensor.into_array_arg());
        // SAFETY: A thread stops unless its position is below the number of vectors. That number is
        // the same in all seven arrays: four inputs of one weight and three outputs of its length.
        unsafe {
            adam_kernel::launch_unchecked(
                &client,
                count,
                dim,
                address,
                width,
                weight,
                gradient,
                mean,
                square,
                w,
                m,
                s,
                vectors,
                step.rate,
                step.root_correction,
            );
        }
        new
    }
}

/// Computes `w`, `m` and `s` from the old weight, mean and square and the gradient; see
/// [`AdamStep`].
#[allow(clippy::too_many_arguments)]
#[cube(launch_unchecked, address_type = "dynamic")]
fn adam_kernel<N: Size>(
    weight: &Array<Vector<f32, N>>,
    gradient: &Array<Vector<f32, N>>,
    mean: &Array<Vector<f32, N>>,
    square: &Array<Vector<f32, N>>,
    w: &mut Array<Vector<f32, N>>,
    m: &mut Array<Vector<f32, N>>,
    s: &mut Array<Vector<f32, N>>,
    vectors: usize,
    rate: f32,
    root_correction: f32,
) {
    let at = ABSOLUTE_POS;
    if at >= vectors {
        terminate!();
    }
    let g = gradient[at];
    let mean = mean[at] * Vector::new(comptime![AdamStep::KEPT[0]])
        + g * Vector::new(comptime![AdamStep::NEW[0]]);
    let square = square[at] * Vector::new(comptime![AdamStep::KEPT[1]])
        + g * g * Vector::new(comptime![AdamStep::NEW[1]]);
    let scale =
        square.sqrt() / Vector::new(root_correction) + Vector::new(comptime![AdamStep::EPSILON]);
    w[at] = weight[at] - mean / scale * Vector::new(rate);
    m[at] = mean;
    s[at] = square;
}
