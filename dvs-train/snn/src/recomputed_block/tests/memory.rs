//! Memory and time of a training step, with and without recomputed blocks.

use std::fs;
use std::time::Instant;

use burn::backend::{Autodiff, Flex};
use burn::tensor::Tensor;

use super::super::memory::{BlockBytes, block_bytes};
use super::*;
use crate::fused_block::FusedBlock;

/// Blocks of the network for DVS128 Gesture.
const BLOCKS: usize = 5;

/// The images and the settings of each block of the network.
fn network(
    [steps, batch, channels, size]: [usize; 4],
) -> Vec<(BlockImages<[usize; 4]>, FusedBlock)> {
    let n = steps * batch;
    (0..BLOCKS)
        .map(|block| {
            let size = size >> block;
            let images = match block {
                0 => BlockImages::Counts([n, 2, size, size]),
                _ => BlockImages::Spikes([n, channels, size, size]),
            };
            let block = FusedBlock {
                neuron: Neuron::LIF,
                steps,
                shape: [n, channels, size, size],
                pool: true,
            };
            (images, block)
        })
        .collect()
}

#[test]
fn a_step_needs_four_tenths_of_the_memory_by_the_estimate() {
    let network = network([16, 16, 128, 128]);
    let bytes: Vec<BlockBytes> = network
        .iter()
        .map(|(images, block)| block_bytes(images, block, 4))
        .collect();
    let kept: u64 = bytes.iter().map(|bytes| bytes.kept).sum();
    let peak = bytes.iter().map(|bytes| bytes.peak).max().unwrap();
    // Separate nodes keep each output and its pooled spikes, which are a quarter.
    let values = |shape: [usize; 4]| shape.iter().product::<usize>() as u64;
    let separate: u64 = network
        .iter()
        .map(|(_, block)| values(block.shape) * 5)
        .sum();
    let share = (kept + peak) as f64 / separate as f64;
    assert!((0.3..0.4).contains(&share), "{share}");
    // 32 spikes in 4 bytes: 1 / 32 of their memory.
    assert_eq!(bytes[1].kept, values([256, 128, 64, 64]) / 8);
}

/// The largest memory of this process since the last reset, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}

/// Trains one step on random frames. Returns the gradients of all weights.
fn step(sizes: [usize; 4], recompute: bool) -> Vec<Vec<f32>> {
    type B = Autodiff<Flex>;
    let [steps, batch, channels, size] = sizes;
    let device = Default::default();
    let frames = wave::<B, 4>([steps * batch, 2, size, size], 2.3, &device);
    // About a tenth of the cells have events.
    let mut x = (frames - 0.95).clamp_min(0.0) * 100.0;
    let mut weights = Vec::new();
    for block in 0..BLOCKS {
        let inputs = x.dims()[1];
        let bound = 1.0 / (9.0 * inputs as f64).sqrt();
        let w = wave::<B, 4>([channels, inputs, 3, 3], 0.7, &device) * bound;
        let w = w.detach().require_grad();
        weights.push(w.clone());
        let norm = BatchNorm::<B>::new(channels, &device);
        let neurons = Neurons::<B>::new(Neuron::LIF, &device);
        let geometry = Geometry::SAME;
        x = if recompute {
            let images = match block {
                0 => BlockImages::Counts(x),
                _ => BlockImages::Spikes(x),
            };
            let half = None;
            let convolution = BlockConvolution { w, half, geometry };
            recomputed_block(images, convolution, &norm, &neurons, steps, true)
        } else {
            norm_fire_pool(convolve(x, w, geometry), &norm, &neurons, steps, true)
        };
    }
    let grad: Tensor<B, 4> = wave(x.dims(), 0.11, &device);
    let grads = (x * grad).sum().backward();
    weights
        .iter()
        .map(|w| values(w.grad(&grads).unwrap()))
        .collect()
}

/// Prints memory and time of a step. `MEMORY_SIZES` has T, B, C and the size of a frame.
#[test]
#[ignore = "takes a minute, and reads the memory of the process from Linux"]
fn measure_memory_and_time() {
    let sizes = std::env::var("MEMORY_SIZES").unwrap_or_else(|_| "16 2 32 128".to_owned());
    let sizes: Vec<usize> = sizes.split(' ').map(|size| size.parse().unwrap()).collect();
    let sizes = sizes.try_into().unwrap();
    let run = |recompute| {
        // Resets the peak.
        fs::write("/proc/self/clear_refs", "5").unwrap();
        let before = peak();
        let start = Instant::now();
        let gradients = step(sizes, recompute);
        (gradients, peak() - before, start.elapsed().as_secs_f64())
    };
    step([2, 1, 16, 32], true);
    let mut results = Vec::new();
    for recompute in [false, true, false, true] {
        let (gradients, bytes, seconds) = run(recompute);
        println!(
            "recompute {recompute}: {} MB, {seconds:.2} s",
            bytes / 1_000_000
        );
        results.push((gradients, bytes));
    }
    assert!(
        results
            .iter()
            .all(|(gradients, _)| *gradients == results[0].0)
    );
    println!("share: {:.3}", results[1].1 as f64 / results[0].1 as f64);
}
