//! Tests of blocks whose neurons start from given potentials.

use super::*;
use crate::backend::primitive::tensor;
use crate::fused_block::{norm_fire_pool_from, pool};
use crate::neuron::Potentials;

/// Number of time steps and shape of a convolution's output, and whether the block pools.
type Form = (usize, [usize; 4], bool);

const FORMS: [Form; 10] = [
    (1, [2, 3, 2, 6], true),
    (4, [8, 3, 2, 6], true),
    (4, [8, 3, 17, 17], true),
    // The last group of cells is one row, which is not pooled.
    (2, [4, 2, 5, 1030], true),
    (2, [4, 2, 31, 103], true),
    (4, [32, 3, 1, 1], false),
    (2, [6, 3, 3, 5], false),
    (2, [4, 2, 36, 66], false),
    // These are more time steps than the GPU's kernels unroll.
    (40, [40, 2, 4, 4], true),
    (40, [40, 2, 3, 5], false),
];

/// Like [`arguments`], with potentials before the first step, on both sides of rest.
fn arguments_from(neuron: Neuron, (steps, shape, pool): Form) -> Arguments<Flex> {
    let mut args = arguments(neuron, steps, shape, pool);
    let neurons = shape.iter().product::<usize>() / steps;
    let v = wave::<Flex, 2>([1, neurons], 0.23, &Default::default());
    args.inputs.v = Some(primitive(v * 0.9));
    args
}

fn is_near(a: &[f32], b: &[f32], most: f32, name: &str) {
    let largest = b.iter().fold(1e-3_f32, |max, x| max.max(x.abs()));
    let off = distance(a, b) / largest;
    assert!(off <= most, "{name} off by {off:e}");
}

#[test]
fn kernel_that_starts_from_potentials_equals_separate_operations() {
    for neuron in kinds() {
        for form in FORMS {
            let name = format!("{neuron}, {form:?}");
            let args = arguments_from(neuron, form);
            assert!(args.block.is_whole());
            let (fast, last) = cpu::forward_from(&args.inputs, &args.block);
            let (plain, plain_last) =
                unfused::fire_pool_from::<Flex>(args.inputs.clone(), &args.block);
            assert_eq!(dims(&last), dims::<2>(&plain_last), "{name}");
            let plain = flat_values(plain);
            assert!(plain.contains(&1.0), "{name} is silent");
            assert_eq!(flat_values(fast), plain, "{name}");
            assert_eq!(flat_values(last), flat_values(plain_last), "{name}");
            let only_spikes = cpu::forward(&args.inputs, &args.block);
            assert_eq!(flat_values(only_spikes), plain, "{name}");

            let fast = cpu::backward(&args.grad, &args.inputs, &args.saved, &args.block);
            let plain = unfused::backward::<Flex>(args.grad, args.inputs, args.saved, &args.block);
            for (what, (a, b)) in ["x", "gamma", "beta", "w"]
                .iter()
                .zip(fast.into_iter().zip(plain))
            {
                assert_eq!(a.is_some(), b.is_some(), "{name}: {what}");
                if let (Some(a), Some(b)) = (a, b) {
                    let name = format!("{name}: {what}");
                    is_near(&flat_values(a), &flat_values(b), 1e-5, &name);
                }
            }
        }
    }
}

#[test]
fn two_halves_with_carried_potentials_fire_like_the_whole() {
    fn check<K: BlockBackend + ConvolutionBackend>(device: &K::Device, most: f32) {
        for neuron in kinds() {
            for (half, [n, c, height, width], pool) in FORMS {
                let shape = [2 * n, c, height, width];
                let name = format!("{neuron}, T={}, {shape:?}, pool={pool}", 2 * half);
                let args = arguments(neuron, 2 * half, shape, pool).on::<K>(device);
                let BlockInputs { x, affine, w, .. } = &args.inputs;
                let block = FusedBlock {
                    steps: half,
                    shape: [n, c, height, width],
                    ..args.block
                };
                let mut v = None;
                let halves = [0, n].map(|from| {
                    let inputs = BlockInputs {
                        x: primitive(tensor::<K, 4>(x.clone()).narrow(0, from, n)),
                        affine: affine.clone(),
                        w: w.clone(),
                        v: v.take(),
                    };
                    let (spikes, last) = K::fire_pool_from(inputs, &block);
                    v = Some(last);
                    back::<K, 4>(spikes)
                });
                let whole = back::<K, 4>(K::fire_pool(args.inputs.clone(), &args.block));
                assert_eq!(halves.concat(), whole, "{name}");

                let mut neurons = Neurons::<K>::new(neuron, device);
                neurons.w = w.clone().map(|w| Param::from_tensor(tensor(w)));
                let current = tensor::<K, 4>(K::scale(x.clone(), affine.clone()));
                let current = current.reshape([2 * half, n / half, c, height, width]);
                let mut expected: Potentials<K> = None;
                neurons.forward_from(current, &mut expected);
                let v = tensor::<K, 2>(v.unwrap());
                let expected = expected.unwrap();
                assert_eq!(v.dims(), expected.dims(), "{name}");
                is_near(&values(v), &values(expected), most, &name);
            }
        }
    }
    check::<Flex>(&Default::default(), 0.0);
    on_gpu!(|K, device| check::<K>(&device, 1e-5));
}

