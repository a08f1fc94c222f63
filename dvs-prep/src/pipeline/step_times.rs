//! Measures the seconds spent in each step, to find the next bottleneck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The steps that are timed.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// Reading and inflating the archive.
    Inflate,
    /// Waiting for workers to return memory.
    Wait,
    /// Hashing the input.
    Hash,
    /// Checking and indexing recordings.
    Parse,
    /// Selecting events and counting them into frames.
    Integrate,
    /// Encoding chunks.
    Compress,
    /// Assembling the cache and writing it to disk.
    Write,
}

impl Step {
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::Inflate, "inflate"),
        (Self::Wait, "wait"),
        (Self::Hash, "hash"),
        (Self::Parse, "parse"),
        (Self::Integrate, "integrate"),
        (Self::Compress, "compress"),
        (Self::Write, "write"),
    ];
}

/// Time spent in each step, over all threads.
#[derive(Debug, Default)]
pub struct StepTimes([AtomicU64; Step::ALL.len()]);

impl StepTimes {
    pub fn add(&self, step: Step, time: Duration) {
        self.0[step as usize].fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Seconds spent in a step.
    pub fn seconds(&self, step: Step) -> f64 {
        self.0[step as usize].load(Ordering::Relaxed) as f64 * 1e-9
    }

    /// Runs `work` and adds its duration to a step.
    pub fn timed<T>(&self, step: Step, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(step, start.elapsed());
        result
    }
}
