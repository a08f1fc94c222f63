//! How the ranks learn about each other.

use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives};

use super::transfer::{gather, index};
use crate::error::{Peer, RankError};
use crate::launch::Launch;
use crate::wire::{Fields, Message};

/// Tells all ranks about this one's process and launch, and returns all ranks.
///
/// All return the same error if a launcher says something else than MPI, so none goes on alone.
pub(super) fn introduce(
    world: &SimpleCommunicator,
    host: &str,
    launch: Option<&Launch>,
) -> Result<Vec<Peer>, RankError> {
    let size = index(world.size());
    let (launcher, rank_there, size_there) = match launch {
        Some(launch) => (launch.launcher.to_string(), launch.rank, launch.size),
        None => ("MPI".to_owned(), index(world.rank()), size),
    };
    let own = Message::default()
        .number(u64::from(std::process::id()))
        .text(host)
        .text(&launcher)
        .number(rank_there as u64)
        .number(size_there as u64)
        .framed();
    let mut lengths = vec![0_u64; size];
    world.all_gather_into(&(own.len() as u64), &mut lengths[..]);
    let lengths: Vec<usize> = lengths.into_iter().map(|length| length as usize).collect();
    let hellos = gather(world, &own, &lengths);
    let peers = hellos.iter().enumerate().map(|(rank, hello)| {
        let mut fields = Fields(hello.get(4..).unwrap_or_default());
        let mut read = || {
            let process = fields.number()?.try_into().ok()?;
            let host = fields.text()?;
            Some((
                process,
                host,
                fields.text()?,
                fields.index()?,
                fields.index()?,
            ))
        };
        let Some((process, host, launcher, rank_there, size_there)) = read() else {
            return Err(RankError::World(format!(
                "rank {rank} is of another version. Use the same program on all hosts"
            )));
        };
        if (rank_there, size_there) != (rank, size) {
            return Err(RankError::World(format!(
                "MPI says that a process on {host} is rank {rank} of {size}, but for {launcher} it is \
                 rank {rank_there} of {size_there}. Start it by the mpirun of the MPI library that \
                 it was built with, or by srun --mpi=pmix"
            )));
        }
        Ok(Peer {
            rank,
            host: host.into(),
            process,
        })
    });
    peers.collect()
}
