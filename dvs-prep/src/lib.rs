//! From the DVS128 Gesture archive to one HDF5 frame cache.
//!
//! The data's way, one module a step:
//! [`archive`](dvs_shared::archive) -> [`intake`] -> [`formats`](dvs_shared::formats) ->
//! [`recording`](dvs_shared::recording) -> [`frames`](dvs_shared::frames) -> [`staging`] -> [`cache_writer`]. [`pipeline`]
//! drives them, and [`shortcomings`] collects what was missing or damaged on the way.
//!
//! Beside that way: [`existing`] tells whether the cache is there already, [`source_note`] and [`fingerprint`] which input
//! it was made from, and [`cache_key`] names it for stores that keep caches by name. [`synth`] makes an archive of synthetic
//! gestures, and [`export`] writes what other programs read. [`output`](dvs_shared::output) keeps every file whole or away.

pub mod budget;
pub mod cache_key;
pub mod cache_writer;
pub mod error;
pub mod existing;
pub mod export;
pub mod file_stamp;
pub mod fingerprint;
pub mod intake;
pub mod pipeline;
pub mod shortcomings;
pub mod source_note;
pub mod staging;
pub mod step_times;
pub mod synth;
