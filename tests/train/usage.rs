//! Everyday use: the tutorial's command line, validation, bench, eval, predict, completions and
//! manual pages.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support;
use crate::support::{Place, SMALL, fail, only_entry, output, prepare, rows, run};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn accepts_the_command_line_of_the_tutorial() {
    let place = Place::new();
    let (cache, out) = (place.cache(), place.at("logs"));
    let line = "-T 2 -device cpu -b 4 -epochs 1 -j 2 -channels 4 -opt Adam -lr 0.002 -lr_scheduler CosALR -T_max 64 \
                -cupy";
    let line: Vec<&str> = line.split_whitespace().collect();
    let said = run(&[&line[..], &["--cache", &cache, "-out_dir", &out]].concat());
    assert!(said.contains("\nepoch=0, train_loss=0."), "{said}");
    assert!(said.contains("chosen on the test set itself"), "{said}");
    let folder = Path::new(&out).join("T_2_b_4_c_4_Adam_lr_0.002_CosALR_64");
    for file in [
        "settings.json",
        "metrics.csv",
        "curves.png",
        "confusion.png",
        "summary.json",
    ] {
        assert!(
            fs::metadata(folder.join(file)).unwrap().len() > 100,
            "{file}"
        );
    }
    let header = &rows(&folder)[0].join(",");
    assert!(
        header.starts_with("epoch,train_loss,train_acc,test_loss,test_acc,max_test_acc,lr,"),
        "{header}"
    );
    let error = fail(&["--cache", &cache, "-amp"]);
    assert!(error.contains("--amp needs a GPU"), "{error}");
    assert_eq!(output(&["-T_max", "x"]).status.code(), Some(2));
}

#[test]
fn validation_holds_out_users_and_tests_only_once() {
    let place = Place::new();
    let cache = place.synthetic_cache("0");
    let out = place.at("logs");
    let flags = [
        "--cache",
        &cache,
        "--out-dir",
        &out,
        "--epochs",
        "2",
        "--channels",
        "4",
        "-b",
        "4",
    ];
    let said = run(&[&flags[..], &["--validation", "users:1"]].concat());
    assert!(
        said.contains("train: 24 samples, validation: 12 samples of user0"),
        "{said}"
    );
    assert!(
        said.contains("validation_acc=") && said.contains("accuracy-B"),
        "{said}"
    );
    assert_eq!(
        said.matches("test_acc=").count(),
        1,
        "the test set is judged once:\n{said}"
    );
    let folder = support::only_entry(Path::new(&out));
    assert!(
        folder.to_str().unwrap().ends_with("_validation_users_1"),
        "{folder:?}"
    );
    let table = rows(&folder);
    let column = |name: &str| table[0].iter().position(|column| column == name).unwrap();
    assert_eq!(table[1][column("test_acc")], "");
    assert_ne!(table[1][column("validation_acc")], "");
    let summary = json(&fs::read_to_string(folder.join("summary.json")).unwrap());
    assert_eq!(summary["protocol"], "accuracy-B");
    assert_eq!(summary["validation_users"].as_array().unwrap().len(), 1);

    let error = fail(&[&flags[..], &["--validation", "users:3"]].concat());
    assert!(error.contains("hold out at most 2"), "{error}");
}

#[test]
fn training_does_not_depend_on_frame_storage() {
    let place = Place::new();
    let train =
        |out: &str, flags: &[&str]| rows(&place.train(out, &[flags, &["--epochs", "2"]].concat()));
    let streamed = train("streamed", &["--frames-in", "stream", "-j", "1"]);
    for kept in ["memory", "device"] {
        assert_eq!(
            train(kept, &["--frames-in", kept, "-j", "3"]),
            streamed,
            "{kept}"
        );
    }
    let line = [
        "--cache",
        &place.cache(),
        "--epochs",
        "1",
        "--out-dir",
        &place.at("auto"),
    ];
    let said = run(&[&support::SMALL[..], &line].concat());
    assert!(said.contains(", frames_in=memory, "), "{said}");
}

