//! The ranks of a job over MPI, for clusters whose network is fast by their own MPI library alone.
//!
//! `MPI_Allreduce` may sum in any order, and in another one in the next run. So each rank gets all
//! others' values of its slice, sums them in the order of the ranks and gives the sums to everyone,
//! as over TCP.
//!
//! Before the data of every operation the ranks exchange headers. MPI would take calls that do not
//! fit each other for each other's, or end the job without saying which rank called what.

mod meet;
mod transfer;
mod watch;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use mpi::Threading;
use mpi::environment::{Universe, library_version};
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Equivalence};

use self::transfer::index;
use self::watch::{Watch, Watched};
use crate::error::{Peer, RankError, Seconds};
use crate::exchange::{HEADER_BYTES, Header, Operation};
use crate::gather::check_length;
use crate::launch::Launch;
use crate::ranks::Ranks;
use crate::reduce::Value;
use crate::world::{Limits, host_name};

/// The other ranks over MPI.
///
/// The results are those of [`World`](crate::World), bit for bit. Failures differ, because MPI ends
/// all processes where TCP returns an error:
///
/// * [`abort`](Ranks::abort) prints the reason and calls `MPI_Abort` with status 1. It does not
///   return, and all processes end at once: nothing is dropped, and no other rank learns the reason
///   except by reading what was printed. So does dropping it before [`finish`](Ranks::finish).
/// * A rank that ends or is killed is noticed by the launcher, which kills the others.
/// * A rank that hangs is noticed by nobody. If an operation takes longer than
///   [`Limits::longest_wait`], this rank prints that and calls `MPI_Abort`. [`Limits::timeout`]
///   is not used.
/// * Errors within MPI end all processes with the library's own message.
///
/// Calls that do not fit each other are an error on all ranks, as over TCP. MPI ends within
/// `finish`, or when this is dropped after an error. Its standard wants that on the thread that
/// called [`connect`](Self::connect), and lets a process start MPI only once.
pub struct MpiWorld {
    rank: usize,
    size: usize,
    peers: Vec<Peer>,
    /// The job has finished, or failed on all ranks, or is being aborted: nobody needs to be told.
    over: AtomicBool,
    state: Mutex<State>,
}

/// What an operation has for itself.
struct State {
    /// `None` once MPI has ended.
    running: Option<Running>,
    /// Operations so far.
    sequence: u64,
    /// Memory for the values of all ranks, in eight bytes for the alignment of all types.
    scratch: Vec<u64>,
    failure: Option<RankError>,
}

/// MPI between its start and its end. The watch goes first: it calls MPI.
struct Running {
    watch: Watch,
    _universe: Universe,
}

/// An operation whose call fits those of all other ranks.
struct Turn<'a> {
    _watched: Watched<'a>,
    scratch: &'a mut Vec<u64>,
    /// What each rank says is its length.
    lengths: Vec<usize>,
}

impl MpiWorld {
    /// Starts MPI, which says which rank this is and meets the others. If there is a launch, it
    /// must say the same.
    ///
    /// # Errors
    /// Returns an error if the process has started MPI before, if the library does not let several
    /// threads call it, or if MPI and the launcher disagree about the ranks.
    pub fn connect(launch: Option<&Launch>, limits: Limits) -> Result<Self, RankError> {
        let host = host_name();
        let cannot = |rank: usize, what: &str, reason: String| RankError::System {
            rank,
            host: host.clone(),
            what: what.to_owned(),
            reason,
        };
        // While this thread waits in MPI, the watch and `abort` call it from others to end the job.
        let Some((universe, threading)) = mpi::initialize_with_threading(Threading::Multiple)
        else {
            let reason = "this process has started it before, and may do so only once".to_owned();
            let rank = launch.map_or(0, |launch| launch.rank);
            return Err(cannot(rank, "start MPI", reason));
        };
        let world = SimpleCommunicator::world();
        let (rank, size) = (index(world.rank()), index(world.size()));
        if threading < Threading::Multiple {
            let library = library_version().unwrap_or_default();
            let reason = format!(
                "MPI_THREAD_MULTIPLE is needed, and {} has {threading:?}. Use an MPI library that \
                 was built with it, or set DVS_RANKS_ENGINE=tcp",
                library.lines().next().unwrap_or("the library"),
            );
            return Err(cannot(rank, "start MPI", reason));
        }
        let peers = meet::introduce(&world, &host, launch)?;
        let longest_wait = limits.longest_wait;
        let own = peers[rank].clone();
        let watch = Watch::start(longest_wait, move |header| {
            let limit = Seconds(longest_wait);
            let call = header.text();
            end_all(&format!(
                "{own} has waited {limit} in {call}: another rank has stopped, or is busy. If its \
                 work takes longer than that, raise the longest wait"
            ))
        });
        let watch = watch.unwrap_or_else(|error| {
            // The others would wait for this rank.
            end_all(&cannot(rank, "start a thread", error.to_string()).to_string())
        });
        Ok(Self {
            rank,
            size,
            peers,
            // A single rank has nobody to tell that it gives up.
            over: AtomicBool::new(size == 1),
            state: Mutex::new(State {
                running: Some(Running {
                    watch,
                    _universe: universe,
                }),
                sequence: 0,
                scratch: Vec::new(),
                failure: None,
            }),
        })
    }

