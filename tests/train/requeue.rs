//! A scheduler repeats a run's command until the run is whole, and programs follow the run by its JSON.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{LATEST, Place, SMALL, fail, latest, only_entry, output, rows, run, text};

/// Arguments of a run in `out`, in the order in which a scheduler would repeat them.
fn line(place: &Place, out: &str, more: &[&str]) -> Vec<String> {
    let (cache, out) = (place.cache(), place.at(out));
    let own = ["--cache", &cache, "--out-dir", &out, "--resume", "auto"];
    let all = [&SMALL[..], &own, more].concat();
    all.into_iter().map(str::to_owned).collect()
}

fn strs(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

fn start(line: &[String]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dvs-train"));
    command.args(line);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until there is a checkpoint below `out`.
fn wait_for_checkpoint(place: &Place, out: &str, child: &mut Child) {
    let out = place.at(out);
    let there = || {
        let folders = fs::read_dir(&out).into_iter().flatten();
        let mut files = folders.map(|folder| folder.unwrap().path().join(LATEST));
        files.any(|file| file.exists())
    };
    let start = Instant::now();
    while !there() {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint");
        sleep(Duration::from_millis(5));
    }
}

/// Parses standard output, which holds nothing but lines of JSON.
fn lines(said: &str) -> Vec<Value> {
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn the_same_command_again_trains_the_run_to_its_end() {
    let place = Place::new();
    let whole = place.train("whole", &["--epochs", "30"]);
    let command = line(&place, "requeued", &["--epochs", "30", "--json"]);
    let (mut stops, mut epochs) = (0, Vec::new());
    loop {
        let mut child = start(&command);
        sleep(Duration::from_millis(250));
        if child.try_wait().unwrap().is_none() {
            let pid = child.id().to_string();
            let sent = Command::new("kill").args(["-TERM", &pid]).status();
            assert!(sent.unwrap().success());
        }
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        let mut said = lines(&text(&stdout));
        // A signal before the program listens for it ends it at once.
        let Some(end) = said.pop() else {
            assert!(!status.success(), "{}", text(&stderr));
            continue;
        };
        assert_eq!(end["event"], "end");
        epochs.extend(said);
        if status.success() {
            assert_eq!(end["status"], "finished");
            break;
        }
        assert_eq!(status.code(), Some(143), "{}", text(&stderr));
        assert_eq!(
            (&end["status"], &end["reason"]),
            (&"stopped".into(), &"SIGTERM".into())
        );
        stops += 1;
    }
    assert!(stops >= 2, "{stops} stops");
    let folder = only_entry(Path::new(&place.at("requeued")));
    assert!(
        latest(&folder) == latest(&whole),
        "weights, optimizer and state"
    );
    assert_eq!(rows(&folder), rows(&whole));
    let numbers: Vec<u64> = epochs
        .iter()
        .map(|line| line["epoch"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());

    // Once more, after its end.
    let before = fs::metadata(folder.join(LATEST))
        .unwrap()
        .modified()
        .unwrap();
    let again = output(&strs(&command));
    assert!(again.status.success());
    let said = text(&again.stderr);
    assert!(
        said.contains("nothing is left to do: ") && said.contains("has all 30 epochs"),
        "{said}"
    );
    let end = lines(&text(&again.stdout));
    let summary: Value =
        serde_json::from_slice(&fs::read(folder.join("summary.json")).unwrap()).unwrap();
    assert_eq!(end.len(), 1);
    for field in [
        "best_epoch",
        "test_acc",
        "test_loss",
        "test_samples",
        "protocol",
    ] {
        assert_eq!(end[0][field], summary[field], "{field}");
    }
    assert_eq!(
        fs::metadata(folder.join(LATEST))
            .unwrap()
            .modified()
            .unwrap(),
        before
    );

    // More epochs are the same run.
    let more = line(&place, "requeued", &["--epochs", "31", "--json"]);
    let said = output(&strs(&more));
    assert!(text(&said.stderr).contains("after epoch 29; not as before: --epochs 30 -> 31"));
    assert_eq!(lines(&text(&said.stdout)).len(), 2);
    let fewer = line(&place, "requeued", &["--epochs", "3"]);
    assert!(fail(&strs(&fewer)).contains("the run has 31 epochs already, more than --epochs 3"));
}

#[test]
fn lines_of_json_have_the_numbers_of_the_metrics() {
    let place = Place::new();
    let cache = place.cache();
    for (out, more, set) in [
        ("test", &[][..], "test"),
        (
            "held",
            &["--validation", "recordings:0.5", "--neuron", "plif"],
            "validation",
        ),
    ] {
        let out = place.at(out);
        let own = [
            "--cache",
            &cache,
            "--out-dir",
            &out,
            "--epochs",
            "2",
            "--json",
        ];
        let said = output(&[&SMALL[..], &own, more].concat());
        assert!(said.status.success(), "{}", text(&said.stderr));
        assert!(
            text(&said.stderr).contains("  folder: "),
            "text goes to standard error"
        );
        let said = lines(&text(&said.stdout));
        let folder = only_entry(Path::new(&out));
        let table: Vec<Vec<String>> = fs::read_to_string(folder.join("metrics.csv"))
            .unwrap()
            .lines()
            .map(|row| row.split(',').map(str::to_owned).collect())
            .collect();
        assert_eq!((said.len(), table.len()), (3, 3));
        for (line, row) in said.iter().zip(&table[1..]) {
            assert_eq!(line["event"], "epoch");
            assert_eq!(line["run"].as_str(), folder.to_str());
            assert_eq!((&line["seed"], &line["epochs"]), (&0.into(), &2.into()));
            for (name, number) in table[0].iter().zip(row) {
                match number.as_str() {
                    "" => assert!(line.get(name).is_none(), "{name}"),
                    number => assert_eq!(line[name].as_f64(), number.parse().ok(), "{name}"),
                }
            }
            assert_eq!(line["evaluated_on"], set);
            for name in ["loss", "acc"] {
                assert_eq!(line[name], line[format!("{set}_{name}")]);
            }
            assert_eq!(line["max_acc"], line[format!("max_{set}_acc")]);
        }
    }
}

#[test]
fn second_job_on_a_folder_in_use_ends_with_a_status_of_its_own() {
    let place = Place::new();
    let command = line(&place, "logs", &["--epochs", "100000"]);
    let mut first = start(&command);
    wait_for_checkpoint(&place, "logs", &mut first);
    let without = &command[..command.len() - 4];
    let forced = [
        without,
        &[
            "--epochs".to_owned(),
            "100000".to_owned(),
            "--force".to_owned(),
        ],
    ]
    .concat();
    for second in [&command, &forced] {
        let second = output(&strs(second));
        let said = text(&second.stderr);
        assert_eq!(second.status.code(), Some(75), "{said}");
        assert!(said.contains("another dvs-train works in "), "{said}");
    }
    assert!(first.try_wait().unwrap().is_none());
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn stop_file_stops_a_run_with_a_status_of_its_own() {
    let place = Place::new();
    let stop = place.at("stop");
    let command = line(
        &place,
        "logs",
        &["--epochs", "100000", "--json", "--stop-file", &stop],
    );
    let mut child = start(&command);
    wait_for_checkpoint(&place, "logs", &mut child);
    fs::write(&stop, "").unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{said}");
    assert!(said.contains("dvs-train: stop file: stopped "), "{said}");
    let said = lines(&text(&ended.stdout));
    let end = said.last().unwrap();
    assert_eq!(
        (&end["status"], &end["reason"]),
        (&"stopped".into(), &"stop file".into())
    );
    assert!(end["epochs_done"].as_u64().unwrap() >= 1);
    let error = fail(&strs(&command));
    assert!(error.contains("stop exists already; remove it"), "{error}");
    let nowhere = place.at("no/stop");
    let command = line(&place, "other", &["--epochs", "1", "--stop-file", &nowhere]);
    assert!(fail(&strs(&command)).contains("its folder does not exist"));
    // Nothing is left to stop.
    let whole = line(&place, "whole", &["--epochs", "1"]);
    run(&strs(&whole));
    run(&[&strs(&whole)[..], &["--stop-file", &stop]].concat());
}

#[test]
fn run_whose_folder_was_replaced_ends_and_writes_nothing_more() {
    let place = Place::new();
    let command = line(&place, "logs", &["--epochs", "100000"]);
    let mut first = start(&command);
    wait_for_checkpoint(&place, "logs", &mut first);
    fs::rename(place.at("logs"), place.at("moved")).unwrap();
    let other = line(&place, "logs", &["--epochs", "2"]);
    run(&strs(&other));
    let ended = first.wait_with_output().unwrap();
    let said = text(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("was deleted, moved or replaced while the run worked in it"),
        "{said}"
    );
    let whole = place.train("whole", &["--epochs", "2"]);
    let folder = only_entry(Path::new(&place.at("logs")));
    assert_eq!(rows(&folder), rows(&whole));
    assert!(fs::read(folder.join(LATEST)).unwrap() == fs::read(whole.join(LATEST)).unwrap());
}

#[test]
fn resume_auto_refuses_other_data_damage_and_force() {
    let place = Place::new();
    let command = line(&place, "logs", &["--epochs", "1"]);
    run(&strs(&command));
    let folder = only_entry(Path::new(&place.at("logs")));

    let forced = [&strs(&command)[..], &["--force"]].concat();
    assert!(fail(&forced).contains("--force would replace the run that --resume auto resumes"));

    let cache = place.synthetic_cache("5");
    let other = [&strs(&command)[..], &["--cache", &cache]].concat();
    let error = fail(&other);
    assert!(
        error.contains("made from other data than the run began with"),
        "{error}"
    );

    let latest = folder.join(LATEST);
    let mut bytes = fs::read(&latest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&latest, bytes).unwrap();
    assert!(fail(&strs(&command)).contains("it is damaged"));
}
