//! Recordings and samples that are ready for work, and limits on what is held until then.

use std::io;
use std::path::PathBuf;

use dvs_shared::archive::{Member, SampleId};
use dvs_shared::formats::{Format, ReadOptions};
use dvs_shared::samples::Window;
use thiserror::Error;

use super::file_bytes::FileBytes;
use crate::pipeline::memory_budget::Loan;

/// Maximum number of dataset members in an archive; DVS128 Gesture has 246, N-MNIST 70,000. Each
/// takes some hundred bytes of bookkeeping.
pub(super) const MAX_MEMBERS: usize = 1 << 17;

/// Why the rest of the archive cannot be read, even if it is undamaged.
#[derive(Debug, Error)]
pub enum CollectError {
    /// The spill file, for recordings that do not fit into memory, cannot be written.
    #[error("the spill file in {folder}: {source}")]
    Spill {
        folder: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// The archive has more members than any dataset.
    #[error("it holds more than {MAX_MEMBERS} recordings, label files and trial lists")]
    TooManyMembers,
}

/// A recording or a sample that is ready for work.
pub struct WorkItem<'a> {
    pub member: Member,
    pub format: Format,
    pub source: FileBytes,
    pub task: FileSamples,
    /// The memory borrowed for it.
    pub loan: Loan<'a>,
}

/// Which samples a file gives.
pub enum FileSamples {
    /// The windows of a recording.
    Windows(Vec<Window>),
    /// The whole file is one sample.
    Whole(SampleId),
}

/// Limits on what is held.
#[derive(Clone, Copy, Debug)]
pub struct CollectLimits {
    /// Bytes of recordings that wait in memory for their labels. Beyond this they wait in a file.
    pub waiting: u64,
    /// Bytes of memory for the work on one recording.
    pub recording: u64,
    /// Inflated size in bytes that is allowed even for a small compressed file.
    pub inflated: u64,
    /// How recordings are read, which determines how much memory they take.
    pub read: ReadOptions,
}
