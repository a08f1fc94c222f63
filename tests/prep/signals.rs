//! SIGINT and SIGTERM end a run at once, at any moment, and the run removes its unfinished files.

#![cfg(unix)]

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use dvs_shared::output::OutputLock;
use dvs_shared::output::temporary::remove_all;

use crate::running::*;
use crate::support::*;

const SIGNALS: [(Signal, i32, &str); 2] =
    [(Signal::INT, 130, "SIGINT"), (Signal::TERM, 143, "SIGTERM")];

/// A lock file that appears between the cleanup and the end of the process would stay behind.
#[test]
fn creates_no_lock_file_after_cleanup_has_begun() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache.h5");
    let files = || fs::read_dir(folder.path()).unwrap().count();
    let ending = remove_all();
    let run = thread::spawn(move || OutputLock::try_acquire(&cache).unwrap());
    thread::sleep(Duration::from_millis(200));
    assert_eq!(files(), 0);
    drop(ending);
    let lock = run.join().unwrap();
    assert_eq!((lock.is_some(), files()), (true, 1));
    drop(lock);
    assert_eq!(files(), 0);
}

#[test]
fn signals_end_a_run_and_remove_its_files() {
    let input = large_archive();
    let mut fastest = Duration::MAX;
    for (signal, code, name) in SIGNALS {
        for wait in [0, 20, 80] {
            let folder = tempfile::tempdir().unwrap();
            let output = folder.path().join("cache.h5");
            let mut run = Running::start(&mut dvs_prep(["-i", text(&input), "-o", text(&output)]));
            until_begun(folder.path());
            std::thread::sleep(Duration::from_millis(wait));
            let start = Instant::now();
            run.signal(signal);
            let status = run.end();
            fastest = fastest.min(start.elapsed());
            assert_eq!(status.code(), Some(code), "{}", run.stderr());
            let said = run.stderr();
            assert!(said.contains(&format!("interrupted by {name}")), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert_eq!(
                fs::read_dir(folder.path()).unwrap().count(),
                0,
                "something is left"
            );
        }
    }
    // Only the fastest of the six runs counts, because on a busy machine some wait for a processor.
    assert!(fastest < Duration::from_millis(300), "{fastest:?} at best");
}

#[test]
fn second_signal_ends_a_blocked_run() {
    // Nobody reads the standard error of the run, so the run blocks when it writes a message.
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let _reader = File::options().read(true).write(true).open(&pipe).unwrap();
    let mut full = File::options().write(true).open(&pipe).unwrap();
    // A pipe holds 64 KiB.
    full.write_all(&[b'x'; 1 << 16]).unwrap();
    let lock = File::create(folder.path().join(".cache.h5.lock")).unwrap();
    lock.lock().unwrap();
    let input = archive(folder.path(), &dataset());
    let mut child = dvs_prep(["-i", text(&input), "-o", text(&output)])
        .stderr(File::options().write(true).open(&pipe).unwrap())
        .spawn()
        .unwrap();
    // The run needs time to reach its first message. The test cannot read that message, so it
    // cannot wait for it.
    std::thread::sleep(Duration::from_secs(1));
    signal_child(&child, Signal::INT);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(
        child.try_wait().unwrap(),
        None,
        "the run was not blocked, so the test tests nothing"
    );
    signal_child(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn interrupted_waiting_run_keeps_the_lock_file_of_another_run() {
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
fn interrupted_synth_removes_unfinished_files() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("DvsGesture.tar.gz");
    let start = || Running::start(&mut dvs_prep(["synth", "--real-size", "-o", text(&output)]));
    let mut killed = start();
    until_begun(folder.path());
    let said = fail(&["synth", "-o", text(&output)]);
    assert!(said.contains("another dvs-prep is making"), "{said}");
    killed.signal(Signal::KILL);
    killed.end();
    assert_eq!(hidden(folder.path()).len(), 2, "its file and its lock file");

    let mut run = start();
    until("it had cleared up", || {
        run.stderr().contains("a run that was killed left")
    });
    until_begun(folder.path());
    run.signal(Signal::INT);
    assert_eq!(run.end().code(), Some(130));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
