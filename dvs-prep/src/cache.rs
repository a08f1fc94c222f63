//! Looks up, names and writes the cache.

pub mod key;
pub mod lookup;
pub mod writer;
