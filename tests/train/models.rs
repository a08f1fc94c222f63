//! Imported networks have the firing rates of SpikingJelly, and `import` explains why it refuses a
//! file.

use std::fs;
use std::path::Path;

use crate::networks::{data, import, json};
use crate::support::{Place, fail, prepare, run};

/// The label of each output of SpikingJelly's networks, which sort the class folders as text.
const FOLDERS: [usize; 11] = [0, 1, 10, 2, 3, 4, 5, 6, 7, 8, 9];
/// Networks of `tests/data` whose firing rates are in `models.json`.
const NETWORKS: [&str; 3] = ["plif", "tutorial", "layers"];

/// Makes a cache of 16 frames per sample, like the frames from which SpikingJelly computed the
/// rates in `models.json`.
fn cache(place: &Place) -> String {
    let cache = place.at("cache16.h5");
    prepare(&[
        "-T",
        "16",
        "--keep-invalid",
        "-i",
        &place.archive(),
        "-o",
        &cache,
    ]);
    cache
}

/// Returns the name of each test sample and SpikingJelly's firing rate of each label for it.
fn rates(network: &str) -> Vec<(String, [f64; 11])> {
    let all = json(&fs::read_to_string(data("models.json")).unwrap());
    let samples = all["samples"].as_array().unwrap().iter();
    let rows = samples
        .zip(all[network].as_array().unwrap())
        .map(|(sample, row)| {
            let mut rates = [0.0; 11];
            for (output, label) in FOLDERS.into_iter().enumerate() {
                rates[label] = row[output].as_f64().unwrap();
            }
            (sample.as_str().unwrap().to_owned(), rates)
        });
    rows.collect()
}

#[test]
fn imported_networks_match_spikingjelly_firing_rates() {
    let place = Place::new();
    let cache = cache(&place);
    for network in NETWORKS {
        let checkpoint = import(&place, network, &[]);
        let rates = rates(network);
        let (mut right, mut loss) = (0, 0.0);
        for (sample, rates) in &rates {
            let label: usize = sample.split_once('@').unwrap().1.parse().unwrap();
            let first = |best, at: usize| if rates[at] > rates[best] { at } else { best };
            right += usize::from((0..11).fold(0, first) == label);
            let error = |at: usize| (rates[at] - if at == label { 1.0 } else { 0.0 }).powi(2);
            loss += (0..11).map(error).sum::<f64>() / 11.0;
        }
        let judged = run(&[
            "eval",
            "--device",
            "cpu",
            &checkpoint,
            "--cache",
            &cache,
            "--json",
        ]);
        let judged = json(&judged);
        assert_eq!(judged["samples"], rates.len());
        assert_eq!(
            judged["accuracy"].as_f64().unwrap(),
            right as f64 / rates.len() as f64,
            "{network}"
        );
        loss /= rates.len() as f64;
        assert!(
            (judged["loss"].as_f64().unwrap() - loss).abs() < 1e-6,
            "{network}: {judged} {loss}"
        );
        // Accuracy and mean loss could hide differences between single samples.
        for (sample, rates) in rates.iter().step_by(7) {
            let predict = [
                "predict",
                "--device",
                "cpu",
                &checkpoint,
                &cache,
                "--json",
                "--sample",
                sample,
            ];
            let found = json(&run(&predict));
            for (label, rate) in rates.iter().enumerate() {
                let found = found["firing_rates"][label].as_f64().unwrap();
                assert!(
                    (found - rate).abs() < 1e-6,
                    "{network} {sample} {label}: {found} for {rate}"
                );
            }
        }
    }
}

#[test]
fn import_describes_the_network() {
    let place = Place::new();
    let said = |network: &str, flags: &[&str]| {
        let (file, output) = (
            data(&format!("{network}.pth")),
            place.at(&format!("{network}.out")),
        );
        run(&[&["import", &file, "-o", &output], flags].concat())
    };
    let plif = said("plif", &[]);
    for part in [
        "SpikingJelly's DVSGestureNet, 2 channels, 6 hidden neurons, linear layers with a bias",
        "epoch=41, max_test_acc=0.875",
        "\n  PLIF: ",
        "stand for the labels 0 1 10 2 3 4 5 6 7 8 9, as SpikingJelly sorts its folders; they were put in the order 0 to 10",
        "T=16, split=number",
    ] {
        assert!(plif.contains(part), "{part} in {plif}");
    }
    let tutorial = said(
        "tutorial",
        &[
            "-T",
            "4",
            "--split",
            "time",
            "--neuron",
            "if",
            "--label-order",
            "plain",
        ],
    );
    assert!(
        tutorial.contains("the tutorial's step-by-step network, 2 channels, 8 hidden"),
        "{tutorial}"
    );
    assert!(tutorial.contains("without a bias"), "{tutorial}");
    assert!(
        tutorial.contains("\n  IF: ") && tutorial.contains("T=4, split=time"),
        "{tutorial}"
    );
    let names = "zero,one,two,three,four,five,six,seven,eight,nine,ten";
    let named = said("tutorial", &["--label-names", names, "--json", "--force"]);
    assert_eq!(json(&named)["label_names"][1], "one");
    assert!(said("layers", &[]).contains("the tutorial's layer-by-layer network"));
    // SpikingJelly's example has 512 hidden neurons for any number of channels.
    let example = said("spikingjelly_checkpoint", &[]);
    assert!(
        example.contains("8 channels, 512 hidden neurons"),
        "{example}"
    );
}

