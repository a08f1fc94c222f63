//! The commands, one file each, and [`run_files`], which several of them read.

pub mod bench;
pub mod compare;
pub mod devices;
pub mod eval;
pub mod export;
pub mod import;
pub mod manual;
pub mod predict;
pub mod preview;
pub mod profile;
pub mod report;
mod run_files;
pub mod train;
