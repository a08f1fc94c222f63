//! Dynamic loss scaling for half precision, as in PyTorch's `GradScaler`, after Micikevicius et
//! al., "Mixed Precision Training" (ICLR 2018), <https://arxiv.org/abs/1710.03740>.
//!
//! The smallest number in half precision is 6e-8, and smaller gradients vanish. So the loss is
//! multiplied by a factor before the backward pass, and the gradients are divided by it afterwards,
//! in 32 bits. If a gradient overflows, the step is skipped and the factor is halved. After enough
//! steps without overflow the factor is doubled.

use std::array;

use anyhow::{Context, Result, ensure};
use burn::tensor::backend::Backend;
use burn::tensor::{ElementConversion, Tensor};
use serde::{Deserialize, Serialize};

/// Initial factor.
const INITIAL: f64 = 65536.0;
/// Steps without overflow after which the factor is doubled.
pub const GROWTH_INTERVAL: u32 = 2000;
/// Smallest factor. If gradients overflow even at this factor, scaling is not the cause.
pub const SMALLEST: f64 = 1.0;

/// State of loss scaling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// Factor of the loss, a power of two.
    pub factor: f64,
    /// Steps without overflow since the factor last changed.
    whole: u32,
    /// Skipped steps since the run began.
    pub skipped: u64,
}

impl Default for LossScale {
    fn default() -> Self {
        Self {
            factor: INITIAL,
            whole: 0,
            skipped: 0,
        }
    }
}

/// State of loss scaling on the device, so that a step need not wait for the step before.
#[derive(Clone, Debug)]
pub struct DeviceScale<B: Backend> {
    /// Factor of the loss, `[1]`.
    pub factor: Tensor<B, 1>,
    /// Steps without overflow since the factor last changed, skipped steps, and those of them that
    /// overflowed at the smallest factor, `[3]`. They are exact up to 2^24 steps.
    pub counts: Tensor<B, 1>,
}

impl<B: Backend> DeviceScale<B> {
    /// Uploads `scale`. `lost` steps overflowed at the smallest factor.
    pub fn new(scale: LossScale, lost: u64, device: &B::Device) -> Self {
        let counts = [u64::from(scale.whole), scale.skipped, lost].map(|count| count as f64);
        Self {
            factor: Tensor::from_floats([scale.factor], device),
            counts: Tensor::from_floats(counts, device),
        }
    }

    /// Waits for the device and fetches the scale and the number of steps that overflowed at the
    /// smallest factor.
    ///
    /// # Errors
    /// Returns an error if the device failed.
    pub fn fetch(&self) -> Result<(LossScale, u64)> {
        let failed = "the device failed while it computed";
        let factor = self.factor.clone().try_into_scalar().context(failed)?;
        let counts = self.counts.clone().try_into_data().context(failed)?;
        let mut counts = counts.iter::<f64>().map(|count| count as u64);
        let [whole, skipped, lost] = array::from_fn(|_| counts.next().unwrap_or_default());
        let scale = LossScale {
            factor: factor.elem(),
            whole: whole as u32,
            skipped,
        };
        Ok((scale, lost))
    }

    /// Like [`fetch`](Self::fetch), and checks that no step overflowed at the smallest factor.
    ///
    /// # Errors
    /// Returns an error if the device failed, or steps overflowed at the smallest factor.
    pub fn check(&self) -> Result<LossScale> {
        let (scale, lost) = self.fetch()?;
        ensure!(
            lost == 0,
            "the gradients of {lost} steps are infinite or no numbers though the loss is not scaled up any more \
             ({} steps were left out since the run began)",
            scale.skipped
        );
        Ok(scale)
    }
}

impl LossScale {
    /// Whether the factor cannot get smaller, so that another overflow is an error.
    pub fn is_exhausted(&self) -> bool {
        self.factor <= SMALLEST
    }

    /// Updates the factor after a step. `finite` says whether all gradients were finite.
    pub fn note(&mut self, finite: bool) {
        if !finite {
            self.skipped += 1;
            self.whole = 0;
            self.factor = (self.factor / 2.0).max(SMALLEST);
        } else if self.whole + 1 == GROWTH_INTERVAL {
            self.whole = 0;
            self.factor *= 2.0;
        } else {
            self.whole += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_halves_loss_scale_and_2000_steps_double_it() {
        let mut scale = LossScale::default();
        for _ in 0..3 {
            scale.note(false);
        }
        assert_eq!((scale.factor, scale.skipped), (8192.0, 3));
        for _ in 0..1999 {
            scale.note(true);
        }
        assert_eq!(scale.factor, 8192.0);
        scale.note(true);
        assert_eq!((scale.factor, scale.skipped), (16384.0, 3));
        // A skipped step restarts the count.
        for finite in [true, false] {
            scale.note(finite);
        }
        for _ in 0..1999 {
            scale.note(true);
        }
        assert_eq!(scale.factor, 8192.0);
        for _ in 0..99 {
            scale.note(false);
        }
        assert_eq!(scale.factor, 1.0);
    }
}
