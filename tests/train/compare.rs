//! `compare` and the report of several runs: groups, statistics, and runs that are unfinished or
//! damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::report::{assert_self_contained, assert_well_formed};
use crate::support::{Place, fail, output, run, text};

/// A temporary folder with runs that this test writes, as training takes long.
struct Logs(TempDir);

impl Logs {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a run with these accuracies after its epochs and with other flags than the defaults.
    fn unfinished(&self, name: &str, flags: Value, accuracies: &[f64]) -> PathBuf {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/commit_18365cc");
        let settings = fs::read_to_string(data.join("defaults.settings.json")).unwrap();
        let mut settings: Value = serde_json::from_str(&settings).unwrap();
        for (flag, value) in flags.as_object().unwrap() {
            settings["flags"][flag] = value.clone();
        }
        let folder = self.0.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("settings.json"), settings.to_string()).unwrap();
        let rows = accuracies.iter().enumerate();
        let rows =
            rows.map(|(epoch, accuracy)| format!("{epoch},{},{accuracy},2\n", 1.0 - accuracy));
        let rows: String = rows.collect();
        let metrics = format!("epoch,test_loss,test_acc,seconds\n{rows}");
        fs::write(folder.join("metrics.csv"), metrics).unwrap();
        folder
    }

    /// Writes a finished run, whose best network is that of the last epoch.
    fn finished(&self, name: &str, flags: Value, accuracies: &[f64]) -> PathBuf {
        let folder = self.unfinished(name, flags, accuracies);
        let accuracy = accuracies.last().unwrap();
        let summary = json!({
            "protocol": "accuracy-A", "best_epoch": accuracies.len() - 1, "chosen_with": accuracy,
            "validation_users": [], "test_acc": accuracy, "test_loss": 1.0 - accuracy,
            "test_samples": 288, "confusion": [[288]],
        });
        fs::write(folder.join("summary.json"), summary.to_string()).unwrap();
        folder
    }

    /// Two groups: LIF with three seeds, and PLIF with one.
    fn two_groups(&self) {
        for (seed, last) in [0.9618, 0.9549, 0.9688].into_iter().enumerate() {
            let name = format!("logs/lif/{seed}");
            self.finished(&name, json!({ "seed": seed }), &[0.25, 0.5, last]);
        }
        let plif = json!({ "neuron": "plif", "device": "cuda:0", "jobs": 9 });
        self.finished("logs/plif", plif, &[0.5, 0.75, 0.97]);
    }

    /// An unfinished run, and damaged ones of many kinds.
    fn others(&self) -> usize {
        self.unfinished("logs/going_on", json!({ "epochs": 64 }), &[0.25, 0.5]);
        let damage: [(&str, &str, &[u8]); 9] = [
            ("empty_settings", "settings.json", b""),
            (
                "huge_numbers",
                "settings.json",
                br#"{"created_by": "x", "config": {"seed": 1e400}}"#,
            ),
            ("not_text", "metrics.csv", b"epoch\xff\n"),
            (
                "cut_metrics",
                "metrics.csv",
                b"epoch,test_loss,test_acc\n0,0.5\n",
            ),
            ("no_epochs", "metrics.csv", b""),
            ("other_metrics", "metrics.csv", b"step,loss\n1,2\n"),
            ("cut_summary", "summary.json", b"{"),
            ("null_summary", "summary.json", br#"{"test_acc": null}"#),
            (
                "lines",
                "settings.json",
                b"{\"created_by\": \"x\", \"config\": {\"a\\n\\u001bb\": 1}}",
            ),
        ];
        for (name, file, bytes) in damage {
            let folder = self.finished(&format!("logs/{name}"), json!({}), &[0.5]);
            fs::write(folder.join(file), bytes).unwrap();
        }
        let folder = self.finished("logs/impossible", json!({}), &[0.5]);
        let path = folder.join("summary.json");
        let summary = fs::read_to_string(&path).unwrap();
        fs::write(
            path,
            summary.replace("\"test_acc\":0.5", "\"test_acc\":1e300"),
        )
        .unwrap();
        fs::create_dir_all(self.at("logs/folder/settings.json")).unwrap();
        damage.len() + 2
    }
}

/// Runs `compare --json` and returns the object.
fn compared(places: &[&str]) -> Value {
    let printed = run(&[&["compare"], places, &["--json"]].concat());
    serde_json::from_str(&printed).unwrap()
}