#[test]
fn training_continues_from_an_imported_network() {
    let place = Place::new();
    let (cache, out) = (place.cache(), place.at("logs"));
    let output = import(&place, "tutorial", &["-T", "2"]);
    let flags = [
        "--cache",
        &cache,
        "--out-dir",
        &out,
        "--device",
        "cpu",
        "-b",
        "4",
    ];
    let said = run(&[&["--resume", &output, "--epochs", "2"], &flags[..]].concat());
    // The hidden layer has the default size for 2 channels, so the name of the folder does not
    // mention it.
    assert!(
        said.contains("/T_2_b_4_c_2_Adam_lr_0.001_CosALR_32\n"),
        "{said}"
    );
    assert!(said.contains("\nepoch=1, train_loss=0."), "{said}");
}

#[test]
fn import_explains_why_it_refuses_a_file() {
    let place = Place::new();
    let error = |bytes: &[u8], flags: &[&str]| {
        let (file, output) = (place.at("x.pth"), place.at("x.out"));
        fs::write(&file, bytes).unwrap();
        let error = fail(&[&["import", &file, "-o", &output], flags].concat());
        assert!(!Path::new(&output).exists());
        error
    };
    let tutorial = fs::read(data("tutorial.pth")).unwrap();
    let renamed = |from: &str, to: &str| {
        let at = tutorial
            .windows(from.len())
            .position(|window| window == from.as_bytes());
        let mut bytes = tutorial.clone();
        bytes[at.unwrap()..][..to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let unknown = error(&renamed("fc.5.weight", "fc.9.weight"), &[]);
    assert!(
        unknown.contains("most like those of the tutorial's step-by-step network, but that network has no fc.9.weight, and fc.5.weight is missing"),
        "{unknown}"
    );
    let shapes = error(&tutorial, &["--sensor", "64x64"]);
    assert!(
        shapes.contains("fc.2.weight has the shape [8, 32] where [8, 8] is expected"),
        "{shapes}"
    );
    let names = error(&tutorial, &["--label-names", "a,b,a"]);
    assert!(
        names.contains("--label-names does not fit: it has \"a\" twice"),
        "{names}"
    );
    let names = error(&tutorial, &["--label-names", "a,,b"]);
    assert!(
        names.contains("--label-names does not fit: it has \"\", where"),
        "{names}"
    );
    let names = error(&tutorial, &["--label-names", "a,b"]);
    assert!(
        names.contains("fc.5.weight has the shape [110, 8] where [20, 8] is expected"),
        "{names}"
    );
    let plif = fs::read(data("plif.pth")).unwrap();
    let neuron = error(&plif, &["--neuron", "lif"]);
    assert!(
        neuron.contains("it has weights of PLIF neurons"),
        "{neuron}"
    );
    let mut damaged = plif.clone();
    let name = b"conv_fc.0.weight";
    let at = plif.windows(name.len()).position(|window| window == name);
    damaged[at.unwrap()] ^= 1;
    let damaged = error(&damaged, &[]);
    assert!(
        damaged.contains("is damaged: it has the CRC-32"),
        "{damaged}"
    );
    let cut = error(&plif[..plif.len() / 2], &[]);
    assert!(cut.contains("not a whole zip archive"), "{cut}");
    let cut = error(&tutorial[..tutorial.len() - 9], &[]);
    assert!(
        cut.contains("claims") && cut.contains("bytes are left"),
        "{cut}"
    );
    let ours = fs::read(import(&place, "plif", &[])).unwrap();
    assert!(error(&ours, &[]).contains("a checkpoint of this program needs no import"));
    let twice = fail(&[
        "import",
        &data("plif.pth"),
        "-o",
        &place.at("plif.safetensors"),
    ]);
    assert!(
        twice.contains("exists; name another --output, or replace it with --force"),
        "{twice}"
    );
}