    /// All ranks with their hosts and processes, by rank.
    pub fn peers(&self) -> &[Peer] {
        &self.peers
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all ranks have called an operation, and compares the calls.
    fn begin<'a>(
        &self,
        state: &'a mut State,
        operation: Operation,
        length: usize,
    ) -> Result<Turn<'a>, RankError> {
        state.sequence += 1;
        let own = Header {
            operation,
            sequence: state.sequence,
            length,
        };
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let Some(running) = &state.running else {
            return Err(RankError::Finished {
                rank: self.rank,
                operation: own.text(),
            });
        };
        let watched = running.watch.over(own);
        let mut headers = vec![0; self.size * HEADER_BYTES];
        SimpleCommunicator::world().all_gather_into(&own.bytes()[..], &mut headers[..]);
        match self.compare(&headers) {
            Ok(lengths) => Ok(Turn {
                _watched: watched,
                scratch: &mut state.scratch,
                lengths,
            }),
            Err(mismatch) => {
                // All ranks find the same one, so all can end by themselves.
                self.over.store(true, Ordering::SeqCst);
                state.failure = Some(mismatch.clone());
                Err(mismatch)
            }
        }
    }

    /// The lengths of all calls if they fit that of rank 0.
    fn compare(&self, headers: &[u8]) -> Result<Vec<usize>, RankError> {
        let (headers, _) = headers.as_chunks();
        let first = headers.first().and_then(Header::read);
        let length = |header: &[u8; HEADER_BYTES]| {
            let (first, header) = (first?, Header::read(header)?);
            let fits = match first.operation {
                Operation::Gather => {
                    Header {
                        length: first.length,
                        ..header
                    } == first
                }
                _ => header == first,
            };
            fits.then_some(header.length)
        };
        let call = |rank: usize| {
            let header = Header::read(&headers[rank]);
            let call = header.map_or("what no rank calls".to_owned(), Header::text);
            format!("{} called {call}", self.peers[rank])
        };
        let lengths = headers.iter().enumerate().map(|(rank, header)| {
            length(header).ok_or_else(|| RankError::Mismatch {
                ours: call(0),
                theirs: call(rank),
            })
        });
        lengths.collect()
    }

    fn reduce<V: Value + Equivalence>(&self, values: &mut [V]) -> Result<(), RankError> {
        let mut state = self.lock();
        let turn = self.begin(&mut state, V::OPERATION, values.len())?;
        transfer::reduce(&SimpleCommunicator::world(), values, turn.scratch);
        Ok(())
    }
}

impl Ranks for MpiWorld {
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
        let mut state = self.lock();
        let turn = self.begin(&mut state, Operation::Gather, bytes.len())?;
        Ok(transfer::gather(
            &SimpleCommunicator::world(),
            bytes,
            &turn.lengths,
        ))
    }

    fn barrier(&self) -> Result<(), RankError> {
        let mut state = self.lock();
        // Nobody has all headers before all have called it.
        self.begin(&mut state, Operation::Barrier, 0).map(|_| ())
    }

    /// Prints the reason and ends all processes. It returns only if the job is over already.
    fn abort(&self, reason: &str) {
        // Without the lock, which a thread has that waits for other ranks.
        if self.over.swap(true, Ordering::SeqCst) {
            return;
        }
        let error = RankError::Aborted {
            peer: self.peers[self.rank].clone(),
            reason: reason.to_owned(),
        };
        end_all(&error.to_string());
    }

    fn finish(&self) -> Result<(), RankError> {
        let mut state = self.lock();
        self.begin(&mut state, Operation::Finish, 0)?;
        self.over.store(true, Ordering::SeqCst);
        // Here and not when this is dropped: a program that leaves by `std::process::exit` drops
        // nothing, and the launcher takes a process without `MPI_Finalize` for one that failed.
        state.running = None;
        Ok(())
    }
}

impl Drop for MpiWorld {
    fn drop(&mut self) {
        self.abort(match thread::panicking() {
            true => "it panicked",
            false => "it ended before the job was finished",
        });
    }
}

/// Prints why, and ends the processes of all ranks with status 1.
fn end_all(reason: &str) -> ! {
    // Nothing is left to do if this cannot be printed.
    let _ = writeln!(std::io::stderr(), "{reason}");
    // MPICH's launcher may drop what it has not passed on when it hears of the end.
    thread::sleep(Duration::from_millis(200));
    SimpleCommunicator::world().abort(1)
}
