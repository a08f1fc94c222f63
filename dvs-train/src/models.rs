//! Networks taken to other programs and from them.
//!
//! checkpoint <-> [`parts`], a network's weights as PyTorch lays them out <-> [`state_dict`] <-> [`pth`], [`safetensors`]; and
//! [`parts`] -> [`nir`]. [`naming`] has the names of SpikingJelly's networks, [`label_order`] the order of their outputs.

pub mod export;
pub mod import;
pub mod label_order;
pub mod named;
pub mod naming;
pub mod nir;
pub mod parts;
pub mod pth;
pub mod safetensors;
pub mod state_dict;
