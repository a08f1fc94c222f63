#![allow(clippy::unwrap_used)]

use burn::tensor::DType;

use super::CastBackend;
use crate::backend::primitive::{primitive, tensor};
use crate::testing::{on_gpu, values, wave};

#[test]
fn gpu_casts_all_weights_at_once_and_keeps_their_shape_and_order() {
    on_gpu!(|K, device| {
        let all = || {
            [
                wave::<K, 4>([6, 4, 3, 3], 0.37, &device),
                // The channels are last in memory, as the gradient of a convolution has them.
                wave::<K, 4>([6, 3, 3, 4], 0.7, &device).permute([0, 3, 1, 2]),
                wave::<K, 4>([3, 5, 1, 1], 0.11, &device),
                wave::<K, 4>([1, 1, 2, 1], 0.9, &device),
                wave::<K, 4>([70, 70, 3, 3], 0.2, &device),
                // Every other column has a gap in memory.
                wave::<K, 4>([2, 3, 4, 8], 0.5, &device).slice([0..2, 0..3, 0..4, 0..4]),
            ]
        };
        let cast = <K as CastBackend>::cast_all(all().map(primitive).to_vec(), DType::F16);
        assert_eq!(cast.len(), 6);
        for (cast, plain) in cast.into_iter().zip(all()) {
            let cast = tensor::<K, 4>(cast);
            assert_eq!((cast.dtype(), cast.dims()), (DType::F16, plain.dims()));
            let plain = plain.cast(DType::F16).cast(DType::F32);
            assert_eq!(values(cast.cast(DType::F32)), values(plain));
        }
    });
}