fn width_and_height(png: &str) -> [u32; 2] {
    let bytes = fs::read(png).unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    [16, 20].map(|at| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()))
}

#[test]
fn table_has_a_row_for_each_group_and_a_column_for_each_differing_setting() {
    let logs = Logs::new();
    logs.two_groups();
    let said = run(&["compare", &logs.at("logs")]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines[1..],
        [
            "neuron  n       mean ± sd     best    loss  s an epoch  protocol",
            "plif    1         97.00 %  97.00 %  0.0300        2.00  accuracy-A",
            // python3 -c 'from statistics import *; print(stdev([96.18, 95.49, 96.88]))'
            "lif     3  96.18 ± 0.70 %  96.88 %  0.0382        2.00  accuracy-A",
        ],
        "{said}"
    );
    assert_eq!(output(&["compare", &logs.at("logs")]).stderr, b"");
}

#[test]
fn one_group_and_repeated_seeds_are_remarked() {
    let logs = Logs::new();
    for name in ["a", "b"] {
        logs.finished(name, json!({ "seed": 3 }), &[0.5]);
    }
    std::os::unix::fs::symlink(logs.at("a"), logs.at("c")).unwrap();
    let said = run(&["compare", &logs.at("c"), &logs.at(""), &logs.at("a")]);
    assert!(
        said.contains("\n2  50.00 ± 0.00 %"),
        "each run counts once: {said}"
    );
    assert!(
        said.contains("one group: all finished runs have the same settings but for the seed\n"),
        "{said}"
    );
    assert!(
        said.contains("all runs, accuracy-A: seed 3 twice\n"),
        "{said}"
    );
}

#[test]
fn unfinished_and_damaged_runs_are_listed_and_not_counted() {
    let logs = Logs::new();
    logs.two_groups();
    let damaged = logs.others();
    let folder = logs.at("logs");
    let said = run(&["compare", &folder]);
    assert!(said.contains("\nlif     3  96.18 ± 0.70 %"), "{said}");
    let listed = |what: &str| format!("  {}: {what}\n", logs.at("logs/going_on"));
    for line in [
        "unfinished, and not counted: 1 run\n",
        &listed("2 of 64 epochs, best test accuracy so far 50.00 %"),
        &format!("damaged, and not counted: {damaged} runs\n"),
        "cut_metrics: line 2 of metrics.csv has no epoch, no test_acc or no test_loss\n",
        "no_epochs: it has a summary.json, but no epoch in metrics.csv\n",
        "other_metrics: metrics.csv has no column epoch\n",
        "metrics.csv is not text",
        "in summary.json is not within 0 and 1\n",
        ": settings.json is not a file\n",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "{said}");
    let lines = said.lines().count();
    assert_eq!(lines, 1 + 3 + 2 + 1 + damaged, "a line for each: {said}");

    let found = compared(&[&folder]);
    assert_eq!(found["damaged"].as_array().unwrap().len(), damaged);
    assert_eq!(
        found["unfinished"],
        json!([{
            "run": logs.at("logs/going_on"), "seed": 0, "epochs_done": 2, "epochs": 64,
            "evaluated_on": "test", "best": 0.5
        }])
    );
    let table = output(&["compare", &folder, "--csv"]);
    assert_eq!(text(&table.stdout).lines().count(), 3);
    let warned = text(&table.stderr);
    assert_eq!(warned.lines().count(), 2 + 1 + damaged, "{warned}");

    // Runs of which none has finished.
    let said = run(&["compare", &logs.at("logs/going_on")]);
    assert!(said.starts_with("no run has finished\nunfinished, and not counted: 1 run\n"));
    assert_eq!(compared(&[&logs.at("logs/folder")])["groups"], json!([]));
    let png = logs.at("none.png");
    let error = fail(&["compare", &logs.at("logs/going_on"), "--picture", &png]);
    assert!(error.contains("none of 1 run has finished"), "{error}");
}

