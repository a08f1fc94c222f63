//! Training: one [`epoch`], the [`evaluate`] after it, and the [`run`] of all of them, which can [`resume`].

pub mod data_splits;
pub mod epoch;
pub mod evaluate;
pub mod model_summary;
pub mod resume;
pub mod run;
pub mod summary;
pub mod train_state;
