//! Turns the DVS128 Gesture archive into one HDF5 frame cache.
//!
//! Data flow: [`archive`](dvs_shared::archive) -> [`pipeline::collect`] ->
//! [`formats`](dvs_shared::formats) -> [`recording`](dvs_shared::recording) ->
//! [`frames`](dvs_shared::frames) -> [`pipeline::chunk_store`] -> [`cache::writer`]. [`pipeline`]
//! drives it.
//!
//! A module may use only the modules declared above it. [`input`] identifies the input and reports
//! its problems. [`cache`] finds or writes the cache. [`export`] writes files for other programs,
//! and [`synth`] writes an archive of synthetic gestures.

pub mod input;

pub mod pipeline;

pub mod cache;

pub mod export;

pub mod synth;

#[cfg(test)]
#[path = "../../tests/support/architecture.rs"]
mod architecture;
