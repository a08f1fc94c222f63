//! Spiking layers for [burn](https://burn.dev).
//!
//! * [`neuron`]: LIF, PLIF and IF neurons with surrogate gradients, as a layer ([`Neurons`]) over
//!   all time steps at once.
//! * [`mod@batch_norm`]: batch norm of a convolution's output over time, samples and pixels
//!   ([`BatchNorm`]).
//! * [`fused_block`]: batch norm, neurons and, if a block has it, 2 x 2 max pooling as one operation
//!   ([`norm_fire_pool`]), which keeps a quarter of the tensors for the backward pass.
//! * [`convolution`]: a convolution that skips zeros in its inputs if its kernel is 3 x 3 ([`convolve`]).
//! * [`mod@recomputed_block`]: a convolution and such a block as one operation ([`recomputed_block()`]),
//!   which keeps one bit for each spike and computes the rest again in the backward pass.
//!
//! Every operation is a trait that a backend implements. Flex (the CPU) and the CubeCL backends
//! (CUDA, Vulkan) have their own kernels. Tests compare the output and every gradient of each
//! kernel with a plain reference.
//!
//! Tensors are `[T, ...]`, time first, or `[T * B, C, H, W]` for images: T time steps of B samples.
//!
//! ```
//! use burn::backend::{Autodiff, Flex};
//! use burn::tensor::Tensor;
//! use burn_snn::{Neuron, Neurons};
//!
//! type B = Autodiff<Flex>;
//! let device = Default::default();
//! let lif = Neurons::<B>::new(Neuron::LIF, &device);
//! // A current of 1.5 for four steps: h = 0.75, then 1.125, which spikes and resets the potential.
//! let current = Tensor::<B, 2>::full([4, 1], 1.5, &device).require_grad();
//! let spikes = lif.forward(current.clone()); // [T, N]
//! assert_eq!(spikes.clone().into_data().to_vec::<f32>().unwrap(), [0.0, 1.0, 0.0, 1.0]);
//! let gradients = spikes.sum().backward();
//! assert!(current.grad(&gradients).is_some());
//! ```

#[cfg(all(test, not(feature = "vulkan")))]
compile_error!("GPU kernels are tested through Vulkan: test with --features vulkan");

/// Tests the code in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// Each module uses only those above it, which `architecture` tests.
pub mod backend;

pub mod neuron;

pub mod batch_norm;

#[cfg(feature = "testing")]
pub mod testing;

pub mod cast;

pub mod convolution;

pub mod linear;

pub mod voting;

pub mod loss;

pub mod fused_block;

pub mod packed_spikes;

pub mod recomputed_block;

#[cfg(test)]
#[path = "../../../tests/support/architecture.rs"]
mod architecture;

pub use batch_norm::{BatchNorm, BatchNormBackend};
pub use cast::CastBackend;
pub use convolution::{ConvolutionBackend, Geometry, convolve, convolve_half};
pub use fused_block::{
    BlockBackend, norm_fire_pool, norm_fire_pool_count, norm_fire_pool_from, pool,
};
pub use linear::{Dropout, LinearBackend, linear};
pub use loss::{EpochSums, LossBackend, mean_squared_error};
pub use neuron::{Charge, Neuron, NeuronBackend, Neurons, Potentials, Surrogate, SurrogateShape};
pub use packed_spikes::PackingBackend;
pub use recomputed_block::{BlockImages, RecomputedBlockBackend, recomputed_block};
pub use voting::{VotingBackend, firing_rate};
