#![allow(clippy::unwrap_used)]

mod potentials;

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::module::Param;
use burn::tensor::backend::Backend;
use burn::tensor::module::conv2d;
use burn::tensor::ops::FloatTensorOps;
use burn::tensor::ops::{ConvOptions, FloatTensor};
use burn::tensor::{DType, FloatDType, Tensor, TensorData, TensorMetadata, TensorPrimitive};
use rayon::ThreadPoolBuilder;

use super::{BlockBackend, BlockInputs, FusedBlock, cpu, norm_fire_pool, unfused};
use crate::backend::cpu::dims;
use crate::backend::primitive::primitive;
use crate::batch_norm::ranks::BatchRanks;
use crate::batch_norm::{
    Affine, BatchNorm, BatchNormBackend, BatchStatistics, Moments, Parameters, Running, Saved,
};
use crate::convolution::ConvolutionBackend;
use crate::neuron::model::Charge;
use crate::neuron::surrogate::{Surrogate, SurrogateShape};
use crate::neuron::{Neuron, Neurons};
use crate::testing::{back, distance, on_gpu, on_two_ranks, values, wave};

fn flat_values(tensor: FlexTensor) -> Vec<f32> {
    let n = tensor.layout().num_elements();
    back::<Flex, 1>(tensor.reshape([n].into()))
}

/// The arguments of the fused operations.
struct Arguments<B: BlockBackend> {
    inputs: BlockInputs<FloatTensor<B>>,
    grad: FloatTensor<B>,
    saved: Saved<FloatTensor<B>>,
    block: FusedBlock,
}

impl Arguments<Flex> {
    /// Copies the arguments to another backend.
    fn on<K: BlockBackend + ConvolutionBackend>(&self, device: &K::Device) -> Arguments<K> {
        let copy = |tensor: &FlexTensor| to_backend::<K>(tensor, device);
        Arguments {
            inputs: BlockInputs {
                // In the order in which the kernels take it, so that no copy is made.
                x: K::images(copy(&self.inputs.x)),
                affine: Affine {
                    scale: copy(&self.inputs.affine.scale),
                    shift: copy(&self.inputs.affine.shift),
                },
                w: self.inputs.w.as_ref().map(copy),
                v: self.inputs.v.as_ref().map(copy),
            },
            grad: copy(&self.grad),
            saved: Saved {
                gamma: copy(&self.saved.gamma),
                mean: copy(&self.saved.mean),
                inverse: copy(&self.saved.inverse),
                ranks: BatchRanks::default(),
            },
            block: self.block,
        }
    }
}

/// Copies a tensor to another backend.
fn to_backend<K: BlockBackend>(tensor: &FlexTensor, device: &K::Device) -> FloatTensor<K> {
    let data = Tensor::<Flex, 1>::from_primitive(TensorPrimitive::Float(
        tensor.reshape([tensor.layout().num_elements()].into()),
    ));
    let data = data.into_data().convert::<f32>();
    let shape = tensor.layout().shape().clone();
    let data = TensorData::new(data.to_vec::<f32>().unwrap(), shape);
    K::float_from_data(data, device)
}

fn arguments(neuron: Neuron, steps: usize, shape: [usize; 4], pool: bool) -> Arguments<Flex> {
    let device = Default::default();
    let block = FusedBlock {
        neuron,
        steps,
        shape,
        pool,
    };
    let c = shape[1];
    // The wave is slow, so that many pooling windows have several spikes and many have none.
    let x = wave::<Flex, 4>(shape, 0.37, &device) * 2.0;
    let grad = wave::<Flex, 4>(block.output_shape(), 0.11, &device);
    let parameters = Parameters {
        gamma: primitive(wave::<Flex, 1>([c], 0.5, &device) + 1.5),
        beta: primitive(wave::<Flex, 1>([c], 0.3, &device) + 0.3),
        epsilon: 1e-5,
    };
    let x = primitive(x);
    let running = Running {
        moments: Moments {
            mean: parameters.beta.clone(),
            variance: parameters.gamma.clone(),
        },
        momentum: 0.1,
        ranks: BatchRanks::default(),
    };
    let BatchStatistics { affine, saved, .. } = Flex::statistics(x.clone(), &parameters, running);
    let learns = matches!(neuron.charge, Charge::Learnt { .. });
    let w = learns.then(|| primitive(Tensor::<Flex, 1>::from_floats([0.4], &device)));
    Arguments {
        inputs: BlockInputs {
            x,
            affine,
            w,
            v: None,
        },
        grad: primitive(grad),
        saved,
        block,
    }
}

