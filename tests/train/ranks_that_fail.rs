//! Ranks that die, are asked to stop, or do not belong together: all ranks end, and say why.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::job::{Job, free_port, rank};
use crate::support::{LATEST, Place, SMALL, latest, only_entry, rows, text};

/// The ranks of these tests wait no longer than this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Arguments of a run in `out`, in the order in which a scheduler would repeat them.
fn line(place: &Place, out: &str, more: &[&str]) -> Vec<String> {
    let (cache, out) = (place.cache(), place.at(out));
    let own = [
        "--cache",
        &cache,
        "--out-dir",
        &out,
        "--resume",
        "auto",
        "--ranks-timeout",
        "10",
    ];
    let all = [&SMALL[..], &own, more].concat();
    all.into_iter().map(str::to_owned).collect()
}

fn strs(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

/// The only line that a rank printed to standard error.
fn error(end: &Output) -> String {
    let said = text(&end.stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

fn send(signal: &str, rank: &std::process::Child) {
    let pid = rank.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn killed_ranks_end_the_others_and_the_run_goes_on() {
    let place = Place::new();
    let whole = line(&place, "whole", &["--epochs", "150"]);
    Job::start(2, &strs(&whole)).succeeds();
    let command = line(&place, "killed", &["--epochs", "150"]);
    let mut random = Pcg64::seed_from_u64(17);
    let (mut kills, mut within) = (0, 0);
    loop {
        let mut job = Job::start(2, &strs(&command));
        let (victim, after) = (random.random_range(0..2), random.random_range(100..900));
        sleep(Duration::from_millis(after));
        if kills == 20 || !job.runs() {
            // Either the ranks may go on to the end, or they got there.
            job.succeeds();
            break;
        }
        job.ranks[victim].kill().unwrap();
        let died = Instant::now();
        let ends = job.ends(2 * TIMEOUT);
        assert!(died.elapsed() < TIMEOUT + Duration::from_secs(2));
        let other = &ends[1 - victim];
        if other.status.success() {
            // The kill came when both ranks had finished.
            break;
        }
        let said = text(&other.stderr);
        let said = said.lines().last().unwrap_or_default();
        assert_eq!(other.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("rank {victim}")), "{said}");
        kills += 1;
        within += usize::from(said.contains("during"));
    }
    assert!(kills >= 10, "only {kills} kills");
    assert!(
        within >= 3,
        "only {within} of {kills} kills were within training"
    );
    let [whole, killed] = ["whole", "killed"].map(|out| only_entry(Path::new(&place.at(out))));
    assert!(
        latest(&whole) == latest(&killed),
        "weights, optimizer and state"
    );
    assert_eq!(rows(&whole), rows(&killed));
}

#[test]
fn a_signal_to_one_rank_stops_all() {
    let place = Place::new();
    let whole = line(&place, "whole", &["--epochs", "60"]);
    Job::start(2, &strs(&whole)).succeeds();
    let command = line(&place, "stopped", &["--epochs", "60"]);
    let mut stops = 0;
    for asked in [1, 0, 1, 0, 1] {
        let mut job = Job::start(2, &strs(&command));
        sleep(Duration::from_millis(600));
        if !job.runs() {
            job.succeeds();
            break;
        }
        send("-TERM", &job.ranks[asked]);
        let ends = job.ends(TIMEOUT);
        for end in &ends {
            assert_eq!(end.status.code(), Some(143), "{}", text(&end.stderr));
        }
        let said = text(&ends[0].stderr);
        assert!(said.contains("dvs-train: SIGTERM: stopped "), "{said}");
        assert_eq!(text(&ends[1].stderr), "");
        stops += 1;
    }
    assert!(stops >= 2, "{stops} stops");
    Job::start(2, &strs(&command)).succeeds();
    let [whole, stopped] = ["whole", "stopped"].map(|out| only_entry(Path::new(&place.at(out))));
    assert!(
        latest(&whole) == latest(&stopped),
        "weights, optimizer and state"
    );
    // Once more, after the end.
    let ends = Job::start(2, &strs(&command)).ends(TIMEOUT);
    assert!(ends.iter().all(|end| end.status.success()));
    assert!(text(&ends[0].stderr).contains("nothing is left to do: "));
    assert_eq!(text(&ends[1].stderr), "");
}

#[test]
fn a_stopped_process_ends_the_others_in_time() {
    let place = Place::new();
    let mut command = line(&place, "hangs", &["--epochs", "1000"]);
    command.extend(["--ranks-timeout".to_owned(), "2".to_owned()]);
    let mut job = Job::start(2, &strs(&command));
    sleep(Duration::from_millis(1500));
    assert!(job.runs());
    send("-STOP", &job.ranks[1]);
    let hung = job.ranks.pop().unwrap();
    let start = Instant::now();
    let ends = job.ends(TIMEOUT);
    assert!(start.elapsed() < Duration::from_secs(5));
    let said = error(&ends[0]);
    assert!(
        said.contains("rank 1 on ") && said.contains("has not answered for 2 s"),
        "{said}"
    );
    assert_eq!(ends[0].status.code(), Some(1));
    let mut hung = hung;
    hung.kill().unwrap();
    hung.wait().unwrap();
}

#[test]
fn ranks_that_do_not_belong_together_are_refused() {
    let place = Place::new();
    let fails = |job: Job, reasons: &[&str]| {
        let ends = job.ends(2 * TIMEOUT);
        for (end, reason) in ends.iter().zip(reasons) {
            let said = error(end);
            assert!(said.contains(reason), "{said}");
            assert_eq!(end.status.code(), Some(1));
        }
    };
    let command = line(&place, "out", &["--epochs", "1"]);
    let command = strs(&command);
    let odd = [&command[..], &["-b", "5"]].concat();
    fails(
        Job::start(2, &odd),
        &[
            ": --batch-size 5 is not a multiple of the 2 ranks, which share each batch; use 4 or 6",
            "gave up: --batch-size 5 is not a multiple",
        ],
    );
    let port = free_port();
    let sizes = [rank(0, 2, port, &command), rank(1, 3, port, &command)];
    fails(Job::of(sizes.into_iter()), &["size", "size"]);
    let port = free_port();
    let twice = [
        rank(0, 3, port, &command),
        rank(1, 3, port, &command),
        rank(1, 3, port, &command),
    ];
    fails(Job::of(twice.into_iter()), &["rank 1", "rank 1", "rank 1"]);
    let port = free_port();
    let other = [&command[..], &["--seed", "1"]].concat();
    let options = [rank(0, 2, port, &command), rank(1, 2, port, &other)];
    fails(
        Job::of(options.into_iter()),
        &[
            "the options of rank 1 differ from those of rank 0",
            "the options of rank 1 differ from those of rank 0",
        ],
    );
    let port = free_port();
    let cache = place.synthetic_cache("3");
    let other = [&command[..], &["--cache", &cache]].concat();
    let data = [rank(0, 2, port, &command), rank(1, 2, port, &other)];
    fails(
        Job::of(data.into_iter()),
        &[
            "was made from other data than that of rank 0",
            "was made from other data than that of rank 0",
        ],
    );
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let job = Job::of([rank(0, 2, port, &command)].into_iter());
    fails(job, &["cannot listen on 127.0.0.1"]);
    assert!(!Path::new(&place.at("out")).exists(), "nothing was written");
}

#[test]
fn all_ranks_hear_that_the_folder_is_in_use() {
    let place = Place::new();
    let command = line(&place, "out", &["--epochs", "1000"]);
    let mut first = Command::new(env!("CARGO_BIN_EXE_dvs-train"));
    let mut first = first
        .args(&command)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = place.at("out");
    let start = Instant::now();
    while !Path::new(&out).exists() || !only_entry(Path::new(&out)).join(LATEST).exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint");
        sleep(Duration::from_millis(20));
    }
    let ends = Job::start(2, &strs(&command)).ends(TIMEOUT);
    first.kill().unwrap();
    first.wait().unwrap();
    for end in &ends {
        assert_eq!(end.status.code(), Some(75), "{}", text(&end.stderr));
        assert!(error(end).contains("another dvs-train works in "));
    }
}
