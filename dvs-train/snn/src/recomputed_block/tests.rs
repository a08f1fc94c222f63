#![allow(clippy::unwrap_used)]

mod memory;

use std::ops::Range;

use burn::backend::{Autodiff, Flex};
use burn::module::Param;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};

use super::channels::parts;
use super::{BlockConvolution, BlockImages, RecomputedBlockBackend, recomputed_block};
use crate::backend::primitive::primitive;
use crate::batch_norm::BatchNorm;
use crate::batch_norm::ranks::BatchRanks;
use crate::convolution::{Geometry, convolve, convolve_half};
use crate::fused_block::norm_fire_pool;
use crate::fused_block::tests::kinds;
use crate::neuron::{Neuron, Neurons};
use crate::testing::{distance, on_gpu, on_two_ranks, values, wave};

/// A block and its images.
#[derive(Clone, Copy, Debug)]
struct Case {
    neuron: Neuron,
    steps: usize,
    /// Shape of the images.
    images: [usize; 4],
    /// Number of output channels.
    outputs: usize,
    /// Height and width of the convolution's kernel.
    kernel: usize,
    geometry: Geometry,
    pool: bool,
    /// Whether the images are spikes, or else counts.
    spikes: bool,
    /// Whether the gradient of the images is needed.
    tracked: bool,
    /// Whether the convolution computes in 16 bits.
    half: bool,
}

/// The names of [`Case::run`]'s results.
const NAMES: [&str; 8] = [
    "spikes",
    "w",
    "gamma",
    "beta",
    "mean",
    "variance",
    "x",
    "neuron's w",
];

impl Case {
    /// Returns the images of some of the `samples`. They are not smooth, so that counts and spikes
    /// differ from cell to cell.
    fn images<K: RecomputedBlockBackend>(
        &self,
        samples: &Range<usize>,
        device: &K::Device,
    ) -> Tensor<Autodiff<K>, 4> {
        let [n, c, height, width] = self.images;
        let shape = [self.steps, n / self.steps, c * height * width];
        let x = wave::<Autodiff<K>, 3>(shape, 2.3, device);
        let x = match self.spikes {
            true => x.greater_elem(0.4).float(),
            false => (x * 3.0).clamp_min(0.0).round(),
        };
        let x = x.narrow(1, samples.start, samples.len());
        x.reshape([self.steps * samples.len(), c, height, width])
    }

    /// Returns the block's spikes, the new running statistics and all gradients that there are. Ranks
    /// share the batch, and this one has some of the `samples`.
    fn run<K: RecomputedBlockBackend>(
        &self,
        recompute: bool,
        samples: Range<usize>,
        ranks: BatchRanks,
        device: &K::Device,
    ) -> Vec<Vec<f32>> {
        let (c, steps) = (self.outputs, self.steps);
        let mut x = self.images::<K>(&samples, device);
        if self.tracked {
            x = x.require_grad();
        }
        let w = [c, self.images[1], self.kernel, self.kernel];
        let w = wave::<Autodiff<K>, 4>(w, 0.7, device).require_grad();
        let mut norm = BatchNorm::<Autodiff<K>>::new(c, device);
        norm.gamma = Param::from_tensor(wave([c], 0.5, device) + 1.5);
        norm.beta = Param::from_tensor(wave([c], 0.3, device) + 0.3);
        norm.ranks = ranks;
        let neurons = Neurons::<Autodiff<K>>::new(self.neuron, device);
        let half = self
            .half
            .then(|| primitive(w.clone().detach().cast(DType::F16)));
        let images = match self.half {
            true => x.clone().cast(DType::F16),
            false => x.clone(),
        };
        let spikes = if recompute {
            let images = match self.spikes {
                true => BlockImages::Spikes(images),
                false => BlockImages::Counts(images),
            };
            let convolution = BlockConvolution {
                w: w.clone(),
                half,
                geometry: self.geometry,
            };
            recomputed_block(images, convolution, &norm, &neurons, steps, self.pool)
        } else {
            let y = match half {
                Some(half) => convolve_half(images, w.clone(), half, self.geometry),
                None => convolve(images, w.clone(), self.geometry),
            };
            norm_fire_pool(y, &norm, &neurons, steps, self.pool)
        };
        let spikes = spikes.cast(DType::F32);
        let grad = wave(spikes.dims(), 0.11, device);
        let grads = (spikes.clone() * grad).sum().backward();
        let running = norm.running().moments;
        let vector = |x| values(crate::backend::primitive::tensor::<Autodiff<K>, 1>(x));
        let mut all = vec![
            values(spikes),
            values(w.grad(&grads).unwrap()),
            values(norm.gamma.grad(&grads).unwrap()),
            values(norm.beta.grad(&grads).unwrap()),
            vector(running.mean),
            vector(running.variance),
        ];
        all.extend(self.tracked.then(|| values(x.grad(&grads).unwrap())));
        let neuron_w = neurons.w.as_ref();
        all.extend(neuron_w.map(|w| values(w.grad(&grads).unwrap())));
        all
    }

    fn alone<K: RecomputedBlockBackend>(
        &self,
        recompute: bool,
        device: &K::Device,
    ) -> Vec<Vec<f32>> {
        let samples = 0..self.images[0] / self.steps;
        self.run::<K>(recompute, samples, BatchRanks::default(), device)
    }

    /// Checks that the block does what separate nodes do, to the bit if `most` is 0. Otherwise `most`
    /// is the largest difference from the largest gradient.
    fn assert_equals_separate_nodes<K: RecomputedBlockBackend>(
        &self,
        device: &K::Device,
        most: f32,
    ) {
        let found = self.alone::<K>(true, device);
        let expected = self.alone::<K>(false, device);
        assert!(expected[0].contains(&1.0) && expected[0].contains(&0.0));
        self.assert_same(&found, &expected, most);
    }

