//! The ranks of a run: one process each, which take the same steps and decide the same things.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use burn_snn::batch_norm::ranks::{BatchRanks, RankSums};
use dvs_ranks::{Alone, Launch, Limits, RankError, Ranks, start};
use sysinfo::System;
use thiserror::Error;

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
    /// Whether a step has failed of which all ranks know.
    all_know: Arc<AtomicBool>,
}

impl fmt::Debug for RunRanks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.ranks.rank(), self.ranks.size())
    }
}

/// A step failed on another rank, for this reason.
#[derive(Debug, Error)]
#[error("{0}")]
struct OtherRank(String);

/// How a step of one rank ended, as all ranks hear of it.
const DONE: u8 = 0;
const FAILED: u8 = 1;
const IN_USE: u8 = 2;

/// The most bytes that go to all ranks at once.
const PART: usize = 1 << 28;

impl RunRanks {
    /// The ranks of a process that nothing started together with others.
    pub fn alone(interrupt: Interrupt) -> Self {
        Self {
            ranks: Arc::new(TimedRanks::new(Box::new(Alone))),
            interrupt,
            local_rank: 0,
            all_know: Arc::default(),
        }
    }

    /// Meets the ranks that srun, torchrun or mpirun started together with this process. Each
    /// waits up to `timeout` for the others, and later for a sign of life from them.
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
            all_know: Arc::default(),
        })
    }

    /// What the ranks can do together.
    pub fn operations(&self) -> &dyn Ranks {
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
    pub fn batch_ranks(&self) -> BatchRanks {
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

    /// Gives all ranks the bytes that rank 0 makes by `bytes`, which the others ignore. They go in
    /// parts, because a gather is limited.
    ///
    /// # Errors
    /// Returns an error if rank 0 cannot make them, or another rank failed.
    pub fn broadcast(&self, bytes: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let own = match self.is_first() && self.size() > 1 {
            true => bytes()?,
            false => Vec::new(),
        };
        let first = |own: &[u8]| {
            let first = self.ranks.gather(own)?.into_iter().next();
            anyhow::Ok(first.unwrap_or_default())
        };
        let length = first(&own.len().to_le_bytes())?;
        let length = length.try_into().map_or(0, usize::from_le_bytes);
        let mut parts = own.chunks(PART);
        let mut all = Vec::new();
        while all.len() < length {
            all.extend(first(parts.next().unwrap_or_default())?);
        }
        Ok(all)
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
                [&[kind], format!("{}: {error:#}", self.name()).as_bytes()].concat()
            }
        };
        let all = self.ranks.gather(&said)?;
        let mut failures = all.iter().filter_map(|said| match said.split_first() {
            Some((&kind, reason)) if kind != DONE => Some((kind, reason)),
            _ => None,
        });
        let Some((kind, reason)) = failures.next() else {
            return result;
        };
        self.all_know.store(true, Ordering::Relaxed);
        drop(result?);
        let reason = String::from_utf8_lossy(reason);
        match kind {
            IN_USE => bail!(FolderInUse::elsewhere(&reason)),
            _ => bail!(OtherRank(reason.into_owned())),
        }
    }

    /// Checks that all ranks have the same `bytes`, which `what` names.
    ///
    /// # Errors
    /// Returns an error that says which rank differs from rank 0.
    pub fn check_same(&self, what: &str, bytes: &[u8]) -> Result<()> {
        let all = self.ranks.gather(bytes)?;
        let other = all.iter().position(|theirs| Some(theirs) != all.first());
        let Some(rank) = other else { return Ok(()) };
        self.all_know.store(true, Ordering::Relaxed);
        bail!("the {what} of rank {rank} differ from those of rank 0; start all ranks alike")
    }

    /// Checks that a set of `samples` samples has one for each rank.
    ///
    /// # Errors
    /// Returns an error if it has too few.
    pub fn check_samples(&self, set: &str, samples: usize) -> Result<()> {
        let size = self.size();
        ensure!(
            samples >= size,
            "the {set} set has {samples} samples, too few for {size} ranks; start at most {samples} ranks"
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
        if self.all_know.load(Ordering::Relaxed) {
            // Each ends by itself, with its own exit status.
            let _ = self.ranks.finish();
        } else {
            self.ranks.abort(&format!("{error:#}"));
        }
        match error.is::<RankError>() || error.is::<OtherRank>() {
            true => result,
            false => result.with_context(|| self.name()),
        }
    }

    /// This rank and its host, as messages name them.
    fn name(&self) -> String {
        let host = System::host_name().unwrap_or_else(|| "an unnamed host".to_owned());
        format!("rank {} on {host}", self.ranks.rank())
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
