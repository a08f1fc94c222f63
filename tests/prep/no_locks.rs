//! File systems without locks, as NFS without its lock service (ENOLCK): a warning, and everything else as ever. And
//! locks of other programs on a cache, which stop nobody who reads it.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::running::hidden;
use crate::support::*;

/// A library that takes the locks away from the program it is loaded into. HDF5 needs a C compiler to be built, so there
/// is one.
fn no_locks(folder: &Path) -> PathBuf {
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
    let library = no_locks(folder.path());
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
    // Nothing was left that would have to be cleared away under a lock, so there is nothing to warn of.
    let found = run(&args);
    assert!(String::from_utf8_lossy(&found.stdout).contains("already there"));
    assert_eq!(stderr(&found), "");
    // The same bytes as with locks.
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
    // As HDF5 does when a program opens it for writing.
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
