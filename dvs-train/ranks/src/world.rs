//! The ranks of a job, connected by TCP.
//!
//! This is code of its own because the library that was first thought of, `timely_communication`
//! 0.32.0, cannot report a failure. `initialize_networking_from_sockets` takes ready-made sockets,
//! so the token and the addresses would be possible. But its threads own these sockets from then
//! on:
//!
//! * A connection that ends or fails makes them panic (`tcp_panic`, allocator/zero_copy/tcp.rs,
//!   line 17, called in lines 75, 77, 183 and 202), as does data after the end (lines 108 and 112).
//!   The panic names no rank.
//! * The program's thread then panics in its next call (`MergeQueue poisoned.`,
//!   allocator/zero_copy/bytes_exchange.rs, lines 77, 85, 135 and 175), and dropping the guard
//!   panics as well (allocator/zero_copy/initialize.rs, lines 22 and 26).
//! * They read and write without a time limit (tcp.rs, lines 74 and 202; the sockets are set to
//!   blocking in initialize.rs, line 73), and queues between threads have no bound. So a stopped
//!   process is never noticed, and has to be found out by something beside it.
//! * Its channels belong to one thread (`Rc`, allocator/zero_copy/push_pull.rs, line 21), while
//!   [`Ranks`] is shared between threads. Values are copied once more on each side.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytemuck::{cast_slice, cast_slice_mut};

use crate::error::{Peer, RankError};
use crate::exchange::{Connection, Data, EAGER, Header, Operation, exchange};
use crate::failure::{Cause, Failure};
use crate::gather::{Gather, check_length};
use crate::launch::Launch;
use crate::monitor::Monitor;
use crate::pairs::Pairs;
use crate::ranks::Ranks;
use crate::reduce::{Reduce, Value, contributed, sum_all};
use crate::rendezvous::Rendezvous;

/// How long ranks wait for each other. Over MPI only the longest wait counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for the ranks to meet, and for a sign of life of a rank after that. A shorter time than
    /// 0.1 s counts as 0.1 s, and a longer one than a day as a day.
    pub timeout: Duration,
    /// Time for a rank that shows signs of life to join an operation that others have begun.
    pub longest_wait: Duration,
}

impl Default for Limits {
    /// One minute, and half an hour.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            longest_wait: Duration::from_secs(30 * 60),
        }
    }
}

/// The other ranks over TCP, through host memory.
pub struct World {
    rank: usize,
    size: usize,
    longest_wait: Duration,
    monitor: Monitor,
    engine: Mutex<Engine>,
}

const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// What an operation has for itself.
struct Engine {
    connections: Vec<Connection>,
    /// Operations so far.
    sequence: u64,
    /// Memory for the values of other ranks, in eight bytes for the alignment of all types.
    scratch: Vec<u64>,
}

/// This host's name, as messages show it.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    match name.is_empty() {
        true => "an unnamed host".to_owned(),
        false => name.into_owned(),
    }
}

impl World {
    /// Meets the other ranks: rank 0 listens where the launch says, and the others call it there.
    ///
    /// Besides, each rank listens on a free port of the address by which it reaches rank 0, until
    /// all are connected.
    ///
    /// # Errors
    /// Returns an error if the address cannot be used, if ranks do not come within the timeout or
    /// do not have the token, or if they disagree about their number or have the same rank.
    pub fn connect(launch: &Launch, limits: Limits) -> Result<Self, RankError> {
        let host = host_name();
        let timeout = limits.timeout.clamp(LEAST_TIMEOUT, LONGEST_TIMEOUT);
        if launch.rank >= launch.size {
            return Err(RankError::World(format!(
                "rank {} on {host} is not less than the world size, {}",
                launch.rank, launch.size
            )));
        }
        let rendezvous = Rendezvous {
            launch,
            host: &host,
            timeout,
        };
        let mut roster = rendezvous.meet()?;
        let controls = std::mem::take(&mut roster.controls);
        let peers = roster.peers.clone();
        let monitor = Monitor::start(launch.rank, peers, timeout, controls)
            .map_err(|e| rendezvous.system("start a thread", &e))?;
        let pairs = Pairs {
            rendezvous: &rendezvous,
            roster: &roster,
            monitor: &monitor,
        };
        let connections = pairs.connect()?;
        Ok(Self {
            rank: launch.rank,
            size: launch.size,
            longest_wait: limits.longest_wait,
            monitor,
            engine: Mutex::new(Engine {
                connections: connections
                    .into_iter()
                    .map(|(r, s)| Connection::new(r, s))
                    .collect(),
                sequence: 0,
                scratch: Vec::new(),
            }),
        })
    }

