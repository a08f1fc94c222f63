//! The ranks of a run: one process each, which take the same steps and decide the same things.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use burn_snn::batch_norm::ranks::{BatchRanks, RankSums};
use dvs_ranks::{Alone, Launch, Limits, RankError, Ranks, start};

use crate::console::interrupt::{Interrupt, StopReason};
use crate::data::batch_share::BatchShare;
use crate::run_dir::run_folder::FolderInUse;
use crate::train::timed_ranks::TimedRanks;

/// The ranks of a run, and whether this one was asked to stop. All clones are the same ranks.
#[derive(Clone)]
pub struct RunRanks {
    ranks: Arc<TimedRanks>,
    interrupt: Interrupt,
    /// This rank's number among those of its host.
    local_rank: usize,
}

impl fmt::Debug for RunRanks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.ranks.rank(), self.ranks.size())
    }
}

/// How a step of one rank ended, as all ranks hear of it.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const IN_USE: u8 = 2;

impl RunRanks {
    /// The ranks of a process that nothing started together with others.
    pub fn alone(interrupt: Interrupt) -> Self {
        Self {
            ranks: Arc::new(TimedRanks::new(Box::new(Alone))),
            interrupt,
            local_rank: 0,
        }
    }

    /// Meets the ranks that srun, torchrun or mpirun started together with this process. Each
    /// waits for `timeout` for the others to come, and for a sign of life of them after that.
    ///
    /// # Errors
    /// Returns an error that names the rank and its host if the ranks do not meet.
    pub fn meet(interrupt: Interrupt, timeout: Duration) -> Result<Self> {
        let launch = Launch::from_env(&|name| std::env::var(name).ok())?;
        let limits = Limits {
            timeout,
            ..Limits::default()
        };
        let ranks = TimedRanks::new(start(launch.as_ref(), limits)?);
        let local_rank = launch.and_then(|launch| launch.local_rank);
        Ok(Self {
            local_rank: local_rank.unwrap_or(ranks.rank()),
            ranks: Arc::new(ranks),
            interrupt,
        })
    }

    /// What the ranks can do together.
    pub fn all(&self) -> &dyn Ranks {
        &*self.ranks
    }

    /// Describes how the ranks share batches of `batch_size` samples.
    pub fn describe(&self, batch_size: usize) -> String {
        let size = self.size();
        format!(
            "ranks: {size}, with {} samples of each batch",
            batch_size / size
        )
    }

    /// Returns the time that this rank has spent on sums over all ranks and on waiting for others.
    pub fn spent(&self) -> Duration {
        self.ranks.spent()
    }

    /// Number of ranks.
    pub fn size(&self) -> usize {
        self.ranks.size()
    }

    /// This rank's number among those of its host.
    pub fn local_rank(&self) -> usize {
        self.local_rank
    }

    /// Whether this is rank 0, which alone writes files and prints.
    pub fn is_first(&self) -> bool {
        self.ranks.rank() == 0
    }

    /// This rank's part of each batch.
    pub fn share(&self) -> BatchShare {
        BatchShare::new(self.ranks.rank(), self.ranks.size())
    }

    /// The ranks for batch norm, which shares its statistics between them.
    pub fn norms(&self) -> BatchRanks {
        BatchRanks::new(Arc::new(self.clone()))
    }

    /// Whether this rank was asked to stop.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Asks all ranks whether one of them was asked to stop. All then stop for the same reason.
    ///
    /// # Errors
    /// Returns an error if another rank failed.
    pub fn asked_to_stop(&self) -> Result<Option<StopReason>> {
        let own = self.interrupt.code().to_le_bytes();
        let all = self.ranks.gather(&own)?;
        let codes = all
            .iter()
            .filter_map(|code| code.as_slice().try_into().ok());
        let Some(code) = codes.map(usize::from_le_bytes).find(|&code| code != 0) else {
            // This rank may have been asked since then, but the others do not know.
            return Ok(None);
        };
        self.interrupt.stop_as(code);
        Ok(self.interrupt.asked())
    }

    /// Gives all ranks the bytes of rank 0; the others pass none.
    ///
    /// # Errors
    /// Returns an error if another rank failed.
    pub fn from_first(&self, own: Vec<u8>) -> Result<Vec<u8>> {
        let first = self.ranks.gather(&own)?.into_iter().next();
        Ok(first.unwrap_or_default())
    }

    /// Returns this rank's `result`, or an error with the reason if the same step failed on another
    /// rank.
    ///
    /// # Errors
    /// Returns an error if the step failed on any rank: [`FolderInUse`] on all if it was that.
    pub fn agree<T>(&self, result: Result<T>) -> Result<T> {
        if self.size() == 1 {
            return result;
        }
        let said = match &result {
            Ok(_) => vec![DONE],
            Err(error) => {
                let kind = match error.is::<FolderInUse>() {
                    true => IN_USE,
                    false => FAILED,
                };
                [&[kind], format!("{error:#}").as_bytes()].concat()
            }
        };
        let all = self.ranks.gather(&said)?;
        let result = result?;
        for (rank, said) in all.iter().enumerate() {
            let Some((&kind, reason)) = said.split_first() else {
                continue;
            };
            let reason = String::from_utf8_lossy(reason);
            match kind {
                DONE => {}
                IN_USE => bail!(FolderInUse::elsewhere(rank, &reason)),
                _ => bail!("rank {rank} gave up: {reason}"),
            }
        }
        Ok(result)
    }

    /// Checks that all ranks have the same `bytes`, which `what` names.
    ///
    /// # Errors
    /// Returns an error that says which rank differs from rank 0.
    pub fn check_same(&self, what: &str, bytes: &[u8]) -> Result<()> {
        let all = self.ranks.gather(bytes)?;
        let other = all.iter().position(|theirs| Some(theirs) != all.first());
        match other {
            None => Ok(()),
            Some(rank) => Err(anyhow!("rank {rank} has other {what} than rank 0")),
        }
    }

    /// Checks that a set of `samples` samples has one for each rank.
    ///
    /// # Errors
    /// Returns an error if it has too few.
    pub fn check_samples(&self, set: &str, samples: usize) -> Result<()> {
        let size = self.size();
        ensure!(
            samples >= size,
            "the {set} set has {samples} samples, too few for {size} ranks; start {samples} or fewer"
        );
        Ok(())
    }

    /// Ends the job: waits for the other ranks if `result` is a success, or tells them the reason
    /// otherwise. Returns the result with this rank's name in its error.
    ///
    /// # Errors
    /// Returns the error of `result`, or an error if another rank failed meanwhile.
    pub fn end<T>(&self, result: Result<T>) -> Result<T> {
        if self.size() == 1 {
            return result;
        }
        let result = result.and_then(|done| {
            self.ranks.finish()?;
            Ok(done)
        });
        let Err(error) = &result else { return result };
        if error.is::<RankError>() {
            return result;
        }
        if error.is::<FolderInUse>() {
            // All ranks have agreed to end, each with its own exit status.
            let _ = self.ranks.finish();
        } else {
            self.ranks.abort(&format!("{error:#}"));
        }
        result.with_context(|| format!("rank {}", self.ranks.rank()))
    }
}

impl RankSums for RunRanks {
    fn size(&self) -> usize {
        self.ranks.size()
    }

    fn sum(&self, values: &mut [f64]) {
        // After an error, the sum of the gradients in the same step fails for the same reason.
        let _ = self.ranks.all_reduce_f64(values);
    }
}
