//! Trains two layers of LIF neurons on synthetic spike trains of two classes. In one class the
//! first half of the inputs spikes more often, in the other the second half.

use burn::backend::{Autodiff, Flex};
use burn::module::{Module, Param};
use burn::tensor::{Distribution, Tensor};
use burn_snn::{Neuron, Neurons};

type B = Autodiff<Flex>;

const STEPS: usize = 16;
const SAMPLES: usize = 64;
const INPUTS: usize = 20;
const HIDDEN: usize = 32;
const RATE: f64 = 3.0;

/// Two linear layers, each followed by neurons.
#[derive(Module, Debug)]
struct Network<B: burn_snn::NeuronBackend> {
    first: Param<Tensor<B, 2>>,
    second: Param<Tensor<B, 2>>,
    neurons: Neurons<B>,
}

impl Network<B> {
    /// Returns the firing rates `[B, 2]` of the outputs for spikes `[T, B, INPUTS]`.
    fn forward(&self, spikes: Tensor<B, 3>) -> Tensor<B, 2> {
        let layer = |x: Tensor<B, 3>, w: &Param<Tensor<B, 2>>| {
            self.neurons.forward(x.matmul(w.val().unsqueeze())) // [T, B, N]
        };
        let hidden = layer(spikes, &self.first);
        layer(hidden, &self.second).mean_dim(0).squeeze_dim(0)
    }
}

fn main() {
    let device = Default::default();
    let random = |shape: [usize; 2]| {
        let bound = 3.0 / (shape[0] as f64).sqrt();
        Param::from_tensor(Tensor::random(
            shape,
            Distribution::Uniform(-bound, bound),
            &device,
        ))
    };
    let mut network = Network {
        first: random([INPUTS, HIDDEN]),
        second: random([HIDDEN, 2]),
        neurons: Neurons::new(Neuron::LIF, &device),
    };
    // Sample b has class b % 2. Its inputs spike with probability 0.4 in one half and 0.1 in the
    // other.
    let class = |b: usize| b % 2;
    let target: Vec<f32> = (0..SAMPLES)
        .flat_map(|b| [1 - class(b), class(b)].map(|c| c as f32))
        .collect();
    let target = Tensor::<B, 1>::from_floats(target.as_slice(), &device).reshape([SAMPLES, 2]);
    let rate = |b: usize, i: usize| {
        if (i < INPUTS / 2) == (class(b) == 0) {
            0.4
        } else {
            0.1
        }
    };
    let rates: Vec<f32> = (0..SAMPLES)
        .flat_map(|b| (0..INPUTS).map(move |i| rate(b, i)))
        .collect();
    let rates =
        Tensor::<B, 1>::from_floats(rates.as_slice(), &device).reshape([1, SAMPLES, INPUTS]);
    for epoch in 0..30 {
        let noise = Tensor::random(
            [STEPS, SAMPLES, INPUTS],
            Distribution::Uniform(0.0, 1.0),
            &device,
        );
        let spikes = noise.lower(rates.clone().repeat_dim(0, STEPS)).float();
        let out = network.forward(spikes);
        let right = out
            .clone()
            .argmax(1)
            .equal(target.clone().argmax(1))
            .int()
            .sum();
        let loss = (out - target.clone()).powf_scalar(2.0).mean();
        println!(
            "epoch {epoch}: loss {:.4}, {} of {SAMPLES} right",
            loss.clone().into_scalar(),
            right.into_scalar()
        );
        let gradients = loss.backward();
        let step = |w: Param<Tensor<B, 2>>| match w.val().grad(&gradients) {
            Some(grad) => {
                w.map(|w| Tensor::from_inner(w.inner() - grad.mul_scalar(RATE)).require_grad())
            }
            None => w,
        };
        network = Network {
            first: step(network.first),
            second: step(network.second),
            neurons: network.neurons,
        };
    }
}
