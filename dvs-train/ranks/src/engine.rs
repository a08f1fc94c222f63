//! What carries the operations between ranks: TCP, or an MPI library.

use std::fmt;

use crate::error::RankError;

const VARIABLE: &str = "DVS_RANKS_ENGINE";

/// What carries the operations. Only `DVS_RANKS_ENGINE` chooses it: a program with MPI built in
/// that happens to be started by `mpirun` still uses TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// [`World`](crate::World), in every build.
    #[default]
    Tcp,
    /// An MPI library, in builds with the feature `mpi`.
    Mpi,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Mpi => "mpi",
        })
    }
}

impl Engine {
    /// What `DVS_RANKS_ENGINE` says; TCP if it is not set. `variable` looks a variable up.
    ///
    /// # Errors
    /// Returns an error if the variable is neither `tcp` nor `mpi`, or if this build lacks MPI.
    pub fn from_env(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, RankError> {
        let wrong = |reason| {
            Err(RankError::Variable {
                name: VARIABLE.to_owned(),
                reason,
            })
        };
        match variable(VARIABLE).as_deref() {
            None | Some("" | "tcp") => Ok(Self::Tcp),
            Some("mpi") if cfg!(feature = "mpi") => Ok(Self::Mpi),
            Some("mpi") => wrong(
                "is mpi, but this program was built without MPI. Build it with --features mpi, or \
                 set the variable to tcp"
                    .to_owned(),
            ),
            Some(other) => wrong(format!("{other:?} is neither tcp nor mpi")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn mpi_is_used_only_if_it_is_named() {
        let engine = |value: Option<&str>| Engine::from_env(&|_| value.map(str::to_owned));
        for value in [None, Some(""), Some("tcp")] {
            assert_eq!(engine(value), Ok(Engine::Tcp));
        }
        let error = engine(Some("MPI")).unwrap_err().to_string();
        assert!(error.contains("\"MPI\" is neither tcp nor mpi"), "{error}");
        if cfg!(feature = "mpi") {
            assert_eq!(engine(Some("mpi")), Ok(Engine::Mpi));
        } else {
            let error = engine(Some("mpi")).unwrap_err().to_string();
            assert!(error.contains("--features mpi"), "{error}");
        }
    }
}
