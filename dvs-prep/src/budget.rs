//! The bound on memory for recordings: who reads ahead waits here until workers give back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A number of bytes that can be lent.
pub struct Budget {
    total: u64,
    lent: Mutex<u64>,
    returned: Condvar,
    waited_ns: AtomicU64,
}

/// Bytes on loan, given back when dropped.
pub struct Loan<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// A budget of `total` bytes.
    pub fn new(total: u64) -> Self {
        Self {
            total,
            lent: Mutex::new(0),
            returned: Condvar::new(),
            waited_ns: AtomicU64::new(0),
        }
    }

    /// Waits until `bytes` are free. More than the whole budget is lent when nothing else is.
    pub fn borrow(&self, bytes: u64) -> Loan<'_> {
        let start = Instant::now();
        let lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |lent: &mut u64| *lent > 0 && *lent + bytes > self.total;
        let mut lent = self
            .returned
            .wait_while(lent, full)
            .unwrap_or_else(PoisonError::into_inner);
        *lent += bytes;
        self.waited_ns
            .fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        Loan {
            budget: self,
            bytes,
        }
    }

    /// Time borrowers have spent waiting.
    pub fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited_ns.load(Ordering::Relaxed))
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        *self
            .budget
            .lent
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.budget.returned.notify_all();
    }
}
