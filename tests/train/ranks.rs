//! Several ranks train the network that one rank trains with the same batches.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::job::Job;
use crate::networks::tensors;
use crate::support::{LATEST, Place, SMALL, latest, only_entry, rows, run};

/// A learning rate at which no rounding makes a spike appear or vanish within five epochs. With a
/// higher one that happens sooner or later, and the runs then differ as much as runs with other
/// seeds do.
const CALM: [&str; 2] = ["--lr", "0.001"];

/// Trains on `size` ranks. Returns the run folder.
fn train(place: &Place, out: &str, size: usize, more: &[&str]) -> PathBuf {
    let (cache, out) = (place.cache(), place.at(out));
    let own = ["--cache", &cache, "--out-dir", &out];
    let args = [&SMALL[..], &own, more].concat();
    match size {
        1 => drop(run(&args)),
        _ => drop(Job::start(size, &args).succeeds()),
    }
    only_entry(Path::new(&out))
}

/// Returns the distance of the weights of two checkpoints, as a share of the norm of the first.
fn distance(a: &Path, b: &Path) -> f64 {
    let weights = |folder: &Path| {
        let file = folder.join(LATEST);
        let all = tensors(file.to_str().unwrap()).into_iter();
        let network = all.filter(|(name, ..)| name.starts_with("network."));
        let bytes: Vec<u8> = network.flat_map(|(.., bytes)| bytes).collect();
        let values = bytes.as_chunks::<4>().0.iter();
        values
            .map(|&raw| f64::from(f32::from_le_bytes(raw)))
            .collect::<Vec<_>>()
    };
    let (a, b) = (weights(a), weights(b));
    assert_eq!(a.len(), b.len());
    let off: f64 = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum();
    let norm: f64 = a.iter().map(|a| a * a).sum();
    (off / norm).sqrt()
}

/// The numbers of a column, by epoch.
fn column(folder: &Path, name: &str) -> Vec<f64> {
    let table = rows(folder);
    let at = table[0].iter().position(|column| column == name).unwrap();
    let numbers = table[1..].iter().map(|row| row[at].parse().unwrap());
    numbers.collect()
}

#[test]
fn weights_after_one_step_equal_those_of_one_rank() {
    let place = Place::new();
    // One batch of 20 of the 22 samples.
    let step = ["-b", "20", "--epochs", "1"];
    for (name, kind) in [
        ("lif", &[][..]),
        ("plif", &["--neuron", "plif", "--opt", "sgd"]),
        ("steps", &["--step-mode", "s"]),
    ] {
        let args = [&step[..], kind].concat();
        let alone = train(&place, &format!("{name}1"), 1, &args);
        for size in [2, 4] {
            let together = train(&place, &format!("{name}{size}"), size, &args);
            let off = distance(&alone, &together);
            assert!(off < 1e-6, "{name}: {size} ranks are off by {off:e}");
        }
    }
}

/// The kernels run on the stand-in of `tests/cuda`, as in [`crate::cuda`].
#[cfg(feature = "cuda")]
#[test]
fn ranks_on_gpus_take_the_step_of_one_gpu() {
    use crate::cuda::{command, installed};
    use crate::job::{as_rank, free_port};

    if !installed("13.0") {
        return;
    }
    let place = Place::new();
    let (cache, port) = (place.cache(), free_port());
    let ranks = |out: &str, size: usize, more: &[&str]| {
        let out = place.at(out);
        let own = ["--cache", &cache, "--out-dir", &out, "--epochs", "1"];
        // The stand-in is one GPU, which the ranks share.
        let gpu = ["--channels", "8", "-b", "20", "--device", "cuda:0"];
        let args = [&SMALL[..], &own, &gpu, more].concat();
        let rank = |rank| {
            let on_gpu = command(&["--execute"], &[("STAND_IN_POISON", "1")], &args);
            as_rank(on_gpu, rank, size, port)
        };
        Job::of((0..size).map(rank)).succeeds();
        only_entry(Path::new(&out))
    };
    // In 16 bits, a gradient is rounded before the ranks add it up.
    for (name, amp, most) in [("single", &[][..], 1e-6), ("half", &["--amp", "f16"], 2e-5)] {
        let alone = ranks(&format!("{name}1"), 1, amp);
        let together = ranks(&format!("{name}2"), 2, amp);
        let off = distance(&alone, &together);
        assert!(off < most, "{name} is off by {off:e}");
    }
}

