//! Samples of a set of the cache, and where their frames are kept between epochs.

use std::fmt;
use std::sync::{Arc, OnceLock};

use anyhow::{Result, ensure};
use dvs_shared::event::POLARITIES;
use dvs_shared::{CacheFile, ChunkCodec, CountType, Frames, Set};
use serde::{Deserialize, Serialize};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Source of samples.
pub trait SampleSource: Send + Sync + 'static {
    /// Number of samples.
    fn len(&self) -> usize;
    /// T, the same for every sample.
    fn steps(&self) -> usize;
    /// Height and width of a frame.
    fn size(&self) -> [usize; 2];
    /// Type of the counts.
    fn counts(&self) -> CountType;
    /// Label of a sample.
    fn label(&self, index: usize) -> u8;
    /// Returns the frames of a sample, `[T, 2, H, W]`, which may be decoded into `scratch`.
    fn read<'a>(&'a self, index: usize, scratch: &'a mut Scratch) -> Result<&'a Frames>;
}

/// Buffers that a reader reuses for each sample.
#[derive(Default)]
pub struct Scratch {
    /// Decoder.
    pub codec: ChunkCodec,
    /// The last decoded sample.
    pub frames: Frames,
}

/// Where frames are kept during training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FramesIn {
    /// Use device if the frames take at most a quarter of the GPU's memory, memory if they take at
    /// most half of the free memory, and stream otherwise
    Auto,
    /// Upload all frames once and gather batches on the device
    Device,
    /// Keep each decoded sample in memory
    Memory,
    /// Read and decode the cache again in each epoch
    Stream,
}

impl FramesIn {
    /// Replaces `auto` by the choice for `cache` on this machine. `gpu` is the memory of the GPU in
    /// bytes, if there is a GPU. `ranks_here` processes share the machine, and each may keep all
    /// frames.
    ///
    /// # Errors
    /// Returns an error if the frames must stay in host memory and do not fit.
    pub fn resolve(self, cache: &CacheFile, gpu: Option<u64>, ranks_here: usize) -> Result<Self> {
        let free = free_memory() / ranks_here.max(1) as u64;
        let needed = decoded_bytes(cache);
        match (self, gpu) {
            (Self::Device, Some(_)) => return Ok(Self::Device),
            (Self::Auto, Some(memory)) if needed <= memory / 4 => return Ok(Self::Device),
            _ => {}
        }
        ensure!(
            !matches!(self, Self::Memory | Self::Device) || needed <= free,
            "--frames-in {self} needs {} MiB for the frames of {}, and {} MiB are free; use --frames-in stream",
            needed >> 20,
            cache.path().display(),
            free >> 20
        );
        Ok(match self {
            Self::Auto if needed <= free / 2 => Self::Memory,
            Self::Auto => Self::Stream,
            asked => asked,
        })
    }
}

impl fmt::Display for FramesIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Device => "device",
            Self::Memory => "memory",
            Self::Stream => "stream",
        })
    }
}

/// Returns the bytes of all decoded frames of a cache with a fixed T.
fn decoded_bytes(cache: &CacheFile) -> u64 {
    let sensor = cache.header.sensor;
    let cells = [
        cache.header.split.frames(),
        POLARITIES,
        sensor.height,
        sensor.width,
    ];
    let cells = cells.into_iter().map(u64::from).product::<u64>();
    let bytes = |set| {
        let set = cache.set(set);
        cells * set.samples.len() as u64 * set.counts.bytes() as u64
    };
    bytes(Set::Train) + bytes(Set::Test)
}

/// Returns the free memory in bytes of the machine, or of the container if that is less.
fn free_memory() -> u64 {
    let memory = MemoryRefreshKind::nothing().with_ram();
    let system = System::new_with_specifics(RefreshKind::nothing().with_memory(memory));
    let container = system.cgroup_limits().map(|limits| limits.free_memory);
    system.available_memory().min(container.unwrap_or(u64::MAX))
}

/// Samples of one set of a cache with a fixed T.
pub struct CacheSamples {
    cache: Arc<CacheFile>,
    set: Set,
    /// Indices of the samples in the set.
    places: Vec<usize>,
    /// Where to keep the frames.
    pub frames_in: FramesIn,
    /// Frames of the samples read so far, if they are kept in memory.
    kept: Option<Vec<OnceLock<Frames>>>,
}

impl CacheSamples {
    /// Takes the samples of `set` at `places`.
    pub fn new(cache: &Arc<CacheFile>, set: Set, places: Vec<usize>, frames_in: FramesIn) -> Self {
        let kept = (frames_in == FramesIn::Memory)
            .then(|| places.iter().map(|_| OnceLock::new()).collect());
        Self {
            cache: Arc::clone(cache),
            set,
            places,
            frames_in,
            kept,
        }
    }

    /// Takes all samples of a set.
    pub fn all(cache: &Arc<CacheFile>, set: Set, frames_in: FramesIn) -> Self {
        let places = (0..cache.set(set).samples.len()).collect();
        Self::new(cache, set, places, frames_in)
    }
}

impl CacheSamples {
    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.cache.header.label_names.len()
    }
}

impl SampleSource for CacheSamples {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn steps(&self) -> usize {
        self.cache.header.split.frames() as usize
    }

    fn size(&self) -> [usize; 2] {
        let sensor = self.cache.header.sensor;
        [sensor.height as usize, sensor.width as usize]
    }

    fn counts(&self) -> CountType {
        self.cache.set(self.set).counts
    }

    fn label(&self, index: usize) -> u8 {
        self.cache.set(self.set).samples[self.places[index]].label
    }

    fn read<'a>(&'a self, index: usize, scratch: &'a mut Scratch) -> Result<&'a Frames> {
        let kept = self.kept.as_ref().map(|kept| &kept[index]);
        if let Some(frames) = kept.and_then(OnceLock::get) {
            return Ok(frames);
        }
        let Scratch { codec, frames } = scratch;
        self.cache
            .read(self.set, self.places[index], codec, frames)?;
        Ok(match kept {
            Some(kept) => kept.get_or_init(|| frames.take()),
            None => frames,
        })
    }
}