#[test]
fn bench_times_training_and_evaluation_steps() {
    let line = "bench -T 1 -b 2 --channels 2 --steps 3 --json";
    let found = json(&run(&line.split(' ').collect::<Vec<_>>()));
    for what in ["train", "eval"] {
        let seconds = found[format!("{what}_step_s")].as_f64().unwrap();
        let speed = found[format!("{what}_samples_per_s")].as_f64().unwrap();
        assert!(
            seconds > 0.0 && (speed * seconds - 2.0).abs() < 1e-9,
            "{found}"
        );
    }
    let line = "bench --parts -T 1 -b 1 --channels 2 --device cpu --json";
    let found = json(&run(&line.split(' ').collect::<Vec<_>>()));
    let parts = found["parts"].as_array().unwrap();
    assert_eq!(parts.len(), 2 + 2 + 5 * 5 - 1, "{found}");
    for part in parts {
        assert!(part["seconds"].as_f64().unwrap() > 0.0, "{part}");
        let compared = ["share_of_copy", "share_of_matmul"].map(|key| part[key].is_number());
        assert_ne!(compared[0], compared[1], "{part}");
    }
    let error = fail(&["bench", "--steps", "0"]);
    assert!(error.contains("--steps 0 is not within 1 and"), "{error}");
}

#[test]
fn eval_matches_the_summary_of_the_run() {
    let place = Place::new();
    let folder = place.train("logs", &["--epochs", "2"]);
    let summary = json(&fs::read_to_string(folder.join("summary.json")).unwrap());
    let folder = folder.to_str().unwrap();
    let found = json(&run(&["eval", folder, "--json"]));
    assert_eq!(found["accuracy"], summary["test_acc"]);
    assert_eq!(found["confusion"], summary["confusion"]);
    assert_eq!(found["samples"], 22);
    // This evaluates the training set with another batch size, and prints text.
    let words = run(&[
        "eval",
        folder,
        "--set",
        "train",
        "-b",
        "5",
        "--cache",
        &place.cache(),
    ]);
    assert!(
        words.contains("set=train") && words.contains(" 3 right_arm_clockwise"),
        "{words}"
    );
    assert_eq!(words.lines().count(), 14, "{words}");

    let other = place.at("other.h5");
    prepare(&["-T", "3", "-i", &place.archive(), "-o", &other]);
    let error = fail(&["eval", folder, "--cache", &other]);
    assert!(
        error.contains("holds 3 frames split by number, but the network of"),
        "{error}"
    );
    assert!(
        error.contains("was trained on 2 frames split by number; make a cache of these"),
        "{error}"
    );
}

#[test]
fn eval_and_resume_keep_the_linear_bias() {
    let place = Place::new();
    let folder = place.train("logs", &["--epochs", "1", "--linear-bias"]);
    assert!(
        folder.to_str().unwrap().contains("_linear_bias_true"),
        "{folder:?}"
    );
    let summary = json(&fs::read_to_string(folder.join("summary.json")).unwrap());
    let folder = folder.to_str().unwrap();
    let found = json(&run(&["eval", folder, "--json"]));
    assert_eq!(found["confusion"], summary["confusion"]);
    let said = run(&["--resume", folder, "--epochs", "2", "--device", "cpu"]);
    // Each of the 110 output neurons has 24 inputs and a bias.
    assert!(said.contains("   2750 parameters"), "{said}");
}

