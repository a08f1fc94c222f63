//! What the kernels of this crate stand on, and those of your own may: see [`cpu`] for the Flex backend, `gpu` for the CubeCL
//! backends (CUDA and Vulkan), [`mod@primitive`] for the way from tensors to what backends compute with.

pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod primitive;
