//! Ranks of a data-parallel training job.
//!
//! A *rank* is one of N processes that train the same network on different parts of each batch.
//! N is the *world size*. After each backward pass the ranks sum their gradients by an
//! *all-reduce*, so all take the same step. [`Ranks`] has this operation, a *gather* of bytes and
//! a *barrier*; [`Alone`] does them for a single process and [`World`] over TCP. With the feature
//! `mpi`, `MpiWorld` does them over an MPI library, if `DVS_RANKS_ENGINE=mpi` asks for it.
//!
//! ```no_run
//! use dvs_ranks::{Launch, Limits, start};
//!
//! # fn main() -> Result<(), dvs_ranks::RankError> {
//! // As srun, torchrun or mpirun started it; alone without any of them.
//! let launch = Launch::from_env(&|name| std::env::var(name).ok())?;
//! let ranks = start(launch.as_ref(), Limits::default())?;
//! let mut gradients = vec![ranks.rank() as f32; 1000];
//! ranks.all_reduce(&mut gradients)?; // 0 + 1 + ... + (N - 1), the same bits on all ranks
//! ranks.finish()
//! # }
//! ```
//!
//! # When something goes wrong
//! This is about TCP. MPI itself ends all processes in most of these cases; `MpiWorld` says how.
//!
//! The first failure ends the job on all ranks, and all name the same cause.
//!
//! * A rank that ends is noticed at once: its connections close. It can say why by
//!   [`Ranks::abort`], and does so when it is dropped before [`Ranks::finish`].
//! * A *hang* is a rank without signs of life: a stopped process, a dead host, a cut network. A
//!   thread of each process sends heartbeats, and their absence for [`Limits::timeout`] ends the
//!   job. On Linux, so does a network that is cut only between two ranks other than rank 0.
//! * A *slow* rank writes a checkpoint or compiles kernels. Its heartbeats continue, and the
//!   others wait for it, up to [`Limits::longest_wait`]. A program that computes or waits forever
//!   looks the same, so this limit alone ends it.
//!
//! # Who may take part
//! Whoever shows the job's [`Token`], which itself is never sent. Without `DVS_RANKS_TOKEN` the
//! token comes from the user and the launcher's job number. That keeps jobs apart that meet by
//! accident, but whoever knows these values has the token. `DVS_RANKS_TOKEN` set to a secret keeps
//! others on the network out as well. Data between ranks is neither encrypted nor signed: someone
//! who can read or change packets on the way reads or changes it.

#[cfg(target_endian = "big")]
compile_error!("ranks send numbers as they lie in memory, little-endian");

/// Tests the code in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// Each module uses only those above it, which `architecture` tests.
mod error;

mod token;

mod engine;

mod launch;

mod ranks;

mod wire;

mod handshake;

mod listener;

mod failure;

mod monitor;

mod rendezvous;

mod pairs;

mod exchange;

mod reduce;

mod gather;

mod world;

#[cfg(feature = "mpi")]
mod mpi;

mod start;

#[cfg(test)]
#[path = "../../../tests/support/architecture.rs"]
mod architecture;

#[cfg(feature = "mpi")]
pub use self::mpi::MpiWorld;
pub use engine::Engine;
pub use error::{Peer, RankError, Seconds};
pub use gather::GATHER_LIMIT;
pub use launch::{Launch, Launcher};
pub use ranks::{Alone, Ranks};
pub use start::start;
pub use token::Token;
pub use world::{Limits, World};
