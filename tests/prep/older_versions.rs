//! The program accepts and reuses a cache that an older version wrote. The cache of commit 18365cc
//! lies in `tests/data/commit_18365cc`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::*;

fn old(name: &str) -> PathBuf {
    data("commit_18365cc").join(name)
}

#[test]
fn verify_accepts_the_cache_of_an_older_version() {
    run(&["verify", text(&old("cache.h5"))]);
}

#[test]
fn info_describes_the_cache_of_an_older_version_unchanged() {
    let before: Value =
        serde_json::from_str(&fs::read_to_string(old("cache.info.json")).unwrap()).unwrap();
    let output = run(&["info", text(&old("cache.h5")), "--json"]);
    let now: Value = serde_json::from_slice(&output.stdout).unwrap();
    let before = before.as_object().unwrap();
    assert!(before.len() > 10, "only {} members", before.len());
    for (name, value) in before {
        if name != "cache" {
            assert_eq!(&now[name], value, "{name}");
        }
    }
}

#[test]
fn prepare_reuses_the_cache_of_an_older_version() {
    let folder = tempfile::tempdir().unwrap();
    let (input, cache) = (
        folder.path().join("DvsGesture.tar.gz"),
        folder.path().join("cache.h5"),
    );
    fs::copy(old("cache.h5"), &cache).unwrap();
    // `make.sh` made the old cache from an archive with these options.
    let size = "--users 3 --lights led --event-rate 3000 --gesture-seconds 0.5";
    let synth = ["synth", "-o", text(&input)];
    run(&synth.into_iter().chain(size.split(' ')).collect::<Vec<_>>());
    let output = run(&["-i", text(&input), "-T", "4", "-o", text(&cache), "--json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["status"], "already there", "{summary}");
}
