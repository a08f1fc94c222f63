//! Exported networks import again without a change, and `export` explains what it cannot write or
//! has to add.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use hdf5::types::VarLenUnicode;
use safetensors::SafeTensors;

use crate::networks::{data, import, json, tensors};
use crate::support::{Place, fail, only_entry, run};

/// Exports a checkpoint to a format. Returns the path of the file.
fn export(place: &Place, checkpoint: &str, to: &str, flags: &[&str]) -> String {
    let output = place.at(&format!("exported.{to}"));
    run(&[
        &["export", checkpoint, "--to", to, "-o", &output, "--force"],
        flags,
    ]
    .concat());
    output
}

/// Imports an exported file. Returns its tensors.
fn import_again(place: &Place, file: &str, flags: &[&str]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let output = place.at("back");
    run(&[&["import", file, "-o", &output, "--force"], flags].concat());
    tensors(&output)
}

#[test]
fn exported_weights_import_bitwise_identically() {
    let place = Place::new();
    let export = |checkpoint: &str, flags: &[&str]| export(&place, checkpoint, "pytorch", flags);
    let back = |file: &str, flags: &[&str]| import_again(&place, file, flags);
    let example = import(&place, "spikingjelly_checkpoint", &[]);
    let plif = import(&place, "plif", &[]);
    for checkpoint in [&example, &plif] {
        let whole = tensors(checkpoint);
        assert_eq!(back(&export(checkpoint, &[]), &[]), whole);
        let plain = export(checkpoint, &["--label-order", "plain"]);
        assert_eq!(back(&plain, &["--label-order", "plain"]), whole);
        assert_ne!(back(&plain, &[]), whole);
    }
    let layers = import(&place, "layers", &[]);
    let tutorial = export(&layers, &["--names", "tutorial"]);
    assert_eq!(back(&tutorial, &[]), tensors(&layers));
}

#[test]
fn exported_files_are_reproducible() {
    let place = Place::new();
    let plif = import(&place, "plif", &[]);
    // The files must not depend on the clock or on the order of a hash table.
    let formats = ["pytorch", "safetensors", "nir"];
    let files = || formats.map(|format| fs::read(export(&place, &plif, format, &[])).unwrap());
    let once = files();
    // HDF5 stores times in seconds, so a stored time would differ after this pause.
    thread::sleep(Duration::from_millis(1100));
    for (format, (once, again)) in formats.iter().zip(once.iter().zip(&files())) {
        assert!(once == again, "{format}");
    }
}

#[test]
fn tutorial_names_refuse_a_linear_bias() {
    let place = Place::new();
    let plif = import(&place, "plif", &[]);
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
}

