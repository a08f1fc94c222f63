//! Frames of one sample on their way into chunks: how many go into one, and what memory they are counted for.

use std::time::{Duration, Instant};

use dvs_shared::cache_format::frame_bytes;
use dvs_shared::event::DVS128;
use dvs_shared::frames::Frame;
use dvs_shared::{ChunkCodec, CountType, SensorSize};

use super::settings::Settings;
use crate::input::error::Problem;
use crate::pipeline::chunk_store::{ChunkBuilder, EncodedChunk};
use crate::pipeline::memory_budget::{Budget, Loan};

/// The share of the memory for frames whose counts take several bytes, which are held raw, shuffled and encoded.
const WIDE_SHARE: u64 = 16;
/// The share of the memory for the frames of sensors larger than a DVS128.
const LARGE_SHARE: u64 = 2;

/// Memory for frames that are larger than usual.
pub(super) struct FrameMemory {
    /// For those whose counts take several bytes.
    wide: Budget,
    /// For those of large sensors.
    large: Budget,
}

/// What a worker uses for one sample after another.
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
    /// Bytes that a chunk of wide counts may have.
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
            wide: Budget::new(settings.memory / WIDE_SHARE, usize::MAX),
            large: Budget::new(settings.memory / LARGE_SHARE, usize::MAX),
        }
    }
}

/// Whether memory has room for the frames of one sample of `sensor`.
///
/// # Errors
/// Where it has not; `file` is what they come from.
pub(super) fn check_size(
    settings: &Settings,
    sensor: SensorSize,
    file: &str,
) -> Result<(), Problem> {
    let frames = settings.split.frames().max(1);
    let (bytes, limit) = (held(settings, sensor), settings.memory / LARGE_SHARE);
    if sensor == DVS128 || bytes <= limit {
        return Ok(());
    }
    Err(Problem::FramesTooLarge {
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
    /// No frames yet of a sample of `sensor`, whose counts are at least of type `counts`.
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

    /// Appends a frame.
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

    /// Whoever needs several bytes a count takes turns where memory has no room for all at once.
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

    /// The chunks, the type of their counts and the time that encoding them took.
    ///
    /// # Errors
    /// Where there was no room for them; `sample` is their name and `frames` their number.
    pub(super) fn finish(
        self,
        sample: &str,
        frames: usize,
    ) -> Result<(Vec<EncodedChunk>, CountType, Duration), Problem> {
        let builder = &self.tools.builder;
        let (counts, overfull) = (builder.counts(), builder.overfull());
        if self.wide.is_some() || self._large.is_some() {
            // What was lent is given back in truth.
            *self.tools = Tools::default();
        }
        match overfull {
            Some(bytes) => Err(Problem::TooWide {
                sample: sample.to_owned(),
                frames,
                bytes,
                limit: self.room,
            }),
            None => Ok((self.done, counts, self.encoding)),
        }
    }
}
