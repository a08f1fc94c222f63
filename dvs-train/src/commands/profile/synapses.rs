//! Counts synaptic operations per layer: every nonzero input times the number of its synapses.
//!
//! A spike makes each synapse that it reaches add its weight once: an accumulate (AC). The first
//! layer's inputs are counts: a cell with events makes each of its synapses multiply the weight by
//! the count and add it, a multiply-accumulate (MAC), however many events it holds. Cells without
//! events cost nothing. Average pooling gives shares of spikes, which count like this too. Hardware that takes single events as spikes would need an AC per event
//! instead; that number is counted too.
//!
//! A cell at the border of a convolution's input reaches fewer outputs than an inner cell, and is
//! counted so, as in SpikingJelly's `SynOpCounter`. The dense network multiplies every input, even
//! zeros and padding, as in SpikingJelly's `MACCounter`.

use anyhow::{Context, Result, ensure};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::nn::architecture::{Architecture, BlockForm};
use crate::nn::network::SnnBackend;
use crate::nn::spike_stats::Observer;

/// Sums up the inputs of every layer.
#[derive(Debug)]
pub struct InputCounter<B: Backend> {
    layers: Vec<Counted<B>>,
}

#[derive(Debug)]
struct Counted<B: Backend> {
    /// Sum of each of the first layer's inputs, `[N]`, and for other layers how often each was not
    /// zero; exact up to 2^24.
    sum: Tensor<B, 1>,
    /// How often each of the first layer's inputs was not zero, `[N]`.
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
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape<'a> {
    Convolution(&'a BlockForm),
    /// Every input reaches every output.
    Linear {
        features: [usize; 2],
    },
}

impl Shape<'_> {
    fn inputs(self) -> usize {
        match self {
            Self::Convolution(block) => block.inputs * block.size.iter().product::<usize>(),
            Self::Linear {
                features: [inputs, _],
            } => inputs,
        }
    }

    /// Number of synapses of the input at `place`.
    fn reach(self, place: usize) -> u64 {
        match self {
            Self::Convolution(block) => {
                let ([height, width], [rows, columns]) = (block.size, block.convolved());
                let cell = place % (height * width);
                let places =
                    places(block, cell / width, rows) * places(block, cell % width, columns);
                (block.channels * places) as u64
            }
            Self::Linear {
                features: [_, outputs],
            } => outputs as u64,
        }
    }

    fn dense(self) -> u64 {
        let each = match self {
            Self::Convolution(block) => {
                let taps = block.kernel * block.kernel * block.inputs;
                taps * block.channels * block.convolved().iter().product::<usize>()
            }
            Self::Linear {
                features: [inputs, outputs],
            } => inputs * outputs,
        };
        each as u64
    }
}

/// Number of the kernel's `outputs` places, along one side, that cover the input row or column `at`.
fn places(block: &BlockForm, at: usize, outputs: usize) -> usize {
    let padded = at + block.padding;
    // Place o covers the padded rows from o stride to o stride + kernel - 1.
    let first = (padded + 1)
        .saturating_sub(block.kernel)
        .div_ceil(block.stride);
    let end = (padded / block.stride + 1).min(outputs);
    end.saturating_sub(first)
}

/// The synapses of each layer.
fn shapes(network: &Architecture) -> impl Iterator<Item = Shape<'_>> {
    let linears = network.linears.iter().map(|layer| Shape::Linear {
        features: [layer.inputs, layer.outputs],
    });
    let blocks = network.blocks.iter();
    blocks.map(Shape::Convolution).chain(linears)
}

