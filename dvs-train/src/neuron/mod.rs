//! Spiking neurons: from currents to spikes, inside the network.
//!
//! * [`lif`]: the leaky integrate-and-fire neuron, and the trait through which a backend computes it;
//! * [`reference`]: the same neuron in plain tensor operations, for every backend without a kernel of its own
//!   and for the tests of those that have one.

pub mod lif;
pub mod reference;

pub use lif::{Lif, LifBackend};

#[cfg(test)]
mod tests;
