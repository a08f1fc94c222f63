//! Loss and accuracy of an epoch, summed on the device so that no step waits for the one before it.

use anyhow::{Context, Result};
use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Int, Tensor};

/// Sums over the samples seen so far.
#[derive(Debug)]
pub struct Running<B: Backend> {
    loss: Tensor<B, 1>,
    correct: Tensor<B, 1, Int>,
    samples: usize,
}

/// Means over the samples of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics {
    /// Mean loss.
    pub loss: f64,
    /// Share of samples whose highest firing rate was their label's.
    pub accuracy: f64,
    /// Number of samples.
    pub samples: usize,
}

impl<B: Backend> Running<B> {
    /// No samples.
    pub fn new(device: &B::Device) -> Self {
        Self {
            loss: Tensor::zeros([1], device),
            correct: Tensor::zeros([1], device),
            samples: 0,
        }
    }

    /// Adds a batch: its mean `loss`, firing rates `[B, 11]` and labels `[B]`.
    pub fn add(self, loss: Tensor<B, 1>, rate: Tensor<B, 2>, labels: Tensor<B, 1, Int>) -> Self {
        let size = labels.dims()[0];
        let guess = rate.argmax(1).reshape([size]);
        Self {
            loss: self.loss + loss.mul_scalar(size as f64),
            correct: self.correct + guess.equal(labels).int().sum(),
            samples: self.samples + size,
        }
    }

    /// Fetches the sums.
    ///
    /// # Errors
    /// Where the device failed.
    pub fn finish(self) -> Result<Metrics> {
        let failed = "the device failed while it computed";
        let loss: f64 = self.loss.try_into_scalar().context(failed)?.elem();
        let correct: f64 = self.correct.try_into_scalar().context(failed)?.elem();
        let samples = self.samples.max(1) as f64;
        Ok(Metrics {
            loss: loss / samples,
            accuracy: correct / samples,
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
    fn batches_weigh_by_their_samples() {
        let device = Default::default();
        let rate = |rows: &[[f32; 3]]| {
            let flat: Vec<f32> = rows.concat();
            Tensor::<Flex, 1>::from_floats(flat.as_slice(), &device).reshape([rows.len(), 3])
        };
        let metrics = Running::<Flex>::new(&device)
            .add(
                Tensor::from_floats([0.5], &device),
                rate(&[[0., 1., 0.], [0.2, 0.1, 0.], [0., 0., 0.]]), // a tie is the first class
                Tensor::from_ints([1, 2, 0], &device),
            )
            .add(
                Tensor::from_floats([0.1], &device),
                rate(&[[0., 0., 0.3]]),
                Tensor::from_ints([1], &device),
            )
            .finish()
            .unwrap();
        assert!((metrics.loss - 0.4).abs() < 1e-6);
        assert_eq!((metrics.accuracy, metrics.samples), (0.5, 4));
    }
}
