//! Dynamic loss scaling for half precision, as in PyTorch's `GradScaler`, after Micikevicius et
//! al., "Mixed Precision Training" (ICLR 2018), <https://arxiv.org/abs/1710.03740>.
//!
//! The smallest number in half precision is 6e-8, and smaller gradients vanish. So the loss is
//! multiplied by a factor before the backward pass, and the gradients are divided by it afterwards,
//! in 32 bits. If a gradient overflows, the step is skipped and the factor is halved. After enough
//! steps without overflow the factor is doubled.

use serde::{Deserialize, Serialize};

/// Initial factor.
const INITIAL: f64 = 65536.0;
/// Steps without overflow after which the factor is doubled.
const GROWTH_INTERVAL: u32 = 2000;
/// Smallest factor. If gradients overflow even at this factor, scaling is not the cause.
const SMALLEST: f64 = 1.0;

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
