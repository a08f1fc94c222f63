//! From the DVS128 Gesture archive to one HDF5 frame cache.
//!
//! The data's way, one module a step:
//! [`archive`](dvs_shared::archive) -> [`intake`] -> [`formats`](dvs_shared::formats) ->
//! [`recording`](dvs_shared::recording) -> [`frames`](dvs_shared::frames) -> [`staging`] -> [`cache_writer`], driven by
//! [`pipeline`]; [`shortcomings`] are what was missing or damaged on the way. [`existing`] tells whether it must be gone at all, [`source_note`] and [`fingerprint`] what the
//! input is, and [`cache_key`] gives what would be made a name. [`output_lock`] keeps runs that make the same output apart;
//! [`unfinished`] is a file until it is whole, [`unfinished_folder`] a folder. [`synth`] makes an archive where there is
//! none; [`export`] writes what other programs read.
//! [`view`] makes pictures of frames, and [`manual`] man pages and completions of a command line.

pub mod budget;
pub mod cache_key;
pub mod cache_writer;
pub mod error;
pub mod existing;
pub mod export;
pub mod file_stamp;
pub mod fingerprint;
pub mod intake;
pub mod manual;
pub mod output_lock;
pub mod pipeline;
pub mod shortcomings;
pub mod source_note;
pub mod staging;
pub mod step_times;
pub mod synth;
pub mod temporary;
pub mod unfinished;
pub mod unfinished_folder;
pub mod view;
