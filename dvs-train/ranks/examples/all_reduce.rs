//! Measures all-reduces: `all_reduce 4 1000 10000000` starts 4 ranks on this host, and sums
//! vectors of so many `f32`; `256f64` are 256 `f64`. Under `srun`, `torchrun` or `mpirun` it is one
//! of their ranks, and the first argument is not used.
//!
//! Prints the median of the durations, and the bytes that each rank sends in that time.

use std::error::Error;
use std::net::TcpListener;
use std::num::ParseIntError;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use dvs_ranks::{Engine, Launch, Limits, RankError, Ranks, start};

/// Measures for about this long each length.
const ABOUT: Duration = Duration::from_secs(1);
const MOST: usize = 2000;

/// Values of an all-reduce.
#[derive(Clone, Copy)]
enum Length {
    F32(usize),
    F64(usize),
}

impl FromStr for Length {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        match text.strip_suffix("f64") {
            Some(number) => Ok(Self::F64(number.parse()?)),
            None => Ok(Self::F32(text.parse()?)),
        }
    }
}

fn measure<T: Copy + PartialEq + From<u16>>(
    ranks: &dyn Ranks,
    length: usize,
    all_reduce: impl Fn(&mut [T]) -> Result<(), RankError>,
) -> Result<Duration, Box<dyn Error>> {
    let mut values = vec![T::from(1); length];
    let expected = T::from(u16::try_from(ranks.size())?);
    let mut once = || -> Result<Duration, Box<dyn Error>> {
        values.fill(T::from(1));
        ranks.barrier()?;
        let start = Instant::now();
        all_reduce(&mut values)?;
        let time = start.elapsed();
        if values.iter().any(|sum| *sum != expected) {
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

fn run(ranks: &dyn Ranks, lengths: &[Length]) -> Result<(), Box<dyn Error>> {
    for &length in lengths {
        let (time, numbers, bytes) = match length {
            Length::F32(n) => {
                let time = measure(ranks, n, |values| ranks.all_reduce(values))?;
                (time, format!("{n} f32"), n * 4)
            }
            Length::F64(n) => {
                let time = measure(ranks, n, |values| ranks.all_reduce_f64(values))?;
                (time, format!("{n} f64"), n * 8)
            }
        };
        let seconds = time.as_secs_f64();
        let share = 2.0 * (ranks.size() - 1) as f64 / ranks.size() as f64;
        let rate = share * bytes as f64 / seconds / 1e9;
        if ranks.rank() == 0 {
            let size = ranks.size();
            println!("{size} ranks, {numbers}: {seconds:.6} s, {rate:.3} GB/s a rank");
        }
    }
    Ok(ranks.finish()?)
}

fn main() -> Result<(), Box<dyn Error>> {
    const USAGE: &str = "usage: all_reduce RANKS LENGTH...";
    let mut arguments = std::env::args().skip(1);
    let size: usize = arguments.next().ok_or(USAGE)?.parse().map_err(|_| USAGE)?;
    let lengths: Result<Vec<Length>, _> = arguments.map(|length| length.parse()).collect();
    let lengths = lengths.map_err(|_| USAGE)?;
    let variable = |name: &str| std::env::var(name).ok();
    let launch = Launch::from_env(&variable)?;
    if launch.is_some() || Engine::from_env(&variable)? == Engine::Mpi {
        let ranks = start(launch.as_ref(), Limits::default())?;
        return run(ranks.as_ref(), &lengths);
    }
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let children = (0..size).map(|rank| {
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
