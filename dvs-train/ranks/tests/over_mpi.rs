//! The engine over MPI, in processes that `mpirun` starts: its results are those of TCP, bit for
//! bit, and every failure ends all ranks.

#![allow(clippy::panic, clippy::unwrap_used)]

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use dvs_ranks::{Launch, Limits, RankError, Ranks, start};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// What a rank does.
const ACT: &str = "DVS_RANKS_TEST_ACT";
const ENGINE: &str = "DVS_RANKS_ENGINE";

/// Values of very different size, whose sum depends on the order.
fn values(rank: usize, length: usize) -> Vec<f32> {
    let value = |i: usize| {
        let mixed = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ (rank as u64) << 20);
        let exponent = (mixed >> 58) as i32 - 32;
        ((mixed as u32) as f32 - 2_147_483_648.0) * 2_f32.powi(exponent)
    };
    (0..length).map(value).collect()
}

/// Does every operation, and returns a digest of all results.
fn operations(ranks: &dyn Ranks) -> Result<u64, RankError> {
    let mut digest = DefaultHasher::new();
    let rank = ranks.rank();
    // The longest is reduced in two parts.
    for length in [0, 1, 5, 1000, 4096, 4097, 50_021, 1_000_003, (1 << 21) + 5] {
        let mut sums = values(rank, length);
        if length < 1 << 20 {
            let mut doubles: Vec<f64> = sums.iter().map(|v| f64::from(*v) / 3.0).collect();
            ranks.all_reduce_f64(&mut doubles)?;
            doubles.iter().for_each(|v| v.to_bits().hash(&mut digest));
        }
        ranks.all_reduce(&mut sums)?;
        sums.iter().for_each(|v| v.to_bits().hash(&mut digest));
        ranks.barrier()?;
    }
    // The longest is gathered in three parts.
    for bytes in [
        vec![rank as u8; rank * rank * 30_000],
        format!("rank {rank}").into_bytes(),
        Vec::new(),
        vec![rank as u8 + 1; if rank == 1 { 40_000_001 } else { 3 }],
    ] {
        ranks.gather(&bytes)?.hash(&mut digest);
    }
    ranks.finish()?;
    Ok(digest.finish())
}

/// What the rank does that a test names, until it fails.
fn act(act: &str, ranks: &dyn Ranks) -> Result<(), RankError> {
    let odd = ranks.rank() == 1;
    match act {
        "operations" => println!("digest {}", operations(ranks)?),
        "start again" => {
            ranks.finish()?;
            start(None, Limits::default())?;
        }
        "lengths" => {
            ranks.barrier()?;
            let first = ranks.all_reduce(&mut vec![0.0; 10 + usize::from(odd)]);
            assert_eq!(ranks.barrier(), first);
            first?;
        }
        "calls" if odd => ranks.finish()?,
        "calls" => ranks.barrier()?,
        "abort" if odd => ranks.abort("the disk is full"),
        "drop" if odd => {}
        "panic" if odd => panic!("this rank panics"),
        "stay away" if odd => thread::sleep(Duration::from_secs(60)),
        "abort" | "drop" | "panic" | "stay away" => ranks.barrier()?,
        "go on" => {
            println!("process {} {}", ranks.rank(), std::process::id());
            loop {
                ranks.all_reduce(&mut vec![1.0; 100_000])?;
                thread::sleep(Duration::from_millis(ranks.rank() as u64));
            }
        }
        other => panic!("{other:?} is no act"),
    }
    Ok(())
}

/// One rank, which the other tests start.
#[test]
#[ignore = "is a rank of a job"]
fn rank() {
    let name = std::env::var(ACT).unwrap();
    let limits = Limits {
        longest_wait: match name.as_str() {
            "stay away" => Duration::from_millis(500),
            _ => Duration::from_secs(60),
        },
        ..Limits::default()
    };
    let run = || -> Result<(), RankError> {
        let launch = Launch::from_env(&|name| std::env::var(name).ok())?;
        let ranks = start(launch.as_ref(), limits)?;
        let by_mpi = std::env::var(ENGINE).is_ok_and(|engine| engine == "mpi");
        assert_eq!(mpi::is_initialized(), by_mpi);
        act(&name, ranks.as_ref())
    };
    if let Err(error) = run() {
        println!("error {error}");
        std::process::exit(1);
    }
}

fn job(size: usize, act: &str) -> Command {
    let mut command = Command::new("mpirun");
    command
        .args(["-n", &size.to_string()])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "rank", "--nocapture"])
        .env(ACT, act)
        .env(ENGINE, "mpi")
        // More ranks than processors, as Open MPI 5 and 4 let them, and as root in a container.
        .env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe")
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .stdin(Stdio::null());
    command
}

/// What ranks printed after a word.
fn printed(output: &Output, word: &str) -> Vec<String> {
    let out = String::from_utf8_lossy(&output.stdout);
    let after = out.lines().filter_map(|line| line.split_once(word));
    after.map(|(_, text)| text.trim().to_owned()).collect()
}

