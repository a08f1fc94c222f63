//! The channels of a block on the CubeCL backends. They stay last in memory, as the kernels take them.

use std::ops::Range;

use burn::tensor::ops::FloatTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

use super::RecomputedBlockBackend;
use super::channels::{join, narrow};
use crate::backend::gpu::{channels_last, channels_second};
use crate::backend::primitive::{primitive, tensor};

impl<R, F, I, BT> RecomputedBlockBackend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn some_channels(x: FloatTensor<Self>, channels: &Range<usize>) -> FloatTensor<Self> {
        let x = narrow(tensor::<Self, 4>(channels_last(x)), 3, channels);
        channels_second(primitive(x))
    }

    fn join_channels(parts: Vec<FloatTensor<Self>>) -> FloatTensor<Self> {
        let parts = parts.into_iter().map(channels_last);
        channels_second(join::<Self>(parts.collect(), 3))
    }
}
