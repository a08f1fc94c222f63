//! Runs dvs-prep in the background, so that tests can watch, stop and kill it while it works.

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

/// Every wait in these tests is shorter than this, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A run in the background. Its output goes to files in its own folder.
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

    /// Kills the run if it has not ended.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits until the run ends.
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
        // A test that fails must not leave a process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal_child(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until `condition` holds. `what` describes it if the wait takes too long.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TIMEOUT, "waited too long until {what}");
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// The names in `folder` that begin with a dot. A run has such files only while it works.
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

/// Reports that a part of a test was skipped. The test harness hides what passing tests print, so
/// this writes to standard error directly.
pub fn report_skipped(what: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "\nLEFT OUT: {what}: {why}\n");
}

/// An archive that takes about a second to read, so that a test can act meanwhile.
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
