#![allow(clippy::unwrap_used)]

mod general;

use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::module::{Param, ParamId, RunningState};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{DType, Tensor};
use burn_snn::backend::primitive::tensor;
use burn_snn::convolution::{Geometry, convolve};
use burn_snn::fused_block::pool;
use burn_snn::loss::mean_squared_error;
use burn_snn::neuron::Neuron;
use burn_snn::neuron::model::Charge;
use burn_snn::testing::{Npz, distance, on_gpu, own_random_numbers, values, wave};

use super::*;
use crate::console::interrupt::Interrupt;
use crate::data::batch::Batch;
use crate::nn::layer_summary::LayerSummary;
use crate::optim::optimizer::update::OptimizerBackend;
use crate::optim::optimizer::{Optimizer, Rule};
use crate::testing::{gesture, network_config};
use crate::train::epoch::step;
use crate::train::run_ranks::RunRanks;

type B = Autodiff<Flex>;

/// Position of each block's convolution in SpikingJelly's `Sequential`. Batch norm comes next.
const POSITIONS: [usize; 5] = [0, 4, 8, 12, 16];

/// Makes SpikingJelly's network of 8 channels with the weights saved under `moment`.
fn spikingjelly_network<B: AutodiffBackend + SnnBackend>(
    npz: &mut Npz,
    moment: &str,
    device: &B::Device,
) -> Network<B> {
    let config = network_config(&gesture(8, false), [128, 128]);
    let mut network = Network::<B>::new(&config, device);
    for (block, at) in network.blocks.iter_mut().zip(POSITIONS) {
        let mut state = |name: &str| {
            let value = npz.tensor(&format!("{moment}|{}.{name}", at + 1), device);
            RunningState::with_id(ParamId::new(), value)
        };
        let norm = block.norm.as_mut().unwrap();
        norm.running_mean = state("running_mean");
        norm.running_var = state("running_var");
        let mut param = |name: &str| {
            Param::from_tensor(npz.tensor(&format!("{moment}|{}.{name}", at + 1), device))
        };
        norm.gamma = param("weight");
        norm.beta = param("bias");
        block.conv.weight =
            Param::from_tensor(npz.tensor(&format!("{moment}|{at}.weight"), device));
    }
    for (layer, at) in network.linears.iter_mut().zip([21, 23]) {
        let weight: Tensor<B, 2> = npz.tensor(&format!("{moment}|{at}.weight"), device);
        layer.linear.weight = Param::from_tensor(weight.transpose());
    }
    network
}

fn spikingjelly_batch<B: AutodiffBackend>(npz: &mut Npz, device: &B::Device) -> Batch<B> {
    let target: Tensor<B, 2> = npz.tensor("target", device);
    Batch {
        frames: npz.tensor("x", device),
        labels: Vec::new(),
        target,
    }
}

/// Returns the value or gradient of every learnt weight with SpikingJelly's name and layout.
fn parameters<B: AutodiffBackend>(
    network: &Network<B>,
    of: impl Fn(Visit<B>) -> Vec<f32>,
) -> Vec<(String, Vec<f32>)> {
    let mut all = Vec::new();
    for (block, at) in network.blocks.iter().zip(POSITIONS) {
        let norm = block.norm.as_ref().unwrap();
        all.push((format!("{at}.weight"), of(Visit::Conv(&block.conv.weight))));
        all.push((format!("{}.weight", at + 1), of(Visit::Vector(&norm.gamma))));
        all.push((format!("{}.bias", at + 1), of(Visit::Vector(&norm.beta))));
    }
    for (layer, at) in network.linears.iter().zip([21, 23]) {
        let weight = &layer.linear.weight;
        all.push((format!("{at}.weight"), of(Visit::Matrix(weight))));
    }
    all
}

