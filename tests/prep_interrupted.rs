//! Killed at random moments, the program never leaves a file under the cache's name that `verify` refuses.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::*;

const KILLS: u32 = 30;

#[test]
fn a_kill_leaves_a_whole_cache_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let input = data("DvsGesture-mini.tar.gz");
    let start = Instant::now();
    prepare(&input, &output, &["-T", "32"]);
    let whole_run = start.elapsed();
    let (mut killed, mut finished) = (0, 0);
    for i in 0..KILLS {
        let _ = std::fs::remove_file(&output);
        let args = ["-i", text(&input), "-o", text(&output), "-T", "32"];
        let mut child = dvs_prep(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Moments spread evenly, the last of them past the end, so that some hit the renaming.
        std::thread::sleep(
            whole_run * i / (KILLS - 4) + Duration::from_micros(u64::from(i) * 97 % 1000),
        );
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.success() {
            finished += 1
        } else {
            killed += 1
        }
        if output.exists() {
            run(&["verify", text(&output)]);
        }
    }
    assert!(
        killed > KILLS / 3,
        "only {killed} runs were killed, {finished} had finished: the test tests nothing"
    );
    // A later run needs no cleaning by hand.
    let _ = std::fs::remove_file(&output);
    prepare(&input, &output, &["-T", "32"]);
    run(&["verify", text(&output)]);
}
