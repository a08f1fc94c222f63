//! The files of a run's folder.

pub mod checkpoint;
pub mod epoch_log;
pub mod file_reader;
pub mod loaded_model;
pub mod plots;
pub mod run_folder;
pub mod tensorboard;
pub mod weight_layout;
pub mod weights;
