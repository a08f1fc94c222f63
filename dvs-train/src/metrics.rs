//! Loss and accuracy of an epoch, summed on the device so that steps need not wait for each other.

pub mod confusion;
pub mod rank_sums;
pub mod statistics;

use anyhow::{Context, Result};
use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Tensor};
use burn_snn::loss::{EpochSums, LossBackend};
use dvs_ranks::Ranks;
use serde::{Deserialize, Serialize};

/// Sums over the samples seen so far.
#[derive(Debug)]
pub struct Running<B: Backend> {
    sums: EpochSums<B>,
    samples: usize,
}

/// The sums of [`Running`] on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Sum of the losses, which the device computes in 32 bits.
    pub loss: f64,
    /// Number of correctly classified samples.
    pub correct: f64,
    /// Number of samples.
    pub samples: usize,
}

impl Sums {
    /// Adds up the sums of all ranks.
    ///
    /// # Errors
    /// Returns an error if another rank failed.
    pub fn over_ranks(self, ranks: &dyn Ranks) -> Result<Self> {
        let mut sums = [self.loss, self.correct, self.samples as f64];
        ranks.all_reduce_f64(&mut sums)?;
        let [loss, correct, samples] = sums;
        Ok(Self {
            loss,
            correct,
            samples: samples as usize,
        })
    }

    /// Returns the means over the samples.
    pub fn means(self) -> Metrics {
        let samples = self.samples.max(1) as f64;
        Metrics {
            loss: self.loss / samples,
            accuracy: self.correct / samples,
            samples: self.samples,
        }
    }
}

/// Means over the samples of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Mean loss.
    pub loss: f64,
    /// Share of samples whose label has the highest firing rate.
    pub accuracy: f64,
    /// Number of samples.
    pub samples: usize,
}

impl<B: LossBackend> Running<B> {
    /// Continues from `sums`.
    pub fn from(sums: Sums, device: &B::Device) -> Self {
        Self {
            sums: EpochSums {
                loss: Tensor::from_floats([sums.loss as f32], device),
                correct: Tensor::from_ints([sums.correct as i32], device),
            },
            samples: sums.samples,
        }
    }

    /// Adds a batch: its mean `loss`, firing rates and targets `[B, classes]`.
    pub fn add(self, loss: Tensor<B, 1>, rate: Tensor<B, 2>, target: Tensor<B, 2>) -> Self {
        let samples = self.samples + target.dims()[0];
        Self {
            sums: self.sums.add(loss, rate, target),
            samples,
        }
    }

    /// Fetches the sums.
    ///
    /// # Errors
    /// Returns an error if the device failed.
    pub fn finish(self) -> Result<Sums> {
        let failed = "the device failed while it computed";
        Ok(Sums {
            loss: self.sums.loss.try_into_scalar().context(failed)?.elem(),
            correct: self.sums.correct.try_into_scalar().context(failed)?.elem(),
            samples: self.samples,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use burn::backend::Flex;

    #[test]
    fn metrics_weight_batches_by_their_size() {
        let device = Default::default();
        let rate = |rows: &[[f32; 3]]| {
            let flat: Vec<f32> = rows.concat();
            Tensor::<Flex, 1>::from_floats(flat.as_slice(), &device).reshape([rows.len(), 3])
        };
        let target = |labels: &[usize]| {
            let mut target = vec![0.0_f32; labels.len() * 3];
            for (row, &label) in labels.iter().enumerate() {
                target[row * 3 + label] = 1.0;
            }
            Tensor::<Flex, 1>::from_floats(target.as_slice(), &device).reshape([labels.len(), 3])
        };
        let metrics = Running::<Flex>::from(Sums::default(), &device)
            .add(
                Tensor::from_floats([0.5], &device),
                rate(&[[0., 1., 0.], [0.2, 0.1, 0.], [0., 0., 0.]]), // the first class wins a tie
                target(&[1, 2, 0]),
            )
            .add(
                Tensor::from_floats([0.1], &device),
                rate(&[[0., 0., 0.3]]),
                target(&[1]),
            )
            .finish()
            .unwrap()
            .means();
        assert!((metrics.loss - 0.4).abs() < 1e-6);
        assert_eq!((metrics.accuracy, metrics.samples), (0.5, 4));
    }
}
