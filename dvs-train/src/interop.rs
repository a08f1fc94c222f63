//! Converts networks from and to the formats of other programs.
//!
//! checkpoint <-> [`weight_layout`](crate::run_dir::weight_layout), a network's weights as PyTorch
//! lays them out <-> [`state_dict`] <-> [`pytorch`], [`safetensors`]; and weight layout <-> [`nir`].
//! [`naming`] has the parameter names of SpikingJelly's networks, which [`sequential`] lays out,
//! [`known`] the networks that have a name, [`classes`] and [`label_order`] what their outputs stand
//! for.

pub mod classes;
pub mod known;
pub mod label_order;
pub mod named;
pub mod naming;
pub mod nir;
pub mod pytorch;
pub mod safetensors;
pub mod sequential;
pub mod state_dict;
