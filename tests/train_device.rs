//! Training where there is a GPU, or what stands in for one: Mesa's Vulkan driver for the CPU.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "support/train.rs"]
mod support;

use std::env;
use std::io::{self, Write};

use serde_json::Value;
use support::{Place, output, rows, run, text};

/// Whether vulkan:0 can be used. Where it cannot, says so, or fails where $DVS_REQUIRE_VULKAN is 1.
fn vulkan() -> bool {
    let table = run(&["devices"]);
    let line = table.lines().find(|line| line.starts_with("vulkan:0 "));
    let usable = line.is_some_and(|line| !line.contains("cannot be used"));
    if !usable {
        let required = env::var_os("DVS_REQUIRE_VULKAN").is_some_and(|value| value == "1");
        assert!(
            !required,
            "vulkan:0 cannot be used, and DVS_REQUIRE_VULKAN is 1:\n{table}"
        );
        // Not through eprintln, which the test harness hides.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: training on vulkan:0, which cannot be used"
        );
    }
    usable
}

fn judged(folder: &str, device: &str) -> Value {
    let said = run(&["eval", "--checkpoint", folder, "--device", device, "--json"]);
    serde_json::from_str(&said).unwrap()
}

#[test]
fn devices_are_listed_with_what_they_lack() {
    let table = run(&["devices"]);
    assert!(table.starts_with("cpu "), "{table}");
    for kind in ["\ncuda", "\nvulkan", "\n--device auto means "] {
        assert!(table.contains(kind), "{table}");
    }
    for device in ["cuda:900", "vulkan:900"] {
        let output = output(&["--device", device]);
        assert_eq!(output.status.code(), Some(1));
        // Vulkan drivers may say something of their own before.
        let error = text(&output.stderr);
        let last = error.lines().last().unwrap_or_default();
        let start = format!("dvs-train: --device {device} cannot be used: ");
        assert!(last.starts_with(&start), "{error}");
    }
}

#[test]
fn what_is_trained_on_vulkan_goes_on_and_is_judged_on_the_cpu() {
    if !vulkan() {
        return;
    }
    let place = Place::new();
    let flags = ["--epochs", "1", "--device", "vulkan:0", "--frames-in"];
    let folder = place.train("vulkan", &[&flags[..], &["device"]].concat());
    let streamed = place.train("streamed", &[&flags[..], &["stream"]].concat());
    assert_eq!(
        rows(&folder),
        rows(&streamed),
        "frames are the same wherever they are"
    );
    let loss = |folder: &std::path::Path, row: usize| {
        let rows = rows(folder);
        let at = rows[0]
            .iter()
            .position(|name| name == "train_loss")
            .unwrap();
        rows[row][at].parse::<f64>().unwrap()
    };
    let cpu = place.train("cpu", &["--epochs", "1", "--device", "cpu"]);
    // Other weights, from other random numbers, but as many of them and distributed alike.
    let (here, there) = (loss(&cpu, 1), loss(&folder, 1));
    println!("first epoch's loss: {here} on the CPU, {there} on vulkan:0");
    assert!((0.5..2.0).contains(&(there / here)), "{here} {there}");

    let path = folder.to_str().unwrap();
    let (a, b) = (judged(path, "cpu"), judged(path, "vulkan:0"));
    let number = |json: &Value, key: &str| json[key].as_f64().unwrap();
    let off = (number(&a, "loss") - number(&b, "loss")).abs();
    println!("the same network's loss is off by {off:e} between devices");
    assert!(off < 1e-3, "{a} {b}");
    let rates = |json: &Value| json["firing_rates"]["conv1"].as_f64().unwrap();
    assert!((rates(&a) - rates(&b)).abs() < 1e-4, "{a} {b}");

    run(&["--resume", path, "--epochs", "2", "--device", "cpu"]);
    assert_eq!(rows(&folder).len(), 3);
    assert!(loss(&folder, 2).is_finite());
}
