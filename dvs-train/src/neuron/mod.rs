//! Spiking neurons: from currents to spikes, inside the network.
//!
//! * [`settings`]: what kinds there are, in the field's terms;
//! * [`args`]: how they are typed;
//! * [`surrogate`]: what stands in for the derivative of a spike;
//! * [`layer`]: the layer of the network, with the weight that PLIF learns and the state between steps;
//! * [`backend`]: the trait through which a backend computes neurons, and their node in the autodiff graph;
//! * [`mod@reference`]: neurons in plain tensor operations, for every backend without a kernel of its own and for
//!   the tests of those that have one;
//! * [`kernel`]: neurons on the CPU;
//! * [`cube`]: neurons on GPUs; [`cube_rule`] is what they do in a step.

pub mod args;
pub mod backend;
#[cfg(feature = "gpu")]
pub mod cube;
#[cfg(feature = "gpu")]
pub mod cube_rule;
pub mod kernel;
pub mod layer;
pub mod reference;
pub mod settings;
pub mod surrogate;

pub use backend::NeuronBackend;
pub use layer::Neurons;
pub use settings::Neuron;

#[cfg(test)]
mod tests;