enum Visit<'a, B: AutodiffBackend> {
    Conv(&'a Param<Tensor<B, 4>>),
    Vector(&'a Param<Tensor<B, 1>>),
    Matrix(&'a Param<Tensor<B, 2>>),
}

#[test]
fn firing_rates_of_all_blocks_match_spikingjelly() {
    let _own = own_random_numbers();
    assert_firing_rates_match::<B>(&Default::default());
}

#[test]
fn firing_rates_of_all_blocks_match_spikingjelly_on_gpu() {
    on_gpu!(|K, device| {
        let _own = own_random_numbers();
        assert_firing_rates_match::<Autodiff<K>>(&device);
    });
}

#[test]
fn loss_and_gradients_match_spikingjelly() {
    let _own = own_random_numbers();
    assert_loss_and_gradients_match::<B>(&Default::default());
}

#[test]
fn loss_and_gradients_match_spikingjelly_on_gpu() {
    on_gpu!(|K, device| {
        let _own = own_random_numbers();
        assert_loss_and_gradients_match::<Autodiff<K>>(&device);
    });
}

#[test]
fn training_step_matches_spikingjelly() {
    let _own = own_random_numbers();
    assert_training_step_matches::<B>(&Default::default());
}

#[test]
fn training_step_matches_spikingjelly_on_gpu() {
    on_gpu!(|K, device| {
        let _own = own_random_numbers();
        assert_training_step_matches::<Autodiff<K>>(&device);
    });
}

/// Compares the firing rates of the neurons after each convolution.
fn assert_firing_rates_match<B: AutodiffBackend + SnnBackend>(device: &B::Device) {
    let mut npz = Npz::open("network.npz");
    let network = spikingjelly_network::<B>(&mut npz, "before", device);
    let batch = spikingjelly_batch::<B>(&mut npz, device);

    // This convolution and SpikingJelly's sum in different orders. If a membrane potential is
    // within about 1e-7 of the threshold, the neuron may spike in only one of the two. In the first
    // layer, that happens a handful of times in 2.4 million. The tolerance of the rates is 47
    // spikes in the first layer, and less than one spike in the last two.
    let mut x = batch.frames;
    for (block, at) in network.blocks.iter().zip(POSITIONS) {
        let [t, b, _, height, width] = x.dims();
        let norm = block.norm.as_ref().unwrap();
        let current = norm.forward(convolve(
            x.clone().flatten::<4>(0, 1),
            block.conv.weight.val(),
            Geometry::SAME,
        ));
        let spikes = block
            .neurons
            .forward(current.reshape([t, b, 8, height, width]));
        let rate = values(spikes.mean())[0];
        let off = (rate - npz.values(&format!("rate|{}", at + 2))[0]).abs();
        println!("layer {at}: rate {rate}, off by {off:e}");
        assert!(off < 2e-5, "layer {at}: rate {rate} is off by {off:e}");
        let inputs = LayerInputs {
            steps: t,
            half: None,
            dropout: None,
            memory: None,
        };
        x = block
            .forward(x.flatten::<4>(0, 1), inputs, 0, &mut ())
            .reshape([t, b, 8, height / 2, width / 2]);
    }
}

/// Compares the output, the loss and the gradients of a training step.
fn assert_loss_and_gradients_match<B>(device: &B::Device)
where
    B: AutodiffBackend + SnnBackend,
{
    let mut npz = Npz::open("network.npz");
    let network = spikingjelly_network::<B>(&mut npz, "before", device);
    let batch = spikingjelly_batch::<B>(&mut npz, device);
    let rate = network.forward(batch.frames);
    let off = distance(&values(rate.clone()), &npz.values("train_rate"));
    println!("rate off by {off:e}");
    assert!(off < 1e-6, "firing rate off by {off:e}");
    let loss = mean_squared_error(rate, batch.target);
    let expected = npz.array::<f64>("train_loss").sum();
    assert!((f64::from(values(loss.clone())[0]) - expected).abs() < 1e-8);

    let grads = loss.backward();
    let gradients = parameters(&network, |p| match p {
        Visit::Conv(p) => values(p.grad(&grads).unwrap()),
        Visit::Vector(p) => values(p.grad(&grads).unwrap()),
        Visit::Matrix(p) => values(p.grad(&grads).unwrap().transpose()),
    });
    for (name, gradient) in &gradients {
        let expected = npz.values(&format!("grad|{name}"));
        let largest = expected.iter().fold(0.0_f32, |max, g| max.max(g.abs()));
        let off = distance(gradient, &expected) / largest;
        println!("gradient of {name} off by {off:e} of its largest");
        assert!(
            off < 1e-4,
            "gradient of {name} off by {off:e} of its largest"
        );
    }
}

/// Compares the weights and the running statistics after a step of Adam, and then the output in
/// evaluation.
fn assert_training_step_matches<B>(device: &B::Device)
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend + OptimizerBackend,
{
    let mut npz = Npz::open("network.npz");
    let network = spikingjelly_network::<B>(&mut npz, "before", device);
    let batch = spikingjelly_batch::<B>(&mut npz, device);
    let adam = &mut Optimizer::new(Rule::Adam);
    let network = step(
        network,
        adam,
        0.001,
        &batch,
        &RunRanks::alone(Interrupt::default()),
    )
    .unwrap()
    .network;
    let weights = parameters(&network, |p| match p {
        Visit::Conv(p) => values(p.val()),
        Visit::Vector(p) => values(p.val()),
        Visit::Matrix(p) => values(p.val().transpose()),
    });
    for (name, weight) in &weights {
        let expected = npz.values(&format!("after_adam|{name}"));
        let gradient = npz.values(&format!("grad|{name}"));
        let largest = gradient.iter().fold(0.0_f32, |max, g| max.max(g.abs()));
        // Adam's first step is the learning rate times the gradient's sign. The sign is not defined
        // if the gradient is smaller than the tolerance of the gradients.
        assert_eq!(weight.len(), gradient.len(), "{name}");
        let with_sign = |values: &[f32]| -> Vec<f32> {
            let pairs = values.iter().zip(&gradient);
            pairs
                .filter(|(_, g)| **g == 0.0 || g.abs() >= 1e-4 * largest)
                .map(|(value, _)| *value)
                .collect()
        };
        let compared = with_sign(weight);
        let left_out = weight.len() - compared.len();
        let worst = distance(&compared, &with_sign(&expected));
        println!(
            "weight {name} off by {worst:e}, {left_out} of {} left out",
            weight.len()
        );
        assert!(worst < 1e-6, "weight {name} off by {worst:e}");
        assert!(
            left_out * 20 <= weight.len(),
            "{name}: {left_out} of {} left out",
            weight.len()
        );
    }
    for (block, at) in network.blocks.iter().zip(POSITIONS) {
        let mut compare = |state: &RunningState<Tensor<B, 1>>, name: &str| {
            let off = distance(
                &values(state.value_sync()),
                &npz.values(&format!("after_adam|{}.{name}", at + 1)),
            );
            println!("{name} of {at} off by {off:e}");
            assert!(off < 1e-6, "{name} of {at} off by {off:e}");
        };
        let norm = block.norm.as_ref().unwrap();
        compare(&norm.running_mean, "running_mean");
        compare(&norm.running_var, "running_var");
    }

    let rate = network.valid().forward(batch.frames.inner());
    assert_eq!(values(rate), npz.values("eval_rate"));
}

#[test]
fn tutorial_network_has_expected_shapes_and_initial_weights() {
    let _own = own_random_numbers();
    let config = network_config(&gesture(128, true), [128, 128]);
    let network = Network::<Flex>::new(&config, &Default::default());
    let layers = LayerSummary::all(&config.architecture);
    let shapes: Vec<_> = layers.iter().map(|layer| layer.shape.clone()).collect();
    let expected: [&[usize]; 7] = [
        &[128, 64, 64],
        &[128, 32, 32],
        &[128, 16, 16],
        &[128, 8, 8],
        &[128, 4, 4],
        &[512],
        &[11],
    ];
    assert_eq!(shapes, expected);
    let parameters: usize = layers.iter().map(|layer| layer.parameters).sum();
    // 2*128*9 + 4*128*128*9 + 5*2*128 + 2048*512 + 512*110
    assert_eq!(parameters, 1_698_304);
    // PyTorch draws initial values uniformly within 1 / sqrt(fan in).
    let weights = values(network.blocks[1].conv.weight.val());
    let bound = 1.0 / (128.0 * 9.0_f32).sqrt();
    let largest = weights.iter().fold(0.0_f32, |max, w| max.max(w.abs()));
    assert!(
        (0.999 * bound..=bound).contains(&largest),
        "{largest} {bound}"
    );
    let mean_square = weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32;
    assert!((mean_square * 3.0 / (bound * bound) - 1.0).abs() < 0.02);
}

#[test]
fn linear_bias_charges_neurons_once_per_time_step() {
    let _own = own_random_numbers();
    let device = Default::default();
    let mut config = network_config(&gesture(128, false), [128, 128]);
    config.architecture.linear_bias = true;
    let mut network = Network::<B>::new(&config, &device);
    let layers = LayerSummary::all(&config.architecture);
    let parameters: usize = layers.iter().map(|layer| layer.parameters).sum();
    assert_eq!(parameters, 1_698_304 + 512 + 110);
    // PyTorch draws initial biases uniformly within 1 / sqrt(fan in). Here, 512 inputs fan in.
    let bias = values(network.linears[1].linear.bias.clone().unwrap().val());
    let largest = bias.iter().fold(0.0_f32, |max, b| max.max(b.abs()));
    let bound = 1.0 / 512.0_f32.sqrt();
    assert!(
        (0.9 * bound..=bound).contains(&largest),
        "{largest} {bound}"
    );
    // The frames are zero, so only the bias charges the neurons. The membrane potential is half of
    // the bias after the first time step, and three quarters after the second. The threshold is 1.
    let frames = Tensor::<B, 5>::zeros([2, 1, 2, 128, 128], &device);
    for (bias, rate) in [(2.0, 1.0), (1.34, 0.5), (1.33, 0.0)] {
        let bias = Tensor::full([110], bias, &device);
        network.linears[1].linear.bias = Some(Param::from_tensor(bias));
        let none = Tensor::zeros([512], &device);
        network.linears[0].linear.bias = Some(Param::from_tensor(none));
        assert_eq!(values(network.forward(frames.clone())), [rate; 11]);
    }
}

#[test]
fn dropout_is_constant_over_time_and_off_in_evaluation() {
    let _own = own_random_numbers();
    let device = Default::default();
    let config = network_config(&gesture(2, true), [32, 32]);
    let network = Network::<B>::new(&config, &device);
    let ones = primitive(Tensor::<B, 4>::ones([3 * 400, 2, 1, 1], &device));
    let masks = network.masks(400, &device);
    assert!(masks[..5].iter().all(Option::is_none));
    let [first, second] = [5, 6].map(|layer| masks[layer].clone().unwrap());
    let dropped = B::drop_features(ones, Some(&first), DType::F32);
    let dropped = values(tensor::<B, 2>(dropped));
    let (first, rest) = dropped.split_at(800);
    assert_eq!(first, &rest[..800]);
    assert_eq!(first, &rest[800..]);
    assert_ne!(&first[..400], &first[400..]);
    let kept = first.iter().filter(|&&x| x == 2.0).count();
    assert_eq!(kept + first.iter().filter(|&&x| x == 0.0).count(), 800);
    assert!((340..460).contains(&kept), "{kept} of 800 kept");
    assert_eq!(tensor::<B, 2>(second.mask).dims(), [400, 8]);
    assert!(network.valid().masks(400, &device).is_empty());
}

/// Makes a network of 4 channels for frames of 32 x 32, and frames for it.
fn small(neuron: Neuron, step_mode: StepMode) -> (Network<B>, Tensor<B, 5>) {
    let device = Default::default();
    let mut config = network_config(&gesture(4, true), [32, 32]);
    config.neurons.fill(neuron);
    config.step_mode = step_mode;
    <B as Backend>::seed(&device, 3);
    let network = Network::<B>::new(&config, &device);
    (network, wave([6, 3, 2, 32, 32], 0.7, &device) * 4.0)
}

#[test]
fn both_step_modes_give_the_same_firing_rates() {
    let _own = own_random_numbers();
    let plif = Charge::Learnt {
        initial_tau: 2.0,
        decay_input: true,
    };
    for charge in [Neuron::LIF.charge, plif, Charge::Integrate] {
        let neuron = Neuron {
            charge,
            threshold: 0.05,
            ..Neuron::LIF
        };
        let rates = [StepMode::M, StepMode::S].map(|mode| {
            let (network, frames) = small(neuron, mode);
            values(network.valid().forward(frames.inner()))
        });
        assert!(
            rates[0].iter().any(|&rate| rate > 0.0),
            "{neuron} is silent"
        );
        assert_eq!(rates[0], rates[1], "{neuron}");
    }
}

/// The expected values are from SpikingJelly 2.0 for the same network and batch in step mode s: the
/// spikes of each class, the loss, the norms of the gradients, and the running variance of the
/// first batch norm.
#[test]
fn step_by_step_training_matches_spikingjelly() {
    const SPIKES: [[f32; 11]; 3] = [
        [1., 1., 4., 3., 3., 3., 2., 2., 0., 2., 0.],
        [1., 1., 2., 2., 4., 1., 2., 2., 0., 5., 1.],
        [1., 1., 2., 1., 0., 1., 2., 1., 1., 1., 0.],
    ];
    const LOSS: f32 = 0.086_978_115;
    const NORMS: [f32; 17] = [
        0.002_482_285,
        0.000_394_408_5,
        0.000_351_975_53,
        0.007_258_382_6,
        0.000_118_531_49,
        0.000_276_422_07,
        0.011_314_166,
        0.000_364_906_88,
        0.000_525_261_45,
        0.014_125_328,
        0.000_553_292_6,
        0.001_338_203,
        0.022_798_23,
        0.002_482_764_4,
        0.003_427_622,
        0.020_263_603,
        0.010_189_424,
    ];
    const RUNNING_VAR: [f32; 8] = [
        0.554_612,
        0.552_079_86,
        0.555_501_2,
        0.547_138_7,
        0.550_817_2,
        0.551_824_5,
        0.556_483_6,
        0.565_467_2,
    ];
    let _own = own_random_numbers();
    let mut npz = Npz::open("network.npz");
    let device = Default::default();
    let mut network = spikingjelly_network::<B>(&mut npz, "before", &device);
    network.step_mode = StepMode::S;
    let batch = spikingjelly_batch::<B>(&mut npz, &device);
    let rate = network.forward(batch.frames.clone());
    let spikes = values(rate.clone() * 60.0);
    assert!(
        distance(&spikes, SPIKES.as_flattened()) < 1e-4,
        "{spikes:?}"
    );
    let loss = mean_squared_error(rate, batch.target.clone());
    assert!((values(loss.clone())[0] - LOSS).abs() < 1e-7);
    let grads = loss.backward();
    let gradients = parameters(&network, |p| match p {
        Visit::Conv(p) => values(p.grad(&grads).unwrap()),
        Visit::Vector(p) => values(p.grad(&grads).unwrap()),
        Visit::Matrix(p) => values(p.grad(&grads).unwrap()),
    });
    for ((name, gradient), expected) in gradients.iter().zip(NORMS) {
        let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        assert!(
            (norm / expected - 1.0).abs() < 1e-3,
            "{name}: {norm} {expected}"
        );
    }
    let running = |block: &ConvBlock<B>| block.norm.as_ref().unwrap().running_var.value_sync();
    let running = values(running(&network.blocks[0]));
    assert!(distance(&running, &RUNNING_VAR) < 1e-6, "{running:?}");
}

#[test]
fn step_by_step_mode_updates_batch_norm_every_frame() {
    let _own = own_random_numbers();
    let (network, frames) = small(Neuron::LIF, StepMode::S);
    let (other, _) = small(Neuron::LIF, StepMode::M);
    network.forward(frames.clone());
    for t in 0..6 {
        let frame = frames.clone().narrow(0, t, 1).flatten::<4>(0, 1);
        let block = &other.blocks[0];
        let w = block.conv.weight.val();
        let norm = block.norm.as_ref().unwrap();
        norm.forward(convolve(frame, w, Geometry::SAME));
    }
    let mean = |network: &Network<B>| {
        let norm = network.blocks[0].norm.as_ref().unwrap();
        values(norm.running_mean.value_sync())
    };
    assert_eq!(mean(&network), mean(&other));
}

/// Tests half precision, because software drivers lack bfloat16. Both types use the same code.
#[test]
fn half_precision_gpu_training_approximates_single_precision() {
    on_gpu!(|K, device| {
        type V = Autodiff<K>;

        if !V::supports_dtype(&device, DType::F16) {
            eprintln!("SKIPPED: 16 bits, which this GPU lacks");
            return;
        }
        let _own = own_random_numbers();
        for step_mode in [StepMode::M, StepMode::S] {
            let neuron = Neuron {
                threshold: 0.3,
                ..Neuron::LIF
            };
            let mut config = network_config(&gesture(8, false), [32, 32]);
            config.neurons.fill(neuron);
            config.step_mode = step_mode;
            V::seed(&device, 3);
            let mut network = Network::<V>::new(&config, &device);
            let frames = wave([4, 6, 2, 32, 32], 0.7, &device) * 2.0;
            let target = wave::<V, 2>([6, 11], 0.3, &device);
            let mut run = |half| {
                network.half = half;
                let rate = network.forward(frames.clone());
                assert_eq!(rate.dtype(), DType::F32);
                let loss = mean_squared_error(rate, target.clone()) * 100.0;
                let grads = loss.backward();
                let grads = parameters(&network, |p| match p {
                    Visit::Conv(p) => values(p.grad(&grads).unwrap()),
                    Visit::Vector(p) => values(p.grad(&grads).unwrap()),
                    Visit::Matrix(p) => values(p.grad(&grads).unwrap()),
                });
                (values(loss)[0], grads)
            };
            let (loss, grads) = run(None);
            let (half_loss, half_grads) = run(Some(FloatDType::F16));
            println!("{step_mode:?}: loss {loss} in 32 bits, {half_loss} in 16");
            assert!((half_loss / loss - 1.0).abs() < 0.05);
            // Rounding a membrane potential changes spikes, and therefore the gradients of all layers.
            // In this small network, rounding only the weights of the convolutions turns the gradients
            // as far, so the test compares only their norms.
            for ((name, a), (_, b)) in grads.iter().zip(&half_grads) {
                let norm = |a: &[f32]| a.iter().map(|a| a * a).sum::<f32>().sqrt();
                let longer = norm(b) / norm(a);
                println!("gradient of {name}: {longer} times as long");
                assert!((0.1..10.0).contains(&longer), "{name}: {longer}");
            }
        }
    });
}

#[test]
fn accepts_rectangular_frames_and_other_batch_sizes() {
    let _own = own_random_numbers();
    let device = Default::default();
    let config = network_config(&gesture(3, true), [32, 64]);
    let network = Network::<B>::new(&config, &device);
    let rate = network.forward(wave([4, 5, 2, 32, 64], 0.7, &device));
    assert_eq!(rate.dims(), [5, 11]);
}

#[test]
fn pooling_passes_the_gradient_to_the_first_maximum() {
    let device = Default::default();
    let x = Tensor::<B, 1>::from_floats([1., 1., 0., 0., 1., 1., 1., 0.], &device)
        .reshape([1, 1, 2, 4])
        .require_grad();
    let y = pool(x.clone());
    let grads = (y * Tensor::<B, 1>::from_floats([3., 5.], &device).reshape([1, 1, 1, 2]))
        .sum()
        .backward();
    assert_eq!(
        values(x.grad(&grads).unwrap()),
        [3., 0., 0., 0., 0., 0., 5., 0.]
    );
}
