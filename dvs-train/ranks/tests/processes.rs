//! Real processes that are killed and stopped.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::free_address;
use dvs_ranks::{Launch, Limits, RankError, start};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use rustix::process::{Pid, Signal, kill_process};

const TIMEOUT: &str = "DVS_RANKS_TEST_TIMEOUT_MS";

/// Reduces until something fails.
fn train() -> Result<(), RankError> {
    let timeout = std::env::var(TIMEOUT).unwrap().parse().unwrap();
    let limits = Limits {
        timeout: Duration::from_millis(timeout),
        longest_wait: Duration::from_secs(60),
    };
    let launch = Launch::from_env(&|name| std::env::var(name).ok())?;
    let ranks = start(launch.as_ref(), limits)?;
    println!("met");
    let mut random = Pcg64Mcg::seed_from_u64(1);
    loop {
        let length = random.random_range(1..300_000);
        ranks.all_reduce(&mut vec![1.0; length])?;
        thread::sleep(Duration::from_millis(2 * ranks.rank() as u64));
    }
}

/// One rank, which the other tests start.
#[test]
#[ignore = "runs until it is killed"]
fn rank() {
    if let Err(error) = train() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

struct Job(Vec<Child>);

impl Job {
    fn start(size: usize, timeout_ms: u64) -> Self {
        let (ip, port) = free_address();
        let ranks = (0..size).map(|rank| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "rank", "--nocapture"])
                .env("RANK", rank.to_string())
                .env("WORLD_SIZE", size.to_string())
                .env("MASTER_ADDR", ip.to_string())
                .env("MASTER_PORT", port.to_string())
                .env(TIMEOUT, timeout_ms.to_string())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        });
        Self(ranks.collect())
    }

    fn signal(&self, rank: usize, signal: Signal) {
        let id = i32::try_from(self.0[rank].id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits for all other ranks than one, which must end with status 1 within the time, and
    /// returns what each printed on both channels.
    fn others(&mut self, than: usize, within: Duration) -> Vec<(usize, String, String)> {
        let deadline = Instant::now() + within;
        let others = (0..self.0.len()).filter(|rank| *rank != than);
        let mut ended = Vec::new();
        for rank in others {
            let child = &mut self.0[rank];
            while child.try_wait().unwrap().is_none() {
                assert!(
                    Instant::now() < deadline,
                    "rank {rank} still runs after {within:?}"
                );
                thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(child.wait().unwrap().code(), Some(1), "rank {rank}");
            let (mut out, mut err) = (String::new(), String::new());
            use std::io::Read;
            child
                .stdout
                .as_mut()
                .unwrap()
                .read_to_string(&mut out)
                .unwrap();
            child
                .stderr
                .as_mut()
                .unwrap()
                .read_to_string(&mut err)
                .unwrap();
            ended.push((rank, out, err));
        }
        ended
    }

    /// Waits until all have met.
    fn wait_until_met(&mut self) {
        use std::io::{BufRead, BufReader};
        for child in &mut self.0 {
            let out = BufReader::new(child.stdout.as_mut().unwrap());
            assert!(out.lines().any(|line| line.unwrap().contains("met")));
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Those that have ended already report an error.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn when_a_rank_is_killed_all_others_end_and_name_it() {
    let mut random = Pcg64Mcg::seed_from_u64(7);
    let mut met = 0;
    for round in 0..20 {
        let size = [2, 3, 4][round % 3];
        let mut job = Job::start(size, 1500);
        thread::sleep(Duration::from_millis(random.random_range(0..250)));
        let killed = random.random_range(0..size);
        job.signal(killed, Signal::KILL);
        // The timeout, and what rank 0's answer may take longer.
        for (rank, out, err) in job.others(killed, Duration::from_millis(1500 + 2000 + 1500)) {
            let name = format!("rank {killed}");
            assert!(err.contains(&name), "round {round}, rank {rank}: {err}");
            if out.contains("met") {
                met += 1;
                assert!(
                    err.contains(&format!("{name} on ")),
                    "round {round}, rank {rank}: {err}"
                );
            }
        }
    }
    assert!(met >= 10, "only {met} ranks were killed while they worked");
}

#[test]
fn after_the_meeting_a_killed_rank_is_noticed_at_once() {
    for killed in [0, 2] {
        let mut job = Job::start(4, 30_000);
        job.wait_until_met();
        thread::sleep(Duration::from_millis(100));
        job.signal(killed, Signal::KILL);
        for (rank, _, err) in job.others(killed, Duration::from_secs(2)) {
            let name = format!("rank {killed} on ");
            assert!(err.contains(&name), "rank {rank}: {err}");
            assert!(
                err.contains("closed its connection during all-reduce of "),
                "{err}"
            );
        }
    }
}

#[test]
fn a_stopped_rank_is_noticed_after_the_timeout() {
    for stopped in [0, 1] {
        let mut job = Job::start(3, 2000);
        job.wait_until_met();
        let start = Instant::now();
        job.signal(stopped, Signal::STOP);
        for (rank, _, err) in job.others(stopped, Duration::from_secs(4)) {
            let name = format!("rank {stopped} on ");
            assert!(err.contains(&name), "rank {rank}: {err}");
            assert!(
                err.contains("has not answered for 2 s (during all-reduce of "),
                "{err}"
            );
        }
        assert!(start.elapsed() > Duration::from_millis(1300));
        // When it goes on, it ends as well.
        job.signal(stopped, Signal::CONT);
        let nobody = usize::MAX;
        let ended = job.others(nobody, Duration::from_secs(3));
        assert_eq!(ended.len(), 3);
    }
}
