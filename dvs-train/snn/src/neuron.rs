//! Spiking neurons: from currents to spikes.
//!
//! A neuron receives a current x\[t\] at each time step. Its membrane potential is charged, fires, and is reset:
//!
//! ```text
//! LIF   h[t] = v[t-1] + (x[t] - (v[t-1] - v_reset)) / tau     (decay_input; without it x[t] is not divided by tau)
//! PLIF  the same, and each layer learns w, with 1 / tau = sigmoid(w)
//! IF    h[t] = v[t-1] + x[t]
//! fire  s[t] = 1 if h[t] >= v_threshold, else 0
//! reset v[t] = v_reset if s[t] = 1 (hard), or h[t] - s[t] v_threshold (soft)
//! ```
//!
//! In the backward pass a [`surrogate`] takes the place of the derivative of s by h. With `detach_reset` no gradient flows
//! through s into the reset. The terms and the numbers are SpikingJelly's.
//!
//! * [`model`]: the kinds of neurons;
//! * [`surrogate`]: the surrogate gradients;
//! * [`layer`]: the layer of a network, with the weight that PLIF learns and the potentials between calls;
//! * [`backend`]: the trait through which a backend computes neurons, and their node in the autodiff graph;
//! * [`mod@reference`]: neurons in plain tensor operations, for backends without kernels of their own and for tests;
//! * [`cpu`]: the kernels for Flex; `gpu`: those for CubeCL, whose `gpu_dynamics` is what a neuron does in a step.

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

pub use backend::NeuronBackend;
pub use layer::{Neurons, Potentials};
pub use model::{Charge, Neuron};
pub use surrogate::{Surrogate, SurrogateShape};

#[cfg(test)]
mod tests;
