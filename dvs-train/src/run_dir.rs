//! What a run leaves in its folder, and how it is read again.

pub mod checkpoint;
pub mod epoch_log;
pub mod loaded_model;
pub mod plots;
pub mod run_folder;
pub mod tensorboard;
pub mod weight_layout;
pub mod weights;
