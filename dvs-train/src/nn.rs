//! The network, made of layers of [`burn_snn`], and statistics of its spikes.

pub mod network;
pub mod spike_stats;
