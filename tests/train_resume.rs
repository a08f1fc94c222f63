//! Runs that stop and go on: bit for bit as if they had not stopped, or not at all.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "support/train.rs"]
mod support;

use std::fs;

use support::{Place, fail, output, rows, run, text};

const LATEST: &str = "checkpoint_latest.safetensors";

#[test]
fn four_epochs_are_two_and_two() {
    let place = Place::new();
    let flags = [
        "--opt",
        "SGD",
        "--lr",
        "0.1",
        "--neuron",
        "plif",
        "--lr_scheduler",
        "StepLR",
        "--step_size",
        "1",
    ];
    let whole = place.train("whole", &[&flags[..], &["--epochs", "4"]].concat());
    let halves = place.train("halves", &[&flags[..], &["--epochs", "2"]].concat());
    run(&["--resume", halves.to_str().unwrap(), "--epochs", "4"]);
    let read = |folder: &std::path::Path| fs::read(folder.join(LATEST)).unwrap();
    assert_eq!(read(&whole), read(&halves), "weights, optimizer and state");
    assert_eq!(rows(&whole), rows(&halves), "every number of every epoch");
    let table = rows(&whole);
    assert_eq!(table.len(), 5);
    assert_eq!(table[0].last().unwrap(), "tau_fc2");
    let tau: f64 = table[4].last().unwrap().parse().unwrap();
    assert!(
        tau != 2.0 && (tau - 2.0).abs() < 0.5,
        "tau is learnt: {tau}"
    );
    let loss = |epoch: usize| rows(&whole)[epoch + 1][1].clone();
    assert_ne!(
        loss(0),
        loss(3),
        "a network that does not learn proves nothing"
    );
}

#[test]
fn the_default_optimizer_goes_on_bit_for_bit_too() {
    let place = Place::new();
    let whole = place.train("whole", &["--epochs", "4"]);
    let halves = place.train("halves", &["--epochs", "2"]);
    // Python's spelling, and the file itself.
    let file = halves.join(LATEST);
    run(&["-resume", file.to_str().unwrap(), "-epochs", "4"]);
    assert_eq!(
        fs::read(whole.join(LATEST)).unwrap(),
        fs::read(file).unwrap()
    );
    assert_eq!(rows(&whole), rows(&halves));
}

#[test]
fn other_settings_are_taken_up_or_refused_and_named() {
    let place = Place::new();
    let run = place.train("logs", &["--epochs", "1"]);
    let run = run.to_str().unwrap();
    let error = fail(&["--resume", run]);
    assert!(
        error.contains("has all 1 of --epochs 1; ask for more"),
        "{error}"
    );
    for (flags, difference) in [
        (&["--channels", "8"][..], "--channels 6 -> 8"),
        (&["-T", "4"], "--frames 2 -> 4"),
        (&["--opt", "sgd"], "--opt adam -> sgd"),
        (&["--neuron", "plif"], "--neuron lif -> plif"),
    ] {
        let error = fail(&[&["--resume", run, "--epochs", "2"], flags].concat());
        assert!(
            error.contains("cannot go on with") && error.contains(difference),
            "{error}"
        );
    }
    let output = output(&[
        "--resume",
        run,
        "--epochs",
        "2",
        "--lr",
        "0.02",
        "--channels",
        "6",
    ]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("after epoch 0; not as before: --epochs 1 -> 2, --lr 0.01 -> 0.02\n"),
        "{said}"
    );
}

#[test]
fn a_run_is_replaced_only_by_force() {
    let place = Place::new();
    let folder = place.train("logs", &["--epochs", "2"]);
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    let (cache, out) = (place.cache(), place.at("logs"));
    let again = [
        &support::SMALL[..],
        &["--cache", &cache, "--out-dir", &out, "--epochs", "1"],
    ]
    .concat();
    let error = fail(&again);
    assert!(
        error.contains("holds a run already") && error.contains("--resume"),
        "{error}"
    );
    assert_eq!(rows(&folder).len(), 3);
    run(&[&again[..], &["--force"]].concat());
    assert_eq!(rows(&folder).len(), 2);
    assert_eq!(
        fs::read_to_string(folder.join("notes.txt")).unwrap(),
        "mine"
    );
    // Elsewhere, the rows and the best checkpoint begin anew and the old run stays.
    let elsewhere = place.at("elsewhere");
    run(&[
        "--resume",
        folder.to_str().unwrap(),
        "--epochs",
        "2",
        "--out-dir",
        &elsewhere,
    ]);
    let new = support::only_entry(std::path::Path::new(&elsewhere));
    assert_eq!((rows(&folder).len(), rows(&new).len()), (2, 2));
    assert!(new.join("checkpoint_max.safetensors").is_file());
}

#[test]
fn damaged_and_foreign_checkpoints_are_told_apart() {
    let place = Place::new();
    let whole = fs::read(place.train("logs", &["--epochs", "1"]).join(LATEST)).unwrap();
    let bad = place.at("bad.safetensors");
    let try_out = |bytes: &[u8]| {
        fs::write(&bad, bytes).unwrap();
        fail(&["--resume", &bad])
    };
    assert!(try_out(&whole[..whole.len() / 2]).contains("no whole safetensors file"));
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(try_out(&flipped).contains("it is damaged: its content has the CRC-32"));
    assert!(
        try_out(b"PK\x03\x04 as PyTorch writes")
            .contains("either another program's file or a damaged one")
    );
    assert!(fail(&["--resume", &place.at("none")]).contains("there is no checkpoint"));
}
