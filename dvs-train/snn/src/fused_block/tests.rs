#![allow(clippy::unwrap_used)]

use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex, Vulkan};
use burn::tensor::backend::Backend;
use burn::tensor::module::conv2d;
use burn::tensor::ops::FloatTensorOps;
use burn::tensor::ops::{ConvOptions, FloatTensor};
use burn::tensor::{DType, FloatDType, Tensor, TensorData, TensorPrimitive};
use rayon::ThreadPoolBuilder;

use super::{BlockBackend, BlockInputs, FusedBlock, cpu, norm_fire_pool, unfused};
use crate::backend::primitive::primitive;
use crate::batch_norm::{Affine, BatchNorm, BatchNormBackend, Parameters, Saved, affine};
use crate::neuron::model::Charge;
use crate::neuron::surrogate::{Surrogate, SurrogateShape};
use crate::neuron::{Neuron, Neurons};
use crate::testing::{back, distance, values, vulkan, wave};

fn lift(tensor: FlexTensor) -> Vec<f32> {
    let n = tensor.layout().num_elements();
    back::<Flex, 1>(tensor.reshape([n].into()))
}

type V = Vulkan;

/// Arguments of the fused operations.
struct Given {
    inputs: BlockInputs<FlexTensor>,
    grad: FlexTensor,
    saved: Saved<FlexTensor>,
    block: FusedBlock,
}

fn given(neuron: Neuron, steps: usize, shape: [usize; 4]) -> Given {
    let device = Default::default();
    let [n, c, height, width] = shape;
    // A slow wave, so that many windows have several spikes and many have none.
    let x = wave::<Flex, 4>(shape, 0.37, &device) * 2.0;
    let grad = wave::<Flex, 4>([n, c, height / 2, width / 2], 0.11, &device);
    let parameters = Parameters {
        gamma: primitive(wave::<Flex, 1>([c], 0.5, &device) + 1.5),
        beta: primitive(wave::<Flex, 1>([c], 0.3, &device) + 0.3),
        epsilon: 1e-5,
    };
    let x = primitive(x);
    let moments = Flex::moments(x.clone());
    let (affine, saved) = affine::<Flex>(&parameters, &moments);
    let learns = matches!(neuron.charge, Charge::Learnt { .. });
    let w = learns.then(|| primitive(Tensor::<Flex, 1>::from_floats([0.4], &device)));
    Given {
        inputs: BlockInputs { x, affine, w },
        grad: primitive(grad),
        saved,
        block: FusedBlock {
            neuron,
            steps,
            shape,
        },
    }
}