#[test]
fn predict_gives_same_result_for_cache_archive_and_recording() {
    let place = Place::new();
    let folder = place.train("logs", &["--epochs", "3"]);
    let predict = |input: &str, args: &[&str]| {
        let checkpoint = folder.join("checkpoint_latest.safetensors");
        let checkpoint = ["predict", checkpoint.to_str().unwrap(), input];
        [&checkpoint[..], args]
            .concat()
            .iter()
            .map(|&s| s.to_owned())
            .collect::<Vec<_>>()
    };
    let run = |line: Vec<String>| run(&line.iter().map(String::as_str).collect::<Vec<_>>());
    let fail = |line: Vec<String>| fail(&line.iter().map(String::as_str).collect::<Vec<_>>());

    let unpacked = Command::new("tar")
        .args(["xzf", &place.archive(), "-C", &place.at("")])
        .status()
        .unwrap();
    assert!(unpacked.success());
    let sample = ["--sample", "user02_led_0@7", "--json"];
    // A cache does not say how its recordings were read.
    let json = |text: &str| {
        let mut answer = json(text);
        answer.as_object_mut().unwrap().remove("recognised");
        answer
    };
    let from_cache = json(&run(predict(&place.cache(), &sample)));
    let recording = place.at("DvsGesture/user02_led.aedat");
    assert_eq!(json(&run(predict(&place.archive(), &sample))), from_cache);
    assert_eq!(
        json(&run(predict(&place.at("DvsGesture"), &sample))),
        from_cache
    );
    assert_eq!(json(&run(predict(&recording, &sample))), from_cache);
    assert_eq!(from_cache["label"], 7);
    assert_eq!(
        from_cache["firing_rates_by_step"].as_array().unwrap().len(),
        2
    );

    let window = ["start_us", "end_us"].map(|key| from_cache[key].to_string());
    let window = ["--start-us", &window[0], "--end-us", &window[1]];
    let by_window = json(&run(predict(
        &recording,
        &[&window[..], &["--json"]].concat(),
    )));
    assert_eq!(by_window["firing_rates"], from_cache["firing_rates"]);
    assert_eq!(by_window["label"], Value::Null);
    let words = run(predict(&recording, &window));
    assert!(
        words.contains("firing rate of each class over the steps so far"),
        "{words}"
    );

    for (input, args, reason) in [
        (
            place.cache(),
            &[][..],
            "holds several samples; name one with --sample",
        ),
        (
            place.cache(),
            &["--sample", "user02_led_0"],
            "name one of user02_led_0@0",
        ),
        (
            place.archive(),
            &["--sample", "user09_led_0@1"],
            "no sample is named user09_led_0@1",
        ),
        (
            recording.clone(),
            &["--start-us", "0", "--end-us", "1"],
            "has no events from 0 to 1 us",
        ),
        (
            recording,
            &["--start-us", "5", "--end-us", "5"],
            "--start-us 5 is not before --end-us 5",
        ),
        (place.at("settings.json"), &[], "cannot read"),
    ] {
        let error = fail(predict(&input, args));
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn writes_completions_and_manual_pages_for_commands() {
    let place = Place::new();
    let pages = place.at("share/man/man1");
    let said = run(&["man", &pages]);
    let written: Vec<&str> = said.lines().collect();
    assert_eq!(fs::read_dir(&pages).unwrap().count(), written.len());
    let commands =
        "train eval profile preview report compare predict bench devices completions man";
    let scripts = ["bash", "zsh", "fish", "elvish", "powershell"];
    let scripts = scripts.map(|shell| run(&["completions", shell]));
    for command in commands.split(' ') {
        let page = format!("{pages}/dvs-train-{command}.1");
        assert!(written.contains(&page.as_str()), "{said}");
        let page = fs::read_to_string(page).unwrap();
        assert!(
            page.contains(".TH dvs-train-") && page.contains(".SH OPTIONS"),
            "{command}"
        );
        for script in &scripts {
            assert!(script.contains(command) && script.contains("keep-frames"));
        }
    }
    let page = fs::read_to_string(format!("{pages}/dvs-train.1")).unwrap();
    assert!(page.contains("lr\\-scheduler"), "train is the default");
}

#[test]
fn run_continues_if_its_output_is_closed() {
    let place = Place::new();
    let (cache, out) = (place.cache(), place.at("logs"));
    let paths = ["--cache", &cache, "--out-dir", &out, "--epochs", "2"];
    let train = [&SMALL[..], &paths].concat();
    for line in [&["devices"][..], &["eval", "--help"], &train] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_dvs-train"));
        let status = command.args(line).stdout(writer).status().unwrap();
        assert!(status.success(), "{line:?}");
    }
    assert_eq!(
        rows(&only_entry(Path::new(&out))).len(),
        3,
        "a header and two epochs"
    );
}
