//! A resumed run is bitwise identical to a run that was not stopped. If that is impossible, the
//! program refuses to resume.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::support;
use crate::support::{LATEST, Place, SMALL, fail, latest, output, rows, run, text};

#[test]
fn resume_is_bitwise_identical() {
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
    assert_eq!(
        latest(&whole),
        latest(&halves),
        "weights, optimizer and state"
    );
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
fn resume_with_adam_is_bitwise_identical() {
    let place = Place::new();
    let whole = place.train("whole", &["--epochs", "4"]);
    let halves = place.train("halves", &["--epochs", "2"]);
    // The flags have one dash, as in the tutorial, and --resume names the file instead of the
    // folder.
    let file = halves.join(LATEST);
    run(&["-resume", file.to_str().unwrap(), "-epochs", "4"]);
    assert_eq!(
        fs::read(whole.join(LATEST)).unwrap(),
        fs::read(file).unwrap()
    );
    assert_eq!(rows(&whole), rows(&halves));
}

#[test]
fn resume_refuses_or_lists_changed_settings() {
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
            error.contains("cannot resume with") && error.contains(difference),
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
        said.contains("after epoch 0; not as before: --lr 0.01 -> 0.02, --epochs 1 -> 2\n"),
        "{said}"
    );
}

#[test]
fn run_is_replaced_only_with_force() {
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
    // An --out-dir that holds the run's own folder does not start another run.
    let own = ["--resume", folder.to_str().unwrap(), "--out-dir", &out];
    assert!(fail(&own).contains("has all 1 of --epochs 1; ask for more"));
    // In another --out-dir, the rows and the best checkpoint start afresh, and the old run stays as
    // it is.
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
fn resume_refuses_damaged_foreign_and_missing_checkpoints() {
    let place = Place::new();
    let whole = fs::read(place.train("logs", &["--epochs", "1"]).join(LATEST)).unwrap();
    let bad = place.at("bad.safetensors");
    let try_out = |bytes: &[u8]| {
        fs::write(&bad, bytes).unwrap();
        fail(&["--resume", &bad])
    };
    assert!(try_out(&whole[..whole.len() / 2]).contains("not a whole safetensors file"));
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(try_out(&flipped).contains("it is damaged: its content has the CRC-32"));
    assert!(
        try_out(b"PK\x03\x04 as PyTorch writes")
            .contains("either another program's file or a damaged one")
    );
    assert!(fail(&["--resume", &place.at("none")]).contains("there is no checkpoint"));
}

/// Enough epochs that a run takes a second or more, and can be stopped.
const LONG: [&str; 2] = ["--epochs", "40"];

/// Starts a run in `out`, or resumes the run there if it has a checkpoint: always with the same
/// command.
fn start(place: &Place, out: &str, flags: &[&str]) -> Child {
    let (cache, out) = (place.cache(), place.at(out));
    let mut command = Command::new(env!("CARGO_BIN_EXE_dvs-train"));
    command
        .args(SMALL)
        .args(flags)
        .args(["--cache", &cache, "--out-dir", &out, "--resume", "auto"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until a run prints its folder, which it does just before it trains. Returns its standard
/// output; dropping that would close the pipe.
fn wait_until_it_trains(child: &mut Child) -> BufReader<ChildStdout> {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("  folder: ") {
        line.clear();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "it ended");
    }
    out
}

/// Sends a signal to a process.
fn send(signal: &str, child: &Child) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// Asserts that a run has the same weights and metrics as `whole`, a summary, and no unfinished
/// file.
fn assert_same_run(folder: &Path, whole: &Path) {
    assert!(
        latest(folder) == latest(whole),
        "weights, optimizer and state"
    );
    assert_eq!(rows(folder), rows(whole), "every number of every epoch");
    assert!(folder.join("summary.json").exists());
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".unfinished"), "{name} was left");
    }
}

#[test]
fn interrupted_run_resumes_bitwise_identically() {
    assert_interrupted_run_resumes_identically(&LONG);
}

#[test]
fn interrupted_run_with_augmentation_resumes_bitwise_identically() {
    let flags =
        "--flip 0.5 --rotate 15 --shift 6 --flip-polarity 0.5 --drop-events 0.3 --keep-frames 1";
    let flags: Vec<&str> = flags.split(' ').collect();
    assert_interrupted_run_resumes_identically(&[&["--epochs", "20"], &flags[..]].concat());
}

fn assert_interrupted_run_resumes_identically(flags: &[&str]) {
    let place = Place::new();
    let whole = place.train("whole", flags);
    let (mut stops, mut within) = (0, 0);
    for (at, signal) in ["-INT", "-TERM"].iter().cycle().enumerate() {
        let mut child = start(&place, "stopped", flags);
        let _out = wait_until_it_trains(&mut child);
        sleep(Duration::from_millis(37 * (at as u64 % 8)));
        if child.try_wait().unwrap().is_none() {
            send(signal, &child);
        }
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let said = text(&stderr);
        if status.success() {
            break;
        }
        let name = signal.replace('-', "SIG");
        let expected = if *signal == "-INT" { 130 } else { 143 };
        assert_eq!(status.code(), Some(expected), "{said}");
        let last = said.lines().last().unwrap();
        assert!(
            last.starts_with(&format!("dvs-train: {name}: stopped "))
                && last.contains("; resume with: dvs-train --resume "),
            "{said}"
        );
        stops += 1;
        within += usize::from(last.contains("stopped within epoch"));
    }
    assert!(
        stops >= 2 && within >= 1,
        "{stops} stops, {within} within an epoch"
    );
    assert_same_run(
        &support::only_entry(Path::new(&place.at("stopped"))),
        &whole,
    );
}

#[test]
fn killed_runs_resume_bitwise_identically() {
    const KILLS: usize = 100;
    let place = Place::new();
    let whole = place.train("whole", &LONG);
    let (mut kills, mut runs, mut random) = (0, 0, 0x2545_f491_4f6c_dd1d_u64);
    while kills < KILLS {
        runs += 1;
        let out = format!("killed-{runs}");
        loop {
            let mut child = start(&place, &out, &LONG);
            // This is Marsaglia's xorshift. Any other random numbers would do.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if kills < KILLS {
                sleep(Duration::from_micros(random % 400_000));
                child.kill().unwrap();
            }
            let Output { status, stderr, .. } = child.wait_with_output().unwrap();
            if status.success() {
                break;
            }
            assert_eq!(
                status.code(),
                None,
                "it did not go on by itself: {}",
                text(&stderr)
            );
            kills += 1;
        }
        assert_same_run(&support::only_entry(Path::new(&place.at(&out))), &whole);
    }
    println!("{kills} kills of {runs} runs");
}
