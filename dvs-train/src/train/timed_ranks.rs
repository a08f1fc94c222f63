//! Ranks that measure how long this rank spends on what all do together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dvs_ranks::{RankError, Ranks};

/// Ranks, and the time that their operations took.
pub struct TimedRanks {
    ranks: Box<dyn Ranks>,
    nanoseconds: AtomicU64,
}

impl TimedRanks {
    /// Measures the operations of `ranks` from now on.
    pub fn new(ranks: Box<dyn Ranks>) -> Self {
        Self {
            ranks,
            nanoseconds: AtomicU64::new(0),
        }
    }

    /// Returns the time that all operations have taken so far: that of the exchange itself, and that
    /// in which this rank waited for slower ones.
    pub fn spent(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }

    fn measure<T>(&self, operation: impl FnOnce(&dyn Ranks) -> T) -> T {
        let start = Instant::now();
        let done = operation(&*self.ranks);
        let took = start.elapsed().as_nanos() as u64;
        self.nanoseconds.fetch_add(took, Ordering::Relaxed);
        done
    }
}

impl Ranks for TimedRanks {
    fn rank(&self) -> usize {
        self.ranks.rank()
    }

    fn size(&self) -> usize {
        self.ranks.size()
    }

    fn all_reduce(&self, values: &mut [f32]) -> Result<(), RankError> {
        self.measure(|ranks| ranks.all_reduce(values))
    }

    fn all_reduce_f64(&self, values: &mut [f64]) -> Result<(), RankError> {
        self.measure(|ranks| ranks.all_reduce_f64(values))
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RankError> {
        self.measure(|ranks| ranks.gather(bytes))
    }

    fn barrier(&self) -> Result<(), RankError> {
        self.measure(|ranks| ranks.barrier())
    }

    fn abort(&self, reason: &str) {
        self.ranks.abort(reason);
    }

    fn finish(&self) -> Result<(), RankError> {
        self.ranks.finish()
    }
}