fn kinds() -> [Neuron; 4] {
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
fn the_kernel_is_one_after_the_other() {
    let shapes = [
        (1, [1, 1, 2, 2]),
        (4, [8, 3, 2, 6]),
        (5, [10, 2, 10, 14]),
        (2, [6, 2, 36, 66]),
        (16, [16, 2, 64, 64]),
        (2, [2, 1, 4, 1030]),
    ];
    for neuron in kinds() {
        for (steps, shape) in shapes {
            let name = format!("{neuron}, T={steps}, {shape:?}");
            let g = given(neuron, steps, shape);
            assert!(g.block.is_whole());
            let fast = lift(cpu::forward(&g.inputs, &g.block));
            let plain = unfused::fire_pool::<Flex>(g.inputs.clone(), &g.block);
            assert_eq!(fast, lift(plain), "{name}");

            let counted = cpu::forward_count(&g.inputs, &g.block);
            let plain = unfused::fire_pool_count::<Flex>(g.inputs.clone(), &g.block);
            assert_eq!(lift(counted.0), fast, "{name}");
            let (counts, plain) = (lift(counted.1), lift(plain.1));
            assert!(plain.iter().sum::<f32>() > 0.0, "{name}");
            assert_eq!(counts, plain, "{name}");

            let fast = cpu::backward(&g.grad, &g.inputs, &g.saved, &g.block);
            let plain = unfused::backward::<Flex>(g.grad, g.inputs, g.saved, &g.block);
            for (what, (a, b)) in ["x", "gamma", "beta", "w"]
                .iter()
                .zip(fast.into_iter().zip(plain))
            {
                assert_eq!(a.is_some(), b.is_some(), "{name}: {what}");
                if let (Some(a), Some(b)) = (a, b) {
                    let (a, b) = (lift(a), lift(b));
                    let largest = b.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
                    let off = distance(&a, &b) / largest;
                    assert!(off < 1e-5, "{name}: {what} off by {off:e}");
                }
            }
        }
    }
}

/// Copies an argument to another backend.
fn moved<K: BlockBackend>(tensor: &FlexTensor, device: &K::Device) -> FloatTensor<K> {
    let data = Tensor::<Flex, 1>::from_primitive(TensorPrimitive::Float(
        tensor.reshape([tensor.layout().num_elements()].into()),
    ));
    let data = data.into_data().convert::<f32>();
    let shape = tensor.layout().shape().clone();
    let data = TensorData::new(data.to_vec::<f32>().unwrap(), shape);
    K::float_from_data(data, device)
}

#[test]
fn the_kernel_on_vulkan_is_one_after_the_other() {
    let Some(device) = vulkan() else { return };
    let shapes = [
        (1, [1, 1, 2, 2]),
        (4, [8, 3, 2, 6]),
        (5, [10, 34, 10, 14]),
        (16, [32, 6, 4, 6]),
        (2, [6, 8, 36, 66]),
        // Odd sizes, and more time steps than the kernels unroll.
        (2, [4, 2, 5, 7]),
        (40, [40, 2, 4, 4]),
    ];
    for neuron in kinds() {
        for (steps, shape) in shapes {
            let name = format!("{neuron}, T={steps}, {shape:?}");
            let g = given(neuron, steps, shape);
            let there = |tensor: &FlexTensor| moved::<V>(tensor, &device);
            let inputs = BlockInputs {
                x: there(&g.inputs.x),
                affine: Affine {
                    scale: there(&g.inputs.affine.scale),
                    shift: there(&g.inputs.affine.shift),
                },
                w: g.inputs.w.as_ref().map(there),
            };
            let saved = Saved {
                gamma: there(&g.saved.gamma),
                mean: there(&g.saved.mean),
                inverse: there(&g.saved.inverse),
            };
            let fast = V::fire_pool(inputs.clone(), &g.block);
            let plain = unfused::fire_pool::<Flex>(g.inputs.clone(), &g.block);
            let plain = lift(plain);
            assert_eq!(back::<V, 4>(fast), plain, "{name}");
            assert!(plain.contains(&1.0), "{name} is silent");
            let (counted, counts) = V::fire_pool_count(inputs.clone(), &g.block);
            assert_eq!(back::<V, 4>(counted), plain, "{name}");
            let (_, plain) = unfused::fire_pool_count::<Flex>(g.inputs.clone(), &g.block);
            assert_eq!(back::<V, 1>(counts), lift(plain), "{name}");

            let grad = there(&g.grad);
            let fast = V::norm_fire_pool_backward(grad, inputs, saved, &g.block);
            let plain = unfused::backward::<Flex>(g.grad, g.inputs, g.saved, &g.block);
            let [dx, dgamma, dbeta, dw] = fast;
            let fast = [
                dx.map(back::<V, 4>),
                dgamma.map(back::<V, 1>),
                dbeta.map(back::<V, 1>),
                dw.map(back::<V, 1>),
            ];
            for (what, (a, b)) in ["x", "gamma", "beta", "w"]
                .iter()
                .zip(fast.into_iter().zip(plain))
            {
                assert_eq!(a.is_some(), b.is_some(), "{name}: {what}");
                if let (Some(a), Some(b)) = (a, b) {
                    let b = lift(b);
                    let largest = b.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
                    let off = distance(&a, &b) / largest;
                    assert!(off < 2e-5, "{name}: {what} off by {off:e}");
                }
            }
        }
    }
}

/// Tensors of 16 bits are rounded. Intermediate values have 32 bits.
#[test]
fn blocks_of_16_bits_are_those_of_32_rounded() {
    let Some(device) = vulkan() else { return };
    if !V::supports_dtype(&device, DType::F16) {
        eprintln!("SKIPPED: 16 bits, which this Vulkan device lacks");
        return;
    }
    for (neuron, steps, shape) in [
        (kinds()[0], 16, [32, 8, 4, 6]),
        (kinds()[1], 3, [6, 6, 8, 4]),
    ] {
        let g = given(neuron, steps, shape);
        let there = |tensor: &FlexTensor| moved::<V>(tensor, &device);
        let halved = |tensor: &FlexTensor| V::float_cast(there(tensor), FloatDType::F16);
        let single = |tensor| V::float_cast(tensor, FloatDType::F32);
        let affine = Affine {
            scale: there(&g.inputs.affine.scale),
            shift: there(&g.inputs.affine.shift),
        };
        let saved = Saved {
            gamma: there(&g.saved.gamma),
            mean: there(&g.saved.mean),
            inverse: there(&g.saved.inverse),
        };
        let (x, grad) = (halved(&g.inputs.x), halved(&g.grad));
        let w = g.inputs.w.as_ref().map(there);
        let run = |x: FloatTensor<V>, grad| {
            let moments = V::moments(x.clone());
            let inputs = BlockInputs {
                x,
                affine: affine.clone(),
                w: w.clone(),
            };
            let spikes = V::fire_pool(inputs.clone(), &g.block);
            let dtype = spikes.dtype;
            let [dx, dgamma, ..] =
                V::norm_fire_pool_backward(grad, inputs, saved.clone(), &g.block);
            let all = [spikes, dx.unwrap(), dgamma.unwrap(), moments.variance];
            (
                dtype,
                all.map(|tensor| {
                    let n = tensor.meta.num_elements();
                    back::<V, 1>(V::float_reshape(single(tensor), [n].into()))
                }),
            )
        };
        let (dtype, half) = run(x.clone(), grad.clone());
        assert_eq!(dtype, DType::F16);
        let (_, whole) = run(single(x), single(grad));
        assert_eq!(half[0], whole[0]);
        assert!(half[0].contains(&1.0));
        for (a, b) in half.iter().zip(&whole).skip(1) {
            let largest = b.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
            let off = distance(a, b) / largest;
            assert!(off < 5e-4, "off by {off:e}");
        }
    }
}

/// The channels are last already, as a convolution leaves them. Also tests the graph around the
/// kernels.
#[test]
fn a_block_after_a_convolution_is_the_same_on_vulkan() {
    let Some(device) = vulkan() else { return };
    fn run<K: BlockBackend>(device: &K::Device) -> [Vec<f32>; 3] {
        let x = (wave::<Autodiff<K>, 4>([8, 2, 8, 12], 0.37, device) * 2.0).require_grad();
        let weight = wave::<Autodiff<K>, 4>([6, 2, 3, 3], 0.7, device).require_grad();
        let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
        let y = conv2d(x.clone(), weight.clone(), None, options);
        let norm = BatchNorm::<Autodiff<K>>::new(6, device);
        let neurons = Neurons::<Autodiff<K>>::new(kinds()[1], device);
        let spikes = norm_fire_pool(y, &norm, &neurons, 4);
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
    let [spikes, dx, dw] = run::<Flex>(&Default::default());
    let there = run::<V>(&device);
    assert_eq!(spikes, there[0]);
    for (a, b) in [(&dx, &there[1]), (&dw, &there[2])] {
        let largest = a.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
        let off = distance(a, b) / largest;
        assert!(off < 2e-5, "off by {off:e}");
    }
}

#[test]
fn odd_sizes_go_one_by_one() {
    let g = given(Neuron::LIF, 2, [4, 2, 5, 7]);
    assert!(!g.block.is_whole());
    let pooled = Flex::fire_pool(g.inputs.clone(), &g.block);
    assert_eq!(lift(pooled).len(), 4 * 2 * 2 * 3);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let run = |threads| {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let g = given(kinds()[1], 4, [12, 5, 20, 24]);
            let spikes = Flex::fire_pool(g.inputs.clone(), &g.block);
            let grads = Flex::norm_fire_pool_backward(g.grad, g.inputs, g.saved, &g.block);
            (lift(spikes), grads.map(|grad| lift(grad.unwrap())))
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}
