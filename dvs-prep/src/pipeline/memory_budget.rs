//! The bound on memory for recordings: who reads ahead waits here until workers give back; and the buffers they
//! give back, since memory that has been touched before costs nothing to touch again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A number of bytes that can be lent, to a number of borrowers.
pub struct Budget {
    total: u64,
    borrowers: usize,
    lent: Mutex<Lent>,
    returned: Condvar,
    waited_ns: AtomicU64,
}

#[derive(Default)]
struct Lent {
    bytes: u64,
    loans: usize,
}

/// Bytes on loan, given back when dropped.
pub struct Loan<'a> {
    budget: &'a Budget,
    bytes: u64,
}

impl Budget {
    /// A budget of `total` bytes for `borrowers` at a time.
    pub fn new(total: u64, borrowers: usize) -> Self {
        Self {
            total,
            borrowers,
            lent: Mutex::default(),
            returned: Condvar::new(),
            waited_ns: AtomicU64::new(0),
        }
    }

    /// Waits until `bytes` are free and a borrower fewer than allowed has some. More than the whole budget is lent
    /// when nothing else is.
    pub fn borrow(&self, bytes: u64) -> Loan<'_> {
        let start = Instant::now();
        let lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |lent: &mut Lent| {
            lent.loans > 0 && (lent.bytes + bytes > self.total || lent.loans >= self.borrowers)
        };
        let mut lent = self
            .returned
            .wait_while(lent, full)
            .unwrap_or_else(PoisonError::into_inner);
        lent.bytes += bytes;
        lent.loans += 1;
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
        let mut lent = self
            .budget
            .lent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lent.bytes -= self.bytes;
        lent.loans -= 1;
        drop(lent);
        self.budget.returned.notify_all();
    }
}

/// Buffers to be used again.
pub struct Buffers {
    limit: usize,
    idle: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Keeps at most `limit` bytes of idle buffers.
    pub fn new(limit: u64) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            idle: Mutex::default(),
        }
    }

    /// An empty buffer with room for `length` bytes. It is not filled with zeros first: touching memory twice is what
    /// most of its cost would be.
    pub fn take(&self, length: usize) -> Vec<u8> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.iter().position(|b| b.capacity() >= length) {
            Some(fitting) => idle.swap_remove(fitting),
            // One that is too small makes way. The new one is a little larger than asked for, so that the next, of
            // about the same length, fits too.
            None => {
                drop(idle.pop());
                Vec::with_capacity(length.next_multiple_of((length / 4).next_power_of_two()))
            }
        }
    }

    /// Takes back a buffer; the smallest are let go where the limit is passed.
    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(buffer);
        idle.sort_unstable_by_key(Vec::capacity);
        while idle.iter().map(Vec::capacity).sum::<usize>() > self.limit {
            idle.remove(0);
        }
    }
}
