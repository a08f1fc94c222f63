//! The network, made of layers of [`burn_snn`], and statistics of its spikes.

pub mod architecture;
pub mod conv_block;
pub mod layer_summary;
pub mod linear_block;
pub mod network;
pub mod network_config;
pub mod network_name;
pub mod notation;
pub mod spike_stats;
