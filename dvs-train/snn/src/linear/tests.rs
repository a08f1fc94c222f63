#![allow(clippy::unwrap_used)]

use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Tensor};

use super::{Dropout, LinearBackend, linear};
use crate::backend::primitive::primitive;
use crate::testing::{distance, on_gpu, values, wave};

/// Features of 2 steps and 3 samples, with 4 channels of 2 x 5 cells.
const SHAPE: [usize; 4] = [6, 4, 2, 5];
const FEATURES: usize = 40;

/// Every third feature is dropped.
fn dropout<K: LinearBackend>(device: &K::Device) -> Dropout<K::FloatTensorPrimitive> {
    let mask: Vec<f32> = (0..3 * FEATURES).map(|i| f32::from(i % 3 != 1)).collect();
    let mask = Tensor::<K, 1>::from_floats(mask.as_slice(), device).reshape([3, FEATURES]);
    Dropout {
        mask: primitive(mask),
        kept: 0.8,
    }
}

/// Returns the output and the gradients of the features and the weights. `half` computes the
/// products in 16 bits.
fn run<K: LinearBackend>(device: &K::Device, dropped: bool, half: bool) -> [Vec<f32>; 3] {
    let x = wave::<Autodiff<K>, 4>(SHAPE, 0.37, device).require_grad();
    let w = wave::<Autodiff<K>, 2>([FEATURES, 7], 0.7, device).require_grad();
    let dropout = dropped.then(|| dropout::<Autodiff<K>>(device));
    let half = half.then(|| primitive(w.clone().detach().cast(DType::F16)));
    let y = linear(x.clone(), w.clone(), half, dropout);
    let grads = (y.clone() * wave([6, 7], 0.11, device)).sum().backward();
    let dw = w.grad(&grads).unwrap();
    assert_eq!(dw.dtype(), DType::F32);
    [values(y), values(x.grad(&grads).unwrap()), values(dw)]
}

/// The same in separate operations.
fn separate(dropped: bool) -> [Vec<f32>; 3] {
    type B = Autodiff<Flex>;
    let device = Default::default();
    let x = wave::<B, 4>(SHAPE, 0.37, &device).require_grad();
    let w = wave::<B, 2>([FEATURES, 7], 0.7, &device).require_grad();
    let mut features = x.clone().reshape([6, FEATURES]);
    if dropped {
        let mask = dropout::<B>(&device).mask;
        let mask = crate::backend::primitive::tensor::<B, 2>(mask);
        features = features * mask.div_scalar(0.8).repeat_dim(0, 2);
    }
    let y = features.matmul(w.clone());
    let grads = (y.clone() * wave([6, 7], 0.11, &device)).sum().backward();
    [
        values(y),
        values(x.grad(&grads).unwrap()),
        values(w.grad(&grads).unwrap()),
    ]
}

fn assert_close(found: &[Vec<f32>; 3], expected: &[Vec<f32>; 3], tolerance: f32) {
    for (found, expected) in found.iter().zip(expected) {
        let off = distance(found, expected);
        assert!(off < tolerance, "off by {off:e}");
    }
}

#[test]
fn layer_matches_separate_operations() {
    for dropped in [false, true] {
        let found = run::<Flex>(&Default::default(), dropped, false);
        assert_close(&found, &separate(dropped), 1e-5);
    }
}

#[test]
fn gpu_layer_matches_separate_operations() {
    on_gpu!(|K, device| {
        for dropped in [false, true] {
            let found = run::<K>(&device, dropped, false);
            assert_close(&found, &separate(dropped), 1e-5);
            // 16 bits have 11 digits. A product adds up 40 values below 1.25.
            let found = run::<K>(&device, dropped, true);
            assert_close(&found, &separate(dropped), 2e-2);
        }
    });
}
