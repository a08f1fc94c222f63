//! Truncated backpropagation through time: the backward pass in chunks of time steps, so that memory
//! does not grow with the number of steps.
//!
//! The loss compares the target with the firing rates over all steps, so its gradient is known only
//! after the last step. A first pass therefore computes the rates, and a second pass computes each
//! chunk again and then goes backward through it:
//!
//! ```text
//! rate = sum over chunks of rate(chunk) steps(chunk) / T
//! dw   = sum over chunks of d rate(chunk)/dw steps(chunk) / T  dloss/drate
//! ```
//!
//! The membrane potentials go on from chunk to chunk, without gradient. In multi-step mode, batch
//! norm normalises each chunk by its own statistics.
//!
//! Source: Williams and Peng, [An Efficient Gradient-Based Algorithm for On-Line Training of
//! Recurrent Network Trajectories](https://doi.org/10.1162/neco.1990.2.4.490) (1990).

use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_snn::loss::mean_squared_error;
use burn_snn::voting::firing_rate;

use super::Gradients;
use crate::data::batch::Batch;
use crate::nn::network::{Network, SharedBySteps, SnnBackend};

/// Returns the gradients of the loss that `scale` gives, in chunks of `steps` time steps.
pub fn gradients<B>(
    network: &Network<B>,
    batch: &Batch<B>,
    steps: usize,
    scale: impl FnOnce(&Tensor<B, 1>) -> Tensor<B, 1>,
) -> Gradients<B>
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend,
{
    let [t, b, ..] = batch.frames.dims();
    let chunks = Chunks {
        frames: batch.frames.clone(),
        shared: network.shared_by_steps(b, &batch.frames.device()),
        steps,
    };
    let before: Vec<_> = network.norms().map(|norm| norm.running().moments).collect();
    let voters = network.architecture().voters;
    let mut spikes = Vec::with_capacity(t.div_ceil(steps));
    // Without gradients, nothing is kept for a backward pass.
    chunks.pass(&network.clone().no_grad(), |chunk| spikes.push(chunk));
    let rate = firing_rate(Tensor::cat(spikes, 0), voters)
        .detach()
        .require_grad();
    let loss = mean_squared_error(rate.clone(), batch.target.clone());
    let grads = scale(&loss).backward();
    let drate = match rate.grad(&grads) {
        Some(drate) => Tensor::<B, 2>::from_inner(drate),
        None => rate.zeros_like().detach(),
    };
    // The second pass moves the running statistics again.
    for (norm, moments) in network.norms().zip(before) {
        norm.set_running(moments);
    }
    let mut sum = GradientsAccumulator::new();
    chunks.pass(network, |chunk| {
        let share = chunk.dims()[0] as f64 / t as f64;
        let part = firing_rate(chunk, voters).mul_scalar(share) * drate.clone();
        let grads = part.sum().backward();
        sum.accumulate::<B>(network, GradientsParams::from_grads(grads, network));
    });
    Gradients {
        loss: loss.inner(),
        rate: rate.inner(),
        gradients: sum.grads(),
    }
}

/// The time steps of a batch in chunks.
struct Chunks<B: Backend> {
    /// Frames `[T, B, 2, H, W]`.
    frames: Tensor<B, 5>,
    shared: SharedBySteps<B>,
    /// Time steps of a chunk. The last chunk may have fewer.
    steps: usize,
}

impl<B: SnnBackend> Chunks<B> {
    /// Goes through all chunks in order. `each` takes the output's spikes `[steps, B, K V]` of each.
    fn pass(&self, network: &Network<B>, mut each: impl FnMut(Tensor<B, 3>)) {
        let t = self.frames.dims()[0];
        let mut memory = network.at_rest();
        for from in (0..t).step_by(self.steps) {
            let frames = self
                .frames
                .clone()
                .narrow(0, from, self.steps.min(t - from));
            let spikes = network.spikes_from(frames, &self.shared, &mut memory, &mut ());
            for potentials in &mut memory {
                *potentials = potentials.take().map(Tensor::detach);
            }
            each(spikes);
        }
    }
}
