//! Stores finished samples until the order of the cache is known.
//!
//! The bytes of the cache must not depend on the order of the archive or on thread timing, so
//! chunks wait here: in memory up to a limit, beyond it in an unnamed file that vanishes with the
//! process.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use dvs_shared::frames::Frame;
use dvs_shared::samples::Window;
use dvs_shared::{ChunkCodec, CountType};
use tempfile::SpooledTempFile;

/// Bytes of chunks to keep in memory.
const IN_MEMORY: usize = 48 << 20;

#[derive(Clone, Debug)]
pub struct StagedChunk {
    /// Type in which its counts are encoded.
    pub counts: CountType,
    /// Number of frames.
    pub frames: usize,
    /// CRC-32 of its raw counts in type `counts`.
    pub checksum: u32,
    at: u64,
    length: usize,
}

#[derive(Clone, Debug)]
pub struct StagedSample {
    pub name: String,
    pub window: Window,
    /// Number of events in its frames.
    pub events: u64,
    /// Its chunks, in order.
    pub chunks: Vec<StagedChunk>,
}

/// Collects frames of a sample into a chunk, in the smallest type that holds all counts so far.
pub struct ChunkBuilder {
    counts: CountType,
    frames: usize,
    raw: Vec<u8>,
    /// Bytes of a chunk with counts wider than a byte, if there is no room for it.
    excess_bytes: Option<usize>,
}

impl Default for ChunkBuilder {
    fn default() -> Self {
        Self {
            counts: CountType::U8,
            frames: 0,
            raw: Vec::new(),
            excess_bytes: None,
        }
    }
}

impl ChunkBuilder {
    /// Begins the first chunk of a sample, with counts of at least type `counts`.
    pub fn begin(&mut self, counts: CountType) {
        self.counts = counts;
        self.frames = 0;
        self.raw.clear();
        self.excess_bytes = None;
    }

    /// Appends one frame to a chunk of `frames` frames. Counts may be wider than a byte if the
    /// chunk then has at most `room` bytes. If it has more, no frames are kept: see
    /// [`ChunkBuilder::excess_bytes`].
    pub fn push(&mut self, frame: &Frame, frames: usize, room: usize) {
        match frame.bytes() {
            Some(bytes) if self.counts == CountType::U8 && self.excess_bytes.is_none() => {
                self.frames += 1;
                self.raw.extend_from_slice(bytes);
            }
            _ => self.push_counts(&frame.counts(), frames, room),
        }
    }

    /// Like [`ChunkBuilder::push`], for a frame that was counted elsewhere.
    pub fn push_counts(&mut self, counts: &[u32], frames: usize, room: usize) {
        if self.excess_bytes.is_some() {
            return;
        }
        self.frames += 1;
        let needed = CountType::holding(counts.iter().copied().max().unwrap_or(0));
        let widest = needed.max(self.counts);
        let bytes = frames * counts.len() * widest.bytes();
        if widest > CountType::U8 && bytes > room {
            self.excess_bytes = Some(bytes);
            return;
        }
        if needed > self.counts {
            self.raw = self.counts.widen(&self.raw, needed);
            self.counts = needed;
        }
        self.counts.write(counts, &mut self.raw);
    }

    /// Bytes that the chunk would have, if that exceeds its room.
    pub fn excess_bytes(&self) -> Option<usize> {
        self.excess_bytes
    }

    /// Type of the counts so far.
    pub fn counts(&self) -> CountType {
        self.counts
    }

    /// Ends the chunk: encodes its counts.
    pub fn finish(&mut self, codec: &mut ChunkCodec) -> EncodedChunk {
        let chunk = EncodedChunk {
            counts: self.counts,
            frames: self.frames,
            checksum: crc32fast::hash(&self.raw),
            data: codec.encode(&self.raw, self.counts),
        };
        self.raw.clear();
        self.frames = 0;
        chunk
    }
}

pub struct EncodedChunk {
    counts: CountType,
    frames: usize,
    checksum: u32,
    data: Vec<u8>,
}

pub struct ChunkStore(Mutex<SpooledTempFile>);

impl ChunkStore {
    /// An empty store. If it needs a file, the file is in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self(Mutex::new(tempfile::spooled_tempfile_in(IN_MEMORY, folder)))
    }

    /// Stores chunks.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn put(&self, chunks: Vec<EncodedChunk>) -> io::Result<Vec<StagedChunk>> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = file.seek(SeekFrom::End(0))?;
        chunks
            .into_iter()
            .map(|chunk| {
                file.write_all(&chunk.data)?;
                let length = chunk.data.len();
                at += length as u64;
                Ok(StagedChunk {
                    counts: chunk.counts,
                    frames: chunk.frames,
                    checksum: chunk.checksum,
                    at: at - length as u64,
                    length,
                })
            })
            .collect()
    }

    /// The encoded bytes of a chunk.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read.
    pub fn get(&self, chunk: &StagedChunk) -> io::Result<Vec<u8>> {
        let mut data = vec![0; chunk.length];
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(chunk.at))?;
        file.read_exact(&mut data)?;
        Ok(data)
    }
}
