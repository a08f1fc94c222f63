//! The learning rate of each epoch, by PyTorch's formulas for schedulers that step once per epoch.

use std::f64::consts::PI;
use std::fmt;

/// A schedule of the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Schedule {
    /// `torch.optim.lr_scheduler.StepLR`.
    Step {
        /// Epochs between decays, at least 1.
        size: u32,
        /// Factor of a decay.
        gamma: f64,
    },
    /// `torch.optim.lr_scheduler.CosineAnnealingLR` down to 0 and, after `t_max` epochs, up again.
    Cosine {
        /// Epochs until the rate is 0, at least 1.
        t_max: u32,
    },
}

impl Schedule {
    /// Returns the learning rate of `epoch`, which counts from 0. `first` is that of epoch 0.
    ///
    /// The schedule has no state, so a checkpoint need not store any.
    pub fn rate(&self, first: f64, epoch: u32) -> f64 {
        match *self {
            Self::Step { size, gamma } => first * gamma.powi((epoch / size) as i32),
            Self::Cosine { t_max } => {
                let phase = f64::from(epoch % (2 * t_max)) / f64::from(t_max);
                0.5 * first * (1.0 + (PI * phase).cos())
            }
        }
    }
}

impl fmt::Display for Schedule {
    /// Formats the schedule for the name of a run's folder.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { size, gamma } => write!(f, "StepLR_{size}_{gamma}"),
            Self::Cosine { t_max } => write!(f, "CosALR_{t_max}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_rates(schedule: Schedule, expected: &[f64]) {
        for (epoch, expected) in (0..).zip(expected) {
            let rate = schedule.rate(0.1, epoch);
            assert!((rate - expected).abs() < 1e-15, "epoch {epoch}: {rate}");
        }
    }

    // The expected rates are those of torch 2.11 before each epoch, with lr 0.1.

    #[test]
    fn step_schedule_matches_pytorch() {
        #[rustfmt::skip]
        let expected = [0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.0125, 0.0125, 0.0125, 0.00625];
        assert_rates(
            Schedule::Step {
                size: 3,
                gamma: 0.5,
            },
            &expected,
        );
    }

    #[test]
    fn cosine_schedule_matches_pytorch_beyond_t_max() {
        #[rustfmt::skip]
        let expected = [
            0.1, 0.09619397662556434, 0.08535533905932738, 0.0691341716182545, 0.05, 0.030865828381745515,
            0.014644660940672627, 0.0038060233744356634, 0.0, 0.0038060233744356634, 0.014644660940672639,
            0.030865828381745536, 0.050000000000000065, 0.06913417161825461, 0.0853553390593275,
            0.09619397662556446, 0.10000000000000014, 0.09619397662556448, 0.0853553390593275, 0.06913417161825462,
        ];
        assert_rates(Schedule::Cosine { t_max: 8 }, &expected);
    }
}