/// Runs a job that must fail within a few seconds, and returns what it printed.
fn failed(size: usize, act: &str) -> Output {
    let start = Instant::now();
    let output = job(size, act).output().unwrap();
    let took = start.elapsed();
    assert!(!output.status.success(), "{act}: {output:?}");
    assert!(took < Duration::from_secs(20), "{act}: it took {took:?}");
    output
}

/// How often the job printed a text on either channel.
fn times(output: &Output, text: &str) -> usize {
    let channels = [&output.stdout, &output.stderr];
    let count = |channel: &Vec<u8>| String::from_utf8_lossy(channel).matches(text).count();
    channels.into_iter().map(count).sum()
}

#[test]
fn results_are_those_of_tcp_bit_for_bit() {
    for size in [1, 2, 3, 4] {
        let mut digests = HashSet::new();
        // The second run over MPI must not differ from the first.
        let engines = [Some("mpi"), None, Some("mpi")];
        for engine in engines.into_iter().take(if size == 4 { 3 } else { 2 }) {
            let mut job = job(size, "operations");
            match engine {
                Some(engine) => job.env(ENGINE, engine),
                None => job.env_remove(ENGINE),
            };
            let output = job.output().unwrap();
            assert!(output.status.success(), "{size} ranks: {output:?}");
            let found = printed(&output, "digest ");
            assert_eq!(found.len(), size, "{output:?}");
            digests.extend(found);
        }
        assert_eq!(digests.len(), 1, "{size} ranks");
    }
}

#[test]
fn calls_that_do_not_fit_are_named_by_all() {
    for (act, ours, theirs) in [
        (
            "lengths",
            "rank 0 on HOST called all-reduce of 10 f32 (operation 2)",
            "rank 1 on HOST called all-reduce of 11 f32 (operation 2)",
        ),
        (
            "calls",
            "rank 0 on HOST called barrier (operation 1)",
            "rank 1 on HOST called finish (operation 1)",
        ),
    ] {
        let output = failed(3, act);
        let found = printed(&output, "error ");
        // Those that have printed end first, and the launcher may then kill the others.
        assert!(!found.is_empty(), "{output:?}");
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let expected = format!("ranks called different operations: {ours}, but {theirs}");
        for error in found {
            assert_eq!(error, expected.replace("HOST", &host));
        }
    }
}

#[test]
fn giving_up_ends_all_and_says_why_once() {
    for (act, reason) in [
        ("abort", "the disk is full"),
        ("drop", "it ended before the job was finished"),
        ("panic", "it panicked"),
    ] {
        let output = failed(3, act);
        let said = format!("gave up: {reason}");
        assert_eq!(times(&output, &said), 1, "{output:?}");
        assert_eq!(times(&output, "rank 1 on "), 1, "{output:?}");
        assert_eq!(output.status.code(), Some(1), "{act}");
    }
    // A single rank has nobody to tell, as without MPI.
    let output = job(1, "drop").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_rank_that_stays_away_is_not_waited_for_forever() {
    let output = failed(2, "stay away");
    let said = "has waited 0.5 s in barrier (operation 1)";
    assert_eq!(times(&output, said), 1, "{output:?}");
    assert_eq!(times(&output, "rank 0 on "), 1, "{output:?}");
}

#[test]
fn mpi_starts_only_once_and_as_the_launcher_says() {
    let output = failed(2, "start again");
    assert!(
        times(&output, "cannot start MPI: this process") >= 1,
        "{output:?}"
    );
    let mut job = job(2, "operations");
    let output = job
        .env("RANK", "0")
        .env("WORLD_SIZE", "2")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let found = printed(&output, "error ");
    assert!(!found.is_empty(), "{output:?}");
    for error in found {
        let part = "is rank 1 of 2, but for RANK and WORLD_SIZE it is rank 0 of 2";
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn when_a_rank_is_killed_the_launcher_ends_the_others() {
    let mut job = job(4, "go on").stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(job.stdout.take().unwrap());
    let mut processes = Vec::new();
    let mut lines = out.lines();
    while processes.len() < 4 {
        let line = lines.next().unwrap().unwrap();
        if let Some((_, process)) = line.split_once("process ") {
            let (rank, id) = process.split_once(' ').unwrap();
            processes.push((rank.to_owned(), Pid::from_raw(id.parse().unwrap()).unwrap()));
        }
    }
    thread::sleep(Duration::from_millis(300));
    let (_, killed) = processes.iter().find(|(rank, _)| rank == "2").unwrap();
    kill_process(*killed, Signal::KILL).unwrap();
    let start = Instant::now();
    let limit = Duration::from_secs(10);
    let runs = |id: Pid| test_kill_process(id).is_ok();
    while processes.iter().any(|(_, id)| runs(*id)) {
        assert!(start.elapsed() < limit, "a rank still runs after {limit:?}");
        thread::sleep(Duration::from_millis(5));
    }
    println!(
        "the others ended after {:.2} s",
        start.elapsed().as_secs_f64()
    );
    assert!(!job.wait().unwrap().success());
}
