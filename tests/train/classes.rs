//! Datasets with classes other than the eleven gestures: the network has one output per class, and
//! the commands show the names of the classes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Place, SMALL, fail, only_entry, prepare, rows, run};

const NAMES: [&str; 4] = ["swipe", "tap", "hold", "a \u{1f44b} wave"];

/// Makes a cache of the first gestures in the small archive and calls them [`NAMES`].
fn cache_of_named_classes(place: &Place) -> String {
    let folder = PathBuf::from(place.at("own"));
    fs::create_dir(&folder).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["xzf", &place.archive(), "--strip-components=1", "-C"]);
    assert!(tar.arg(&folder).status().unwrap().success());
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.to_str().unwrap().ends_with("_labels.csv") {
            let text = fs::read_to_string(&path).unwrap();
            let kept = text.lines().enumerate().filter(|(i, line)| {
                let class = line.split(',').next().unwrap().parse::<usize>();
                *i == 0 || class.is_ok_and(|class| class <= NAMES.len())
            });
            let kept: Vec<&str> = kept.map(|(_, line)| line).collect();
            fs::write(&path, kept.join("\n")).unwrap();
        }
    }
    write_classes(&folder.join("gesture_mapping.csv"), &NAMES);
    let cache = place.at("own.h5");
    let input = folder.to_str().unwrap();
    prepare(&["-T", "2", "-i", input, "-o", &cache]);
    cache
}

fn write_classes(path: &Path, names: &[&str]) {
    let lines = names.iter().enumerate();
    let lines: String = lines.map(|(i, name)| format!("{i},{name}\n")).collect();
    fs::write(path, lines).unwrap();
}

/// Trains a small network on `cache` for two epochs. Returns its run folder.
fn train(place: &Place, cache: &str, out: &str, more: &[&str]) -> PathBuf {
    let out = place.at(out);
    let line = ["--cache", cache, "--out-dir", &out, "--epochs", "2"];
    let said = run(&[&SMALL[..], &line, more].concat());
    assert!(said.contains("best: epoch="), "{said}");
    only_entry(Path::new(&out))
}

/// Returns a place, and the folder of a run in it on a cache whose classes are [`NAMES`].
fn trained() -> (Place, PathBuf) {
    let place = Place::new();
    let cache = cache_of_named_classes(&place);
    let folder = train(&place, &cache, "logs", &[]);
    (place, folder)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn commands_use_the_classes_of_the_dataset() {
    let (place, folder) = trained();
    let run_folder = folder.to_str().unwrap();

    let summary = json(&fs::read_to_string(folder.join("summary.json")).unwrap());
    assert_eq!(summary["label_names"], Value::from(NAMES.to_vec()));
    let counts = summary["confusion"].as_array().unwrap();
    let counts: Vec<usize> = counts
        .iter()
        .map(|row| row.as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [4; 4]);

    let judged = json(&run(&["eval", run_folder, "--json"]));
    assert_eq!(judged["label_names"], summary["label_names"]);
    assert_eq!(judged["confusion"], summary["confusion"]);
    assert_eq!(judged["recall"].as_array().unwrap().len(), 4);
    let table = run(&["eval", run_folder]);
    assert!(NAMES.iter().all(|name| table.contains(name)), "{table}");

    let samples = place.at("own");
    let sample = ["--sample", "user02_led_0@2", "--json"];
    let line = ["predict", run_folder, &samples];
    let said = json(&run(&[&line[..], &sample].concat()));
    let rates = said["firing_rates"].as_array().unwrap();
    assert_eq!(rates.len(), 4);
    match said["gesture"].as_u64() {
        Some(guess) => assert_eq!(said["gesture_name"], NAMES[guess as usize]),
        None => assert!(rates.iter().all(|rate| rate == 0.0), "{said}"),
    }

    let page = place.at("page.html");
    run(&["report", run_folder, "-o", &page]);
    let page = fs::read_to_string(&page).unwrap();
    assert!(NAMES.iter().all(|name| page.contains(name)));

    for (to, says) in [
        ("pytorch", "net.conv_fc[25] = layer.Linear(24, 40)"),
        ("safetensors", "its outputs stand for the labels 0 1 2 3"),
        ("nir", "its outputs stand for the labels 0 1 2 3"),
    ] {
        let output = place.at(&format!("network.{to}"));
        let line = ["export", run_folder, "--to", to, "-o", &output];
        let said = run(&line);
        assert!(said.contains(says), "{said}");
    }
    let profile = json(&run(&["profile", run_folder, "--json"]));
    assert!(profile.to_string().contains("fc2"), "{profile}");
}

#[test]
fn eval_and_resume_refuse_a_cache_of_other_classes() {
    let (place, folder) = trained();
    let run_folder = folder.to_str().unwrap();
    let said = fail(&["eval", run_folder, "--cache", &place.cache()]);
    assert!(
        said.contains("holds other classes than the network")
            && said.contains("hand_clapping")
            && said.contains("swipe, tap, hold"),
        "{said}"
    );
    let said = fail(&[
        "--resume",
        run_folder,
        "--epochs",
        "3",
        "--cache",
        &place.cache(),
    ]);
    assert!(
        said.contains("tells other classes apart") && said.contains("swipe, tap, hold"),
        "{said}"
    );
    run(&["--resume", run_folder, "--epochs", "3"]);
    assert_eq!(rows(&folder).len(), 4);
}

#[test]
fn refuses_to_flip_samples_of_other_classes() {
    let place = Place::new();
    let cache = cache_of_named_classes(&place);
    let out = place.at("flipped");
    let line = ["--cache", &cache, "--out-dir", &out, "--flip", "0.5"];
    let said = fail(&[&SMALL[..], &line].concat());
    assert!(
        said.contains("--flip") && said.contains("swipe, tap, hold"),
        "{said}"
    );
    train(&place, &cache, "turned", &["--rotate", "10"]);
}

#[test]
fn trains_and_evaluates_200_classes() {
    let place = Place::new();
    let names: Vec<String> = (0..200).map(|label| format!("word {label}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let classes = place.at("classes.csv");
    write_classes(Path::new(&classes), &names);
    let cache = place.at("words.h5");
    let input = place.archive();
    prepare(&["-T", "2", "-i", &input, "-o", &cache, "--classes", &classes]);
    let folder = train(&place, &cache, "logs", &[]);
    let table = run(&["eval", folder.to_str().unwrap()]);
    assert!(table.contains("taken for, where wrong"), "{table}");
    assert_eq!(
        table.lines().filter(|line| line.contains(" word ")).count(),
        200
    );
    assert!(folder.join("confusion.png").metadata().unwrap().len() > 1000);
}
