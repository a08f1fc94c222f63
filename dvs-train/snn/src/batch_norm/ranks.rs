//! Batch norm of a batch that is divided between the ranks of data-parallel training.
//!
//! Every rank has the same number of samples. Each computes the moments and sums of its own part (on
//! the CPU in double precision), and the ranks add them up in double precision. So each normalises
//! by the whole batch, as one rank alone would. PyTorch calls this `SyncBatchNorm`.

use std::fmt;
use std::sync::Arc;

/// Adds up numbers over the ranks that share a batch.
///
/// The forward and the backward pass call it once for each batch norm, in the same order on all
/// ranks.
pub trait RankSums: fmt::Debug + Send + Sync {
    /// Number of ranks.
    fn size(&self) -> usize;

    /// Replaces each value by its sum over all ranks. If that fails, the values are undefined, and
    /// whoever asked for the training step has to end the training: the autodiff graph cannot pass an
    /// error on.
    fn sum(&self, values: &mut [f64]);
}

/// The ranks that share a batch. By default there is only one.
#[derive(Clone, Debug, Default)]
pub struct BatchRanks(Option<Arc<dyn RankSums>>);

impl BatchRanks {
    /// Shares batches with the ranks of `sums`.
    pub fn new(sums: Arc<dyn RankSums>) -> Self {
        Self((sums.size() > 1).then_some(sums))
    }

    /// Number of ranks.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |sums| sums.size())
    }

    /// Whether there is only one rank.
    pub fn is_alone(&self) -> bool {
        self.0.is_none()
    }

    /// Replaces each pair of numbers by its sum over all ranks.
    pub fn sum(&self, pairs: &mut [[f64; 2]]) {
        if let Some(sums) = &self.0 {
            sums.sum(pairs.as_flattened_mut());
        }
    }

    /// Replaces the mean and the biased variance of each channel by those of the whole batch.
    pub fn merge(&self, moments: &mut [[f64; 2]]) {
        if self.is_alone() {
            return;
        }
        for [mean, variance] in &mut *moments {
            *variance += *mean * *mean;
        }
        self.sum(moments);
        let ranks = self.size() as f64;
        for [mean, variance] in moments {
            *mean /= ranks;
            *variance = (*variance / ranks - *mean * *mean).max(0.0);
        }
    }
}
