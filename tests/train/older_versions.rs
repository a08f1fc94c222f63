//! Checkpoints of commit 18365cc still work. `tests/data/commit_18365cc` has two of them, and the
//! outputs that the programs of that commit made from them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::{fail, run};

const RUNS: [&str; 2] = ["defaults", "options"];

fn data(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/commit_18365cc");
    folder.join(name).to_str().unwrap().to_owned()
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Compares every member of `old`. Numbers may differ by 1e-6, because processors round
/// differently. Paths are not compared.
fn same(old: &Value, new: &Value, what: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(_)) => {
            for (name, value) in old {
                if !["cache", "checkpoint"].contains(&name.as_str()) {
                    same(value, &new[name], &format!("{what}.{name}"));
                }
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len(), "{what}");
            for (place, (old, new)) in old.iter().zip(new).enumerate() {
                same(old, new, &format!("{what}[{place}]"));
            }
        }
        (Value::Number(old), Value::Number(new)) => {
            let (old, new) = (old.as_f64().unwrap(), new.as_f64().unwrap());
            assert!((old - new).abs() < 1e-6, "{what}: {old} and {new}");
        }
        _ => assert_eq!(old, new, "{what}"),
    }
}

/// How the names of linear layers began at that commit, and how they begin now.
const RENAMED: [(&str, &str); 4] = [
    (".hidden.", ".linears.0.linear."),
    (".hidden_neurons.", ".linears.0.neurons."),
    (".output.", ".linears.1.linear."),
    (".output_neurons.", ".linears.1.neurons."),
];

/// The name that a tensor of that commit has now.
fn renamed(name: &str) -> String {
    let mut renamed = RENAMED.iter();
    let found = renamed.find(|(old, _)| name.contains(old));
    found.map_or(name.to_owned(), |(old, new)| name.replace(old, new))
}

/// Compares the tensors of two safetensors files, the first of which may have names of that commit.
fn same_tensors(old: &Path, new: &Path) {
    let (old, new) = (fs::read(old).unwrap(), fs::read(new).unwrap());
    let (old, new) = (
        SafeTensors::deserialize(&old).unwrap(),
        SafeTensors::deserialize(&new).unwrap(),
    );
    let old_names: BTreeSet<String> = old.names().into_iter().map(renamed).collect();
    let new_names: BTreeSet<String> = new.names().into_iter().map(str::to_owned).collect();
    assert_eq!(old_names, new_names);
    let mut compared = 0;
    for (name, old) in old.iter() {
        let new = new.tensor(&renamed(name)).unwrap();
        assert_eq!(old.shape(), new.shape(), "{name}");
        let values = |raw: &[u8]| -> Vec<f32> {
            let (words, _) = raw.as_chunks::<4>();
            words.iter().map(|word| f32::from_le_bytes(*word)).collect()
        };
        for (old, new) in values(old.data()).into_iter().zip(values(new.data())) {
            assert!(
                (old - new).abs() <= 1e-5 * old.abs().max(1.0),
                "{name}: {old} and {new}"
            );
            compared += 1;
        }
    }
    assert!(compared > 1000, "only {compared} values were compared");
}

#[test]
fn older_checkpoints_give_the_same_evaluation() {
    for name in RUNS {
        let checkpoint = data(&format!("{name}.safetensors"));
        let now = run(&[
            "eval",
            &checkpoint,
            "--cache",
            &data("cache.h5"),
            "--device",
            "cpu",
            "--json",
        ]);
        let now = serde_json::from_str(&now).unwrap();
        same(&json(data(&format!("{name}.eval.json"))), &now, name);
    }
}

#[test]
fn older_checkpoints_give_the_same_prediction() {
    for name in RUNS {
        let checkpoint = data(&format!("{name}.safetensors"));
        let now = run(&[
            "predict",
            &checkpoint,
            &data("cache.h5"),
            "--sample",
            "user03_led_0@3",
            "--device",
            "cpu",
            "--json",
        ]);
        let now = serde_json::from_str(&now).unwrap();
        same(&json(data(&format!("{name}.predict.json"))), &now, name);
    }
}

#[test]
fn older_checkpoints_export_the_same_tensors() {
    let folder = tempfile::tempdir().unwrap();
    for name in RUNS {
        let exported = folder.path().join(name);
        run(&[
            "export",
            &data(&format!("{name}.safetensors")),
            "--to",
            "safetensors",
            "-o",
            exported.to_str().unwrap(),
        ]);
        same_tensors(
            Path::new(&data(&format!("{name}.exported.safetensors"))),
            &exported,
        );
    }
}

/// Makes the folder of an older run below `place` with its original name and files. Returns its
/// path.
fn run_folder(name: &str, place: &Path) -> PathBuf {
    let folder = fs::read_to_string(data(&format!("{name}.folder"))).unwrap();
    let folder = place.join(name).join(folder.trim());
    fs::create_dir_all(&folder).unwrap();
    let copy = |from: &str, to: &str| fs::copy(data(from), folder.join(to)).unwrap();
    copy(
        &format!("{name}.safetensors"),
        "checkpoint_latest.safetensors",
    );
    copy(&format!("{name}.safetensors"), "checkpoint_max.safetensors");
    copy(&format!("{name}.settings.json"), "settings.json");
    folder
}

#[test]
fn older_runs_resume_to_the_same_weights() {
    let place = tempfile::tempdir().unwrap();
    for name in RUNS {
        let folder = run_folder(name, place.path());
        run(&[
            "--resume",
            folder.to_str().unwrap(),
            "--epochs",
            "5",
            "--cache",
            &data("cache.h5"),
        ]);
        let latest = folder.join("checkpoint_latest.safetensors");
        same_tensors(
            Path::new(&data(&format!("{name}.resumed.safetensors"))),
            &latest,
        );
        let settings = json(folder.join("settings.json"));
        assert_eq!(settings["config"]["schedule"]["epochs"], 5);
        assert_eq!(settings.get("flags"), None);
    }
}

#[test]
fn resuming_an_older_run_elsewhere_keeps_its_folder_name() {
    let place = tempfile::tempdir().unwrap();
    for name in RUNS {
        let folder = run_folder(name, place.path());
        let elsewhere = place.path().join("elsewhere").join(name);
        run(&[
            "--resume",
            folder.to_str().unwrap(),
            "--epochs",
            "4",
            "--cache",
            &data("cache.h5"),
            "--out-dir",
            elsewhere.to_str().unwrap(),
        ]);
        assert!(
            elsewhere.join(folder.file_name().unwrap()).is_dir(),
            "{name}"
        );
    }
}

#[test]
fn report_shows_the_options_of_older_runs() {
    let place = tempfile::tempdir().unwrap();
    let folder = run_folder("options", place.path());
    run(&[
        "report",
        folder.to_str().unwrap(),
        "--cache",
        &data("cache.h5"),
    ]);
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    for shown in ["--surrogate", "sigmoid", "--keep-frames", "users:1"] {
        assert!(page.contains(shown), "{shown}");
    }
}

#[test]
fn older_checkpoints_refuse_another_network() {
    let error = fail(&[
        "--resume",
        &data("options.safetensors"),
        "--channels",
        "8",
        "--cache",
        &data("cache.h5"),
        "--epochs",
        "5",
    ]);
    assert!(error.contains("--channels 3 -> 8"), "{error}");
}
