//! What changes weights: optimizers, their schedule, and what 16-bit training adds.

pub mod amp;
pub mod gradients;
pub mod loss_scale;
pub mod optimizer;
pub mod schedule;

pub use self::amp::AmpDtype;
