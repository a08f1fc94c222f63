//! Helpers for tests of spiking layers: they read SpikingJelly 2.0's results, find a Vulkan device,
//! and copy tensors between backends.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Barrier, Mutex, MutexGuard, PoisonError};
use std::thread;

use burn::backend::Flex;
#[cfg(feature = "cuda")]
use burn::backend::cuda::CudaDevice;
use burn::backend::wgpu::WgpuDevice;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorData};
use ndarray::{ArrayD, OwnedRepr};
use ndarray_npy::{NpzReader, ReadableElement};

use crate::backend::primitive::{self, primitive};
use crate::batch_norm::ranks::{BatchRanks, RankSums};

/// An open NPZ archive from the folder tests/data.
pub struct Npz(NpzReader<File>);

impl Npz {
    pub fn open(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
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

/// Returns the values of a tensor.
pub fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().to_vec().unwrap()
}

/// Copies a tensor to another backend, as a primitive for the operations of that backend.
pub fn there<K: Backend, const D: usize>(
    tensor: &Tensor<Flex, D>,
    device: &K::Device,
) -> FloatTensor<K> {
    primitive(Tensor::<K, D>::from_data(tensor.to_data(), device))
}

/// Returns the values of a primitive, such as the result of a backend's operation.
pub fn back<K: Backend, const D: usize>(tensor: FloatTensor<K>) -> Vec<f32> {
    values(primitive::tensor::<K, D>(tensor))
}

/// A GPU for tests of kernels.
#[derive(Clone, Debug)]
pub enum Gpu {
    /// A Vulkan device, which may be a software device.
    Vulkan(WgpuDevice),
    /// An NVIDIA GPU, or the stand-in of `tests/cuda`.
    #[cfg(feature = "cuda")]
    Cuda(CudaDevice),
}

/// Returns the GPU for tests of kernels: the first Vulkan device, or the first of CUDA if
/// $DVS_TEST_GPU is `cuda`. If there is no Vulkan device, prints a notice and returns `None`, or
/// panics if $DVS_REQUIRE_VULKAN is 1.
pub fn gpu() -> Option<Gpu> {
    #[cfg(feature = "cuda")]
    if env::var_os("DVS_TEST_GPU").is_some_and(|value| value == "cuda") {
        return Some(Gpu::Cuda(CudaDevice::new(0)));
    }
    vulkan().map(Gpu::Vulkan)
}

/// Evaluates an expression for the backend of [`gpu()`], if there is one:
/// `on_gpu!(|K, device| test::<K>(&device))`.
#[macro_export]
macro_rules! on_gpu {
    (|$backend:ident, $device:ident| $body:expr) => {
        match $crate::testing::gpu() {
            Some($crate::testing::Gpu::Vulkan($device)) => {
                type $backend = burn::backend::Vulkan;
                $body
            }
            #[cfg(feature = "cuda")]
            Some($crate::testing::Gpu::Cuda($device)) => {
                type $backend = burn::backend::Cuda;
                $body
            }
            None => {}
        }
    };
}
pub use on_gpu;

/// Returns the first Vulkan device, which may be a software device, for tests of GPU kernels. If
/// there is none, prints a notice and returns `None`, or panics if $DVS_REQUIRE_VULKAN is 1.
pub fn vulkan() -> Option<WgpuDevice> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let adapters = cubecl::future::block_on(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    let device = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => Some(WgpuDevice::DiscreteGpu(0)),
        wgpu::DeviceType::IntegratedGpu => Some(WgpuDevice::IntegratedGpu(0)),
        wgpu::DeviceType::VirtualGpu => Some(WgpuDevice::VirtualGpu(0)),
        wgpu::DeviceType::Cpu => Some(WgpuDevice::Cpu),
        wgpu::DeviceType::Other => None,
    };
    let found = adapters.iter().find_map(device);
    if found.is_none() {
        let required = env::var_os("DVS_REQUIRE_VULKAN").is_some_and(|value| value == "1");
        assert!(
            !required,
            "there is no Vulkan device, and DVS_REQUIRE_VULKAN is 1"
        );
        // The test harness hides the output of eprintln.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: a test of GPU kernels, for lack of a Vulkan device (Debian: mesa-vulkan-drivers)"
        );
    }
    found
}

/// Returns the largest absolute difference of two elements, or NaN if a difference is NaN.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |max, d| if d > max || d.is_nan() { d } else { max })
}

/// Returns a tensor with the value sin(i step) at each index i. The values are smooth and do not
/// repeat.
pub fn wave<B: Backend, const D: usize>(
    shape: [usize; D],
    step: f32,
    device: &B::Device,
) -> Tensor<B, D> {
    let values = (0..shape.iter().product()).map(|i: usize| (i as f32 * step).sin());
    Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), shape), device)
}

/// Locks burn's random number generator. All threads of a process share it, so a test that uses it
/// must hold the lock.
pub fn own_random_numbers() -> MutexGuard<'static, ()> {
    static OWNER: Mutex<()> = Mutex::new(());
    OWNER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns what two ranks compute that share their batches. They are threads of this process.
pub fn on_two_ranks<T: Send>(compute: impl Fn(usize, BatchRanks) -> T + Sync) -> [T; 2] {
    let sums = Arc::new(TwoThreads::default());
    let compute = |rank| compute(rank, BatchRanks::new(sums.clone()));
    thread::scope(|scope| {
        let second = scope.spawn(|| compute(1));
        [compute(0), second.join().unwrap()]
    })
}

#[derive(Debug)]
struct TwoThreads {
    met: Barrier,
    sums: Mutex<Vec<f64>>,
}

impl Default for TwoThreads {
    fn default() -> Self {
        Self {
            met: Barrier::new(2),
            sums: Mutex::default(),
        }
    }
}

impl RankSums for TwoThreads {
    fn size(&self) -> usize {
        2
    }

    fn sum(&self, values: &mut [f64]) {
        {
            let mut sums = self.sums.lock().unwrap();
            sums.resize(values.len(), 0.0);
            sums.iter_mut().zip(&*values).for_each(|(a, b)| *a += b);
        }
        self.met.wait();
        values.copy_from_slice(&self.sums.lock().unwrap());
        if self.met.wait().is_leader() {
            self.sums.lock().unwrap().clear();
        }
        self.met.wait();
    }
}
