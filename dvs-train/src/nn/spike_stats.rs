//! Firing rates of each layer, which show whether a network is silent or saturated.

use anyhow::{Context, Result};
use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Tensor};
use dvs_ranks::Ranks;

use crate::metrics::rank_sums::sum_over_ranks;

const FAILED: &str = "the device failed while it counted spikes";

/// Observes the spikes of a network.
pub trait Observer<B: Backend> {
    /// Receives the spikes `[T, B, ...]` of layer `layer`, counted from the input. T may be a part
    /// of all time steps.
    fn spikes<const D: usize>(&mut self, layer: usize, spikes: &Tensor<B, D>);

    /// Receives the number of spikes of each neuron of a layer, `[N]`, in `seen` samples times
    /// steps, if the spikes themselves are not available.
    fn counts(&mut self, layer: usize, counts: Tensor<B, 1>, seen: usize);

    /// Receives the inputs `[samples times steps, ...]` of layer `layer`: event counts for the
    /// first layer, spikes or their averages for the others.
    fn inputs<const D: usize>(&mut self, _layer: usize, _inputs: &Tensor<B, D>) {}

    /// Whether the observer needs the spikes. If not, they need not be kept.
    fn looks(&self) -> bool {
        true
    }
}

/// Observes nothing.
impl<B: Backend> Observer<B> for () {
    fn spikes<const D: usize>(&mut self, _: usize, _: &Tensor<B, D>) {}

    fn counts(&mut self, _: usize, _: Tensor<B, 1>, _: usize) {}

    fn looks(&self) -> bool {
        false
    }
}

/// Both observers see everything.
impl<B: Backend, X: Observer<B>, Y: Observer<B>> Observer<B> for (&mut X, &mut Y) {
    fn spikes<const D: usize>(&mut self, layer: usize, spikes: &Tensor<B, D>) {
        self.0.spikes(layer, spikes);
        self.1.spikes(layer, spikes);
    }

    fn counts(&mut self, layer: usize, counts: Tensor<B, 1>, seen: usize) {
        self.0.counts(layer, counts.clone(), seen);
        self.1.counts(layer, counts, seen);
    }

    fn inputs<const D: usize>(&mut self, layer: usize, inputs: &Tensor<B, D>) {
        self.0.inputs(layer, inputs);
        self.1.inputs(layer, inputs);
    }

    fn looks(&self) -> bool {
        self.0.looks() || self.1.looks()
    }
}

/// Counts the spikes of every neuron.
#[derive(Debug)]
pub struct SpikeCounter<B: Backend> {
    layers: Vec<Counted<B>>,
}

#[derive(Debug)]
struct Counted<B: Backend> {
    /// Spikes of each neuron, `[N]`; exact up to 2^24.
    spikes: Tensor<B, 1>,
    /// Samples times steps.
    seen: usize,
}

/// Firing rates of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Firing {
    /// Mean spikes per neuron and step of each layer.
    pub rates: Vec<f64>,
    /// Neurons of each layer.
    pub neurons: Vec<usize>,
    /// Share of all neurons that never fired.
    pub silent: f64,
}

impl<B: Backend> SpikeCounter<B> {
    /// Makes a counter without counts.
    pub fn new() -> Self {
        Self { layers: Vec::new() }
    }

    /// Adds up the counts of all ranks, which have the same neurons. Each counted the spikes of its
    /// own samples.
    ///
    /// # Errors
    /// Returns an error if the device or another rank failed.
    pub fn over_ranks(mut self, ranks: &dyn Ranks) -> Result<Self> {
        if ranks.size() == 1 {
            return Ok(self);
        }
        for Counted { spikes, seen } in &mut self.layers {
            let device = spikes.device();
            let counts = sum_over_ranks(spikes.clone(), &mut 0.0, ranks)?;
            *spikes = Tensor::from_floats(&*counts, &device);
            let mut all = [*seen as f64];
            ranks.all_reduce_f64(&mut all)?;
            *seen = all[0] as usize;
        }
        Ok(self)
    }

    /// Fetches the counts.
    ///
    /// # Errors
    /// Returns an error if the device failed.
    pub fn finish(self) -> Result<Firing> {
        let (mut rates, mut silent, mut neurons) = (Vec::new(), 0.0, Vec::new());
        for Counted { spikes, seen } in self.layers {
            let size = spikes.dims()[0];
            let never = spikes.clone().equal_elem(0).int().sum();
            silent += never.try_into_scalar().context(FAILED)?.elem::<f64>();
            let mean: f64 = spikes.mean().try_into_scalar().context(FAILED)?.elem();
            rates.push(mean / seen.max(1) as f64);
            neurons.push(size);
        }
        Ok(Firing {
            rates,
            silent: silent / neurons.iter().sum::<usize>().max(1) as f64,
            neurons,
        })
    }
}

impl<B: Backend> Observer<B> for SpikeCounter<B> {
    fn spikes<const D: usize>(&mut self, layer: usize, spikes: &Tensor<B, D>) {
        let shape = spikes.shape();
        let seen = shape[0] * shape[1];
        let n = shape.num_elements() / seen.max(1);
        let counts = spikes.clone().reshape([seen, n]).sum_dim(0); // [1, N]
        self.counts(layer, counts.reshape([n]), seen);
    }

    fn counts(&mut self, layer: usize, counts: Tensor<B, 1>, seen: usize) {
        match self.layers.get_mut(layer) {
            Some(counted) => {
                counted.spikes = counted.spikes.clone() + counts;
                counted.seen += seen;
            }
            // Layers report in order from the input, so a new layer is the next.
            None => self.layers.push(Counted {
                spikes: counts,
                seen,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use burn::backend::Flex;

    #[test]
    fn computes_mean_firing_rates_and_share_of_silent_neurons() {
        let device = Default::default();
        let spikes =
            |values: [f32; 4]| Tensor::<Flex, 1>::from_floats(values, &device).reshape([2, 1, 2]);
        let mut counter = SpikeCounter::new();
        counter.spikes(0, &spikes([1., 0., 1., 0.]));
        counter.spikes(1, &spikes([1., 1., 1., 1.]));
        counter.spikes(0, &spikes([0., 0., 1., 0.]));
        let firing = counter.finish().unwrap();
        assert_eq!(firing.rates, [3.0 / 8.0, 1.0]);
        assert_eq!((firing.silent, firing.neurons), (0.25, vec![2, 2]));
    }
}
