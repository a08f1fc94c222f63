//! Training: the whole [`run`], each [`epoch`], how to [`evaluate`] the network after it, and how
//! to [`resume`] a run. Several processes may be the ranks of one run ([`run_ranks`]), which start
//! with the same settings ([`joint_start`]); the first writes what the run leaves ([`recorder`]).

pub mod data_splits;
pub mod epoch;
pub mod evaluate;
pub mod joint_start;
pub mod model_summary;
pub mod processors;
pub mod recorder;
pub mod resume;
pub mod run;
pub mod run_output;
pub mod run_ranks;
pub mod summary;
pub mod timed_ranks;
pub mod train_state;
