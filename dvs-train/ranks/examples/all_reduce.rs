//! Measures all-reduces: `all_reduce 4 1000 10000000` starts 4 ranks on this host, and sums
//! vectors of these lengths. Under `srun`, `torchrun` or `mpirun` it is one of their ranks, and
//! the first argument is not used.
//!
//! Prints the median of the durations, and the bytes that each rank sends in that time.

use std::error::Error;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use dvs_ranks::{Launch, Limits, Ranks, start};

/// Measures for about this long each length.
const ABOUT: Duration = Duration::from_secs(1);
const MOST: usize = 2000;

fn measure(ranks: &dyn Ranks, length: usize) -> Result<Duration, Box<dyn Error>> {
    let mut values = vec![1.0; length];
    let mut once = || -> Result<Duration, Box<dyn Error>> {
        values.fill(1.0);
        ranks.barrier()?;
        let start = Instant::now();
        ranks.all_reduce(&mut values)?;
        let time = start.elapsed();
        if values.iter().any(|sum| *sum != ranks.size() as f32) {
            return Err("a sum is wrong".into());
        }
        Ok(time)
    };
    // The first one asks the system for memory.
    once()?;
    let guess = once()?.as_secs_f64().max(1e-9);
    let mut turns = [(ABOUT.as_secs_f64() / guess) as f32];
    ranks.all_reduce(&mut turns)?;
    let turns = (turns[0] as usize / ranks.size()).clamp(5, MOST);
    let mut times = (0..turns).map(|_| once()).collect::<Result<Vec<_>, _>>()?;
    times.sort();
    Ok(times[turns / 2])
}

fn run(ranks: &dyn Ranks, lengths: &[usize]) -> Result<(), Box<dyn Error>> {
    for &length in lengths {
        let seconds = measure(ranks, length)?.as_secs_f64();
        let share = 2.0 * (ranks.size() - 1) as f64 / ranks.size() as f64;
        let rate = share * (length * 4) as f64 / seconds / 1e9;
        if ranks.rank() == 0 {
            let size = ranks.size();
            println!("{size} ranks, {length} f32: {seconds:.6} s, {rate:.3} GB/s a rank");
        }
    }
    Ok(ranks.finish()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .map(|argument| argument.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| "usage: all_reduce RANKS LENGTH...")?;
    let [size, lengths @ ..] = arguments.as_slice() else {
        return Err("usage: all_reduce RANKS LENGTH...".into());
    };
    if let Some(launch) = Launch::from_env(&|name| std::env::var(name).ok())? {
        let ranks = start(Some(&launch), Limits::default())?;
        return run(ranks.as_ref(), lengths);
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let children = (0..*size).map(|rank| {
        Command::new(std::env::current_exe()?)
            .args(std::env::args().skip(1))
            .env("RANK", rank.to_string())
            .env("WORLD_SIZE", size.to_string())
            .env("MASTER_ADDR", "127.0.0.1")
            .env("MASTER_PORT", port.to_string())
            .spawn()
    });
    let children = children.collect::<Result<Vec<_>, _>>()?;
    for mut child in children {
        if !child.wait()?.success() {
            return Err("a rank failed".into());
        }
    }
    Ok(())
}
