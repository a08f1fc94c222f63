//! Counts synaptic operations per layer: every nonzero input times the number of its synapses.
//!
//! A spike makes each synapse that it reaches add its weight once: an accumulate (AC). The first
//! layer's inputs are counts: a cell with events makes each of its synapses multiply the weight by
//! the count and add it, a multiply-accumulate (MAC), however many events it holds. Cells without
//! events cost nothing. Hardware that takes single events as spikes would need an AC per event
//! instead; that number is counted too.
//!
//! A cell at the border of a convolution's input reaches fewer outputs than an inner cell, and is
//! counted so, as in SpikingJelly's `SynOpCounter`. The dense network multiplies every input, even
//! zeros and padding, as in SpikingJelly's `MACCounter`.

use anyhow::{Context, Result, ensure};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::nn::network::{LAYERS, Network, SnnBackend};
use crate::nn::spike_stats::Observer;

/// Sums up the inputs of every layer.
#[derive(Debug)]
pub struct InputCounter<B: Backend> {
    layers: Vec<Counted<B>>,
}

#[derive(Debug)]
struct Counted<B: Backend> {
    /// Sum of each input, `[N]`; exact up to 2^24.
    sum: Tensor<B, 1>,
    /// How often each input was not zero, `[N]`; `None` if `sum` is the same.
    active: Option<Tensor<B, 1>>,
    /// Samples times steps.
    seen: usize,
}

/// Synaptic operations of a layer, over all samples and time steps counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Synapses {
    /// Inputs per time step.
    pub inputs: usize,
    /// Samples times steps.
    pub seen: usize,
    /// Inputs that were not zero.
    pub active: u64,
    /// Synapses that the nonzero inputs reached.
    pub operations: u64,
    /// Like `operations`, but multiplied by the input's value: an input of 3 events counts three
    /// times.
    pub by_events: u64,
    /// Multiply-accumulates of the dense network per time step.
    pub dense: u64,
}

/// The shape of a layer's synapses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// 3 x 3 with padding 1.
    Convolution {
        channels: [usize; 2],
        size: [usize; 2],
    },
    /// Every input reaches every output.
    Linear { features: [usize; 2] },
}

impl Shape {
    fn inputs(self) -> usize {
        match self {
            Self::Convolution {
                channels: [inputs, _],
                size: [height, width],
            } => inputs * height * width,
            Self::Linear {
                features: [inputs, _],
            } => inputs,
        }
    }

    /// Number of synapses of the input at `place`.
    fn reach(self, place: usize) -> u64 {
        match self {
            Self::Convolution {
                channels: [_, outputs],
                size: [height, width],
            } => {
                // Number of rows or columns at most one away from `at` and within the border.
                let near = |at: usize, length: usize| {
                    1 + usize::from(at > 0) + usize::from(at + 1 < length)
                };
                let cell = place % (height * width);
                (outputs * near(cell / width, height) * near(cell % width, width)) as u64
            }
            Self::Linear {
                features: [_, outputs],
            } => outputs as u64,
        }
    }

    fn dense(self) -> u64 {
        match self {
            Self::Convolution {
                channels: [inputs, outputs],
                size: [height, width],
            } => (9 * inputs * outputs * height * width) as u64,
            Self::Linear {
                features: [inputs, outputs],
            } => (inputs * outputs) as u64,
        }
    }
}

/// The synapses of each of [`LAYERS`], for frames of `size`.
fn shapes<B: SnnBackend>(network: &Network<B>, size: [usize; 2]) -> Vec<Shape> {
    let convolutions = network.blocks.iter().enumerate().map(|(block, layer)| {
        let [outputs, inputs, ..] = layer.conv.weight.dims();
        Shape::Convolution {
            channels: [inputs, outputs],
            size: size.map(|length| length >> block),
        }
    });
    let linear = [&network.hidden, &network.output].map(|layer| Shape::Linear {
        features: layer.weight.dims(),
    });
    convolutions.chain(linear).collect()
}

impl<B: SnnBackend> InputCounter<B> {
    pub fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// Fetches the counts of each of [`LAYERS`] of `network` from the device, for frames of `size`.
    ///
    /// # Errors
    /// Returns an error if a layer was not counted, or the device failed.
    pub fn finish(self, network: &Network<B>, size: [usize; 2]) -> Result<Vec<Synapses>> {
        let shapes = shapes(network, size);
        ensure!(
            self.layers.len() == shapes.len(),
            "the inputs of {} of {} layers were seen",
            self.layers.len(),
            LAYERS.len()
        );
        let fetch = |counts: Tensor<B, 1>| {
            let counts = counts.try_into_data();
            let counts = counts.context("the device failed while it counted inputs")?;
            Ok::<Vec<u64>, anyhow::Error>(counts.iter::<f32>().map(|count| count as u64).collect())
        };
        let layers = self.layers.into_iter().zip(shapes);
        let layers = layers.map(|(counted, shape)| {
            let sum = fetch(counted.sum)?;
            let active = match counted.active {
                Some(active) => fetch(active)?,
                None => sum.clone(),
            };
            let at_synapses = |counts: &[u64]| {
                let reached = counts.iter().enumerate();
                reached
                    .map(|(place, count)| count * shape.reach(place))
                    .sum()
            };
            Ok(Synapses {
                inputs: shape.inputs(),
                seen: counted.seen,
                active: active.iter().sum(),
                operations: at_synapses(&active),
                by_events: at_synapses(&sum),
                dense: shape.dense(),
            })
        });
        layers.collect()
    }
}

