//! The division of a host's processors and memory between its ranks.

use std::env;
use std::num::NonZero;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use dvs_ranks::Ranks;
use rayon::ThreadPoolBuilder;
use sysinfo::System;

/// Gives this process its share of the threads, if other ranks may use the same processors. Returns
/// the number of ranks on this host.
///
/// Ranks that the launcher bound to processors of their own do not share them. The number of
/// threads changes no result. `$RAYON_NUM_THREADS` counts first.
///
/// # Errors
/// Returns an error if another rank failed, or the threads cannot be started.
pub fn divide(ranks: &dyn Ranks) -> Result<usize> {
    if ranks.size() == 1 {
        return Ok(1);
    }
    let host = System::host_name().unwrap_or_default();
    let own = format!("{host}\n{}", allowed());
    let all = ranks.gather(own.as_bytes())?;
    let all = all.iter().map(|theirs| String::from_utf8_lossy(theirs));
    let on_this_host = all
        .clone()
        .filter(|theirs| theirs.lines().next() == Some(&*host));
    let on_this_host = on_this_host.count().max(1);
    if env::var_os("RAYON_NUM_THREADS").is_some() {
        return Ok(on_this_host);
    }
    let sharing = all.filter(|theirs| **theirs == own).count().max(1);
    let processors = available_parallelism().map_or(1, NonZero::get);
    let threads = (processors / sharing).max(1);
    let pool = ThreadPoolBuilder::new().num_threads(threads);
    pool.build_global()
        .with_context(|| format!("cannot start {threads} threads"))?;
    Ok(on_this_host)
}

/// The processors on which this process may run, as a text to compare.
#[cfg(target_os = "linux")]
fn allowed() -> String {
    use rustix::thread::{CpuSet, sched_getaffinity};
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU)
            .filter(|&cpu| set.is_set(cpu))
            .map(|cpu| format!("{cpu} "))
            .collect(),
        Err(_) => String::new(),
    }
}

/// Other systems bind no process to processors.
#[cfg(not(target_os = "linux"))]
fn allowed() -> String {
    String::new()
}
