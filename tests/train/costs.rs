//! `dvs-train profile` counts the operations, the energy and the memory of a network.

use std::fs;

use dvs_shared::{CacheFile, ChunkCodec, Frames, Set};
use serde_json::Value;

use crate::support::{Place, fail, output, run};

const CHANNELS: u64 = 6;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Counts the operations of the first convolution over all test samples, output by output. The
/// first number counts each synapse of a cell with events once, the second once per event.
fn first_layer_operations(cache: &str) -> (u64, u64) {
    let cache = CacheFile::open(cache.as_ref()).unwrap();
    let set = cache.set(Set::Test);
    let (mut codec, mut frames) = (ChunkCodec::default(), Frames::default());
    let (mut reached, mut by_events) = (0, 0);
    for sample in 0..set.samples.len() {
        cache
            .read(Set::Test, sample, &mut codec, &mut frames)
            .unwrap();
        for (place, count) in frames.counts(set.counts).enumerate() {
            let (y, x) = (place / 128 % 128, place % 128);
            let outputs = (0..9).filter(|tap| {
                (1..129).contains(&(y + tap / 3)) && (1..129).contains(&(x + tap % 3))
            });
            let synapses = CHANNELS * outputs.count() as u64;
            reached += synapses * u64::from(count > 0);
            by_events += synapses * u64::from(count);
        }
    }
    (reached, by_events)
}

#[test]
fn profile_counts_operations_energy_and_memory() {
    let place = Place::new();
    let folder = place.train("logs", &["--epochs", "2"]);
    let path = folder.to_str().unwrap();
    let line = ["profile", path, "--device", "cpu"];
    let text = run(&[&line[..], &["--json"]].concat());
    let found = json(&text);
    assert_eq!(
        fs::read_to_string(folder.join("profile.json")).unwrap(),
        text
    );
    assert_eq!(run(&[&line[..], &["--json", "-b", "5"]].concat()), text);

    let number = |value: &Value| value.as_f64().unwrap();
    let samples = number(&found["samples"]);
    assert_eq!((samples, &found["steps"]), (22.0, &Value::from(2)));
    let layers = found["layers"].as_array().unwrap();
    let names: Vec<&str> = layers
        .iter()
        .map(|l| l["layer"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["conv1", "conv2", "conv3", "conv4", "conv5", "fc1", "fc2"]
    );

    let (reached, by_events) = first_layer_operations(&place.cache());
    assert_eq!(number(&layers[0]["macs"]), reached as f64 / samples);
    assert_eq!(number(&found["event_acs"]), by_events as f64 / samples);
    let dense: Vec<f64> = layers
        .iter()
        .map(|l| number(&l["dense_macs_per_frame"]))
        .collect();
    let cells = |block: u32| f64::from((128_u32 >> block).pow(2));
    let fixed = [2, 6, 6, 6, 6].into_iter().zip(0..);
    let fixed = fixed.map(|(inputs, block)| f64::from(9 * inputs * 6) * cells(block));
    let fixed: Vec<f64> = fixed.chain([96.0 * 24.0, 24.0 * 110.0]).collect();
    assert_eq!(dense, fixed);
    for (layer, dense) in layers.iter().zip(&dense) {
        let operations = number(&layer["macs"]) + number(&layer["acs"]);
        let active = number(&layer["active_inputs"]);
        assert!(operations <= active * dense * 2.0 * (1.0 + 1e-9), "{layer}");
        assert_eq!(operations > 0.0, active > 0.0, "{layer}");
    }
    // Every input of a linear layer has the same number of synapses, and the inputs of fc2 are the
    // spikes of fc1.
    let (last, before) = (&layers[6], &layers[5]);
    assert_eq!(last["active_inputs"], before["firing_rate"]);
    let spikes = number(&before["firing_rate"]) * 24.0 * 2.0;
    assert!((number(&last["acs"]) - 110.0 * spikes).abs() < 1e-6 * spikes.max(1.0));

    let total = |key: &str| layers.iter().map(|layer| number(&layer[key])).sum::<f64>();
    for key in [
        "macs",
        "acs",
        "dense_macs_per_frame",
        "neurons",
        "parameters",
    ] {
        assert_eq!(number(&found[key]), total(key), "{key}");
    }
    let energy = (4.6 * total("macs") + 0.9 * total("acs")) * 1e-6;
    assert!((number(&found["energy_uj"]) - energy).abs() < 1e-12);
    let dense = 4.6 * total("dense_macs_per_frame") * 2.0 * 1e-6;
    assert!((number(&found["dense_energy_uj"]) - dense).abs() < 1e-9);
    assert_eq!(number(&found["parameter_bytes"]), 4.0 * total("parameters"));
    assert_eq!(number(&found["statistics_bytes"]), 4.0 * 2.0 * 6.0 * 5.0);
    assert_eq!(number(&found["potential_bytes"]), 4.0 * total("neurons"));

    // `eval` reports the same firing rate. Resuming the run removes the profile, because the
    // network changes.
    let eval = json(&run(&["eval", path, "--json"]));
    assert_eq!(eval["firing_rates"]["conv1"], layers[0]["firing_rate"]);
    run(&["--resume", path, "--epochs", "3", "--device", "cpu"]);
    assert!(!folder.join("profile.json").exists());
}

#[test]
fn profile_prints_a_table_with_its_assumptions() {
    let place = Place::new();
    let folder = place.train("logs", &["--epochs", "1"]);
    let line = ["profile", folder.to_str().unwrap(), "--device", "cpu"];
    let words = run(&[&line[..], &["--set", "train", "--ac-pj", "0.5"]].concat());
    for part in [
        "set=train",
        "\nconv1 ",
        "\ntotal ",
        "Horowitz",
        "4.6 pJ a MAC, 0.5 pJ an AC",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(!folder.join("profile.json").exists(), "of the training set");
    let error = fail(&[&line[..], &["--mac-pj", "-1"]].concat());
    assert!(error.contains("--mac-pj -1 is not within 0 and"), "{error}");
    assert_eq!(output(&["profile"]).status.code(), Some(2));
}
