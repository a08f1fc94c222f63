//! If the program is killed at a random moment, it leaves either no cache or one that passes
//! `verify`. It leaves nothing that stops a later run.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use crate::running::*;
use crate::support::*;

const KILLS: u32 = 120;
/// After this time the test stops early, so that it does not take minutes on a busy machine.
const TIME: Duration = Duration::from_secs(30);
/// The test makes at least this many kills, however long they take.
const FEWEST: u32 = 30;

/// A random duration of at most `span`.
fn random_duration(random: &mut Pcg64, span: Duration) -> Duration {
    span.mul_f64(f64::from(random.next_u32()) / f64::from(u32::MAX))
}

/// Whether the run has ended or has begun to write a cache. The cache's own name counts too, in
/// case a run writes to it directly.
fn is_writing(output: &Path, before: Option<u64>, run: &mut Running) -> bool {
    let unfinished = || {
        fs::read_dir(output.parent().unwrap())
            .unwrap()
            .any(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                name.ends_with(".unfinished") && entry.metadata().is_ok_and(|m| m.len() > 0)
            })
    };
    run.has_ended() || size(output) != before || unfinished()
}

fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|m| m.len())
}

#[test]
fn a_kill_leaves_a_whole_cache_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("cache.h5");
    let input = data("DvsGesture-mini.tar.gz");
    let args = [
        "-i",
        text(&input),
        "-o",
        text(&output),
        "-T",
        "8",
        "--force",
    ];
    let start = Instant::now();
    run(&args);
    let whole_run = start.elapsed();
    let mut random = Pcg64::seed_from_u64(5);
    let (mut kills, mut killed, mut left_behind) = (0, 0, 0);
    let start = Instant::now();
    while kills < KILLS && (start.elapsed() < TIME || kills < FEWEST) {
        // Every other run replaces a cache. That cache must survive the kill.
        let replaces = kills % 2 == 0 && output.exists();
        if !replaces {
            let _ = fs::remove_file(&output);
        }
        let before = size(&output);
        let mut child = Running::start(&mut dvs_prep(args));
        // A third of the kills come at any moment, some of them after the run's end. The others
        // come while the run writes and renames the cache.
        let span = if kills % 3 == 0 {
            whole_run.mul_f64(1.1)
        } else {
            until("it wrote", || is_writing(&output, before, &mut child));
            whole_run.mul_f64(0.15)
        };
        std::thread::sleep(random_duration(&mut random, span));
        child.kill();
        kills += 1;
        if !child.end().success() {
            killed += 1;
        }
        if hidden(folder.path())
            .iter()
            .any(|name| name.ends_with(".unfinished"))
        {
            left_behind += 1;
        }
        assert!(
            output.exists() || !replaces,
            "a kill removed the cache that was there"
        );
        if output.exists() {
            run(&["verify", text(&output)]);
        }
    }
    assert!(
        killed > kills / 3 && left_behind > 0,
        "of {kills} runs {killed} were killed, {left_behind} of them at work: the test tests nothing"
    );
    // A later run removes what the killed runs left.
    let _ = fs::remove_file(&output);
    prepare(&input, &output, &["-T", "8"]);
    run(&["verify", text(&output)]);
    assert_eq!(hidden(folder.path()), [""; 0]);
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "the cache and its note"
    );
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{kills} kills in {seconds:.1} s, {killed} of a run that had not ended, {left_behind} while it worked"
    );
    if kills < KILLS {
        report_skipped(
            &format!("{} of {KILLS} kills", KILLS - kills),
            &format!("the first took {seconds:.1} s"),
        );
    }
}