    fn assert_same(&self, found: &[Vec<f32>], expected: &[Vec<f32>], most: f32) {
        assert_eq!(found.len(), expected.len());
        assert_eq!(found[0], expected[0], "spikes of {self:?}");
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let name = match at {
                6 if !self.tracked => NAMES[7],
                _ => NAMES[at],
            };
            if most == 0.0 {
                assert_eq!(found, expected, "{name} of {self:?}");
                continue;
            }
            let largest = expected.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
            let off = distance(found, expected) / largest;
            // This is one sum over all neurons, whose terms cancel.
            let most = if name == NAMES[7] { 10.0 * most } else { most };
            assert!(off <= most, "{name} of {self:?} is off by {off:e}");
        }
    }
}

/// Blocks of every kind, whose channels are one part and several, and whole parts or not.
fn cases() -> Vec<Case> {
    let shapes = [
        (16, [32, 2, 8, 12], 20, true),
        (5, [15, 3, 6, 4], 7, true),
        (3, [9, 18, 4, 16], 33, true),
        (2, [6, 2, 16, 10], 64, true),
        (1, [3, 5, 2, 6], 16, true),
        // The height and the width are odd.
        (4, [12, 2, 7, 5], 37, true),
        (3, [6, 2, 5, 8], 20, false),
    ];
    let mut cases = Vec::new();
    for neuron in kinds() {
        for (steps, images, outputs, pool) in shapes {
            for (spikes, tracked) in [(false, false), (true, true), (true, false), (false, true)] {
                cases.push(Case {
                    neuron,
                    steps,
                    images,
                    outputs,
                    kernel: 3,
                    geometry: Geometry::SAME,
                    pool,
                    spikes,
                    tracked,
                    half: false,
                });
            }
        }
    }
    cases
}

#[test]
fn gradients_equal_those_of_separate_nodes_to_the_bit() {
    for case in cases() {
        case.assert_equals_separate_nodes::<Flex>(&Default::default(), 0.0);
    }
}

#[test]
fn other_convolutions_are_computed_again_too() {
    for case in cases().into_iter().filter(|case| case.images[2] > 5) {
        let case = Case {
            kernel: 5,
            geometry: Geometry {
                stride: 2,
                padding: 2,
            },
            pool: false,
            ..case
        };
        case.assert_equals_separate_nodes::<Flex>(&Default::default(), 0.0);
    }
}

#[test]
fn gpu_gradients_equal_those_of_separate_nodes() {
    on_gpu!(|K, device| {
        // Not all cases, because each compiles its own kernels.
        for case in cases().into_iter().step_by(11) {
            case.assert_equals_separate_nodes::<K>(&device, 1e-5);
        }
    });
}

#[test]
fn half_precision_gpu_gradients_equal_those_of_separate_nodes() {
    on_gpu!(|K, device| {
        if !K::supports_dtype(&device, DType::F16) {
            eprintln!("SKIPPED: 16 bits, which this GPU lacks");
            return;
        }
        for case in cases().into_iter().step_by(13) {
            let case = Case { half: true, ..case };
            case.assert_equals_separate_nodes::<K>(&device, 1e-3);
        }
    });
}

#[test]
fn two_ranks_get_what_separate_nodes_get() {
    for case in cases().into_iter().filter(|case| case.images[0] == 6) {
        let run = |recompute| {
            on_two_ranks(|rank, ranks| {
                // The first rank has one sample and the second another; the third is left out.
                let samples = rank..rank + 1;
                case.run::<Flex>(recompute, samples, ranks, &Default::default())
            })
        };
        for (found, expected) in run(true).iter().zip(&run(false)) {
            case.assert_same(found, expected, 0.0);
        }
    }
    on_gpu!(|K, device| {
        let case = cases()[12];
        let [found, _] =
            on_two_ranks(|rank, ranks| case.run::<K>(true, rank..rank + 1, ranks, &device));
        let [expected, _] =
            on_two_ranks(|rank, ranks| case.run::<K>(false, rank..rank + 1, ranks, &device));
        case.assert_same(&found, &expected, 1e-5);
    });
}

#[test]
fn outside_training_the_block_uses_running_statistics() {
    let device = Default::default();
    let x = wave::<Flex, 4>([4, 2, 6, 8], 2.3, &device);
    let w = wave::<Flex, 4>([5, 2, 3, 3], 0.7, &device);
    let norm = BatchNorm::<Flex>::new(5, &device);
    let neurons = Neurons::<Flex>::new(Neuron::LIF, &device);
    let y = convolve(x.clone(), w.clone(), Geometry::SAME);
    let expected = norm_fire_pool(y, &norm, &neurons, 2, true);
    let convolution = BlockConvolution {
        w,
        half: None,
        geometry: Geometry::SAME,
    };
    let images = BlockImages::Counts(x);
    let found = recomputed_block(images, convolution, &norm, &neurons, 2, true);
    assert_eq!(values(found), values(expected));
}

#[test]
fn parts_cover_all_channels() {
    for c in [0, 1, 15, 16, 17, 20, 32, 64, 100, 128, 200] {
        let parts = parts(c);
        assert!((1..=4).contains(&parts.len()), "{c}");
        assert_eq!(parts[0].start, 0);
        assert_eq!(parts[parts.len() - 1].end, c);
        assert!(
            parts
                .windows(2)
                .all(|pair| pair[0].end == pair[1].start && pair[0].len().is_multiple_of(16))
        );
    }
}