#[test]
fn pytorch_export_sets_missing_linear_biases_to_zero() {
    let place = Place::new();
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
    let (zeros, same): (Vec<_>, Vec<_>) = import_again(&place, &output, &[])
        .into_iter()
        .partition(|(name, ..)| name.ends_with("linear.bias"));
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
fn safetensors_export_has_pytorch_names_and_metadata() {
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
    assert_eq!(facts["label_order"], "folder");
    assert!(
        facts["network"]
            .as_str()
            .unwrap()
            .starts_with("{c2k3s1-BN-PLIF-MPk2s2}*5-DP-FC6-PLIF")
    );
    assert!(
        facts["labels"]
            .as_str()
            .unwrap()
            .starts_with("hand_clapping, right_hand_wave, other_gestures, ")
    );
}

/// Checks what `import` says to a `.pth` of the network in `notation`, which is of no class of
/// SpikingJelly.
fn import_asks_for_the_network(place: &Place, file: &str, notation: &str) {
    let output = place.at("asked");
    let all = ["import", file, "-o", &output];
    let refused = |flags: &[&str], reason: &str| {
        let said = fail(&[&all[..], flags].concat());
        assert!(said.contains(reason), "{reason} in {said}");
        assert!(!Path::new(&output).exists());
    };
    // Of the voting, the weights say nothing.
    refused(
        &["--label-order", "plain"],
        "if these are usual, its network is '{c2k3s1-BN-PLIF-MPk2s2}*3-DP-FC22-LIF'; say its layers with --network NOTATION",
    );
    let of_two = ["--network", notation, "--label-names", "a,b"];
    refused(
        &of_two,
        "the network of --network tells 11 classes apart, and --label-names has 2 names",
    );
    let other = notation.replace("FC22-LIF-APk2s2", "FC33-LIF-APk3s3");
    refused(&["--network", &other], "its weights do not go together");
    refused(&["--network", "cifar10"], "import needs a notation");
    refused(
        &["--network", notation, "--neuron", "lif"],
        "the notation of --network says it itself; leave --neuron out",
    );
    let tutorial = data("tutorial.pth");
    let said = fail(&["import", &tutorial, "-o", &output, "--network", notation]);
    assert!(said.contains("which needs no --network"), "{said}");
    let flags = ["--network", notation, "--json"];
    let said = json(&run(&[&all[..], &flags].concat()));
    assert_eq!(said["network"], "a network of SpikingJelly's models");
    assert_eq!(said["notation"], notation);
    assert_eq!(said["label_order"][2], 10);
    assert_eq!(said["label_names"][10], "other_gestures");
    assert!(said["assumed"].as_array().unwrap().is_empty());
}

#[test]
fn networks_of_other_forms_import_bitwise_identically() {
    let place = Place::new();
    let (cache, out) = (place.cache(), place.at("logs"));
    let notation = "{c2k3s1-BN-PLIF-MPk2s2}*3-DP-FC22-LIF-APk2s2";
    run(&[
        "--network",
        notation,
        "--cache",
        &cache,
        "--out-dir",
        &out,
        "--device",
        "cpu",
        "-b",
        "4",
        "--epochs",
        "1",
    ]);
    let folder = only_entry(Path::new(&out));
    let trained = folder.join("checkpoint_max.safetensors");
    let trained = trained.to_str().unwrap();
    let weights = |checkpoint: &str| -> Vec<_> {
        let all = tensors(checkpoint).into_iter();
        all.filter(|(name, ..)| name.starts_with("network."))
            .collect()
    };
    let file = export(&place, trained, "pytorch", &[]);
    assert_eq!(
        import_again(&place, &file, &["--network", notation]),
        weights(trained)
    );
    import_asks_for_the_network(&place, &file, notation);
    let said = run(&[
        "export",
        trained,
        "--to",
        "safetensors",
        "-o",
        &place.at("named"),
    ]);
    assert!(
        said.contains("named as a torch.nn.Sequential net.conv_fc\n")
            && said.contains(
                "net = torch.nn.Module(); net.conv_fc = torch.nn.Sequential(layer.Conv2d(2, 2, 3, padding=1, bias=False), "
            ),
        "{said}"
    );
    let tutorial = fail(&[
        "export",
        trained,
        "--to",
        "pytorch",
        "--names",
        "tutorial",
        "-o",
        &place.at("x"),
    ]);
    assert!(
        tutorial.contains("fit only networks of its form, and this network is {c2k3s1"),
        "{tutorial}"
    );
    // The metadata of a graph says all that its nodes do not.
    let graph = export(&place, trained, "nir", &["--label-order", "folder"]);
    let back = place.at("graph.out");
    let said = json(&run(&["import", &graph, "-o", &back, "--json"]));
    assert_eq!(said["notation"], notation);
    assert_eq!(said["label_names"][10], "other_gestures");
    assert_eq!(said["label_order"][2], 10);
    assert!(said["assumed"].as_array().unwrap().is_empty());
    let rates = |checkpoint: &str| {
        let flags = ["eval", "--device", "cpu", checkpoint, "--json", "--cache"];
        json(&run(&[&flags[..], &[&cache]].concat()))["firing_rates"].to_string()
    };
    assert_eq!(rates(&back), rates(trained));
}

#[test]
fn nir_graph_matches_the_network() {
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
    // tau is the learnt time constant, in seconds.
    let weights = fs::read(&checkpoint).unwrap();
    let weights = SafeTensors::deserialize(&weights).unwrap();
    let w = weights
        .tensor("network.linears.0.neurons.w")
        .unwrap()
        .data()
        .to_vec();
    let w = f64::from(f32::from_le_bytes(w.try_into().unwrap()));
    assert_eq!(
        numbers("fc1_neurons/tau"),
        vec![0.001 * (1.0 + (-w).exp()); 6]
    );
}

#[test]
fn nir_export_refuses_soft_reset_and_missing_folders() {
    let place = Place::new();
    let checkpoint = import(&place, "plif", &[]);
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
