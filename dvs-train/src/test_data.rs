//! The peer's numbers: archives in `tests/data` that SpikingJelly 2.0's results were saved in.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use ndarray::{ArrayD, OwnedRepr};
use ndarray_npy::{NpzReader, ReadableElement};

/// An open archive.
pub struct Npz(NpzReader<File>);

impl Npz {
    pub fn open(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
        Self(NpzReader::new(File::open(dir.join(name)).unwrap()).unwrap())
    }

    pub fn array<T: ReadableElement>(&mut self, key: &str) -> ArrayD<T> {
        self.0.by_name::<OwnedRepr<T>, _>(key).unwrap()
    }

    pub fn values(&mut self, key: &str) -> Vec<f32> {
        self.array(key).into_raw_vec_and_offset().0
    }

    pub fn tensor<B: Backend, const D: usize>(
        &mut self,
        key: &str,
        device: &B::Device,
    ) -> Tensor<B, D> {
        let array = self.array::<f32>(key);
        let shape = array.shape().to_vec();
        let values = array.into_raw_vec_and_offset().0;
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

/// The values of a tensor.
pub fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().to_vec().unwrap()
}

/// Largest difference.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |max, d| if d > max || d.is_nan() { d } else { max })
}

/// A smooth sequence that repeats nothing, within -1 and 1.
pub fn wave<B: Backend, const D: usize>(
    shape: [usize; D],
    step: f32,
    device: &B::Device,
) -> Tensor<B, D> {
    let values = (0..shape.iter().product()).map(|i: usize| (i as f32 * step).sin());
    Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), shape), device)
}

/// Held by tests that draw from burn's random numbers, which all threads of a process share.
pub fn own_random_numbers() -> MutexGuard<'static, ()> {
    static OWNER: Mutex<()> = Mutex::new(());
    OWNER.lock().unwrap_or_else(PoisonError::into_inner)
}
