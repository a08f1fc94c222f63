//! Jobs of several ranks on this machine, started as `torchrun` or a shell would.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::text;

/// The ranks of a job, which are processes.
pub struct Job {
    pub ranks: Vec<Child>,
}

/// The command of one rank of `size`, whose rank 0 listens on this port of the loopback address.
pub fn rank(rank: usize, size: usize, port: u16, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dvs-train"));
    command.args(args);
    as_rank(command, rank, size, port)
}

/// Makes a command that of one rank, as [`rank`] does.
pub fn as_rank(mut command: Command, rank: usize, size: usize, port: u16) -> Command {
    command
        .env("RANK", rank.to_string())
        .env("WORLD_SIZE", size.to_string())
        .env("LOCAL_RANK", rank.to_string())
        .env("MASTER_ADDR", "127.0.0.1")
        .env("MASTER_PORT", port.to_string())
        .env("RAYON_NUM_THREADS", "1")
        .env_remove("DVS_DATA")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

impl Job {
    /// Starts all ranks with the same arguments.
    pub fn start(size: usize, args: &[&str]) -> Self {
        let port = free_port();
        Self::of((0..size).map(|number| rank(number, size, port, args)))
    }

    /// Starts these ranks.
    pub fn of(commands: impl Iterator<Item = Command>) -> Self {
        let ranks = commands.map(|mut command| command.spawn().unwrap());
        Self {
            ranks: ranks.collect(),
        }
    }

    /// Whether no rank has ended.
    pub fn runs(&mut self) -> bool {
        let mut ranks = self.ranks.iter_mut();
        ranks.all(|rank| rank.try_wait().unwrap().is_none())
    }

    /// Waits for the ends of all ranks.
    pub fn ends(mut self, within: Duration) -> Vec<Output> {
        let start = Instant::now();
        let ranks = std::mem::take(&mut self.ranks);
        let ends = ranks.into_iter().map(|mut rank| {
            // A rank that prints more than a pipe holds would wait here, but none prints as much.
            while rank.try_wait().unwrap().is_none() {
                if start.elapsed() > within {
                    rank.kill().unwrap();
                    let said = rank.wait_with_output().unwrap();
                    panic!("a rank did not end: {}", text(&said.stderr));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            rank.wait_with_output().unwrap()
        });
        ends.collect()
    }

    /// Waits for the ends of all ranks, which have to be successes. Returns what they print.
    pub fn succeeds(self) -> Vec<String> {
        let ends = self.ends(Duration::from_secs(300));
        let said = ends.into_iter().map(|end| {
            assert!(end.status.success(), "{}", text(&end.stderr));
            text(&end.stdout)
        });
        said.collect()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        for rank in &mut self.ranks {
            let _ = rank.kill();
            let _ = rank.wait();
        }
    }
}
