//! On a file system without locks, such as NFS without its lock service (ENOLCK), the program warns
//! and otherwise works as usual. If another program locks a cache, everyone can still read it.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::running::hidden;
use crate::support::*;

/// Builds a library that makes locking fail in the program that loads it. A C compiler is
/// available, because building HDF5 needs one.
fn build_no_locks_library(folder: &Path) -> PathBuf {
    let library = folder.join("no_locks.so");
    let source = data("../support/no_locks.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", text(&library), text(&source)])
        .status()
        .unwrap();
    assert!(built.success());
    library
}

#[test]
fn a_cache_is_made_and_used_without_locks() {
    let folder = tempfile::tempdir().unwrap();
    let library = build_no_locks_library(folder.path());
    let input = archive(folder.path(), &dataset());
    let caches = folder.path().join("caches");
    fs::create_dir(&caches).unwrap();
    let cache = caches.join("cache.h5");
    let run = |args: &[&str]| -> Output {
        let mut command = dvs_prep(args);
        command.env("LD_PRELOAD", &library);
        let output = command
            .env_remove("HDF5_USE_FILE_LOCKING")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        output
    };
    let args = ["-i", text(&input), "-o", text(&cache), "-T", "2"];
    let made = run(&args);
    let said = stderr(&made);
    assert!(
        said.contains("cannot be locked here") && said.contains("os error 37"),
        "{said}"
    );
    assert_eq!(hidden(&caches), [""; 0]);
    run(&["verify", text(&cache)]);
    run(&["info", text(&cache)]);
    // This run has no leftovers to remove, so it needs no lock and gives no warning.
    let found = run(&args);
    assert!(String::from_utf8_lossy(&found.stdout).contains("already there"));
    assert_eq!(stderr(&found), "");
    // The cache has the same bytes as one made with locks.
    let locked = folder.path().join("locked.h5");
    prepare(&input, &locked, &["-T", "2"]);
    assert!(fs::read(cache).unwrap() == fs::read(locked).unwrap());
}

#[test]
fn a_cache_that_somebody_has_locked_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let input = archive(folder.path(), &dataset());
    let cache = folder.path().join("cache.h5");
    prepare(&input, &cache, &["-T", "2"]);
    // HDF5 locks a file in this way when a program opens it for writing.
    let file = File::open(&cache).unwrap();
    file.lock().unwrap();
    for args in [
        &["info", text(&cache)][..],
        &["verify", text(&cache)],
        &["-i", text(&input), "-o", text(&cache), "-T", "2"],
    ] {
        let output = dvs_prep(args)
            .env_remove("HDF5_USE_FILE_LOCKING")
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
    }
}