impl<B: Backend> Observer<B> for InputCounter<B> {
    fn spikes<const D: usize>(&mut self, _: usize, _: &Tensor<B, D>) {}

    fn counts(&mut self, _: usize, _: Tensor<B, 1>, _: usize) {}

    fn inputs<const D: usize>(&mut self, layer: usize, inputs: &Tensor<B, D>) {
        let shape = inputs.shape();
        let seen = shape[0];
        let n = shape.num_elements() / seen.max(1);
        let inputs = inputs.clone().reshape([seen, n]);
        // Spikes are 0 or 1, so their sum is the number of nonzero inputs.
        let active = (layer == 0).then(|| {
            let active = inputs.clone().not_equal_elem(0.0).float();
            active.sum_dim(0).reshape([n])
        });
        let sum = inputs.sum_dim(0).reshape([n]);
        match self.layers.get_mut(layer) {
            Some(counted) => {
                counted.sum = counted.sum.clone() + sum;
                counted.active = counted.active.take().zip(active).map(|(a, b)| a + b);
                counted.seen += seen;
            }
            // Layers report in order, so a new one is the next.
            None => self.layers.push(Counted { sum, active, seen }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use burn::backend::Flex;

    use crate::nn::network::NetworkConfig;
    use crate::nn::network::StepMode;
    use burn_snn::neuron::Neuron;

    /// SpikingJelly's `SynOpCounter` runs a convolution with weights of 1 over the spikes and sums
    /// its output.
    #[test]
    fn operations_match_a_convolution_with_weights_of_one() {
        let device = Default::default();
        for step_mode in [StepMode::M, StepMode::S] {
            let config = NetworkConfig {
                channels: 3,
                hidden: None,
                classes: 11,
                linear_bias: false,
                size: [32, 64],
                neuron: Neuron::LIF,
                step_mode,
                dropout: 0.5,
                half: None,
            };
            let network = Network::<Flex>::new(&config, &device);
            let frames = Tensor::<Flex, 1>::from_floats(
                std::array::from_fn::<f32, { 2 * 3 * 2 * 32 * 64 }, _>(|i| {
                    (i * i % 11 / 8) as f32 * 3.0
                }),
                &device,
            );
            let frames = frames.reshape([2, 3, 2, 32, 64]);
            let mut counter = InputCounter::new();
            network.votes(frames.clone(), &mut counter);
            let found = counter.finish(&network, config.size).unwrap();
            let ones = Tensor::<Flex, 4>::ones([3, 2, 3, 3], &device);
            let cells = frames.flatten::<4>(0, 1); // [T * B, 2, H, W]
            let through = |x| -> f64 {
                let out = burn_snn::convolution::convolve::<Flex>(x, ones.clone()).into_data();
                out.iter::<f64>().sum()
            };
            let active = cells.clone().not_equal_elem(0.0).float();
            assert_eq!(found.len(), LAYERS.len());
            assert_eq!(found[0].operations as f64, through(active));
            assert_eq!(found[0].by_events as f64, through(cells));
            assert_eq!((found[0].seen, found[6].seen), (6, 6));
            assert_eq!(found[6].operations, 110 * found[6].active);
        }
    }

    #[test]
    fn inputs_at_the_border_have_fewer_synapses() {
        let shape = Shape::Convolution {
            channels: [2, 5],
            size: [3, 4],
        };
        let reach: Vec<u64> = (0..12).map(|place| shape.reach(place) / 5).collect();
        assert_eq!(reach, [4, 6, 6, 4, 6, 9, 9, 6, 4, 6, 6, 4]);
        assert_eq!(shape.reach(12), shape.reach(0), "the second channel");
        assert_eq!((shape.inputs(), shape.dense()), (24, 9 * 2 * 5 * 12));
        let point = Shape::Convolution {
            channels: [1, 1],
            size: [1, 1],
        };
        assert_eq!(point.reach(0), 1);
        let linear = Shape::Linear { features: [6, 7] };
        assert_eq!((linear.reach(3), linear.dense()), (7, 42));
    }
}
