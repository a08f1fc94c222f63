//! Batch norm of a batch that is divided between the ranks of data-parallel training.
//!
//! Every rank has the same number of samples. Each computes the moments and sums of its own part (on
//! the CPU in double precision), and the ranks add them up in double precision. So each normalises
//! by the whole batch, as one rank alone would. PyTorch calls this `SyncBatchNorm`.

use std::fmt;
use std::sync::Arc;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;

use super::Moments;
use crate::backend::primitive::{primitive, tensor, upload};

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

/// Returns the values of a vector on the host. If the device failed, they are not numbers.
pub fn host<B: Backend>(vector: FloatTensor<B>) -> Vec<f64> {
    let vector = tensor::<B, 1>(vector);
    let length = vector.dims()[0];
    match vector.try_into_data() {
        Ok(data) => data.iter::<f64>().collect(),
        Err(_) => vec![f64::NAN; length],
    }
}

/// Uploads the mean and variance of each channel.
pub fn on_device<B: Backend>(moments: &[[f64; 2]], device: &B::Device) -> Moments<FloatTensor<B>> {
    let vector = |values: Vec<f32>| primitive(Tensor::<B, 1>::from_floats(&*values, device));
    Moments {
        mean: vector(moments.iter().map(|[mean, _]| *mean as f32).collect()),
        variance: vector(moments.iter().map(|[_, var]| *var as f32).collect()),
    }
}

/// Adds up the two sums `[2, C]` of the backward pass over `ranks`.
pub fn sum_over_ranks<B: Backend>(sums: FloatTensor<B>, ranks: &BatchRanks) -> FloatTensor<B> {
    if ranks.is_alone() {
        return sums;
    }
    let sums = tensor::<B, 2>(sums);
    let (device, c) = (sums.device(), sums.dims()[1]);
    let own = host::<B>(primitive(sums.reshape([2 * c])));
    let (first, second) = own.split_at(c);
    let mut pairs: Vec<[f64; 2]> = first.iter().zip(second).map(|(&a, &b)| [a, b]).collect();
    ranks.sum(&mut pairs);
    let rows = [0, 1].map(|row| pairs.iter().map(move |pair| pair[row] as f32));
    let all: Vec<f32> = rows.into_iter().flatten().collect();
    primitive(upload::<B, 2>(&all, [2, c], &device))
}
