#![allow(clippy::unwrap_used)]

use burn::backend::Flex;
use burn::backend::flex::FlexDevice;
use burn::tensor::{Tensor, TensorData};
use burn_snn::testing::{Npz, values};
use dvs_shared::labels::CLASSES;

use super::*;
use crate::nn::network::Network;

#[test]
fn imported_example_matches_spikingjelly_firing_rates() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/data/spikingjelly_checkpoint.pth"
    );
    let bytes = std::fs::read(file).unwrap();
    let imported = Imported::read(&bytes, LabelOrder::Folder, [128, 128]).unwrap();
    assert_eq!(
        (imported.epoch, imported.max_test_acc),
        (Some(7), Some(0.5))
    );
    let architecture = imported.weights.architecture;
    assert_eq!(
        (
            architecture.channels,
            architecture.hidden,
            architecture.linear_bias
        ),
        (8, 512, true)
    );
    let mut config = TrainConfig::default();
    config.network.channels = architecture.channels;
    config.network.hidden = Some(architecture.hidden);
    config.network.linear_bias = true;
    let config = network_config(&config, [128, 128], CLASSES).unwrap();
    let network = Network::<Flex>::new(&config, &FlexDevice);
    let network = imported.weights.into_checkpoint().network(network).unwrap();

    let mut npz = Npz::open("spikingjelly_checkpoint_io.npz");
    let x = npz.array::<u8>("x");
    let shape = x.shape().to_vec();
    let x: Vec<f32> = x.iter().map(|count| f32::from(*count)).collect();
    let x = Tensor::from_data(TensorData::new(x, shape), &FlexDevice);
    let found = values(network.forward(x)); // [B, classes]
    let expected = npz.values("rate");
    for (found, expected) in found.chunks(CLASSES).zip(expected.chunks(CLASSES)) {
        for (output, label) in LabelOrder::Folder.labels(CLASSES).into_iter().enumerate() {
            assert!(
                (found[label] - expected[output]).abs() < 1e-6,
                "{found:?} {expected:?}"
            );
        }
    }
}
