//! Helpers for the kernels of this crate and for your own: [`cpu`] for the Flex backend, `gpu` for
//! the CubeCL backends (CUDA and Vulkan), and [`mod@primitive`] to convert between tensors and the
//! primitives of backends.

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "gpu")]
pub mod gpu_pieces;
#[cfg(feature = "gpu")]
pub mod gpu_tiles;
pub mod primitive;
