//! Dynamic loss scaling for half precision, as PyTorch's `GradScaler`: after Micikevicius et al., "Mixed Precision
//! Training" (ICLR 2018), <https://arxiv.org/abs/1710.03740>.
//!
//! A half's smallest number is 6e-8, and gradients below it vanish. So the loss is multiplied before the backward pass and
//! the gradients are divided after it, in 32 bits. The factor is as large as the gradients bear: where one overflows, the
//! step is left out and the factor is halved; after enough whole steps it is doubled.

use serde::{Deserialize, Serialize};

/// The first factor.
const INITIAL: f64 = 65536.0;
/// Whole steps after which the factor is doubled.
const GROWTH_INTERVAL: u32 = 2000;
/// A loss that a smaller factor does not help is not finite itself.
const SMALLEST: f64 = 1.0;

/// The factor and how it has fared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// What the loss is multiplied by, a power of two.
    pub factor: f64,
    /// Whole steps since the factor last changed.
    whole: u32,
    /// Steps that were left out, since the run began.
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
    /// Whether the loss is no longer scaled up, so that gradients which still overflow never will not.
    pub fn is_exhausted(&self) -> bool {
        self.factor <= SMALLEST
    }

    /// Takes note of a step whose gradients were all finite, or were not and left it out.
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
    fn the_factor_falls_at_once_and_grows_slowly() {
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
        // A step that is left out begins the count anew.
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
