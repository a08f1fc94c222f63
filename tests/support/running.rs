//! Runs of dvs-prep that are watched, stopped and killed while they work.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

/// Longer than any run here takes, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run in the background; what it prints goes to files of a folder of its own.
pub struct Running {
    child: Child,
    folder: TempDir,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name| File::create(folder.path().join(name)).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    pub fn signal(&self, signal: Signal) {
        signal_child(&self.child, signal);
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("out")).unwrap()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("err")).unwrap()
    }

    /// Kills it, if it still runs.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let mut status = None;
        until("a run ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal_child(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited too long until {what}");
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Names in `folder` that begin with a dot: what a run keeps there only while it works.
pub fn hidden(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    names.sort_unstable();
    names
}

/// Waits until a run has begun to make a cache in `folder`.
pub fn until_begun(folder: &Path) {
    until("a run had begun", || {
        hidden(folder).iter().any(|n| n.ends_with(".unfinished"))
    });
}

/// Says that a part of a test was left out, past the harness, which hides what passing tests print.
pub fn left_out(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "\nLEFT OUT: {what}: {why}\n");
}

/// An archive that takes about a second to read: time to do something meanwhile.
pub fn large_archive() -> PathBuf {
    static FOLDER: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("DvsGesture.tar.gz");
        let lights = "--lights=led,lab";
        crate::support::run(&[
            "synth",
            "-o",
            path.to_str().unwrap(),
            "--users=2",
            lights,
            "--level=1",
        ]);
        (folder, path)
    });
    path.clone()
}
