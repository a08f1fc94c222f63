//! Starts the ranks by the engine that the environment names.

use crate::engine::Engine;
use crate::error::RankError;
use crate::launch::Launch;
use crate::ranks::{Alone, Ranks};
use crate::world::{Limits, World};

/// Meets the other ranks that a launcher started, or is [`Alone`] without a launch.
///
/// `DVS_RANKS_ENGINE=mpi` meets them by MPI, which itself says which ranks there are, with a launch
/// and without.
///
/// # Errors
/// As [`World::connect`]; with `DVS_RANKS_ENGINE`, as [`Engine::from_env`] and the engine's own
/// `connect`.
pub fn start(launch: Option<&Launch>, limits: Limits) -> Result<Box<dyn Ranks>, RankError> {
    let engine = Engine::from_env(&|name| std::env::var(name).ok())?;
    match (engine, launch) {
        #[cfg(feature = "mpi")]
        (Engine::Mpi, launch) => Ok(Box::new(crate::mpi::MpiWorld::connect(launch, limits)?)),
        (_, None) => Ok(Box::new(Alone)),
        (_, Some(launch)) => Ok(Box::new(World::connect(launch, limits)?)),
    }
}
