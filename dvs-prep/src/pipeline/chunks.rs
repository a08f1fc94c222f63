//! Groups the frames of one sample into chunks, and accounts for their memory.

use std::time::{Duration, Instant};

use dvs_shared::cache_format::frame_bytes;
use dvs_shared::event::DVS128;
use dvs_shared::frames::Frame;
use dvs_shared::{ChunkCodec, CountType, SensorSize};

use super::settings::Settings;
use crate::input::error::InputProblem;
use crate::pipeline::chunk_store::{ChunkBuilder, EncodedChunk};
use crate::pipeline::memory_budget::{Loan, MemoryBudget};

/// The memory limit divided by this is for frames whose counts take several bytes; such frames are
/// held raw, shuffled and encoded.
const WIDE_SHARE: u64 = 16;
/// The memory limit divided by this is for frames of sensors other than the DVS128.
const LARGE_SHARE: u64 = 2;

/// Memory for frames that are larger than usual.
pub(super) struct FrameMemory {
    /// For frames whose counts take several bytes.
    wide: MemoryBudget,
    /// For frames of large sensors.
    large: MemoryBudget,
}

/// Tools that a worker reuses for its samples.
#[derive(Default)]
pub(super) struct Tools {
    codec: ChunkCodec,
    builder: ChunkBuilder,
}

/// The chunks of one sample.
pub(super) struct Chunks<'a> {
    memory: &'a FrameMemory,
    tools: &'a mut Tools,
    sensor: SensorSize,
    frames_a_chunk: usize,
    /// Maximum bytes of a chunk whose counts take several bytes.
    room: usize,
    in_chunk: usize,
    done: Vec<EncodedChunk>,
    encoding: Duration,
    wide: Option<Loan<'a>>,
    _large: Option<Loan<'a>>,
}

impl FrameMemory {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            wide: MemoryBudget::new(settings.memory / WIDE_SHARE, usize::MAX),
            large: MemoryBudget::new(settings.memory / LARGE_SHARE, usize::MAX),
        }
    }
}

/// Checks that memory has room for the frames of one sample of `sensor`.
///
/// # Errors
/// Returns an error that names `file` if it does not.
pub(super) fn check_size(
    settings: &Settings,
    sensor: SensorSize,
    file: &str,
) -> Result<(), InputProblem> {
    let frames = settings.split.frames().max(1);
    let (bytes, limit) = (held(settings, sensor), settings.memory / LARGE_SHARE);
    if sensor == DVS128 || bytes <= limit {
        return Ok(());
    }
    Err(InputProblem::FramesTooLarge {
        file: file.to_owned(),
        frames,
        sensor,
        bytes,
        limit,
    })
}

/// Bytes that a chunk takes raw, shuffled and encoded.
fn held(settings: &Settings, sensor: SensorSize) -> u64 {
    let frames = settings.split.frames().max(1) as usize;
    4 * frame_bytes(frames, sensor, CountType::U8) as u64
}

impl<'a> Chunks<'a> {
    /// Starts a sample that has no frames yet. `sensor` is their size; their counts get the type
    /// `counts`, or a wider one if needed.
    pub(super) fn new(
        settings: &Settings,
        memory: &'a FrameMemory,
        tools: &'a mut Tools,
        sensor: SensorSize,
        counts: CountType,
    ) -> Self {
        tools.builder.begin(counts);
        let large = (sensor != DVS128).then(|| memory.large.borrow(held(settings, sensor)));
        Self {
            memory,
            tools,
            sensor,
            frames_a_chunk: settings.split.frames().max(1) as usize,
            room: usize::try_from(settings.memory / WIDE_SHARE).unwrap_or(usize::MAX),
            in_chunk: 0,
            done: Vec::new(),
            encoding: Duration::ZERO,
            wide: None,
            _large: large,
        }
    }

    pub(super) fn push(&mut self, frame: &Frame) {
        self.borrow(frame.bytes().is_none());
        self.tools
            .builder
            .push(frame, self.frames_a_chunk, self.room);
        self.end_frame();
    }

    /// Appends a frame that was counted elsewhere.
    pub(super) fn push_counts(&mut self, counts: &[u32]) {
        self.borrow(counts.iter().any(|&c| c > 0xff));
        self.tools
            .builder
            .push_counts(counts, self.frames_a_chunk, self.room);
        self.end_frame();
    }

    /// Borrows memory for counts of several bytes: workers take turns if there is no room for all.
    fn borrow(&mut self, wide: bool) {
        if (wide || self.tools.builder.counts() > CountType::U8) && self.wide.is_none() {
            let bytes = frame_bytes(self.frames_a_chunk, self.sensor, CountType::U32);
            self.wide = Some(self.memory.wide.borrow(bytes as u64));
        }
    }

    fn end_frame(&mut self) {
        self.in_chunk += 1;
        if self.in_chunk == self.frames_a_chunk {
            let start = Instant::now();
            let Tools { codec, builder } = &mut *self.tools;
            self.done.push(builder.finish(codec));
            self.encoding += start.elapsed();
            self.in_chunk = 0;
        }
    }

    /// The chunks, the type of their counts and the time taken to encode them.
    ///
    /// # Errors
    /// Returns an error that names the `sample` and its number of `frames` if there was no room for
    /// the chunks.
    pub(super) fn finish(
        self,
        sample: &str,
        frames: usize,
    ) -> Result<(Vec<EncodedChunk>, CountType, Duration), InputProblem> {
        let builder = &self.tools.builder;
        let (counts, excess_bytes) = (builder.counts(), builder.excess_bytes());
        if self.wide.is_some() || self._large.is_some() {
            // Frees the buffers, because the loan that covers them ends.
            *self.tools = Tools::default();
        }
        match excess_bytes {
            Some(bytes) => Err(InputProblem::TooWide {
                sample: sample.to_owned(),
                frames,
                bytes,
                limit: self.room,
            }),
            None => Ok((self.done, counts, self.encoding)),
        }
    }
}
