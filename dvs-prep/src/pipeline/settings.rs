//! The settings of a run, and its progress.

use std::sync::atomic::AtomicU64;

use dvs_shared::cache_format::frame_bytes;
use dvs_shared::event::DVS128;
use dvs_shared::formats::ReadOptions;
use dvs_shared::{CountType, SplitMode};

/// The settings of a run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How samples are divided into frames.
    pub split: SplitMode,
    /// How recordings and samples are read.
    pub read: ReadOptions,
    /// Whether the user stated the split, so that it can be checked against ready frames.
    pub split_given: bool,
    /// Whether to leave out damaged recordings instead of making no cache.
    pub skip_damaged: bool,
    /// Number of worker threads.
    pub jobs: usize,
    /// Memory limit in bytes.
    pub memory: u64,
}

impl Settings {
    /// Threads that may work on samples at once. Memory must have room for their frames, which each
    /// worker holds raw, shuffled and encoded.
    pub fn workers(&self) -> usize {
        let held = 4 * frame_bytes(
            self.split.frames().max(1) as usize,
            self.read.sensor.unwrap_or(DVS128),
            CountType::U16,
        ) as u64;
        let room = (self.memory / 2 / held).max(1);
        self.jobs.min(usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// Inflated size in bytes that is allowed even for a small compressed file.
    pub fn inflated(&self) -> u64 {
        self.memory / 16
    }
}

/// Progress of a run.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes read from the container.
    pub bytes: AtomicU64,
    /// Finished samples.
    pub samples: AtomicU64,
}