#[test]
fn json_has_the_documented_members_and_csv_the_same_numbers() {
    let logs = Logs::new();
    logs.two_groups();
    logs.others();
    let places = [&*logs.at("logs/plif"), &logs.at("logs")];
    let found = compared(&places);
    assert_eq!(found, compared(&places), "the same twice");
    let [plif, lif] = found["groups"].as_array().unwrap().as_slice() else {
        panic!("{found}")
    };
    assert_eq!(plif["settings"], json!({ "neuron": "plif" }));
    assert_eq!(plif["sd"], Value::Null);
    assert_eq!(lif["seeds"], json!([0, 1, 2]));
    let number = |name: &str| lif[name].as_f64().unwrap();
    // from statistics import *; a = [0.9618, 0.9549, 0.9688]; mean(a), stdev(a)
    assert!((number("mean") - 0.961_833_333_333_333_4).abs() < 1e-15);
    assert!((number("sd") - 0.006_950_059_951_779_804).abs() < 1e-15);
    assert_eq!((number("best"), number("median_epoch_s")), (0.9688, 2.0));
    assert_eq!(lif["best_run"], logs.at("logs/lif/2"));
    assert_eq!(lif["runs"][1]["test_acc"], 0.9549);

    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, section) = readme.split_once("\n## Comparing runs\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let parts = [
        &found,
        lif,
        &lif["runs"][0],
        &found["unfinished"][0],
        &found["damaged"][0],
    ];
    for name in parts.iter().flat_map(|of| of.as_object().unwrap().keys()) {
        assert!(section.contains(&format!("`{name}`")), "{name}");
    }

    let table = text(&output(&["compare", &logs.at("logs"), "--csv"]).stdout);
    let row = format!("lif,3,0 1 2,{},{},0.9688,", lif["mean"], lif["sd"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[0],
        "neuron,n,seeds,mean,sd,best,mean_loss,median_epoch_s,protocol"
    );
    assert!(lines[1].starts_with("plif,1,0,0.97,,0.97,"), "{table}");
    assert!(
        lines[2].starts_with(&row) && lines[2].ends_with(",accuracy-A"),
        "{table}"
    );
    for name in lines[0].split(',').skip(1) {
        assert!(section.contains(&format!("`{name}`")), "{name}");
    }
    logs.finished("more/a", json!({ "validation": "users:anna,ben" }), &[0.5]);
    // Its epochs are of the test set, which is damage.
    assert!(
        compared(&[&logs.at("more")])["damaged"][0]["reason"]
            .to_string()
            .contains("validation_acc")
    );
}

#[test]
fn picture_shows_the_groups_that_can_be_told_apart() {
    let logs = Logs::new();
    logs.two_groups();
    let png = logs.at("curves.png");
    let said = run(&["compare", &logs.at("logs"), "--picture", &png]);
    assert!(said.ends_with(&format!("curves: {png}\n")), "{said}");
    let [width, height] = width_and_height(&png);
    assert_eq!(width, 1500);
    for (channels, accuracy) in (1..).zip([0.1, f64::NAN, 0.3, 0.4, 0.5, 0.6, 0.7]) {
        let flags = json!({ "channels": channels, "hidden": 8 });
        let folder = logs.finished(&format!("logs/{channels}"), flags, &[accuracy, 0.5]);
        let metrics = fs::read_to_string(folder.join("metrics.csv")).unwrap();
        fs::write(
            folder.join("metrics.csv"),
            metrics.replace(",0.5,2", ",inf,2"),
        )
        .unwrap();
    }
    let drawn = output(&["compare", &logs.at("logs"), "--picture", &png, "--json"]);
    assert_eq!(
        text(&drawn.stderr),
        "dvs-train: the curves show the best 7 of 9 groups\n"
    );
    let drawn: Value = serde_json::from_slice(&drawn.stdout).unwrap();
    assert_eq!(drawn["picture"], png);
    assert_eq!(width_and_height(&png), [width, height + 5 * 28]);
    let error = fail(&[
        "compare",
        &logs.at("logs/lif"),
        "--picture",
        &logs.at("no/x.png"),
    ]);
    assert!(error.contains("cannot draw"), "{error}");
}

