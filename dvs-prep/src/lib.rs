//! From the DVS128 Gesture archive to one HDF5 frame cache.
//!
//! The data's way: [`archive`](dvs_shared::archive) -> [`pipeline::collect`] -> [`formats`](dvs_shared::formats) ->
//! [`recording`](dvs_shared::recording) -> [`frames`](dvs_shared::frames) -> [`pipeline::chunk_store`] ->
//! [`cache::writer`]. [`pipeline`] drives it.
//!
//! The modules stand below in the order in which they may use each other: each uses only those above it. [`input`] tells
//! which input a cache was made from and what is wrong with it, [`cache`] whether the cache is there already. [`export`]
//! writes what other programs read, and [`synth`] makes an archive of synthetic gestures.

pub mod input;

pub mod pipeline;

pub mod cache;

pub mod export;

pub mod synth;

#[cfg(test)]
#[path = "../../tests/support/architecture.rs"]
mod architecture;
