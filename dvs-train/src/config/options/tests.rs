#![allow(clippy::unwrap_used, clippy::panic)]

use burn_snn::Charge;
use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};

/// Returns the error of a command line.
fn refused(args: &[&str]) -> String {
    let cli = Cli::try_parse_from(std::iter::once(&"dvs-train").chain(args)).unwrap();
    let Command::Train(args) = cli.chosen() else {
        panic!("{args:?} is another command");
    };
    let mut config = TrainConfig::default();
    args.apply(&mut config);
    let options = TrainOptions::resolve(config, &args.cache_request(), args.destination(), 1);
    format!("{:#}", options.unwrap_err())
}

#[test]
fn errors_name_invalid_values_and_their_limits() {
    for (args, message) in [
        (["-b", "0"], "--batch-size 0 is not within 1 and 65536"),
        (
            ["--test-batch-size", "0"],
            "--test-batch-size 0 is not within 1 and 65536",
        ),
        (["--epochs", "0"], "--epochs 0 is not within 1 and 1000000"),
        (["-j", "1000"], "--jobs 1000 is not within 1 and 256"),
        (["--channels", "0"], "--channels 0 is not within 1 and 4096"),
        (["-T", "2000"], "-T 2000 is not within 1 and 1024"),
        (["--lr", "0"], "--lr 0 is not within 0 (exclusive) and 10"),
        (
            ["--lr", "NaN"],
            "--lr NaN is not within 0 (exclusive) and 10",
        ),
    ] {
        assert_eq!(refused(&args), message);
    }
}

#[test]
fn refuses_frames_that_are_too_small_or_too_large() {
    let usual = TrainConfig::default();
    let refused = |size| {
        let refused = network_config(&usual, size, Some(11));
        refused.unwrap_err().to_string()
    };
    assert!(network_config(&usual, [32, 2048], Some(11)).is_ok());
    let text = refused([31, 128]);
    for part in [
        "--network does not fit: ",
        "pooling leaves nothing of its inputs of 1 x 8; frames of 31 x 128 are too small for this network",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let text = refused([128, 1 << 40]);
    assert!(text.contains("do not have 1 to 2048 pixels"), "{text}");
}

#[test]
fn a_notation_replaces_the_values_that_it_says_itself() {
    let mut config = TrainConfig::default();
    config.network.network = "c4k3s1-BN-PLIF-FC3-IF".to_owned().into();
    let network = network_config(&config, [8, 8], None).unwrap();
    config.describe_notation(&network.architecture);
    assert_eq!(config.network.channels, 4);
    assert_eq!(config.neurons.neuron, NeuronName::Plif);
    // Neurons without a leak take no tau, and the others do.
    config.neurons.tau = Some(3.0);
    let network = network_config(&config, [8, 8], Some(3)).unwrap();
    assert_eq!(network.neurons[1].charge, Charge::Integrate);
    let text = network_config(&config, [8, 8], Some(4))
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("are for 3 classes, and the data has 4; FC4 is for 4"),
        "{text}"
    );
}

#[test]
fn error_names_the_missing_device() {
    let error = refused(&["--device", "cuda:900"]);
    assert!(
        error.starts_with("--device cuda:900 cannot be used: "),
        "{error}"
    );
}

#[test]
fn missing_cache_error_shows_the_command_that_makes_it() {
    let dir = env!("CARGO_MANIFEST_DIR");
    assert_eq!(
        refused(&["--data-dir", dir, "-T", "8", "--split", "time"]),
        format!(
            "there is no frame cache {dir}/frames_number_8_split_by_time.h5; make it: \
             dvs-prep --frames 8 --split time --input {dir} --output {dir}/frames_number_8_split_by_time.h5"
        )
    );
    assert_eq!(
        refused(&["--cache", "none.h5"]),
        "there is no frame cache none.h5; make it: dvs-prep --frames 16 --split number --output none.h5"
    );
    let error = refused(&["--data-dir", "nowhere"]);
    assert!(
        error.starts_with("the data directory nowhere does not exist"),
        "{error}"
    );
    assert!(error.contains("--data-dir or $DVS_DATA"), "{error}");
}

#[test]
fn refuses_a_file_that_is_not_a_cache() {
    let error = refused(&[
        "--cache",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ]);
    assert!(error.contains("Cargo.toml is not a frame cache"), "{error}");
}
