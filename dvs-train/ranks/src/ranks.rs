//! What ranks can do together, whatever carries it.

use crate::error::RankError;

/// One process of a job in which all processes do the same operations in the same order.
///
/// Every operation waits until all ranks have called it. All ranks must call the same operations
/// in the same order with the same lengths; otherwise each gets [`RankError::Mismatch`]. Threads
/// of one rank may share the value, but must then order their calls themselves.
///
/// After an error, every further operation fails with the same cause.
pub trait Ranks: Send + Sync {
    /// This process's number, from 0 to `size() - 1`.
    fn rank(&self) -> usize;

    /// Number of ranks (the world size).
    fn size(&self) -> usize;

    /// Replaces each value by its sum over all ranks.
    ///
    /// The sum is taken in the order of the ranks, ((v0 + v1) + v2) + ..., so all ranks get the
    /// same bits, and every run does.
    ///
    /// # Errors
    /// Returns an error if a rank ended, is silent, or called something else. The values are
    /// then undefined.
    fn all_reduce(&self, values: &mut [f32]) -> Result<(), RankError>;

    /// [`all_reduce`](Ranks::all_reduce) in double precision.
    ///
    /// # Errors
    /// As `all_reduce`.
    fn all_reduce_f64(&self, values: &mut [f64]) -> Result<(), RankError>;

    /// Gives all ranks the bytes of every rank, in the order of the ranks. The lengths may differ.
    ///
    /// # Errors
    /// As `all_reduce`; also if the bytes are more than [`GATHER_LIMIT`](crate::GATHER_LIMIT).
    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RankError>;

    /// Waits until all ranks have called it.
    ///
    /// # Errors
    /// As `all_reduce`.
    fn barrier(&self) -> Result<(), RankError>;

    /// Tells all other ranks that this one cannot continue, and why. Their operations then fail
    /// with [`RankError::Aborted`]. After an earlier failure it does nothing.
    ///
    /// Over MPI it prints the reason and ends all processes, this one included: it does not return.
    fn abort(&self, reason: &str);

    /// Waits for all ranks and ends the job. A rank that is dropped without it ends the others
    /// with [`RankError::Aborted`].
    ///
    /// # Errors
    /// As `all_reduce`.
    fn finish(&self) -> Result<(), RankError>;
}

/// The only rank of a job: sums are the values themselves, and nothing is waited for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Ranks for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_reduce(&self, _: &mut [f32]) -> Result<(), RankError> {
        Ok(())
    }

    fn all_reduce_f64(&self, _: &mut [f64]) -> Result<(), RankError> {
        Ok(())
    }

    fn gather(&self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, RankError> {
        Ok(vec![bytes.to_vec()])
    }

    fn barrier(&self) -> Result<(), RankError> {
        Ok(())
    }

    fn abort(&self, _: &str) {}

    fn finish(&self) -> Result<(), RankError> {
        Ok(())
    }
}
