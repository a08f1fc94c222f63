//! Networks given to other programs: the same bytes, and what is said where it cannot be.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use hdf5::types::VarLenUnicode;
use safetensors::SafeTensors;

use crate::networks::{import, json, tensors};
use crate::support::{Place, fail, run};

#[test]
fn weights_come_back_byte_for_byte() {
    let place = Place::new();
    let export = |checkpoint: &str, to: &str, flags: &[&str]| {
        let output = place.at(&format!("exported.{to}"));
        run(&[
            &["export", checkpoint, "--to", to, "-o", &output, "--force"],
            flags,
        ]
        .concat());
        output
    };
    let back = |file: &str, flags: &[&str]| {
        let output = place.at("back");
        run(&[&["import", file, "-o", &output, "--force"], flags].concat());
        tensors(&output)
    };
    let example = import(&place, "spikingjelly_checkpoint", &[]);
    let plif = import(&place, "plif", &[]);
    for checkpoint in [&example, &plif] {
        let whole = tensors(checkpoint);
        assert_eq!(back(&export(checkpoint, "pytorch", &[]), &[]), whole);
        let plain = export(checkpoint, "pytorch", &["--label-order", "plain"]);
        assert_eq!(back(&plain, &["--label-order", "plain"]), whole);
        assert_ne!(back(&plain, &[]), whole);
    }
    let layers = import(&place, "layers", &[]);
    let tutorial = export(&layers, "pytorch", &["--names", "tutorial"]);
    assert_eq!(back(&tutorial, &[]), tensors(&layers));
    // Nothing of the clock or of a hash table's order is in the files.
    let formats = ["pytorch", "safetensors", "nir"];
    let files = || formats.map(|format| fs::read(export(&plif, format, &[])).unwrap());
    let once = files();
    // HDF5 counts seconds.
    thread::sleep(Duration::from_millis(1100));
    for (format, (once, again)) in formats.iter().zip(once.iter().zip(&files())) {
        assert!(once == again, "{format}");
    }
    let bias = fail(&[
        "export",
        &plif,
        "--to",
        "pytorch",
        "--names",
        "tutorial",
        "-o",
        &place.at("x"),
    ]);
    assert!(
        bias.contains("the linear layers have a bias, which the tutorial's"),
        "{bias}"
    );

    // What was trained here, without a bias: the peer's network has one, of zeros.
    let folder = place.train("logs", &["--epochs", "1"]);
    let folder = folder.to_str().unwrap();
    let output = place.at("run.pth");
    let said = run(&["export", folder, "--to", "pytorch", "-o", &output]);
    assert!(
        said.contains("have no bias, so those of DVSGestureNet are 0"),
        "{said}"
    );
    assert!(
        said.contains("net.conv_fc[22] = layer.Linear(96, 24)"),
        "{said}"
    );
    let trained = tensors(&format!("{folder}/checkpoint_max.safetensors"));
    let mut trained: Vec<_> = trained
        .into_iter()
        .filter(|(name, ..)| name.starts_with("network."))
        .collect();
    let (zeros, same): (Vec<_>, Vec<_>) = back(&output, &[])
        .into_iter()
        .partition(|(name, ..)| name.ends_with("hidden.bias") || name.ends_with("output.bias"));
    trained.sort();
    assert_eq!(same, trained);
    assert!(
        zeros.len() == 2
            && zeros
                .iter()
                .all(|(_, _, raw)| raw.iter().all(|byte| *byte == 0))
    );
}

#[test]
fn safetensors_have_pytorchs_names_and_say_what_they_are() {
    let place = Place::new();
    let (checkpoint, output) = (import(&place, "plif", &[]), place.at("plif.export"));
    run(&[
        "export",
        &checkpoint,
        "--to",
        "safetensors",
        "-o",
        &output,
        "--label-order",
        "folder",
    ]);
    let bytes = fs::read(&output).unwrap();
    let exported = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(
        exported.tensor("conv_fc.0.weight").unwrap().shape(),
        [2, 2, 3, 3]
    );
    assert_eq!(
        exported.tensor("conv_fc.22.weight").unwrap().shape(),
        [6, 32]
    );
    assert_eq!(exported.tensor("conv_fc.23.w").unwrap().shape(), [0; 0]);
    assert_eq!(exported.len(), 5 * 7 + 2 * 3);
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let facts = json(&metadata.metadata().as_ref().unwrap()["dvs_train"]);
    assert_eq!(facts["frames"], "16, split by number");
    assert!(
        facts["labels"]
            .as_str()
            .unwrap()
            .starts_with("hand_clapping, right_hand_wave, other_gestures, ")
    );
}

#[test]
fn nir_graphs_hold_the_network() {
    let place = Place::new();
    let (checkpoint, output) = (import(&place, "plif", &[]), place.at("plif.nir"));
    run(&[
        "export",
        &checkpoint,
        "--to",
        "nir",
        "-o",
        &output,
        "--dt",
        "0.001",
    ]);
    let file = hdf5::File::open(&output).unwrap();
    let text = |path: &str| {
        file.dataset(path)
            .unwrap()
            .read_scalar::<VarLenUnicode>()
            .unwrap()
            .to_string()
    };
    let numbers = |path: &str| {
        file.dataset(&format!("node/nodes/{path}"))
            .unwrap()
            .read_raw::<f64>()
            .unwrap()
    };
    assert_eq!(text("node/type"), "NIRGraph");
    assert_eq!(text("node/nodes/conv3_pool/type"), "SumPool2d");
    assert_eq!(text("node/nodes/conv3_pool_neurons/type"), "IF");
    assert_eq!(
        numbers("conv3_pool_neurons/v_threshold"),
        vec![0.5; 2 * 16 * 16]
    );
    assert_eq!(
        file.dataset("node/nodes/conv1_neurons/tau")
            .unwrap()
            .shape(),
        [2, 128, 128]
    );
    let edges = file.dataset("node/edges").unwrap();
    assert_eq!(edges.shape(), [27, 2]);
    let names: Vec<String> = edges
        .read_raw::<VarLenUnicode>()
        .unwrap()
        .iter()
        .map(|name| name.to_string())
        .collect();
    assert_eq!(names[..4], ["input", "conv1", "conv1", "conv1_neurons"]);
    assert_eq!(names[52..], ["vote", "output"]);
    // tau as learnt, in seconds.
    let weights = fs::read(&checkpoint).unwrap();
    let weights = SafeTensors::deserialize(&weights).unwrap();
    let w = weights
        .tensor("network.hidden_neurons.w")
        .unwrap()
        .data()
        .to_vec();
    let w = f64::from(f32::from_le_bytes(w.try_into().unwrap()));
    assert_eq!(
        numbers("fc1_neurons/tau"),
        vec![0.001 * (1.0 + (-w).exp()); 6]
    );
    drop(file);

    let soft = import(&place, "tutorial", &["--v-reset", "none"]);
    let refused = fail(&["export", &soft, "--to", "nir", "-o", &place.at("soft.nir")]);
    assert!(
        refused.contains("layer conv1: its neurons subtract the threshold"),
        "{refused}"
    );
    assert!(!Path::new(&place.at("soft.nir")).exists());
    let missing = fail(&[
        "export",
        &checkpoint,
        "--to",
        "nir",
        "-o",
        &place.at("no/such/folder.nir"),
    ]);
    assert!(missing.contains("cannot write"), "{missing}");
}
