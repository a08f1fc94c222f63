//! Optimizers, the schedule of the learning rate, and loss scaling for 16-bit training.

pub mod amp;
pub mod gradients;
pub mod loss_scale;
pub mod optimizer;
pub mod schedule;

pub use self::amp::AmpDtype;
