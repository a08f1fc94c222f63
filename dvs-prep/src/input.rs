//! What the input is: which files it has, what is in them, and what is wrong with it.

pub mod error;
pub mod file_stamp;
pub mod fingerprint;
pub mod source_manifest;
