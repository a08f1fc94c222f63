//! Networks in the literature's notation, and training in little memory, through all commands.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Place, fail, only_entry, output, prepare, rows, run, text};

/// A network with all that a notation offers: blocks without pooling, other kernels, average pooling,
/// different neurons, dropout before a convolution and no batch norm.
const EVERYTHING: &str = "{c4k3s1-BN-LIF}*2-MPk2s2-DP0.2-c5k5s2-BN-PLIF-APk2s2-c6k3s1-IF-MPk3s2-DP-FC24-LIF-FC22-LIF-APk2s2";

/// Trains for two epochs on the place's cache, 2 frames per sample. Returns the run's folder.
fn train(place: &Place, out: &str, args: &[&str]) -> PathBuf {
    let (cache, out) = (place.cache(), place.at(out));
    let line = ["--cache", &cache, "--out-dir", &out, "--device", "cpu"];
    let small = ["-b", "4", "--epochs", "2", "--lr", "0.01"];
    run(&[&line[..], &small, args].concat());
    only_entry(Path::new(&out))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn all_commands_take_a_network_in_notation() {
    let place = Place::new();
    // A low threshold keeps all layers active.
    let folder = train(
        &place,
        "logs",
        &["--network", EVERYTHING, "--v-threshold", "0.1"],
    );
    let run_folder = folder.to_str().unwrap();
    let name = folder.file_name().unwrap().to_str().unwrap();
    assert!(name.contains("_network_"), "{name}");
    assert!(!name.contains(['{', '}', '*', '/']), "{name}");

    let header = rows(&folder)[0].join(",");
    let layers = "firing_rate_conv1,firing_rate_conv2,firing_rate_conv3,firing_rate_conv4,firing_rate_fc1,firing_rate_fc2";
    assert!(header.ends_with(&format!("{layers},tau_conv3")), "{header}");

    let judged = json(&run(&["eval", run_folder, "--device", "cpu", "--json"]));
    assert_eq!(judged["firing_rates"].as_object().unwrap().len(), 6);
    run(&[
        "predict",
        run_folder,
        &place.archive(),
        "--device",
        "cpu",
        "--sample",
        "user02_led_0@2",
    ]);
    let page = place.at("page.html");
    run(&["report", run_folder, "-o", &page]);
    assert!(fs::read_to_string(&page).unwrap().contains("c5k5s2"));

    let profile = run(&["profile", run_folder, "--device", "cpu"]);
    for part in [
        "not fused: conv3: its convolution (5 x 5, stride 2, padding 2) is burn's",
        "not fused: conv3: APk2s2 is a separate operation",
        "not fused: conv4: its neurons and pooling are separate operations without batch norm",
    ] {
        assert!(profile.contains(part), "{part}: {profile}");
    }
    let profile = json(&run(&["profile", run_folder, "--device", "cpu", "--json"]));
    let macs = |at: usize| profile["layers"][at]["macs"].as_f64().unwrap() > 0.0;
    // Average pooling gives shares of spikes, which have to be multiplied.
    assert_eq!([0, 1, 2, 3, 4].map(macs), [true, false, false, true, false]);

    // The same network, written in another way.
    let again = EVERYTHING.replace("{c4k3s1-BN-LIF}*2", "c4k3s1-BN-LIF-{c4k3s1-BN-LIF}");
    let longer = run(&["--resume", run_folder, "--epochs", "3", "--network", &again]);
    assert!(longer.contains("epoch=2,"), "{longer}");
}

#[test]
fn a_notation_of_a_named_network_is_the_same_network() {
    let place = Place::new();
    let named = train(&place, "named", &["--channels", "2"]);
    let notation = "{c2k3s1-BN-LIF-MPk2s2}*5-DP-FC8-LIF-DP-FC110-LIF-APk10s10";
    let written = train(&place, "written", &["--network", notation]);
    assert_eq!(rows(&named), rows(&written));
}

#[test]
fn refuses_notations_that_do_not_fit() {
    let place = Place::new();
    let cache = place.cache();
    for (args, parts) in [
        (
            &["--network", "{c4k3s1-BN-LIF-MPk2s2}*8-FC11-LIF"][..],
            &[
                "cannot train on",
                "pooling leaves nothing of its inputs of 1 x 1",
                "^^^^^^",
            ][..],
        ),
        (
            &["--network", "gestures"],
            &[
                "neither gesture, cifar10dvs, nmnist, cifar10 nor",
                "character 1: a layer is expected here",
            ],
        ),
        (
            &["--network", "FC12-LIF"],
            &["for 12 classes, and the data has 11; FC11 is for 11"],
        ),
        (
            &["--network", "FC11-LIF", "--channels", "3"],
            &["--channels is for the networks with a name"],
        ),
        (
            &["--network", "FC11-LIF", "--neuron", "plif"],
            &["--neuron is for the networks with a name"],
        ),
        (
            &["--chunk-steps", "3"],
            &["--chunk-steps 3 is not within 1 and 2"],
        ),
    ] {
        // The message shows the place below the notation, so it may have more than one line.
        let refused = output(&[&["--cache", &cache, "--device", "cpu"], args].concat());
        assert_eq!(refused.status.code(), Some(1), "{args:?}");
        let said = text(&refused.stderr);
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!Path::new("logs").exists());
    }
}

