//! Worlds of threads on this host.

#![allow(dead_code, clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use dvs_ranks::{Launch, Limits, RankError, Token, World};

/// Limits for tests in which nothing hangs.
pub const PATIENT: Limits = Limits {
    timeout: Duration::from_secs(20),
    longest_wait: Duration::from_secs(20),
};

/// Limits for tests that wait for them.
pub fn short(milliseconds: u64) -> Limits {
    Limits {
        timeout: Duration::from_millis(milliseconds),
        longest_wait: Duration::from_secs(20),
    }
}

/// A free port on a loopback address that no other test has.
pub fn free_address() -> (IpAddr, u16) {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id().to_le_bytes();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let ip = IpAddr::V4(Ipv4Addr::new(127, process[1], process[0], count));
    let listener = TcpListener::bind((ip, 0)).unwrap();
    (ip, listener.local_addr().unwrap().port())
}

/// What each rank of a world is told.
pub fn launches(size: usize) -> Vec<Launch> {
    let (ip, port) = free_address();
    (0..size)
        .map(|rank| Launch::new(rank, size, &ip.to_string(), port, Token::new("test")))
        .collect()
}

/// Runs each rank on a thread of its own, and returns what each returned.
pub fn run<R: Send>(
    launches: &[Launch],
    limits: Limits,
    rank: impl Fn(&World) -> Result<R, RankError> + Sync,
) -> Vec<Result<R, RankError>> {
    let connect_and_run = |launch| {
        let world = World::connect(launch, limits)?;
        rank(&world)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = launches
            .iter()
            .map(|launch| scope.spawn(move || connect_and_run(launch)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

/// The errors as text; every rank must have one.
pub fn errors<R: std::fmt::Debug>(results: Vec<Result<R, RankError>>) -> Vec<String> {
    results
        .into_iter()
        .map(|result| result.unwrap_err().to_string())
        .collect()
}
