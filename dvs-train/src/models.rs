//! Networks taken to other programs and from them.
//!
//! checkpoint <-> [`parts`], a network's weights as PyTorch lays them out <-> a format. [`naming`] has the names of
//! SpikingJelly's networks, [`label_order`] the order of their outputs.

pub mod export;
pub mod import;
pub mod label_order;
pub mod naming;
pub mod nir;
pub mod parts;
pub mod pth;
pub mod safetensors;
