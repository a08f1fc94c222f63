//! Packs spikes on the CubeCL backends, in the order of memory of a convolution's images.

use burn::tensor::DType;
use burn::tensor::ops::{FloatTensor, IntTensor};
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

use super::gpu_kernels::{pack_kernel, unpack_kernel};
use super::{BITS, KeptImages, PackedSpikes, PackingBackend};
use crate::backend::gpu::{channels_last, channels_second, cubes, dims, empty, width};

/// Most spikes that a thread loads or stores at once.
const MOST: usize = 8;

impl<R, F, I, BT> PackingBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn pack(x: FloatTensor<Self>) -> KeptImages<Self> {
        let (shape, dtype) = (dims(&x), x.dtype);
        let length = shape.iter().product::<usize>();
        if length == 0 {
            return KeptImages::Plain(x);
        }
        let x = channels_last(x);
        let numbers = empty(&x, [length.div_ceil(BITS)], DType::U32);
        let width = width(&x, length, MOST);
        let (count, dim) = cubes(&x, length.div_ceil(BITS));
        // SAFETY: a thread stops unless its index is below the number of numbers, and reads a vector
        // only if it is below the number of vectors of x.
        unsafe {
            pack_kernel::launch_unchecked(
                &x.client,
                count,
                dim,
                x.required_address_type(),
                width,
                x.clone().into_array_arg(),
                numbers.clone().into_array_arg(),
                length / width,
                length.div_ceil(BITS),
                width,
                dtype.into(),
            );
        }
        KeptImages::Packed(PackedSpikes {
            numbers,
            shape,
            dtype,
        })
    }

    fn unpack(packed: PackedSpikes<IntTensor<Self>>) -> FloatTensor<Self> {
        let PackedSpikes {
            numbers,
            shape: [n, c, height, width_],
            dtype,
        } = packed;
        let x = empty(&numbers, [n, height, width_, c], dtype);
        let length = n * height * width_ * c;
        let width = width(&x, length, MOST);
        let (count, dim) = cubes(&x, length / width);
        // SAFETY: a thread stops unless its index is below the number of vectors of x. There are
        // numbers for all of x.
        unsafe {
            unpack_kernel::launch_unchecked(
                &x.client,
                count,
                dim,
                x.required_address_type(),
                width,
                numbers.into_array_arg(),
                x.clone().into_array_arg(),
                length / width,
                width,
                dtype.into(),
            );
        }
        channels_second(x)
    }
}
