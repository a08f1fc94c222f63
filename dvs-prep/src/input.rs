//! Identifies the input and describes what is wrong with it.

pub mod error;
pub mod file_stamp;
pub mod fingerprint;
pub mod source_manifest;
