//! The cache: whether it is there already, its key, and how it is written.

pub mod key;
pub mod lookup;
pub mod writer;
