//! The commands, one file each.

pub mod bench;
pub mod devices;
pub mod eval;
pub mod export;
pub mod import;
pub mod manual;
pub mod predict;
pub mod preview;
pub mod profile;
pub mod report;
pub mod train;
