//! What the caller decides, and what it can watch.

use std::sync::atomic::AtomicU64;

use dvs_shared::cache_format::frame_bytes;
use dvs_shared::event::DVS128;
use dvs_shared::formats::ReadOptions;
use dvs_shared::{CountType, SplitMode};

/// What the caller decides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How samples become frames.
    pub split: SplitMode,
    /// How recordings and samples are read.
    pub read: ReadOptions,
    /// Whether it was said how samples become frames, so that it can be held against ready frames.
    pub split_said: bool,
    /// Whether damaged recordings are left out, instead of no cache being made.
    pub skip_damaged: bool,
    /// Worker threads.
    pub jobs: usize,
    /// Bytes of memory to stay within.
    pub memory: u64,
}

impl Settings {
    /// Threads that may work on samples at once: no more than memory has room for their frames, which a worker
    /// holds raw, shuffled and encoded.
    pub fn workers(&self) -> usize {
        let held = 4 * frame_bytes(
            self.split.frames().max(1) as usize,
            self.read.sensor.unwrap_or(DVS128),
            CountType::U16,
        ) as u64;
        let room = (self.memory / 2 / held).max(1);
        self.jobs.min(usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// Bytes that what is compressed may become at least, however small its file is.
    pub fn inflated(&self) -> u64 {
        self.memory / 16
    }
}

/// How far a run is; read by whoever shows progress.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of the container read.
    pub bytes: AtomicU64,
    /// Samples done.
    pub samples: AtomicU64,
}
