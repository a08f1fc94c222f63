//! Errors that name the rank, its host and what failed.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

/// A rank as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// From 0.
    pub rank: usize,
    /// The name that the host has for itself.
    pub host: Box<str>,
    /// Its process id on that host.
    pub process: u32,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} on {}", self.rank, self.host)
    }
}

/// A duration as messages show it: `60 s` or `0.5 s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

/// Why ranks could not be started, or why they stopped.
///
/// After an error of an operation, all further operations return the same cause: a job does not
/// continue with fewer ranks. All fields named `during` say what this rank was doing.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RankError {
    /// An environment variable of the launcher is missing, or contradicts another one.
    #[error("{name}: {reason}")]
    Variable {
        name: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Rank 0, or a rank's own listener, could not take its address.
    #[error("rank {rank} on {host} cannot listen on {address}: {reason}")]
    Listen {
        rank: usize,
        host: String,
        /// Host name or address, and port.
        address: String,
        /// What the system reported and what to do.
        reason: String,
    },
    /// No connection to rank 0 came about, or rank 0 ended before all ranks had met.
    #[error("rank {rank} on {host} cannot reach rank 0 at {address} within {limit}: {reason}")]
    Unreachable {
        rank: usize,
        host: String,
        /// Host name or address, and port.
        address: String,
        limit: Seconds,
        /// The last attempt's error.
        reason: String,
    },
    /// Something answered that is not a rank of this job.
    #[error("rank {rank} on {host} found no rank 0 of its job at {address}: {reason}")]
    Refused {
        rank: usize,
        host: String,
        address: SocketAddr,
        /// What differs and what to do.
        reason: String,
    },
    /// Ranks did not come in time.
    #[error("rank {rank} on {host} waited {limit} at {address} for {missing}")]
    Missing {
        rank: usize,
        host: String,
        address: SocketAddr,
        limit: Seconds,
        /// The missing ranks, and how many connections were refused.
        missing: String,
    },
    /// Ranks disagree about the job: about its size, or two have the same rank.
    #[error("{0}")]
    World(String),
    /// A rank's process ended, or its host closed its connections.
    #[error("{peer} closed its connection {during}")]
    Closed { peer: Peer, during: String },
    /// A rank sent no sign of life: its process is stopped, or its host or network is down.
    #[error("{peer} has not answered for {limit} ({during})")]
    Silent {
        peer: Peer,
        limit: Seconds,
        during: String,
    },
    /// A rank shows signs of life but does not join an operation.
    #[error(
        "{peer} is alive but has not moved for {limit} while {waiting} waited ({during}). If its \
         work takes longer than that, raise the longest wait"
    )]
    Stuck {
        peer: Peer,
        /// The rank that waited.
        waiting: Peer,
        limit: Seconds,
        during: String,
    },
    /// The connection between two ranks failed, while both may be alive.
    #[error("the connection between {seen_by} and {peer} failed: {reason} ({during})")]
    Network {
        peer: Peer,
        seen_by: Peer,
        reason: String,
        during: String,
    },
    /// A rank ended with an error of its own, or without [`finish`](crate::Ranks::finish).
    #[error("{peer} gave up: {reason}")]
    Aborted { peer: Peer, reason: String },
    /// Ranks called different operations, or with different lengths.
    #[error("ranks called different operations: {ours}, but {theirs}")]
    Mismatch {
        /// The rank that noticed it, and its call.
        ours: String,
        /// Another rank, and its call.
        theirs: String,
    },
    /// More bytes than a gather takes.
    #[error("a gather takes at most {limit} bytes a rank, not {bytes}")]
    TooLong { bytes: usize, limit: usize },
    /// An operation after [`finish`](crate::Ranks::finish).
    #[error("rank {rank} called {operation} after it had finished")]
    Finished { rank: usize, operation: String },
    /// The operating system refused something that ranks need.
    #[error("rank {rank} on {host} cannot {what}: {reason}")]
    System {
        rank: usize,
        host: String,
        what: String,
        reason: String,
    },
}
