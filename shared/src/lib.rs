//! What `dvs-prep` and `dvs-train` must agree on.
//!
//! * [`labels`]: the eleven gestures;
//! * [`event`]: one polarity event and the sensor it comes from;
//! * [`split_mode`]: how a sample's events become frames;
//! * [`cache_format`]: the names, types and chunk encoding of the HDF5 frame cache;
//! * [`cache_file`]: a finished cache, opened, checked and read sample by sample.
//!
//! Nothing here decides where files lie, what is printed or how many threads run.

pub mod cache_file;
pub mod cache_format;
pub mod event;
pub mod labels;
pub mod split_mode;

pub use cache_file::{CacheError, CacheFile, CacheSet, Frames, Sample};
pub use cache_format::{CacheHeader, ChunkCodec, CountType, Set, SetRows};
pub use event::{Event, SensorSize};
pub use split_mode::SplitMode;
