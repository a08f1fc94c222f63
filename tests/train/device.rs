//! Training on a GPU, or on Mesa's software driver for Vulkan.

use std::env;
use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;

use crate::support::{Place, SMALL, output, rows, run, text};

/// Returns whether vulkan:0 can be used. If not, it prints that the test is skipped, or panics if
/// $DVS_REQUIRE_VULKAN is 1.
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
        // The test harness would hide a line from eprintln.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: training on vulkan:0, which cannot be used"
        );
    }
    usable
}

fn evaluate(folder: &str, device: &str) -> Value {
    let said = run(&["eval", folder, "--device", device, "--json"]);
    serde_json::from_str(&said).unwrap()
}

/// Returns the training loss in a row of a run's `metrics.csv`.
fn loss(folder: &Path, row: usize) -> f64 {
    let rows = rows(folder);
    let at = rows[0].iter().position(|name| name == "train_loss");
    rows[row][at.unwrap()].parse().unwrap()
}

#[test]
fn lists_devices_and_explains_unusable_ones() {
    let table = run(&["devices"]);
    assert!(table.starts_with("cpu "), "{table}");
    for kind in ["\ncuda", "\nvulkan", "\n--device auto means "] {
        assert!(table.contains(kind), "{table}");
    }
    for device in ["cuda:900", "vulkan:900"] {
        let output = output(&["--device", device]);
        assert_eq!(output.status.code(), Some(1));
        // Vulkan drivers may print lines of their own first.
        let error = text(&output.stderr);
        let last = error.lines().last().unwrap_or_default();
        let start = format!("dvs-train: --device {device} cannot be used: ");
        assert!(last.starts_with(&start), "{error}");
    }
}

#[test]
fn vulkan_run_evaluates_and_resumes_on_the_cpu() {
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
    let cpu = place.train("cpu", &["--epochs", "1", "--device", "cpu"]);
    // The devices draw different random numbers, so the initial weights differ. Their distribution
    // is the same, so the losses are similar.
    let (here, there) = (loss(&cpu, 1), loss(&folder, 1));
    println!("first epoch's loss: {here} on the CPU, {there} on vulkan:0");
    assert!((0.5..2.0).contains(&(there / here)), "{here} {there}");

    let path = folder.to_str().unwrap();
    let (a, b) = (evaluate(path, "cpu"), evaluate(path, "vulkan:0"));
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

#[test]
fn half_precision_scales_the_loss() {
    if !vulkan() {
        return;
    }
    let place = Place::new();
    let (cache, out) = (place.cache(), place.at("logs"));
    let line = ["--cache", &cache, "--out-dir", &out, "--epochs", "1"];
    let line = [&SMALL[..], &line, &["--device", "vulkan:0", "--amp"]].concat();
    // Software drivers do not support bfloat16. A GPU that supports it trains.
    let bf16 = output(&[&line[..], &["bf16"]].concat());
    let reason = text(&bf16.stderr);
    let refused =
        "--amp bf16 needs a GPU that computes with it, which vulkan:0 does not; use --amp f16";
    assert!(
        bf16.status.success() || reason.contains(refused),
        "{reason}"
    );

    let said = run(&[&line[..], &["f16"]].concat());
    assert!(said.contains("loss_scale=65536, skipped_steps=0"), "{said}");
    let folder = Path::new(&out).join("T_2_b_4_c_6_Adam_lr_0.01_CosALR_32_amp_f16_v_threshold_0.4");
    let half = loss(&folder, 1);
    let whole = loss(&place.train("cpu", &["--epochs", "1"]), 1);
    println!("first epoch's loss: {half} in 16 bits on vulkan:0, {whole} in 32 on the CPU");
    assert!((0.5..2.0).contains(&(half / whole)), "{half} {whole}");
}
