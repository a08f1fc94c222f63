//! If several runs want the same cache, one makes it and the others wait for it. What a killed run
//! leaves behind does not stop the next one.

#![cfg(unix)]

use std::fs::{self, File};
use std::path::Path;

use crate::running::*;
use crate::support::*;

fn start(input: &Path, output: &Path, args: &[&str]) -> Running {
    let all = [&["-i", text(input), "-o", text(output)], args].concat();
    Running::start(&mut dvs_prep(all))
}

fn status(run: &Running) -> String {
    let json: serde_json::Value = serde_json::from_str(&run.stdout()).unwrap();
    json["status"].as_str().unwrap().to_owned()
}

const WAITING: &str = "another dvs-prep is making";

#[test]
fn concurrent_runs_make_the_cache_once() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let input = data("DvsGesture-mini.tar.gz");
    let mut runs: Vec<_> = (0..12)
        .map(|_| start(&input, &output, &["--json"]))
        .collect();
    for run in &mut runs {
        assert!(run.end().success(), "{}", run.stderr());
    }
    let made = runs.iter().filter(|run| status(run) == "made").count();
    let found = runs.iter().filter(|run| status(run) == "already there");
    assert_eq!((made, found.count()), (1, 11));
    run(&["verify", text(&output)]);
    assert_eq!(hidden(folder.path()), [""; 0]);
}

#[test]
fn waiting_run_takes_over_when_the_first_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let input = large_archive();
    let mut owner = start(&input, &output, &[]);
    until_begun(folder.path());
    // The stopped owner holds the lock until all others wait for it.
    owner.signal(Signal::STOP);
    let mut waiting: Vec<_> = (0..3)
        .map(|_| start(&input, &output, &["--json"]))
        .collect();
    until("all waited", || {
        waiting.iter().all(|run| run.stderr().contains(WAITING))
    });
    assert!(!output.exists());
    owner.signal(Signal::KILL);
    owner.end();
    for run in &mut waiting {
        assert!(run.end().success(), "{}", run.stderr());
    }
    let made: Vec<_> = waiting.iter().filter(|run| status(run) == "made").collect();
    assert_eq!(made.len(), 1);
    // Only the run that took over removed the unfinished file of the killed run.
    assert!(
        made[0]
            .stderr()
            .contains("which a run that was killed left")
    );
    let removed = waiting
        .iter()
        .filter(|run| run.stderr().contains("removed"));
    assert_eq!(removed.count(), 1);
    assert_eq!(hidden(folder.path()), [""; 0]);
    run(&["verify", text(&output)]);
}

#[test]
fn runs_wait_only_to_make_the_same_cache() {
    let folder = tempfile::tempdir().unwrap();
    let (held, other) = (
        folder.path().join("held.h5"),
        folder.path().join("other.h5"),
    );
    let input = archive(folder.path(), &dataset());
    prepare(&input, &held, &[]);
    let lock = File::create(folder.path().join(".held.h5.lock")).unwrap();
    lock.lock().unwrap();
    let begun = folder.path().join(".held.h5.AbC123.unfinished");
    File::create(&begun).unwrap();
    let assert_did_not_wait = |output| {
        let said = stderr(&output);
        assert!(
            !said.contains(WAITING) && !said.contains("removed"),
            "{said}"
        );
    };
    assert_did_not_wait(prepare(&input, &other, &[]));
    assert_did_not_wait(prepare(&input, &held, &[]));

    // With --force the run makes the cache again, so it has to wait.
    let mut replacing = start(&input, &held, &["--force", "--json"]);
    until("it waited", || replacing.stderr().contains(WAITING));
    assert!(begun.exists(), "a live run's file was removed");
    drop(lock);
    assert!(replacing.end().success());
    assert_eq!(status(&replacing), "made");
    assert_eq!(hidden(folder.path()), [""; 0]);
}

#[test]
fn existing_cache_needs_no_lock_file() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let output = folder.path().join("cache.h5");
    prepare(&input, &output, &[]);
    fs::remove_file(folder.path().join("cache.h5.source.json")).unwrap();
    // A folder with the lock file's name keeps even root from creating the lock file.
    fs::create_dir(folder.path().join(".cache.h5.lock")).unwrap();
    let said = prepare(&input, &output, &[]);
    assert!(String::from_utf8_lossy(&said.stdout).contains("already there"));
    let said = fail(&["-i", text(&input), "-o", text(&output), "--force"]);
    assert!(
        said.contains("no cache can be made") && said.contains(".cache.h5.lock"),
        "{said}"
    );
}

#[test]
fn next_run_removes_leftovers_beside_an_existing_cache() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let output = folder.path().join("cache.h5");
    prepare(&input, &output, &[]);
    let left = [
        ".cache.h5.lock",
        ".cache.h5.AbC123.unfinished",
        ".cache.h5.source.json.AbC123.unfinished",
    ];
    // The program finds the cache by its note or, without the note, by its content.
    for noted in [true, false] {
        for name in left {
            File::create(folder.path().join(name)).unwrap();
        }
        if !noted {
            fs::remove_file(folder.path().join("cache.h5.source.json")).unwrap();
        }
        let found = prepare(&input, &output, &[]);
        assert!(String::from_utf8_lossy(&found.stdout).contains("already there"));
        assert_eq!(hidden(folder.path()), [""; 0]);
        let said = stderr(&found);
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(
            said.lines()
                .all(|line| line.contains("which a run that was killed left"))
        );
    }
    // The program removes a lock file alone without a message.
    File::create(folder.path().join(left[0])).unwrap();
    assert_eq!(stderr(&prepare(&input, &output, &[])), "");
    assert_eq!(hidden(folder.path()), [""; 0]);
}