impl<B: SnnBackend> InputCounter<B> {
    pub fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// Fetches the counts of each layer of `network` from the device.
    ///
    /// # Errors
    /// Returns an error if a layer was not counted, or the device failed.
    pub fn finish(self, network: &Architecture) -> Result<Vec<Synapses>> {
        let layers = shapes(network).count();
        ensure!(
            self.layers.len() == layers,
            "the inputs of {} of {layers} layers were seen",
            self.layers.len()
        );
        let fetch = |counts: Tensor<B, 1>| {
            let counts = counts.try_into_data();
            let counts = counts.context("the device failed while it counted inputs")?;
            Ok::<Vec<u64>, anyhow::Error>(counts.iter::<f32>().map(|count| count as u64).collect())
        };
        let layers = self.layers.into_iter().zip(shapes(network));
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
        let over_all = |inputs: Tensor<B, 2>| inputs.sum_dim(0).reshape([n]);
        let nonzero = over_all(inputs.clone().not_equal_elem(0.0).float());
        // Of counts of events, the values matter too.
        let (sum, active) = match layer {
            0 => (over_all(inputs), Some(nonzero)),
            _ => (nonzero, None),
        };
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

    use crate::nn::network::{Network, StepMode};
    use crate::testing::network_config;

    /// SpikingJelly's `SynOpCounter` runs a convolution with weights of 1 over the spikes and sums
    /// its output.
    #[test]
    fn operations_match_a_convolution_with_weights_of_one() {
        let device = Default::default();
        for step_mode in [StepMode::M, StepMode::S] {
            let mut config = network_config(
                "c3k3s1-BN-LIF-MPk2s2-c4k5s2-BN-LIF-APk2s2-FC12-LIF-DP-FC20-LIF-APk10s10",
                [16, 21],
            );
            config.step_mode = step_mode;
            let network = Network::<Flex>::new(&config, &device);
            let frames = Tensor::<Flex, 1>::from_floats(
                std::array::from_fn::<f32, { 2 * 3 * 2 * 16 * 21 }, _>(|i| {
                    (i * i % 11 / 8) as f32 * 3.0
                }),
                &device,
            );
            let frames = frames.reshape([2, 3, 2, 16, 21]);
            let mut counter = InputCounter::new();
            network.votes(frames.clone(), &mut counter);
            let found = counter.finish(&config.architecture).unwrap();
            let cells = frames.flatten::<4>(0, 1); // [T * B, 2, H, W]
            let through = |x| -> f64 {
                let ones = Tensor::<Flex, 4>::ones([3, 2, 3, 3], &device);
                let geometry = burn_snn::Geometry::SAME;
                let out = burn_snn::convolve::<Flex>(x, ones, geometry).into_data();
                out.iter::<f64>().sum()
            };
            let active = cells.clone().not_equal_elem(0.0).float();
            assert_eq!(found.len(), 4);
            assert_eq!(found[0].operations as f64, through(active));
            assert_eq!(found[0].by_events as f64, through(cells));
            assert_eq!((found[0].seen, found[3].seen), (6, 6));
            assert_eq!(found[3].operations, 20 * found[3].active);
        }
    }

    #[test]
    fn an_input_has_a_synapse_at_every_place_of_the_kernel_that_covers_it() {
        for (notation, size) in [
            ("c5k3s1-LIF-FC1-LIF", [3, 4]),
            ("c2k5s2-LIF-FC1-LIF", [11, 8]),
            ("c1k4s3p0-LIF-FC1-LIF", [11, 9]),
            ("c1k1s7-LIF-FC1-LIF", [8, 9]),
            ("c1k3s1-LIF-FC1-LIF", [1, 1]),
        ] {
            let network = network_config(notation, size).architecture;
            let block = &network.blocks[0];
            let shape = Shape::Convolution(block);
            let mut expected = vec![0; size[0] * size[1]];
            let [rows, columns] = block.convolved();
            let each = |at: usize, tap: usize| (at * block.stride + tap).checked_sub(block.padding);
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |c| (row, c))) {
                for tap in 0..block.kernel * block.kernel {
                    let y = each(row, tap / block.kernel).filter(|y| *y < size[0]);
                    let x = each(column, tap % block.kernel).filter(|x| *x < size[1]);
                    if let Some((y, x)) = y.zip(x) {
                        expected[y * size[1] + x] += block.channels as u64;
                    }
                }
            }
            let found: Vec<u64> = (0..expected.len()).map(|at| shape.reach(at)).collect();
            assert_eq!(found, expected, "{notation}");
            assert_eq!(shape.reach(expected.len()), found[0], "the second channel");
            let taps = (block.kernel * block.kernel * 2 * block.channels * rows * columns) as u64;
            assert_eq!(shape.dense(), taps);
        }
        let linear = Shape::Linear { features: [6, 7] };
        assert_eq!((linear.reach(3), linear.dense()), (7, 42));
    }
}
