//! Code shared by `dvs-prep` and `dvs-train`.
//!
//! These modules turn an input into frames: [`archive`] finds the input and reads its members;
//! [`formats`] converts a recording or a sample of any format into packets of AEDAT 3.1
//! ([`aedat`]); [`recording`] indexes them; [`samples`] and [`classes`] read label files, trial
//! lists and class names; [`frames`] counts a sample's events.
//!
//! [`sample_input`] lists the samples of any input and reads those that [`select`] chooses.
//!
//! The frame cache: [`cache_format`] has its names, types and chunk encoding; [`cache_file`] opens,
//! checks and reads it. [`labels`], [`event`], [`split_mode`] and [`test_split`] define the types that
//! both parts use, and [`words`] the wording of messages.
//!
//! [`output`] writes files that are either complete or absent. `view` (feature `view`) makes
//! pictures of frames. `read_args` and `manual` (feature `cli`) have the options, man pages and
//! completions of both programs.
//!
//! The modules are declared below in order of dependency: each uses only those above it.
//!
//! This crate does not decide where files are stored, what is printed or how many threads run.

pub mod words;

pub mod file_kind;

pub mod limited_reader;

pub mod event;

pub mod labels;

pub mod split_mode;

pub mod test_split;

pub mod aedat;

pub mod formats;

pub mod cache_format;

pub mod samples;

pub mod classes;

pub mod archive;

pub mod recording;

pub mod frames;

pub mod select;

pub mod cache_file;

pub mod sample_input;

pub mod output;

#[cfg(feature = "view")]
pub mod view;

#[cfg(feature = "cli")]
pub mod read_args;

#[cfg(feature = "cli")]
pub mod manual;

#[cfg(test)]
#[path = "../../tests/support/architecture.rs"]
mod architecture;

pub use cache_file::{CacheError, CacheFile, CacheSet, Frames, Sample};
pub use cache_format::{CacheHeader, ChunkCodec, CountType, Set, SetRows};
pub use event::{Event, SensorSize};
pub use split_mode::SplitMode;