/// Neurons of every kind.
pub fn kinds() -> [Neuron; 4] {
    let tutorial = Neuron::LIF;
    [
        tutorial,
        Neuron {
            charge: Charge::Learnt {
                initial_tau: 2.0,
                decay_input: true,
            },
            detach_reset: false,
            ..tutorial
        },
        Neuron {
            charge: Charge::Leaky {
                tau: 3.0,
                decay_input: false,
            },
            reset: None,
            surrogate: Surrogate {
                shape: SurrogateShape::Sigmoid,
                alpha: 4.0,
            },
            ..tutorial
        },
        Neuron {
            charge: Charge::Integrate,
            reset: Some(-0.2),
            ..tutorial
        },
    ]
}

#[test]
fn fused_kernel_equals_separate_operations() {
    let shapes = [
        (1, [1, 1, 2, 2], true),
        (4, [8, 3, 2, 6], true),
        (5, [10, 2, 10, 14], true),
        (2, [6, 2, 36, 66], true),
        (16, [16, 2, 64, 64], true),
        (2, [2, 1, 4, 1030], true),
        (3, [6, 2, 3, 5], true),
        (4, [8, 3, 17, 17], true),
        (2, [4, 2, 17, 34], true),
        (2, [4, 2, 34, 17], true),
        // The last group of cells is one row, which is not pooled.
        (2, [2, 2, 5, 1030], true),
        (2, [2, 1, 31, 103], true),
        (4, [32, 3, 1, 1], false),
        (2, [12, 2, 1, 7], false),
        (3, [6, 2, 3, 5], false),
        (4, [8, 3, 17, 17], false),
        (2, [6, 2, 36, 66], false),
    ];
    for neuron in kinds() {
        for (steps, shape, pool) in shapes {
            let name = format!("{neuron}, T={steps}, {shape:?}, pool={pool}");
            let args = arguments(neuron, steps, shape, pool);
            assert!(args.block.is_whole());
            let fast = cpu::forward(&args.inputs, &args.block);
            assert_eq!(dims(&fast), args.block.output_shape(), "{name}");
            let fast = flat_values(fast);
            let plain = unfused::fire_pool::<Flex>(args.inputs.clone(), &args.block);
            assert_eq!(fast, flat_values(plain), "{name}");

            let counted = cpu::forward_count(&args.inputs, &args.block);
            let plain = unfused::fire_pool_count::<Flex>(args.inputs.clone(), &args.block);
            assert_eq!(flat_values(counted.0), fast, "{name}");
            let (counts, plain) = (flat_values(counted.1), flat_values(plain.1));
            assert!(plain.iter().sum::<f32>() > 0.0, "{name}");
            assert_eq!(counts, plain, "{name}");

            let fast = cpu::backward(&args.grad, &args.inputs, &args.saved, &args.block);
            let plain = unfused::backward::<Flex>(args.grad, args.inputs, args.saved, &args.block);
            for (what, (a, b)) in ["x", "gamma", "beta", "w"]
                .iter()
                .zip(fast.into_iter().zip(plain))
            {
                assert_eq!(a.is_some(), b.is_some(), "{name}: {what}");
                if let (Some(a), Some(b)) = (a, b) {
                    let (a, b) = (flat_values(a), flat_values(b));
                    let largest = b.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
                    let off = distance(&a, &b) / largest;
                    assert!(off < 1e-5, "{name}: {what} off by {off:e}");
                }
            }
        }
    }
}

