//! Ends the job if an operation takes longer than the longest wait: MPI itself waits forever.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::exchange::Header;

/// The operation that goes on, and whether the watch is to end.
#[derive(Default)]
struct State {
    operation: Option<(Instant, Header)>,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The watch over one process's operations. Dropping it ends its thread.
pub(super) struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// An operation that is watched until this is dropped.
pub(super) struct Watched<'a>(&'a Shared);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.lock().operation = None;
    }
}

impl Watch {
    /// Calls `too_long` with the first operation that takes longer than `longest_wait`.
    pub(super) fn start(
        longest_wait: Duration,
        too_long: impl FnOnce(Header) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new()
            .name("ranks-watch".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    if let Some(header) = watch(&shared, longest_wait) {
                        too_long(header);
                    }
                }
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn over(&self, header: Header) -> Watched<'_> {
        self.shared.lock().operation = Some((Instant::now(), header));
        Watched(&self.shared)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for an operation that takes too long; `None` if the watch ends before.
fn watch(shared: &Shared, longest_wait: Duration) -> Option<Header> {
    // Looks now and then, so that beginning an operation wakes nobody.
    let interval = (longest_wait / 4).clamp(Duration::from_millis(10), Duration::from_secs(1));
    let mut state = shared.lock();
    while !state.ended {
        if let Some((begun, header)) = state.operation
            && begun.elapsed() > longest_wait
        {
            return Some(header);
        }
        let woken = shared.changed.wait_timeout(state, interval);
        (state, _) = woken.unwrap_or_else(PoisonError::into_inner);
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::exchange::Operation;

    #[test]
    fn only_an_operation_that_takes_too_long_is_reported() {
        let header = |sequence| Header {
            operation: Operation::Barrier,
            sequence,
            length: 0,
        };
        let (report, reported) = mpsc::channel();
        let watch = Watch::start(Duration::from_millis(200), move |header| {
            report.send(header).unwrap();
        });
        let watch = watch.unwrap();
        for sequence in 1..4 {
            let watched = watch.over(header(sequence));
            thread::sleep(Duration::from_millis(100));
            drop(watched);
        }
        assert!(reported.try_recv().is_err());
        let _watched = watch.over(header(4));
        let found = reported.recv_timeout(Duration::from_secs(5));
        assert_eq!(found, Ok(header(4)));
    }
}
