//! A cache of commit 18365cc is still that of its input; `tests/data/commit_18365cc` has it.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::*;

fn old(name: &str) -> PathBuf {
    data("commit_18365cc").join(name)
}

#[test]
fn an_older_cache_is_whole() {
    run(&["verify", text(&old("cache.h5"))]);
}

#[test]
fn an_older_cache_has_the_same_description() {
    let told: Value =
        serde_json::from_str(&fs::read_to_string(old("cache.info.json")).unwrap()).unwrap();
    let output = run(&["info", text(&old("cache.h5")), "--json"]);
    let now: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = told.as_object().unwrap();
    assert!(told.len() > 10, "only {} members", told.len());
    for (name, value) in told {
        if name != "cache" {
            assert_eq!(&now[name], value, "{name}");
        }
    }
}

#[test]
fn an_older_cache_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (input, cache) = (
        folder.path().join("DvsGesture.tar.gz"),
        folder.path().join("cache.h5"),
    );
    fs::copy(old("cache.h5"), &cache).unwrap();
    // As in make.sh.
    let size = "--users 3 --lights led --event-rate 3000 --gesture-seconds 0.5";
    let synth = ["synth", "-o", text(&input)];
    run(&synth.into_iter().chain(size.split(' ')).collect::<Vec<_>>());
    let output = run(&["-i", text(&input), "-T", "4", "-o", text(&cache), "--json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["status"], "already there", "{summary}");
}