#[test]
fn gpu_fused_kernel_equals_separate_operations() {
    on_gpu!(|K, device| {
        let shapes = [
            (1, [1, 1, 2, 2], true),
            (4, [8, 3, 2, 6], true),
            (5, [10, 34, 10, 14], true),
            (16, [32, 6, 4, 6], true),
            (32, [64, 5, 2, 4], true),
            (2, [6, 8, 36, 66], true),
            (2, [4, 2, 5, 7], true),
            (2, [6, 2, 17, 17], true),
            (2, [4, 2, 17, 34], true),
            (3, [6, 34, 6, 3], true),
            (2, [32, 2, 1, 1], false),
            (2, [12, 2, 1, 7], false),
            (2, [6, 2, 17, 17], false),
            (3, [6, 34, 6, 4], false),
            // These are more time steps than the kernels unroll.
            (40, [40, 2, 4, 4], true),
            (40, [40, 2, 3, 5], false),
        ];
        for neuron in kinds() {
            for (steps, shape, pool) in shapes {
                let name = format!("{neuron}, T={steps}, {shape:?}, pool={pool}");
                let args = arguments(neuron, steps, shape, pool);
                assert!(args.block.is_whole());
                let Arguments {
                    inputs,
                    grad,
                    saved,
                    ..
                } = args.on::<K>(&device);
                let x_before = flat_values(args.inputs.x.clone());
                let fast = K::fire_pool(inputs.clone(), &args.block);
                let plain = unfused::fire_pool::<Flex>(args.inputs.clone(), &args.block);
                let plain = flat_values(plain);
                assert_eq!(back::<K, 4>(fast), plain, "{name}");
                assert!(plain.contains(&1.0), "{name} is silent");
                let (counted, counts) = K::fire_pool_count(inputs.clone(), &args.block);
                assert_eq!(back::<K, 4>(counted), plain, "{name}");
                let (_, plain) = unfused::fire_pool_count::<Flex>(args.inputs.clone(), &args.block);
                assert_eq!(back::<K, 1>(counts), flat_values(plain), "{name}");

                // The gradient may take the place of x only if nobody else has x.
                let shared = (steps % 2 == 0).then(|| inputs.x.clone());
                let fast = K::norm_fire_pool_backward(grad, inputs, saved, &args.block);
                let plain =
                    unfused::backward::<Flex>(args.grad, args.inputs, args.saved, &args.block);
                if let Some(x) = shared {
                    assert_eq!(back::<K, 4>(x), x_before, "{name}: x changed");
                }
                let [dx, dgamma, dbeta, dw] = fast;
                let fast = [
                    dx.map(back::<K, 4>),
                    dgamma.map(back::<K, 1>),
                    dbeta.map(back::<K, 1>),
                    dw.map(back::<K, 1>),
                ];
                for (what, (a, b)) in ["x", "gamma", "beta", "w"]
                    .iter()
                    .zip(fast.into_iter().zip(plain))
                {
                    assert_eq!(a.is_some(), b.is_some(), "{name}: {what}");
                    if let (Some(a), Some(b)) = (a, b) {
                        let b = flat_values(b);
                        let largest = b.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
                        let off = distance(&a, &b) / largest;
                        // The gradient of w is one sum over all neurons, whose terms cancel.
                        let most = if *what == "w" { 1e-4 } else { 2e-5 };
                        assert!(off < most, "{name}: {what} off by {off:e}");
                    }
                }
            }
        }
    });
}

