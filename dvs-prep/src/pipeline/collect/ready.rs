//! What can be worked on, and the bounds on what is held until then.

use std::io;
use std::path::PathBuf;

use dvs_shared::archive::{Member, SampleId};
use dvs_shared::formats::{Format, ReadOptions};
use dvs_shared::samples::Window;
use thiserror::Error;

use super::source::Source;
use crate::pipeline::memory_budget::Loan;

/// The most members of the dataset an archive is believed to hold; the real one has 246. What is noted of each takes
/// some hundred bytes.
pub(super) const MAX_MEMBERS: usize = 1 << 16;

/// Why the rest of the archive cannot be taken in, damaged or not.
#[derive(Debug, Error)]
pub enum IntakeError {
    /// The file for recordings that memory has no room for cannot be written.
    #[error("the spill file in {folder}: {source}")]
    Spill {
        /// Where it lies.
        folder: PathBuf,
        /// The file system's reason.
        source: io::Error,
    },
    /// More members than any dataset has.
    #[error("it holds more than {MAX_MEMBERS} recordings, label files and trial lists")]
    TooManyMembers,
}

/// A recording or a sample that can be worked on.
pub struct Ready<'a> {
    /// What it is.
    pub member: Member,
    /// What its bytes are.
    pub format: Format,
    /// Its bytes.
    pub source: Source,
    /// Which samples it gives.
    pub task: Task,
    /// The memory it is counted for.
    pub loan: Loan<'a>,
}

/// Which samples a file gives.
pub enum Task {
    /// The windows of a recording.
    Windows(Vec<Window>),
    /// All of it is one sample.
    Whole(SampleId),
}

/// Bounds on what is held.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of recordings that wait in memory for their labels; beyond it they wait in a file.
    pub waiting: u64,
    /// Bytes of memory that work on one recording takes.
    pub recording: u64,
    /// Bytes that what is compressed may become at least, however small its file is.
    pub inflated: u64,
    /// How recordings are read, which decides how much memory they take.
    pub read: ReadOptions,
}
