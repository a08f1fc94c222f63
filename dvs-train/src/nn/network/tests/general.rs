//! Networks of many shapes compute what SpikingJelly computes (`tests/data/networks.json`).

use super::*;
use crate::interop::naming::Naming;
use crate::nn::architecture::Architecture;
use crate::run_dir::weight_layout::Weight;
use crate::testing::fixtures::{Fixture, general};

#[test]
fn general_networks_match_spikingjelly() {
    let _own = own_random_numbers();
    assert_general_networks_match::<B>(&Default::default());
}

#[test]
fn general_networks_match_spikingjelly_on_gpu() {
    on_gpu!(|K, device| {
        let _own = own_random_numbers();
        assert_general_networks_match::<Autodiff<K>>(&device);
    });
}

fn assert_general_networks_match<B>(device: &B::Device)
where
    B: AutodiffBackend + SnnBackend,
    B::InnerBackend: SnnBackend,
{
    let mut npz = Npz::open("networks.npz");
    let networks = general();
    assert_eq!(networks.len(), 4);
    for fixture in &networks {
        println!("{}", fixture.notation);
        let network = made::<B>(fixture, device);
        let frames = Tensor::<B, 5>::from_data(fixture.frames(), device);
        let rate = network.valid().forward(frames.clone().inner());
        let expected = npz.values(&format!("{}|eval_rate", fixture.name));
        let off = distance(&values(rate), &expected);
        assert!(off < 1e-6, "{}: rates off by {off:e}", fixture.notation);
        assert_training_matches(fixture, &network, frames, &mut npz);
    }
}

/// The network of a fixture, without dropout.
fn made<B: AutodiffBackend + SnnBackend>(fixture: &Fixture, device: &B::Device) -> Network<B> {
    let mut config = network_config(&fixture.notation, fixture.size);
    let Architecture {
        blocks, linears, ..
    } = &mut config.architecture;
    blocks.iter_mut().for_each(|block| block.dropout = 0.0);
    linears.iter_mut().for_each(|linear| linear.dropout = 0.0);
    let weights = fixture.weights().into_checkpoint();
    weights.network(Network::new(&config, device)).unwrap()
}

/// Compares the output, the loss and the gradients of a training step, and the running statistics
/// after it.
fn assert_training_matches<B: AutodiffBackend + SnnBackend>(
    fixture: &Fixture,
    network: &Network<B>,
    frames: Tensor<B, 5>,
    npz: &mut Npz,
) {
    let key = |rest: &str| format!("{}|{rest}", fixture.name);
    let device = frames.device();
    let rate = network.forward(frames);
    let off = distance(&values(rate.clone()), &npz.values(&key("train_rate")));
    assert!(off < 1e-6, "rates off by {off:e}");
    let [batch, classes] = rate.dims();
    let mut target = vec![0.0_f32; batch * classes];
    for (sample, label) in fixture.labels.iter().enumerate() {
        target[sample * classes + label] = 1.0;
    }
    let target = Tensor::<B, 1>::from_floats(&*target, &device).reshape([batch, classes]);
    let loss = mean_squared_error(rate, target);
    let expected = npz.array::<f64>(&key("train_loss")).sum();
    let off = (f64::from(values(loss.clone())[0]) - expected).abs();
    assert!(off < 1e-7, "loss off by {off:e}");

    let grads = loss.backward();
    let architecture = network.architecture();
    let names = Naming::Model.names(architecture).unwrap();
    let all_neurons: Vec<_> = network.neurons().collect();
    for part in architecture.parts() {
        let name = names.name(part);
        let norm = |block: usize| network.blocks[block].norm.as_ref().unwrap();
        let of = |param: &Param<Tensor<B, 1>>| values(param.grad(&grads).unwrap());
        let (found, kind) = match part {
            Weight::Kernel(at) => (
                values(network.blocks[at].conv.weight.grad(&grads).unwrap()),
                "grad",
            ),
            Weight::Gamma(at) => (of(&norm(at).gamma), "grad"),
            Weight::Beta(at) => (of(&norm(at).beta), "grad"),
            Weight::Mean(at) => (values(norm(at).running_mean.value_sync()), "after"),
            Weight::Variance(at) => (values(norm(at).running_var.value_sync()), "after"),
            Weight::Matrix(at) => {
                let weight = &network.linears[at].linear.weight;
                (values(weight.grad(&grads).unwrap().transpose()), "grad")
            }
            Weight::Bias(_) => unreachable!("no fixture has a bias"),
            Weight::Tau(layer) => (of(all_neurons[layer].w.as_ref().unwrap()), "grad"),
        };
        let expected = npz.values(&key(&format!("{kind}|{name}")));
        let largest = expected.iter().fold(0.0_f32, |max, g| max.max(g.abs()));
        let off = distance(&found, &expected) / largest;
        println!("{kind} of {name} off by {off:e} of its largest");
        assert!(off < 1e-4, "{kind} of {name} off by {off:e} of its largest");
    }
}
