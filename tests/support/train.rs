//! Helpers of the whole-program tests of dvs-train: they run both programs and make a small cache.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Flags of a small network on the CPU, where training is bitwise reproducible. A later `--device`
/// overrides that. The low threshold makes neurons fire, so the weights change from the first
/// steps on.
pub const SMALL: [&str; 10] = [
    "--device",
    "cpu",
    "--channels",
    "6",
    "-b",
    "4",
    "--lr",
    "0.01",
    "--v-threshold",
    "0.4",
];

/// File name of the checkpoint of a run's last epoch.
pub const LATEST: &str = "checkpoint_latest.safetensors";

/// Returns the bytes of the last checkpoint in a run's folder: weights, optimizer and state.
pub fn latest(folder: &Path) -> Vec<u8> {
    fs::read(folder.join(LATEST)).unwrap()
}

/// A temporary folder with a cache of the small archive, 2 frames per sample.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        prepare(&["-T", "2", "-i", &place.archive(), "-o", &place.cache()]);
        place
    }

    pub fn archive(&self) -> String {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
        data.join("DvsGesture-mini.tar.gz")
            .to_str()
            .unwrap()
            .to_owned()
    }

    pub fn cache(&self) -> String {
        self.at("cache.h5")
    }

    /// Makes a cache of 2 frames per sample from synthetic gestures of four users. Returns its path.
    pub fn synthetic_cache(&self, seed: &str) -> String {
        let archive = self.at(&format!("synthetic_{seed}.tar.gz"));
        let size = "--users 4 --lights led --event-rate 3000 --gesture-seconds 1";
        let size: Vec<&str> = size.split(' ').collect();
        prepare(&[&["synth", "--seed", seed, "-o", &archive][..], &size].concat());
        let cache = self.at(&format!("synthetic_{seed}.h5"));
        prepare(&["-T", "2", "-i", &archive, "-o", &cache]);
        cache
    }

    /// Returns a path in the folder.
    pub fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Trains a small network on the cache. Returns its run folder, the only entry of `out`.
    pub fn train(&self, out: &str, args: &[&str]) -> PathBuf {
        let (cache, out) = (self.cache(), self.at(out));
        let place = ["--cache", &cache, "--out-dir", &out];
        run(&[&SMALL[..], &place, args].concat());
        only_entry(Path::new(&out))
    }
}

/// Returns the path of dvs-prep, which cargo builds into the same folder.
pub fn dvs_prep() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_dvs-train")).with_file_name("dvs-prep");
    assert!(
        path.exists(),
        "{} is not built: cargo build -p dvs-prep",
        path.display()
    );
    path
}

/// Runs dvs-prep and expects exit status 0.
pub fn prepare(args: &[&str]) {
    let mut command = Command::new(dvs_prep());
    let output = command.args(args).env_remove("DVS_DATA").output().unwrap();
    assert!(
        output.status.success(),
        "{args:?}: {}",
        text(&output.stderr)
    );
}

/// Runs dvs-train.
pub fn output(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dvs-train"));
    command.args(args).env_remove("DVS_DATA").output().unwrap()
}

/// Runs dvs-train, expects exit status 0, and returns what it prints.
pub fn run(args: &[&str]) -> String {
    let output = output(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Runs dvs-train, expects exit status 1, and returns its error message of one line.
pub fn fail(args: &[&str]) -> String {
    let output = output(args);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn only_entry(folder: &Path) -> PathBuf {
    let entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries.into_iter().next().unwrap()
}

/// Returns the header and the rows of `metrics.csv` without the columns of times and speeds.
pub fn rows(folder: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(folder.join("metrics.csv")).unwrap();
    let table: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let timing =
        |name: &str| name.ends_with("_per_s") || ["seconds", "waiting_for_data"].contains(&name);
    let kept: Vec<usize> = (0..table[0].len())
        .filter(|&i| !timing(table[0][i]))
        .collect();
    let row = |row: &Vec<&str>| kept.iter().map(|&i| row[i].to_owned()).collect();
    table.iter().map(row).collect()
}
