//! What `dvs-prep` and `dvs-train` have in common.
//!
//! From an input to frames, one module a step:
//! [`archive`] finds the input and reads its members; [`formats`] brings a recording or a sample of any format into one
//! form, packets of AEDAT 3.1 ([`aedat`]); [`recording`] indexes them; [`samples`] and [`classes`] read label files, trial
//! lists and the names of classes; [`frames`] counts a sample's events.
//!
//! [`sample_input`] lists the samples of any input and reads those that [`select`] chooses.
//!
//! What the frame cache is: [`cache_format`] has its names, types and chunk encoding, [`cache_file`] opens, checks and reads
//! one. [`labels`], [`event`] and [`split_mode`] are what both speak of, and [`words`] how messages say it.
//!
//! [`output`] writes files that are whole or not there. `view` makes pictures of frames, with the feature of that name;
//! `read_args` has the options that both programs have, and `manual` their man pages and completions, with the feature
//! `cli`.
//!
//! The modules stand below in the order in which they may use each other: each uses only those above it.
//!
//! Nothing here decides where files lie, what is printed or how many threads run.

pub mod words;

pub mod file_kind;

pub mod limited_reader;

pub mod event;

pub mod labels;

pub mod split_mode;

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