#[test]
fn weights_after_five_epochs_equal_those_of_one_rank() {
    let place = Place::new();
    // Dropout is always on. The frames that a batch keeps are drawn for the whole batch.
    let altered = [
        "--rotate",
        "10",
        "--flip",
        "0.5",
        "--drop-events",
        "0.2",
        "--keep-frames",
        "1",
    ];
    let args = [
        &CALM[..],
        &altered,
        &["--epochs", "5", "--validation", "recordings:0.5"],
    ]
    .concat();
    let alone = train(&place, "1", 1, &args);
    let start = train(
        &place,
        "start",
        1,
        &[&args[..4], &["--epochs", "1"]].concat(),
    );
    assert!(distance(&alone, &start) > 1e-3, "nothing was learnt");
    for size in [2, 4] {
        let together = train(&place, &size.to_string(), size, &args);
        let off = distance(&alone, &together);
        assert!(off < 2e-4, "{size} ranks are off by {off:e}");
        let close = |name: &str, most: f64| {
            for (a, b) in column(&alone, name).iter().zip(column(&together, name)) {
                assert!((a - b).abs() < most, "{name} on {size} ranks: {a} and {b}");
            }
        };
        close("train_loss", 1e-5);
        close("validation_loss", 1e-5);
        close("silent_neurons", 1e-3);
        close("firing_rate_conv1", 1e-4);
        // Within a sample of 11.
        close("validation_acc", 0.1);
        let summary = |folder: &Path| -> Value {
            serde_json::from_slice(&fs::read(folder.join("summary.json")).unwrap()).unwrap()
        };
        let (a, b) = (summary(&alone), summary(&together));
        assert_eq!(a["test_samples"], b["test_samples"]);
        let total = |of: &Value| -> u64 {
            let rows = of["confusion"].as_array().unwrap().iter();
            let cells = rows.flat_map(|row| row.as_array().unwrap());
            cells.map(|cell| cell.as_u64().unwrap()).sum()
        };
        assert_eq!(total(&a), total(&b));
    }
}

#[test]
fn the_same_ranks_train_the_same_bits_again() {
    let place = Place::new();
    for (name, local) in [("shared", &[][..]), ("local", &["--local-batch-norm"])] {
        let args = [local, &["--epochs", "3"]].concat();
        let first = train(&place, &format!("{name} first"), 4, &args);
        let again = train(&place, &format!("{name} again"), 4, &args);
        assert!(latest(&first) == latest(&again), "{name}");
        assert_eq!(rows(&first), rows(&again));
    }
}

#[test]
fn local_batch_norm_normalises_each_ranks_samples() {
    let place = Place::new();
    let step = ["-b", "20", "--epochs", "1"];
    let shared = train(&place, "shared", 2, &step);
    let local = train(
        &place,
        "local",
        2,
        &[&step[..], &["--local-batch-norm"]].concat(),
    );
    let off = distance(&shared, &local);
    assert!(off > 1e-4, "both are the same: {off:e}");
    // Alone, a rank has the whole batch.
    let alone = train(
        &place,
        "alone",
        1,
        &[&step[..], &["--local-batch-norm"]].concat(),
    );
    assert!(distance(&shared, &alone) < 1e-6);
}

#[test]
fn only_rank_0_prints_and_writes() {
    let place = Place::new();
    let (cache, out) = (place.cache(), place.at("out"));
    let own = [
        "--cache",
        &cache,
        "--out-dir",
        &out,
        "--epochs",
        "2",
        "--json",
    ];
    let said = Job::start(3, &[&SMALL[..], &own, &["-b", "6"]].concat()).succeeds();
    let lines: Vec<Value> = said[0]
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2]["status"], "finished");
    assert_eq!(&said[1..], ["", ""]);
    let folder = only_entry(Path::new(&out));
    assert_eq!(rows(&folder).len(), 3);
    let events = fs::read_dir(&folder).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("events.out")
    });
    assert_eq!(events.count(), 1);
}

#[test]
fn another_number_of_ranks_resumes_the_run() {
    let place = Place::new();
    let args = |epochs| [&CALM[..], &["--epochs", epochs, "--resume", "auto"]].concat();
    let whole = train(&place, "whole", 2, &args("4"));
    train(&place, "moved", 2, &args("2"));
    let (cache, out) = (place.cache(), place.at("moved"));
    let own = ["--cache", &cache, "--out-dir", &out];
    let job = Job::start(4, &[&SMALL[..], &own, &args("3")].concat());
    let said = job.ends(std::time::Duration::from_secs(60));
    let said: Vec<String> = said
        .iter()
        .map(|end| String::from_utf8_lossy(&end.stderr).into_owned())
        .collect();
    assert!(
        said[0].contains("not as before: --epochs 2 -> 3, ranks 2 -> 4"),
        "{}",
        said[0]
    );
    assert_eq!(&said[1..], ["", "", ""]);
    let alone = crate::support::output(&[&SMALL[..], &own, &args("4")].concat());
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(said.contains("ranks 4 -> 1"), "{said}");
    let off = distance(&whole, &only_entry(Path::new(&out)));
    assert!(off < 2e-4, "{off:e}");
}
