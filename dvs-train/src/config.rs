//! A run's configuration: what it trains, as saved with it, and resolved for this machine.

pub mod cache_request;
pub mod neuron_config;
mod old_settings;
pub mod options;
pub mod settings;
pub mod train_config;