/// The kernels round only their results to 16 bits. Intermediate values have 32 bits.
#[test]
fn half_precision_gpu_block_matches_single_precision() {
    on_gpu!(|K, device| {
        if !K::supports_dtype(&device, DType::F16) {
            eprintln!("SKIPPED: 16 bits, which this GPU lacks");
            return;
        }
        for (neuron, steps, shape, pool) in [
            (kinds()[0], 16, [32, 8, 4, 6], true),
            (kinds()[1], 3, [6, 6, 8, 4], true),
            (kinds()[1], 3, [6, 6, 7, 5], true),
            (kinds()[0], 3, [6, 8, 7, 5], false),
        ] {
            let args = arguments(neuron, steps, shape, pool);
            let Arguments {
                inputs: BlockInputs { x, affine, w, .. },
                grad,
                saved,
                ..
            } = args.on::<K>(&device);
            let to_half = |tensor| K::float_cast(tensor, FloatDType::F16);
            let to_single = |tensor| K::float_cast(tensor, FloatDType::F32);
            let (x, grad) = (to_half(x), to_half(grad));
            let run = |x: FloatTensor<K>, grad| {
                let parameters = Parameters {
                    gamma: saved.gamma.clone(),
                    beta: saved.mean.clone(),
                    epsilon: 1e-5,
                };
                let running = Running {
                    moments: Moments {
                        mean: saved.mean.clone(),
                        variance: saved.gamma.clone(),
                    },
                    momentum: 0.5,
                    ranks: BatchRanks::default(),
                };
                let batch = K::statistics(x.clone(), &parameters, running);
                let inputs = BlockInputs {
                    x,
                    affine: affine.clone(),
                    w: w.clone(),
                    v: None,
                };
                let spikes = K::fire_pool(inputs.clone(), &args.block);
                let dtype = spikes.dtype;
                let [dx, dgamma, ..] =
                    K::norm_fire_pool_backward(grad, inputs, saved.clone(), &args.block);
                let all = [spikes, dx.unwrap(), dgamma.unwrap(), batch.running.variance];
                (
                    dtype,
                    all.map(|tensor| {
                        let n = tensor.meta.num_elements();
                        back::<K, 1>(K::float_reshape(to_single(tensor), [n].into()))
                    }),
                )
            };
            let (dtype, half) = run(x.clone(), grad.clone());
            assert_eq!(dtype, DType::F16);
            let (_, single) = run(to_single(x), to_single(grad));
            assert_eq!(half[0], single[0]);
            assert!(half[0].contains(&1.0));
            for (a, b) in half.iter().zip(&single).skip(1) {
                let largest = b.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
                let off = distance(a, b) / largest;
                assert!(off < 5e-4, "off by {off:e}");
            }
        }
    });
}

/// A convolution puts the channels last, so the block gets its input in this layout. The test also
/// covers the autodiff graph around the kernels.
#[test]
fn block_after_convolution_matches_cpu_on_gpu() {
    on_gpu!(|K, device| {
        fn run<K: BlockBackend>(
            [height, width]: [usize; 2],
            pool: bool,
            device: &K::Device,
        ) -> [Vec<f32>; 3] {
            let x = wave::<Autodiff<K>, 4>([8, 2, height, width], 0.37, device) * 2.0;
            let x = x.require_grad();
            let weight = wave::<Autodiff<K>, 4>([6, 2, 3, 3], 0.7, device).require_grad();
            let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
            let y = conv2d(x.clone(), weight.clone(), None, options);
            let norm = BatchNorm::<Autodiff<K>>::new(6, device);
            let neurons = Neurons::<Autodiff<K>>::new(kinds()[1], device);
            let spikes = norm_fire_pool(y, &norm, &neurons, 4, pool);
            let shape = spikes.dims();
            let grads = (spikes.clone() * wave(shape, 0.11, device))
                .sum()
                .backward();
            [
                values(spikes),
                values(x.grad(&grads).unwrap()),
                values(weight.grad(&grads).unwrap()),
            ]
        }
        for (size, pool) in [([8, 12], true), ([5, 7], true), ([5, 7], false)] {
            let [spikes, dx, dw] = run::<Flex>(size, pool, &Default::default());
            let on_gpu = run::<K>(size, pool, &device);
            assert_eq!(spikes, on_gpu[0]);
            for (a, b) in [(&dx, &on_gpu[1]), (&dw, &on_gpu[2])] {
                let largest = a.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
                let off = distance(a, b) / largest;
                assert!(off < 2e-5, "{size:?}, pool={pool}: off by {off:e}");
            }
        }
    });
}

#[test]
fn two_ranks_fire_like_one_with_the_whole_batch() {
    // On the CPU all moments and sums have double precision, so the same numbers come out.
    let blocks = [
        ([4, 3, 6, 8], true),
        ([4, 3, 5, 7], true),
        ([4, 3, 5, 7], false),
    ];
    for (shape, pool) in blocks {
        assert_two_ranks_match_one::<Flex>(shape, pool, &Default::default(), 0.0);
    }
    on_gpu!(|K, device| {
        for (shape, pool) in blocks {
            assert_two_ranks_match_one::<K>(shape, pool, &device, 1e-5);
        }
    });
}

