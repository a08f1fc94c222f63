//! Dropout, linear layer and neurons.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn_snn::linear::linear;
use burn_snn::neuron::{Neuron, Neurons};

use crate::nn::architecture::LinearForm;
use crate::nn::conv_block::{LayerInputs, fire};
use crate::nn::network::SnnBackend;
use crate::nn::spike_stats::Observer;

/// A linear layer and its neurons.
#[derive(Module, Debug)]
pub struct LinearBlock<B: Backend> {
    /// The linear layer.
    pub linear: Linear<B>,
    /// Neurons of the layer.
    pub neurons: Neurons<B>,
}

impl<B: SnnBackend> LinearBlock<B> {
    /// Makes a layer with random weights.
    pub fn new(form: LinearForm, neuron: Neuron, bias: bool, device: &B::Device) -> Self {
        let linear = LinearConfig::new(form.inputs, form.outputs).with_bias(bias);
        Self {
            linear: linear.init(device),
            neurons: Neurons::new(neuron, device),
        }
    }

    /// Returns the spikes `[T * B, O, 1, 1]` for features `[T * B, C, H, W]`.
    pub fn forward(
        &self,
        x: Tensor<B, 4>,
        inputs: LayerInputs<'_, B>,
        layer: usize,
        observer: &mut impl Observer<B>,
    ) -> Tensor<B, 4> {
        let LayerInputs {
            steps,
            half,
            dropout,
            memory,
        } = inputs;
        if observer.looks() {
            observer.inputs(layer, &x.clone().flatten::<2>(1, 3));
        }
        let y = linear(x, self.linear.weight.val(), half, dropout); // [T * B, O]
        let y = match &self.linear.bias {
            Some(bias) => y + bias.val().unsqueeze(),
            None => y,
        };
        let [n, outputs] = y.dims();
        let y = y.reshape([steps, n / steps.max(1), outputs]); // [T, B, O]
        let spikes = fire(&self.neurons, y, memory);
        observer.spikes(layer, &spikes);
        spikes.reshape([n, outputs, 1, 1])
    }
}
