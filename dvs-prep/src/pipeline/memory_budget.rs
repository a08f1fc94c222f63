//! Limits the memory for recordings: the reader waits until workers return memory. Returned buffers
//! are reused, because memory is cheaper after its first use.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lends a limited number of bytes to a limited number of borrowers.
pub struct MemoryBudget {
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

/// Bytes on loan. They are returned when this is dropped.
pub struct Loan<'a> {
    budget: &'a MemoryBudget,
    bytes: u64,
}

impl MemoryBudget {
    /// A budget of `total` bytes for at most `borrowers` loans at a time.
    pub fn new(total: u64, borrowers: usize) -> Self {
        Self {
            total,
            borrowers,
            lent: Mutex::default(),
            returned: Condvar::new(),
            waited_ns: AtomicU64::new(0),
        }
    }

    /// Waits until `bytes` and a loan are free. A loan larger than the whole budget is granted if
    /// there are no other loans.
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

    /// Total time that borrowers have spent waiting.
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

/// Buffers for reuse.
pub struct BufferPool {
    limit: usize,
    idle: Mutex<Vec<Vec<u8>>>,
}

impl BufferPool {
    /// Keeps at most `limit` bytes of idle buffers.
    pub fn new(limit: u64) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            idle: Mutex::default(),
        }
    }

    /// An empty buffer with room for `length` bytes. It is not zeroed first, because that would
    /// touch the memory twice, which is most of its cost.
    pub fn take(&self, length: usize) -> Vec<u8> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        match idle.iter().position(|b| b.capacity() >= length) {
            Some(fitting) => idle.swap_remove(fitting),
            // Replaces a buffer that is too small. The new one is a little larger than needed, so
            // that it also fits the next recording of about the same length.
            None => {
                drop(idle.pop());
                Vec::with_capacity(length.next_multiple_of((length / 4).next_power_of_two()))
            }
        }
    }

    /// Takes back a buffer. If the limit is exceeded, the smallest buffers are freed.
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