/// `shape` is that of two time steps of two samples.
fn assert_two_ranks_match_one<K: BlockBackend>(
    shape: [usize; 4],
    pool: bool,
    device: &K::Device,
    most: f32,
) {
    let run = |samples: Range<usize>, ranks: BatchRanks| {
        let mut norm = BatchNorm::<Autodiff<K>>::new(3, device);
        norm.beta = Param::from_tensor(Tensor::full([3], 0.7, device));
        norm.ranks = ranks;
        let neurons = Neurons::<Autodiff<K>>::new(kinds()[1], device);
        let part = |[n, c, height, width]: [usize; 4], step| {
            let whole = wave::<Autodiff<K>, 5>([2, n / 2, c, height, width], step, device);
            let part = whole.narrow(1, samples.start, samples.len());
            part.flatten::<4>(0, 1)
        };
        let x = (part(shape, 0.37) * 2.0).require_grad();
        let spikes = norm_fire_pool(x.clone(), &norm, &neurons, 2, pool);
        let [_, c, height, width] = spikes.dims();
        let grad = part([4, c, height, width], 0.11);
        let grads = (spikes.clone() * grad).sum().backward();
        // Back to one row for each sample.
        let rows = |of: Tensor<K, 4>| {
            let cells = of.shape().num_elements() / (2 * samples.len());
            let rows = of.reshape([2, samples.len(), cells]).swap_dims(0, 1);
            values(rows)
        };
        [rows(spikes.inner()), rows(x.grad(&grads).unwrap())]
    };
    let whole = run(0..2, BatchRanks::default());
    let [first, second] = on_two_ranks(|rank, ranks| run(rank..rank + 1, ranks));
    assert_eq!([&*first[0], &second[0]].concat(), whole[0]);
    assert!(whole[0].contains(&1.0) && whole[0].contains(&0.0));
    let off = distance(&[&*first[1], &second[1]].concat(), &whole[1]);
    assert!(off <= most, "{off:e}");
}

#[test]
fn image_smaller_than_a_window_pools_to_nothing() {
    fn check<K: BlockBackend + ConvolutionBackend>(device: &K::Device) {
        let args = arguments(Neuron::LIF, 2, [4, 2, 1, 7], true).on::<K>(device);
        let (spikes, counts) = K::fire_pool_count(args.inputs.clone(), &args.block);
        assert_eq!(spikes.shape().dims(), [4, 2, 0, 3]);
        assert!(back::<K, 1>(counts).iter().sum::<f32>() > 0.0);
        let [dx, dgamma, ..] =
            K::norm_fire_pool_backward(args.grad, args.inputs, args.saved, &args.block);
        assert_eq!(back::<K, 4>(dx.unwrap()), [0.0; 56]);
        assert_eq!(back::<K, 1>(dgamma.unwrap()), [0.0; 2]);
    }
    check::<Flex>(&Default::default());
    on_gpu!(|K, device| check::<K>(&device));
}

#[test]
fn results_are_bitwise_identical_for_any_thread_count() {
    let run = |threads, shape, pool| {
        let threads = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        threads.install(|| {
            let args = arguments(kinds()[1], 4, shape, pool);
            let spikes = Flex::fire_pool(args.inputs.clone(), &args.block);
            let grads =
                Flex::norm_fire_pool_backward(args.grad, args.inputs, args.saved, &args.block);
            (
                flat_values(spikes),
                grads.map(|grad| flat_values(grad.unwrap())),
            )
        })
    };
    for (shape, pool) in [
        ([12, 5, 20, 24], true),
        ([12, 5, 17, 19], true),
        ([12, 5, 17, 19], false),
    ] {
        let one = run(1, shape, pool);
        assert_eq!(one, run(2, shape, pool));
        assert_eq!(one, run(5, shape, pool));
    }
}
