//! The network: layers of [`burn_snn`] put together, and the spikes that they send.

pub mod network;
pub mod spike_stats;
