//! Spiking neurons: from currents to spikes.
//!
//! In each time step t, a current x\[t\] charges the membrane potential of a neuron. The neuron
//! fires if the potential reaches the threshold, and is then reset:
//!
//! ```text
//! LIF   h[t] = v[t-1] + (x[t] - (v[t-1] - v_reset)) / tau     with decay_input
//!       h[t] = v[t-1] - (v[t-1] - v_reset) / tau + x[t]       without decay_input
//! PLIF  like LIF, and each layer learns w, with 1 / tau = sigmoid(w)
//! IF    h[t] = v[t-1] + x[t]
//! fire  s[t] = 1 if h[t] >= v_threshold, else 0
//! reset v[t] = v_reset if s[t] = 1 (hard), or h[t] - s[t] v_threshold (soft)
//! ```
//!
//! In the backward pass, a [`surrogate`] replaces the derivative of s with respect to h. With
//! `detach_reset`, no gradient flows through s into the reset. Terms and results are
//! SpikingJelly's.
//!
//! * [`model`]: the kinds of neurons;
//! * [`surrogate`]: the surrogate gradients;
//! * [`layer`]: the layer of a network, with PLIF's weight and the potentials between calls;
//! * [`backend`]: the trait that a backend implements, and its node in the autodiff graph;
//! * [`mod@reference`]: plain tensor operations, for backends without kernels and for tests;
//! * [`cpu`]: the kernels for Flex;
//! * `gpu` and `gpu_dynamics`: the kernels for the CubeCL backends.

pub mod backend;
pub mod cpu;
#[cfg(feature = "gpu")]
pub mod gpu;
#[cfg(feature = "gpu")]
pub mod gpu_dynamics;
pub mod layer;
pub mod model;
pub mod reference;
pub mod surrogate;

pub use backend::{NeuronBackend, NeuronInputs};
pub use layer::{Neurons, Potentials};
pub use model::{Charge, Neuron};
pub use surrogate::{Surrogate, SurrogateShape};

#[cfg(test)]
mod tests;
