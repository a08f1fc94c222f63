//! A layer of neurons.

use burn::module::{Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive};

use super::backend::{NeuronBackend, NeuronInputs};
use super::model::{Charge, Layer, Neuron};

use crate::backend::primitive::primitive;

/// A layer of neurons of one kind.
#[derive(Module, Debug)]
pub struct Neurons<B: Backend> {
    /// PLIF's weight `[1]`: 1 / tau = sigmoid(w).
    pub w: Option<Param<Tensor<B, 1>>>,
    #[module(skip)]
    neuron: Neuron,
}

/// Potentials `[1, N]` of a layer after its last step, or `None` before the first step.
pub type Potentials<B> = Option<Tensor<B, 2>>;

impl<B: NeuronBackend> Neurons<B> {
    /// Creates a layer of neurons at rest. PLIF's weight starts at w = -ln(tau - 1).
    pub fn new(neuron: Neuron, device: &B::Device) -> Self {
        let w = match neuron.charge {
            Charge::Learnt { initial_tau, .. } => {
                let w = Tensor::full([1], -(initial_tau - 1.0).ln(), device);
                Some(Param::from_tensor(w))
            }
            Charge::Leaky { .. } | Charge::Integrate => None,
        };
        Self { w, neuron }
    }

    /// Returns the kind of the layer's neurons.
    pub fn neuron(&self) -> Neuron {
        self.neuron
    }

    /// Returns tau `[1]` if the layer learns it.
    pub fn learnt_tau(&self) -> Option<Tensor<B, 1>> {
        let w = self.w.as_ref()?.val();
        Some(w.neg().exp().add_scalar(1.0)) // 1 / sigmoid(w)
    }

    /// Returns PLIF's weight `[1]`, for a backend's operations.
    pub fn weight(&self) -> Option<FloatTensor<B>> {
        self.w.as_ref().map(|w| primitive(w.val()))
    }

    /// Returns the spikes `[T, ...]`, each exactly 0 or 1, for the input current `x`, `[T, ...]`.
    /// The neurons start at rest.
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        let shape = x.shape(); // [T, ...]
        let steps = shape[0];
        let neurons = shape.num_elements() / steps.max(1);
        let x = x.reshape([steps, neurons]); // [T, N]
        self.fire(x, None, false).reshape(shape) // [T, ...]
    }

    /// Like `forward`, but starts at the potentials `v` and replaces them by those after the last
    /// step.
    pub fn forward_from<const D: usize>(
        &self,
        x: Tensor<B, D>,
        v: &mut Potentials<B>,
    ) -> Tensor<B, D> {
        let shape = x.shape(); // [T, ...]
        let steps = shape[0];
        let neurons = shape.num_elements() / steps.max(1);
        let x = x.reshape([steps, neurons]); // [T, N]
        let both = self.fire(x, v.take(), true); // [T + 1, N]
        *v = Some(both.clone().narrow(0, steps, 1));
        both.narrow(0, 0, steps).reshape(shape) // [T, ...]
    }

    fn fire(&self, x: Tensor<B, 2>, v: Potentials<B>, keep_potential: bool) -> Tensor<B, 2> {
        let layer = Layer {
            neuron: self.neuron,
            keep_potential,
        };
        let inputs = NeuronInputs {
            x: primitive(x),
            v: v.map(primitive),
            w: self.weight(),
        };
        let out = B::neurons(inputs, &layer);
        Tensor::from_primitive(TensorPrimitive::Float(out))
    }
}