/// The loss also depends on the last potentials, whose gradient must go nowhere.
#[test]
fn gradients_are_those_of_separate_operations_with_constant_potentials() {
    fn run<K: BlockBackend>(
        neuron: Neuron,
        (steps, shape, pools): Form,
        fused: bool,
        at_rest: bool,
        device: &K::Device,
    ) -> Vec<Vec<f32>> {
        let [n, c, height, width] = shape;
        let x = (wave::<Autodiff<K>, 4>(shape, 0.37, device) * 2.0).require_grad();
        let mut norm = BatchNorm::<Autodiff<K>>::new(c, device);
        norm.gamma = Param::from_tensor(wave([c], 0.5, device) + 1.5);
        norm.beta = Param::from_tensor(wave([c], 0.3, device) + 0.3);
        let neurons = Neurons::<Autodiff<K>>::new(neuron, device);
        let start =
            wave::<Autodiff<K>, 2>([1, shape.iter().product::<usize>() / steps], 0.23, device);
        let start = (start * 0.9).require_grad();
        let mut v = (!at_rest).then(|| start.clone());
        let spikes = match fused {
            true => norm_fire_pool_from(x.clone(), &norm, &neurons, steps, pools, &mut v),
            false => {
                v = v.map(Tensor::detach);
                let y = norm.forward(x.clone());
                let y = y.reshape([steps, n / steps, c, height, width]);
                let spikes = neurons.forward_from(y, &mut v).reshape(shape);
                v = v.map(Tensor::detach);
                match pools {
                    true => pool(spikes),
                    false => spikes,
                }
            }
        };
        let last = v.unwrap();
        let shares = wave(spikes.dims(), 0.11, device);
        let loss = (spikes.clone() * shares).sum() + last.clone().sum();
        let grads = loss.backward();
        assert!(start.grad(&grads).is_none());
        let mut found = vec![
            values(spikes),
            values(last),
            values(norm.running_mean.value_sync()),
            values(x.grad(&grads).unwrap()),
            values(norm.gamma.val().grad(&grads).unwrap()),
            values(norm.beta.val().grad(&grads).unwrap()),
        ];
        if let Some(w) = &neurons.w {
            found.push(values(w.val().grad(&grads).unwrap()));
        }
        found
    }
    fn check<K: BlockBackend>(device: &K::Device, most: [f32; 2]) {
        for neuron in kinds() {
            for form in FORMS {
                for at_rest in [true, false] {
                    let expected = run::<Flex>(neuron, form, false, at_rest, &Default::default());
                    let found = run::<K>(neuron, form, true, at_rest, device);
                    assert_eq!(found[0], expected[0], "{neuron}, {form:?}");
                    assert_eq!(found.len(), expected.len());
                    for (at, (a, b)) in found.iter().zip(&expected).enumerate() {
                        // The gradient of w is one sum over all neurons, whose terms cancel.
                        let most = if at == 6 { most[1] } else { most[0] };
                        let name = format!("{neuron}, {form:?}, at rest: {at_rest}, {at}");
                        is_near(a, b, most, &name);
                    }
                }
            }
        }
    }
    check::<Flex>(&Default::default(), [1e-5, 1e-5]);
    on_gpu!(|K, device| check::<K>(&device, [2e-5, 1e-4]));
}

/// Outside training, the running statistics normalise.
#[test]
fn potentials_go_on_outside_training() {
    let device = Default::default();
    let neurons = Neurons::<Flex>::new(kinds()[1], &device);
    let norm = BatchNorm::<Flex>::new(3, &device);
    let x = wave::<Flex, 4>([8, 3, 5, 6], 0.37, &device) * 6.0;
    let mut v = None;
    let halves = [0, 4].map(|from| {
        let x = x.clone().narrow(0, from, 4);
        values(norm_fire_pool_from(x, &norm, &neurons, 2, true, &mut v))
    });
    let whole = values(norm_fire_pool(x, &norm, &neurons, 4, true));
    assert_eq!(halves.concat(), whole);
    assert!(whole.contains(&1.0));
}

/// The block computes in 32 bits, because the potentials have 32 bits.
#[test]
fn half_precision_block_starts_from_single_precision_potentials_on_gpu() {
    on_gpu!(|K, device| {
        if !K::supports_dtype(&device, DType::F16) {
            eprintln!("SKIPPED: 16 bits, which this GPU lacks");
            return;
        }
        for form in [FORMS[1], FORMS[2], FORMS[6], FORMS[8]] {
            let args = arguments_from(kinds()[1], form);
            let Arguments {
                inputs,
                grad,
                saved,
                block,
            } = args.on::<K>(&device);
            let to = |tensor, dtype| K::float_cast(tensor, dtype);
            let run = |x: FloatTensor<K>, grad| {
                let dtype = x.dtype;
                let inputs = BlockInputs {
                    x,
                    ..inputs.clone()
                };
                let (spikes, last) = K::fire_pool_from(inputs.clone(), &block);
                let [dx, dgamma, ..] =
                    K::norm_fire_pool_backward(grad, inputs, saved.clone(), &block);
                let dx = dx.unwrap();
                assert_eq!(
                    [spikes.dtype, last.dtype, dx.dtype],
                    [dtype, DType::F32, dtype]
                );
                [
                    back::<K, 4>(to(spikes, FloatDType::F32)),
                    back::<K, 2>(last),
                    back::<K, 4>(to(dx, FloatDType::F32)),
                    back::<K, 1>(dgamma.unwrap()),
                ]
            };
            let [x, grad] = [inputs.x.clone(), grad].map(|wide| to(wide, FloatDType::F16));
            let half = run(x.clone(), grad.clone());
            let single = run(to(x, FloatDType::F32), to(grad, FloatDType::F32));
            assert_eq!(half[..2], single[..2]);
            assert!(half[0].contains(&1.0));
            for (a, b) in half.iter().zip(&single).skip(2) {
                is_near(a, b, 5e-4, "gradient");
            }
        }
    });
}
