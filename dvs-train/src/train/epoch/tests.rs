#![allow(clippy::unwrap_used)]

use burn::backend::{Autodiff, Flex};
use burn_snn::testing::{own_random_numbers, values};
use dvs_shared::{CountType, Frames};

use super::*;
use crate::console::interrupt::Interrupt;
use crate::data::batch::HostBatch;
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
