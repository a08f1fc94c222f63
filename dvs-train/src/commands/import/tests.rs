#![allow(clippy::unwrap_used)]

use burn::backend::Flex;
use burn::backend::flex::FlexDevice;
use burn::tensor::{Tensor, TensorData};
use burn_snn::testing::{Npz, distance, values};
use dvs_shared::labels::CLASSES;

use super::*;
use crate::interop::pytorch::write;
use crate::interop::state_dict::state_dict as to_state_dict;
use crate::nn::network::Network;
use crate::testing::fixtures::of_classes;

/// The settings of an imported network.
fn config(imported: &Imported) -> TrainConfig {
    let mut config = TrainConfig::default();
    describe(&mut config, &imported.weights.architecture);
    config
}

/// The firing rates of an imported network, `[B, classes]`.
fn rates(imported: &Imported, frames: TensorData) -> Vec<f32> {
    let Architecture { size, classes, .. } = imported.weights.architecture;
    let config = network_config(&config(imported), size, Some(classes)).unwrap();
    assert_eq!(config.architecture, imported.weights.architecture);
    let network = Network::<Flex>::new(&config, &FlexDevice);
    let weights = imported.weights.clone().into_checkpoint();
    let network = weights.network(network).unwrap();
    values(network.forward(Tensor::from_data(frames, &FlexDevice)))
}

#[test]
fn imported_example_matches_spikingjelly_firing_rates() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/data/spikingjelly_checkpoint.pth"
    );
    let bytes = std::fs::read(file).unwrap();
    let imported = Imported::read(&bytes, Asked::default()).unwrap();
    assert_eq!(
        (imported.epoch, imported.max_test_acc),
        (Some(7), Some(0.5))
    );
    assert_eq!(imported.network, "SpikingJelly's DVSGestureNet");
    let network = config(&imported).network;
    assert_eq!(network.network, NetworkName::Gesture);
    assert_eq!((network.channels, network.hidden), (8, Some(512)));
    assert!(network.linear_bias);

    let mut npz = Npz::open("spikingjelly_checkpoint_io.npz");
    let x = npz.array::<u8>("x");
    let shape = x.shape().to_vec();
    let x: Vec<f32> = x.iter().map(|count| f32::from(*count)).collect();
    let found = rates(&imported, TensorData::new(x, shape));
    let expected = npz.values("rate");
    for (found, expected) in found.chunks(CLASSES).zip(expected.chunks(CLASSES)) {
        let expected = LabelOrder::Folder.to_plain(expected, CLASSES);
        assert!(distance(found, &expected) < 1e-6);
    }
}

#[test]
fn networks_of_all_classes_match_spikingjelly_and_export_as_they_were() {
    let mut npz = Npz::open("networks.npz");
    let fixtures = of_classes();
    assert_eq!(fixtures.len(), 6);
    for fixture in &fixtures {
        let state = fixture.state();
        let bytes = write::state_dict(&state).unwrap();
        let imported = Imported::read(&bytes, Asked::default()).unwrap();
        let class = fixture.class.clone().unwrap();
        assert_eq!(imported.network, format!("SpikingJelly's {class}"));
        let architecture = &imported.weights.architecture;
        assert_eq!(architecture.size, fixture.size);
        let (network, hidden, first, order) = match class.as_str() {
            "NMNISTNet" => (NetworkName::NMnist, 2048, "0", LabelOrder::Plain),
            "CIFAR10DVSNet" => (NetworkName::Cifar10Dvs, 512, "airplane", LabelOrder::Plain),
            _ => (
                NetworkName::Gesture,
                512,
                "hand_clapping",
                LabelOrder::Folder,
            ),
        };
        let settings = config(&imported).network;
        assert_eq!(settings.network, network);
        assert_eq!(settings.hidden, Some(hidden));
        assert_eq!(usual_names(architecture)[0], first);
        assert_eq!(imported.order, order);

        let found = rates(&imported, fixture.frames());
        let expected = npz.values(&format!("{}|eval_rate", fixture.name));
        let off = distance(&found, &fixture.by_label(&expected, order));
        assert!(off < 1e-6, "{}: rates off by {off:e}", fixture.name);

        let again = to_state_dict(&imported.weights, Naming::Model, order, 0).unwrap();
        assert_eq!(again.len(), state.len());
        for (again, state) in again.iter().zip(&state) {
            assert_eq!((&again.name, &again.shape), (&state.name, &state.shape));
            let is_count = state.name.ends_with("num_batches_tracked");
            assert!(is_count || again.values == state.values, "{}", state.name);
        }
    }
}
