//! SIGINT and SIGTERM end a run at once, whatever it is doing, and leave nothing behind.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "support/running.rs"]
mod running;
mod support;

use std::fs::{self, File};
use std::time::{Duration, Instant};

use running::*;
use support::*;

const SIGNALS: [(Signal, i32, &str); 2] =
    [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM")];

#[test]
fn a_signal_cleans_up_and_says_so_at_any_moment() {
    let input = large_archive();
    for (signal, code, name) in SIGNALS {
        for wait in [0, 50, 300] {
            let folder = tempfile::tempdir().unwrap();
            let output = folder.path().join("cache.h5");
            let mut run = Running::start(&mut dvs_prep(["-i", text(&input), "-o", text(&output)]));
            until_begun(folder.path());
            std::thread::sleep(Duration::from_millis(wait));
            let start = Instant::now();
            run.signal(signal);
            let status = run.end();
            assert!(
                start.elapsed() < Duration::from_millis(800),
                "{:?}",
                start.elapsed()
            );
            assert_eq!(status.code(), Some(code), "{}", run.stderr());
            let said = run.stderr();
            assert!(said.contains(&format!("ended by {name}")), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert_eq!(
                fs::read_dir(folder.path()).unwrap().count(),
                0,
                "something is left"
            );
        }
    }
}

#[test]
fn who_waits_leaves_the_lock_to_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let file = folder.path().join(".cache.h5.lock");
    let lock = File::create(&file).unwrap();
    lock.lock().unwrap();
    let input = archive(folder.path(), &dataset());
    let mut run = Running::start(&mut dvs_prep(["-i", text(&input), "-o", text(&output)]));
    until("it waited", || run.stderr().contains("waiting for it"));
    run.signal(Signal::TERM);
    assert_eq!(run.end().code(), Some(143));
    assert!(file.exists());
}

#[test]
fn an_archive_that_is_being_made_up_is_cleaned_up_too() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("DvsGesture.tar.gz");
    let mut run = Running::start(&mut dvs_prep(["synth", "--real-size", "-o", text(&output)]));
    until("it had begun", || !hidden(folder.path()).is_empty());
    run.signal(Signal::INT);
    assert_eq!(run.end().code(), Some(130));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