    /// All ranks with their hosts and processes, by rank.
    pub fn peers(&self) -> &[Peer] {
        self.monitor.peers()
    }

    /// Takes the connections for one operation.
    fn begin(
        &self,
        operation: Operation,
        length: usize,
    ) -> Result<(MutexGuard<'_, Engine>, Header), RankError> {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        engine.sequence += 1;
        let header = Header {
            operation,
            sequence: engine.sequence,
            length,
        };
        if self.monitor.finished() {
            return Err(RankError::Finished {
                rank: self.rank,
                operation: header.text(),
            });
        }
        match self.monitor.failure() {
            Some(failure) => Err(self.error(&failure, header)),
            None => Ok((engine, header)),
        }
    }

    fn error(&self, failure: &Failure, header: Header) -> RankError {
        let during = format!("during {}", header.text());
        self.monitor.error(failure, &during)
    }

    fn exchange(
        &self,
        connections: &mut [Connection],
        header: Header,
        data: &mut impl Data,
    ) -> Result<(), RankError> {
        let (monitor, rank) = (&self.monitor, self.rank);
        exchange(connections, header, data, monitor, rank, self.longest_wait)
            .map_err(|failure| self.error(&failure, header))
    }

    fn gather_by(
        &self,
        operation: Operation,
        length: usize,
        bytes: &[u8],
    ) -> Result<Vec<Vec<u8>>, RankError> {
        let (mut engine, header) = self.begin(operation, length)?;
        let mut gather = Gather::new(bytes, self.rank, self.size, header);
        self.exchange(&mut engine.connections, header, &mut gather)?;
        Ok(gather.parts)
    }

    fn reduce<V: Value>(&self, values: &mut [V]) -> Result<(), RankError> {
        // Everyone sums everything if that costs less than waiting for the sums of others.
        if size_of_val(values) <= EAGER {
            let parts = self.gather_by(V::OPERATION, values.len(), cast_slice(values))?;
            sum_all(&parts, values);
            return Ok(());
        }
        let (mut engine, header) = self.begin(V::OPERATION, values.len())?;
        let Engine {
            connections,
            scratch,
            ..
        } = &mut *engine;
        let others = contributed(self.rank, self.size, values.len());
        let words = (others * size_of::<V>()).div_ceil(size_of::<u64>());
        if scratch.len() < words {
            scratch.resize(words, 0);
        }
        let contributions = &mut cast_slice_mut(scratch)[..others];
        let mut reduce = Reduce::new(values, contributions, self.rank, self.size, header);
        self.exchange(connections, header, &mut reduce)
    }

    fn abort_because(&self, reason: String) {
        if self.monitor.finished() {
            return;
        }
        self.monitor.fail(Failure {
            rank: self.rank,
            seen_by: self.rank,
            cause: Cause::Aborted(reason),
            limit: Duration::ZERO,
        });
    }
}

impl Ranks for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_reduce(&self, values: &mut [f32]) -> Result<(), RankError> {
        self.reduce(values)
    }

    fn all_reduce_f64(&self, values: &mut [f64]) -> Result<(), RankError> {
        self.reduce(values)
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RankError> {
        check_length(bytes)?;
        self.gather_by(Operation::Gather, bytes.len(), bytes)
    }

    fn barrier(&self) -> Result<(), RankError> {
        self.gather_by(Operation::Barrier, 0, &[]).map(|_| ())
    }

    fn abort(&self, reason: &str) {
        self.abort_because(reason.to_owned());
    }

    fn finish(&self) -> Result<(), RankError> {
        self.gather_by(Operation::Finish, 0, &[])?;
        self.monitor.finish();
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let how = match std::thread::panicking() {
            true => "it panicked",
            false => "it ended before the job was finished",
        };
        self.abort_because(how.to_owned());
    }
}