#[test]
fn wrong_places_and_flags_are_errors() {
    let logs = Logs::new();
    logs.two_groups();
    fs::create_dir(logs.at("empty")).unwrap();
    for (place, reason) in [
        ("empty", "no folder there has a settings.json"),
        ("none", "is not a folder"),
    ] {
        let error = fail(&["compare", &logs.at("logs"), &logs.at(place)]);
        assert!(
            error.contains(reason) && error.contains(&logs.at(place)),
            "{error}"
        );
    }
    let folder = logs.at("logs");
    for wrong in [
        &["compare"][..],
        &["compare", &folder, "--json", "--csv"],
        &["compare", &folder, "--picture", "x.jpg"],
        &["report"],
    ] {
        assert_eq!(output(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn report_of_several_runs_compares_them() {
    let logs = Logs::new();
    logs.two_groups();
    let damaged = logs.others();
    let report = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dvs-train"));
        let said = command
            .arg("report")
            .args(args)
            .current_dir(logs.at(""))
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", text(&said.stderr));
        text(&said.stdout)
    };
    assert_eq!(report(&["logs"]), "report.html\n");
    let page = fs::read_to_string(logs.at("report.html")).unwrap();
    assert_well_formed(&page);
    assert_self_contained(&page);
    let runs = 4 + 1 + damaged;
    for part in [
        &format!("<h1>{runs} runs</h1>"),
        "The best of 2 groups, <strong>neuron=plif</strong>, recognises <b>97.00 %</b>",
        &format!("1 run is unfinished, and not counted. {damaged} runs are damaged"),
        "96.18 ± 0.70 %",
        "test accuracy by epoch: neuron=plif (1 run) from 0.5 in epoch 0 to 0.97 in epoch 2",
        "<td>2 of 64 epochs, best test accuracy so far 50.00 %</td>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<figure>").count(), 2);
    assert_eq!(page.matches("class=\"band\"").count(), 2, "of LIF, in each");
    let listed = |state: &str| page.matches(&format!("<tr class=\"{state}\">")).count();
    assert_eq!(
        ["finished", "unfinished", "damaged"].map(listed),
        [4, 1, damaged]
    );

    let said = report(&["logs/plif", "logs/lif/0", "-o", "page.html", "--json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        said,
        json!({ "runs": ["logs/plif", "logs/lif/0"], "report": "page.html" })
    );
    // A folder with one run means that run.
    logs.finished("single/run", json!({}), &[0.5]);
    assert_eq!(report(&["single"]), "single/run/report.html\n");
    let error = fail(&["report", &logs.at("logs"), "--cache", "x.h5"]);
    assert!(
        error.contains("--cache names the cache of the samples"),
        "{error}"
    );
}

#[test]
fn report_of_several_runs_escapes_text_from_files() {
    let logs = Logs::new();
    let evil = "<img src=x onerror=alert(1)>&\"'";
    for name in ["a", evil] {
        let folder = logs.finished(&format!("logs/{name}"), json!({}), &[0.5]);
        let path = folder.join("settings.json");
        let settings = fs::read_to_string(&path).unwrap();
        let mut settings: Value = serde_json::from_str(&settings).unwrap();
        settings["source_sha256"] = name.into();
        fs::write(path, settings.to_string()).unwrap();
    }
    let page = logs.at("page.html");
    run(&["report", &logs.at("logs"), "-o", &page]);
    let page = fs::read_to_string(page).unwrap();
    assert_well_formed(&page);
    assert!(!page.contains("<img src=x"), "it is taken at its word");
    assert!(
        page.matches("&lt;img src=x onerror=alert(1)&gt;&amp;")
            .count()
            > 4
    );
}

#[test]
fn trained_runs_are_compared() {
    let place = Place::new();
    for seed in ["1", "2"] {
        place.train(&format!("logs/{seed}"), &["--epochs", "2", "--seed", seed]);
    }
    place.train("logs/plif", &["--epochs", "2", "--neuron", "plif"]);
    let found = compared(&[&place.at("logs")]);
    let groups = found["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2, "{found}");
    let lif = groups.iter().find(|of| of["n"] == 2).unwrap();
    assert_eq!(lif["seeds"], json!([1, 2]));
    assert_eq!(lif["settings"], json!({ "neuron": "lif" }));
    assert!(lif["median_epoch_s"].as_f64().unwrap() > 0.0);
    let metrics: Vec<f64> = lif["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["test_acc"].as_f64().unwrap())
        .collect();
    assert_eq!(
        lif["mean"].as_f64().unwrap(),
        (metrics[0] + metrics[1]) / 2.0
    );
    assert_eq!(found["unfinished"], json!([]));
    assert_eq!(found["damaged"], json!([]));
}
