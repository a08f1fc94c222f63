//! NIR graphs import with the firing rates that they were exported with, and `import` says what it
//! found and why it refuses a graph.

use std::fs;
use std::path::Path;

use crate::networks::{data, import, json, tensors};
use crate::support::{Place, fail, run};

/// The firing rates of all test samples.
fn rates(checkpoint: &str, cache: &str, samples: &[String]) -> Vec<String> {
    let rates = samples.iter().map(|sample| {
        let flags = ["predict", "--device", "cpu", checkpoint, cache, "--json"];
        let said = json(&run(&[&flags[..], &["--sample", sample]].concat()));
        said["firing_rates_by_step"].to_string()
    });
    rates.collect()
}

/// Names of the test samples of the cache.
fn samples() -> Vec<String> {
    let models = json(&fs::read_to_string(data("models.json")).unwrap());
    let samples = models["samples"].as_array().unwrap().iter();
    samples
        .map(|sample| sample.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_trained_network_has_the_same_firing_rates_after_export_and_import() {
    let place = Place::new();
    let flags = [
        "--epochs",
        "2",
        "--lr",
        "0.02",
        "--neuron",
        "plif",
        "--linear-bias",
    ];
    let folder = place.train("logs", &flags);
    let folder = folder.to_str().unwrap();
    let (graph, back) = (place.at("network.nir"), place.at("back.safetensors"));
    run(&[
        "export",
        folder,
        "--to",
        "nir",
        "-o",
        &graph,
        "--label-order",
        "folder",
    ]);
    let said = run(&["import", &graph, "-o", &back]);
    for part in [
        "a NIR graph, ",
        "linear layers with a bias, frames of 128 x 128",
        "\n  PLIF: ",
        "the graph says, with steps of 1.000000e-4 s; the surrogate gradient is that of the flags",
        "the labels 0 1 10 2 3",
        "T=2, split=number",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let samples = samples();
    let trained = format!("{folder}/checkpoint_max.safetensors");
    let cache = place.cache();
    assert_eq!(
        rates(&back, &cache, &samples),
        rates(&trained, &cache, &samples)
    );
    let flags = [
        "--cache",
        &cache,
        "--device",
        "cpu",
        "-b",
        "4",
        "--epochs",
        "2",
        "--out-dir",
    ];
    let out = place.at("more");
    let said = run(&[&["--resume", &back], &flags[..], &[&out]].concat());
    assert!(said.contains("\nepoch=1, train_loss=0."), "{said}");
}

#[test]
fn imported_graphs_export_and_import_bitwise_identically() {
    let place = Place::new();
    let network = import(&place, "plif", &[]);
    let again = |checkpoint: &str, name: &str| {
        let (graph, back) = (place.at(&format!("{name}.nir")), place.at(name));
        run(&["export", checkpoint, "--to", "nir", "-o", &graph]);
        run(&["import", &graph, "-o", &back]);
        back
    };
    let once = again(&network, "once");
    assert_eq!(tensors(&again(&once, "twice")), tensors(&once));
    let samples = samples();
    let cache = place.at("cache16.h5");
    let archive = place.archive();
    crate::support::prepare(&["-T", "16", "--keep-invalid", "-i", &archive, "-o", &cache]);
    let few: Vec<String> = samples.into_iter().step_by(7).collect();
    assert_eq!(rates(&once, &cache, &few), rates(&network, &cache, &few));
}

#[test]
fn graphs_of_other_programs_need_what_they_do_not_say() {
    let place = Place::new();
    let output = place.at("x.out");
    let file = |name: &str| data(&format!("{name}.nir"));
    let refused = |name: &str, flags: &[&str]| {
        let text = fail(&[&["import", &file(name), "-o", &output], flags].concat());
        assert!(!Path::new(&output).exists());
        text
    };
    let plain = &["--label-order", "plain"][..];
    for (name, flags, reason) in [
        (
            "snntorch",
            &[][..],
            "does not say which label each output stands for; say it with --label-order",
        ),
        (
            "spikingjelly",
            plain,
            "or --spike-at-threshold if its program's neurons spike at the threshold",
        ),
        (
            "snntorch",
            &["--label-order", "plain", "--tau", "2"],
            "the graph says what --tau would",
        ),
        (
            "snntorch",
            &["--label-order", "plain", "--neuron", "if"],
            "its neurons are lif, and --neuron says if",
        ),
        (
            "snntorch",
            &["--label-order", "plain", "--sensor", "64x32"],
            "its frames have 32x32 pixels, and --sensor says 64x32",
        ),
        (
            "snntorch",
            &["--label-order", "plain", "--dt", "0.001"],
            "tau is 0.00039999998989515007 s, which is",
        ),
    ] {
        let text = refused(name, flags);
        assert!(text.contains(reason), "{reason} in {text}");
    }
    // A cache is HDF5 too.
    let cache = place.cache();
    let text = fail(&["import", &cache, "-o", &output]);
    assert!(text.contains("an HDF5 file without a NIR graph"), "{text}");
    let whole = fs::read(file("nested")).unwrap();
    let cut = place.at("cut.nir");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let text = fail(&["import", &cut, "-o", &output]);
    assert!(text.contains("HDF5 cannot open it"), "{text}");
    let text = fail(&["import", &data("plif.pth"), "-o", &output, "--dt", "0.1"]);
    assert!(text.contains("--dt is for NIR graphs"), "{text}");
}

#[test]
fn import_describes_graphs_of_other_programs() {
    let place = Place::new();
    for (name, flags, neurons) in [
        ("spikingjelly", &["--spike-at-threshold"][..], "PLIF: "),
        (
            "snntorch",
            &[],
            "LIF: tau=4, decay_input=false, v_threshold=1.0000001, v_reset=0",
        ),
        ("nested", &[], "IF: v_threshold=1.0000001, v_reset=0"),
    ] {
        // The content decides what a file is, not its name.
        let file = place.at(&format!("{name}.pth"));
        fs::copy(data(&format!("{name}.nir")), &file).unwrap();
        let output = place.at(name);
        let all = [
            "import",
            &file,
            "-o",
            &output,
            "--json",
            "--label-order",
            "folder",
        ];
        let said = json(&run(&[&all[..], flags].concat()));
        let found = said["neuron"].as_str().unwrap();
        assert!(found.starts_with(neurons), "{found}");
        assert_eq!(said["network"], "a NIR graph");
        assert_eq!((&said["width"], &said["channels"]), (&32.into(), &3.into()));
        assert_eq!(said["label_order"][2], 10);
        let assumed = said["assumed"].as_array().unwrap();
        assert!(assumed[0].as_str().unwrap().contains("dropout"), "{said}");
        assert!(
            assumed[1].as_str().unwrap().contains("batch norm"),
            "{said}"
        );
        // Of 110 outputs, ten vote for each gesture; the last graph has a node that votes.
        assert_eq!(assumed.len(), if name == "nested" { 2 } else { 3 });
        assert!((said["dt"].as_f64().unwrap() - 1e-4).abs() < 1e-10);
    }
}
