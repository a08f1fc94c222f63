#![allow(clippy::unwrap_used)]

use burn::backend::Flex;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;

use super::{KeptImages, PackingBackend};
use crate::backend::primitive::{primitive, tensor};
use crate::convolution::ConvolutionBackend;
use crate::testing::{on_gpu, values};

/// Shapes whose numbers of values are, and are not, multiples of 32.
const SHAPES: [[usize; 4]; 5] = [
    [1, 1, 1, 1],
    [2, 5, 3, 7],
    [3, 16, 4, 6],
    [2, 33, 1, 1],
    [5, 8, 64, 66],
];

/// Packs and unpacks spikes of type `dtype`. `prepare` changes their order in memory.
fn assert_spikes_come_back<K: PackingBackend>(
    dtype: DType,
    device: &K::Device,
    prepare: impl Fn(Tensor<K, 4>) -> Tensor<K, 4>,
) {
    let mut random = Pcg32::seed_from_u64(1);
    for shape in SHAPES {
        let length = shape.iter().product();
        let spikes = (0..length).map(|_| f32::from(u8::from(random.random_bool(0.3))));
        let spikes: Vec<f32> = spikes.collect();
        let x = Tensor::<K, 1>::from_floats(&*spikes, device).reshape(shape);
        let kept = KeptImages::<K>::spikes(primitive(prepare(x.cast(dtype))));
        assert!(matches!(kept, KeptImages::Packed(_)), "{shape:?}");
        assert_eq!(kept.shape(), shape);
        let back = tensor::<K, 4>(kept.images());
        assert_eq!((back.dims(), back.dtype()), (shape, dtype));
        assert_eq!(values(back.cast(DType::F32)), spikes, "{shape:?}");
    }
}

#[test]
fn packed_spikes_come_back() {
    let device = Default::default();
    assert_spikes_come_back::<Flex>(DType::F32, &device, |x| x);
}

#[test]
fn gpu_packed_spikes_come_back() {
    on_gpu!(|K, device| {
        assert_spikes_come_back::<K>(DType::F32, &device, |x| x);
        let images = |x| tensor::<K, 4>(K::images(primitive(x)));
        assert_spikes_come_back::<K>(DType::F32, &device, images);
        if K::supports_dtype(&device, DType::F16) {
            assert_spikes_come_back::<K>(DType::F16, &device, images);
        }
    });
}
