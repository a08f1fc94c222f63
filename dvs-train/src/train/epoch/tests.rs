#![allow(clippy::unwrap_used)]

use burn::backend::{Autodiff, Flex};
use burn_snn::testing::{distance, own_random_numbers, values};
use burn_snn::voting::firing_rate;
use dvs_shared::{CountType, Frames};

use super::*;
use crate::console::interrupt::Interrupt;
use crate::data::batch::HostBatch;
use crate::nn::network::StepMode;
use crate::nn::spike_stats::SpikeCounter;
use crate::optim::optimizer::Rule;
use crate::testing::{gesture, network_config};

type B = Autodiff<Flex>;

/// Makes a batch of four samples with different labels. They have vertical or horizontal stripes of
/// OFF or ON events.
fn batch() -> Batch<B> {
    const STEPS: usize = 8;
    let mut host = HostBatch::new(CountType::U8, STEPS, 4, 32, 32);
    for sample in 0..4 {
        let mut frames = Frames::default();
        frames.frames = STEPS;
        for cell in 0..STEPS * 2 * 32 * 32 {
            let (x, y, polarity) = (cell % 32, cell / 32 % 32, cell / 1024 % 2);
            let across = if sample / 2 == 0 { x } else { y };
            let lit = polarity == sample % 2 && across % 4 == 0;
            frames.raw.push(if lit { 3 } else { 0 });
        }
        host.put(sample, &frames, 2 * sample as u8).unwrap();
    }
    Batch::upload(host, 11, &Default::default())
}

/// Trains `steps` steps from a seed. Returns the losses and the last convolution's new weights.
fn train(seed: u64, steps: usize, dropout: bool) -> (Vec<f32>, Vec<f32>) {
    let device = Default::default();
    B::seed(&device, seed);
    let config = network_config(&gesture(16, dropout), [32, 32]);
    let mut network = Network::<B>::new(&config, &device);
    let (mut adam, batch) = (Optimizer::new(Rule::Adam), batch());
    let alone = RunRanks::alone(Interrupt::default());
    let mut losses = Vec::new();
    for _ in 0..steps {
        let step = step(network, &mut adam, 0.003, &batch, &alone).unwrap();
        network = step.network;
        losses.extend(values(step.loss));
    }
    let weights = values(network.blocks[4].conv.weight.val());
    (losses, weights)
}

#[test]
fn same_seed_gives_identical_losses_and_weights() {
    let _own = own_random_numbers();
    let (losses, weights) = train(7, 5, true);
    let (again, weights_again) = train(7, 5, true);
    assert_eq!((&losses, &weights), (&again, &weights_again));
    let (_, others) = train(8, 5, true);
    assert_ne!(weights, others);
}

#[test]
fn training_reduces_the_loss_of_a_batch() {
    let _own = own_random_numbers();
    let (losses, ..) = train(1, 80, false);
    // A silent output has the loss 1/11. The loss is half of that if the network has learnt two of
    // the four samples. The convolutions end in a single cell here, so the others take more steps.
    assert!((losses[0] - 1.0 / 11.0).abs() < 1e-3, "{losses:?}");
    assert!(losses[79] < 0.6 * losses[0], "{losses:?}");
}

/// Returns the gradients of the weights, the loss and the running means of a batch in chunks of
/// three steps: by the two passes, or by one graph in which the potentials between chunks are
/// constants. The counter of the graph's spikes sees to it that all blocks are separate operations.
fn truncated(step_mode: StepMode, by_passes: bool) -> (Vec<f32>, f32, Vec<f32>) {
    let device = Default::default();
    B::seed(&device, 5);
    let mut config = network_config(
        "c6k3s1-BN-PLIF-MPk2s2-c8k3s1-BN-LIF-MPk2s2-DP-FC32-LIF-FC22-PLIF-APk2s2",
        [32, 32],
    );
    config.step_mode = step_mode;
    for neuron in &mut config.neurons {
        neuron.threshold = 0.2;
    }
    let network = Network::<B>::new(&config, &device);
    let batch = batch();
    let found = match by_passes {
        true => truncated::gradients(&network, &batch, 3, |loss| loss.clone()),
        false => {
            let shared = network.shared_by_steps(4, &device);
            let mut memory = network.at_rest();
            let mut counter = SpikeCounter::new();
            let spikes = [(0, 3), (3, 3), (6, 2)].map(|(from, steps)| {
                let frames = batch.frames.clone().narrow(0, from, steps);
                let spikes = network.spikes_from(frames, &shared, &mut memory, &mut counter);
                for potentials in &mut memory {
                    *potentials = potentials.take().map(Tensor::detach);
                }
                spikes
            });
            let rate = firing_rate(Tensor::cat(spikes.to_vec(), 0), 2);
            let loss = mean_squared_error(rate.clone(), batch.target.clone());
            Gradients {
                gradients: GradientsParams::from_grads(loss.clone().backward(), &network),
                loss: loss.inner(),
                rate: rate.inner(),
            }
        }
    };
    assert!(values(found.rate).iter().sum::<f32>() > 0.0);
    let mut gradients = Vec::new();
    for block in &network.blocks {
        let of = found.gradients.get::<Flex, 4>(block.conv.weight.id);
        gradients.extend(values(of.unwrap()));
    }
    for layer in &network.linears {
        let of = found.gradients.get::<Flex, 2>(layer.linear.weight.id);
        gradients.extend(values(of.unwrap()));
    }
    for neurons in [&network.blocks[0].neurons, &network.linears[1].neurons] {
        let id = neurons.w.as_ref().unwrap().id;
        gradients.extend(values(found.gradients.get::<Flex, 1>(id).unwrap()));
    }
    let means = network
        .norms()
        .map(|norm| values(norm.running_mean.value_sync()));
    (gradients, values(found.loss)[0], means.flatten().collect())
}

#[test]
fn truncated_gradients_are_those_of_constant_potentials_between_chunks() {
    let _own = own_random_numbers();
    for step_mode in [StepMode::M, StepMode::S] {
        let (found, loss, means) = truncated(step_mode, true);
        let (expected, expected_loss, expected_means) = truncated(step_mode, false);
        assert_eq!((loss, means), (expected_loss, expected_means));
        let largest = expected.iter().fold(0.0_f32, |max, g| max.max(g.abs()));
        let off = distance(&found, &expected) / largest;
        assert!(off < 1e-5, "{step_mode}: off by {off:e}");
    }
}

#[test]
fn training_in_chunks_reduces_the_loss_of_a_batch() {
    let _own = own_random_numbers();
    let device = Default::default();
    B::seed(&device, 1);
    let mut config = network_config(
        "c8k3s1-BN-LIF-MPk2s2-c8k3s1-BN-LIF-MPk2s2-FC110-LIF-APk10s10",
        [32, 32],
    );
    config.chunk_steps = Some(3);
    let mut network = Network::<B>::new(&config, &device);
    let (mut adam, batch) = (Optimizer::new(Rule::Adam), batch());
    let alone = RunRanks::alone(Interrupt::default());
    let mut losses = Vec::new();
    for _ in 0..40 {
        let step = step(network, &mut adam, 0.003, &batch, &alone).unwrap();
        network = step.network;
        losses.extend(values(step.loss));
    }
    assert!(losses[39] < 0.3 * losses[0], "{losses:?}");
}
