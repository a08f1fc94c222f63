//! Training: the whole [`run`], each [`epoch`], how to [`evaluate`] the network after it, and how
//! to [`resume`] a run.

pub mod data_splits;
pub mod epoch;
pub mod evaluate;
pub mod model_summary;
pub mod resume;
pub mod run;
pub mod run_output;
pub mod summary;
pub mod train_state;