#[test]
fn recomputing_changes_no_bit_and_may_change_on_resume() {
    let place = Place::new();
    let network = ["--network", EVERYTHING];
    let plain = train(&place, "plain", &network);
    let recomputed = train(
        &place,
        "recomputed",
        &[&network[..], &["--recompute"]].concat(),
    );
    assert_eq!(rows(&plain), rows(&recomputed));
    let (plain, recomputed) = (plain.to_str().unwrap(), recomputed.to_str().unwrap());
    run(&["--resume", plain, "--epochs", "3", "--recompute"]);
    run(&[
        "--resume",
        recomputed,
        "--epochs",
        "3",
        "--recompute",
        "false",
    ]);
    assert_eq!(rows(Path::new(plain)), rows(Path::new(recomputed)));
    let settings =
        |folder: &str| fs::read_to_string(Path::new(folder).join("settings.json")).unwrap();
    assert!(settings(plain).contains("recompute"));
    assert!(!settings(recomputed).contains("recompute"));
}

#[test]
fn chunks_of_steps_are_another_training() {
    let place = Place::new();
    let plain = train(&place, "plain", &["--channels", "2"]);
    let all = train(&place, "all", &["--channels", "2", "--chunk-steps", "2"]);
    let ones = train(&place, "ones", &["--channels", "2", "--chunk-steps", "1"]);
    assert_eq!(rows(&plain), rows(&all), "one chunk is the usual training");
    assert_ne!(rows(&plain), rows(&ones));
    let said = fail(&[
        "--resume",
        ones.to_str().unwrap(),
        "--epochs",
        "3",
        "--chunk-steps",
        "2",
    ]);
    assert!(said.contains("--chunk-steps 1 -> 2"), "{said}");
}

#[test]
fn bench_measures_a_notation_with_its_memory() {
    let small = [
        "bench", "--device", "cpu", "-T", "4", "-b", "2", "--steps", "1", "--json",
    ];
    let network = ["--network", "{c4k3s1-BN-LIF-MPk2s2}*3-FC30-LIF-APk10s10"];
    for more in [&[][..], &["--recompute"], &["--chunk-steps", "2"]] {
        let found = json(&run(&[&small[..], &network, more].concat()));
        assert_eq!(found["network"], network[1]);
        let of = |key: &str| found[key].as_u64().unwrap();
        assert!(of("train_peak_bytes") > 1_000_000, "{found}");
        assert!(of("train_estimated_bytes") > 1_000_000, "{found}");
    }
    // The parts of a network are those of its blocks.
    let parts = run(&[&small[..9], &network, &["--parts"]].concat());
    assert!(
        parts.contains("block3 backward") && !parts.contains("block4"),
        "{parts}"
    );
}

#[test]
fn classes_of_another_dataset_train_with_its_network() {
    let place = Place::new();
    let (folder, cache) = (place.at("NMNIST"), place.at("nmnist.h5"));
    prepare(&["synth", "--form", "nmnist", "-o", &folder]);
    prepare(&["-T", "2", "-i", &folder, "-o", &cache]);
    let out = place.at("logs");
    run(&[
        "--cache",
        &cache,
        "--out-dir",
        &out,
        "--device",
        "cpu",
        "--network",
        "nmnist",
        "--channels",
        "2",
        "-b",
        "10",
        "--epochs",
        "1",
        "--hidden",
        "16",
    ]);
    let folder = only_entry(Path::new(&out));
    let settings = json(&fs::read_to_string(folder.join("settings.json")).unwrap());
    assert_eq!(settings["config"]["network"]["network"], "nmnist");
    run(&["eval", folder.to_str().unwrap(), "--device", "cpu"]);
}
