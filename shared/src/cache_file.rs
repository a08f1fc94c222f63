//! Opens and checks a finished cache, and reads it sample by sample from any number of threads.
//!
//! The HDF5 library only locates the chunks, when the cache is opened. They are then read with
//! positioned reads and decoded here, so that training never waits for the library's lock.

mod opening;
mod text_lengths;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use self::opening::Reader;
use crate::cache_format::{CacheHeader, ChunkCodec, CountType, FORMAT_VERSION, Set, frame_bytes};

/// Why a cache could not be used.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The file system reported an error.
    #[error("cannot read the cache {path}")]
    Io { path: PathBuf, source: io::Error },
    /// Not HDF5, or HDF5 of another kind.
    #[error("{path} is not a frame cache: {reason}")]
    NotACache { path: PathBuf, reason: String },
    /// The format version is unknown to this program.
    #[error(
        "{path} has cache format version {found}; this program reads version {FORMAT_VERSION}. \
         Make it again with this version's dvs-prep"
    )]
    Version {
        path: PathBuf,
        /// The file's version.
        found: u32,
    },
    /// The attribute that is written last is missing.
    #[error(
        "the cache {path} was cut off while it was written (attribute `complete` is missing). \
         Make it again with dvs-prep --force"
    )]
    CutOff { path: PathBuf },
    /// Something in the file contradicts the format or its own checksum.
    #[error("the cache {path} is damaged at {key}: {reason}. Make it again with dvs-prep --force")]
    Damaged {
        path: PathBuf,
        /// Attribute, dataset or row.
        key: String,
        /// The value found and the one expected.
        reason: String,
    },
}

/// The metadata of one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// `<recording>_<k>`.
    pub name: String,
    /// From 0; less than the number of classes.
    pub label: u8,
    /// Events in its frames.
    pub events: u64,
    /// Start of its window in microseconds, inclusive.
    pub start_us: i64,
    /// End of its window in microseconds, exclusive.
    pub end_us: i64,
    /// CRC-32 of its raw little-endian frames.
    pub checksum: u32,
    /// Its chunks: one, or with a fixed duration one per frame.
    chunks: Range<usize>,
    /// T.
    pub frames: usize,
}

/// The position of a chunk in the file.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    address: u64,
    size: u64,
}

/// One set of a cache.
#[derive(Debug)]
pub struct CacheSet {
    /// Samples in trial-list order, then label-row order.
    pub samples: Vec<Sample>,
    pub counts: CountType,
    chunks: Vec<Chunk>,
}

/// Frames of one sample, `[T, 2, H, W]`, raw and little-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// T.
    pub frames: usize,
    /// Raw counts.
    pub raw: Vec<u8>,
    chunk: Vec<u8>,
}

/// A whole cache.
#[derive(Debug)]
pub struct CacheFile {
    path: PathBuf,
    file: File,
    /// Root attributes.
    pub header: CacheHeader,
    train: CacheSet,
    test: CacheSet,
}

impl CacheFile {
    /// Opens `path` and checks everything except the frames.
    ///
    /// # Errors
    /// Returns an error if the cache cannot be read, is incomplete or is damaged: see
    /// [`CacheError`].
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let io_error = |source| CacheError::Io {
            path: path.to_owned(),
            source,
        };
        // Opening a pipe would block.
        let metadata = std::fs::metadata(path).map_err(io_error)?;
        if !metadata.is_file() {
            return Err(CacheError::NotACache {
                path: path.to_owned(),
                reason: "it is not a regular file".to_owned(),
            });
        }
        let file = File::open(path).map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        text_lengths::check(&file).map_err(|reason| CacheError::NotACache {
            path: path.to_owned(),
            reason,
        })?;
        // HDF5's own lock is not used. A file with a cache's name is complete and no longer
        // written. The lock would prevent reading if the file system has no locks (NFS without its
        // lock service), or if somebody has the cache open for writing in h5py; the checksums
        // detect such changes.
        let opened = hdf5::File::with_options()
            .with_fapl(|access| access.file_locking(false))
            .open(path);
        let root = opened.map_err(|e| CacheError::NotACache {
            path: path.to_owned(),
            reason: format!("HDF5 cannot open it ({e})"),
        })?;
        let reader = Reader { path, length };
        reader.check_links(&root, "/")?;
        let header = reader.header(&root)?;
        let [train, test] = Set::ALL.map(|set| reader.set(&root, set, &header));
        let (train, test) = (train?, test?);
        if train.counts != test.counts {
            let (train, test) = (train.counts.name(), test.counts.name());
            let reason = format!("its counts are {test}, those of /train/frames {train}");
            return Err(reader.damaged("/test/frames", reason));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            train,
            test,
            header,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn set(&self, set: Set) -> &CacheSet {
        match set {
            Set::Train => &self.train,
            Set::Test => &self.test,
        }
    }

    /// Reads and decodes the frames of sample `index` of `set` into `frames` and verifies their
    /// checksum.
    ///
    /// # Errors
    /// Returns an error that names the set, the row and the sample if it cannot be read.
    ///
    /// # Panics
    /// Panics if `index` is not below the set's number of samples.
    pub fn read(
        &self,
        set: Set,
        index: usize,
        codec: &mut ChunkCodec,
        frames: &mut Frames,
    ) -> Result<(), CacheError> {
        let rows = self.set(set);
        let sample = &rows.samples[index];
        let bytes = frame_bytes(sample.frames, self.header.sensor, rows.counts);
        frames.frames = sample.frames;
        frames.raw.resize(bytes, 0);
        let Frames { raw, chunk, .. } = frames;
        let places = raw.chunks_exact_mut(bytes / sample.chunks.len());
        for (place, at) in places.zip(sample.chunks.clone()) {
            self.read_chunk(set, index, at, codec, chunk, place)?;
        }
        self.check_checksum(set, index, crc32fast::hash(&frames.raw))
    }

    /// Verifies the checksum and the number of events of sample `index` of `set`, with one chunk in
    /// memory at a time.
    ///
    /// # Errors
    /// Returns an error that names the set, the row and the sample if it is not as recorded.
    ///
    /// # Panics
    /// Panics if `index` is not below the set's number of samples.
    pub fn check(
        &self,
        set: Set,
        index: usize,
        codec: &mut ChunkCodec,
        scratch: &mut Frames,
    ) -> Result<(), CacheError> {
        let counts = self.set(set).counts;
        let mut events = 0;
        self.read_by_chunk(set, index, codec, scratch, |chunk| {
            events += chunk.counts(counts).map(u64::from).sum::<u64>();
        })?;
        let expected = self.set(set).samples[index].events;
        if events == expected {
            return Ok(());
        }
        let reason = format!(
            "/{}/events says {expected} events, its frames hold {events}",
            set.name()
        );
        Err(self.damaged(set, index, reason))
    }

    /// Passes the frames of sample `index` of `set` to `each` in order, one chunk at a time: all
    /// frames at once, or with a fixed duration one by one. The checksum is verified at the end, so
    /// after an error all results must be discarded.
    ///
    /// # Errors
    /// Returns an error that names the set, the row and the sample if it cannot be read.
    ///
    /// # Panics
    /// Panics if `index` is not below the set's number of samples.
    pub fn read_by_chunk(
        &self,
        set: Set,
        index: usize,
        codec: &mut ChunkCodec,
        scratch: &mut Frames,
        mut each: impl FnMut(&Frames),
    ) -> Result<(), CacheError> {
        let rows = self.set(set);
        let sample = &rows.samples[index];
        let frames = sample.frames / sample.chunks.len();
        scratch.frames = frames;
        scratch
            .raw
            .resize(frame_bytes(frames, self.header.sensor, rows.counts), 0);
        let mut checksum = crc32fast::Hasher::new();
        for at in sample.chunks.clone() {
            let Frames { raw, chunk, .. } = &mut *scratch;
            self.read_chunk(set, index, at, codec, chunk, raw)?;
            checksum.update(raw);
            each(scratch);
        }
        self.check_checksum(set, index, checksum.finalize())
    }

    fn read_chunk(
        &self,
        set: Set,
        index: usize,
        at: usize,
        codec: &mut ChunkCodec,
        encoded: &mut Vec<u8>,
        raw: &mut [u8],
    ) -> Result<(), CacheError> {
        let rows = self.set(set);
        let chunk = rows.chunks[at];
        encoded.resize(chunk.size as usize, 0);
        self.file
            .read_exact_at(encoded, chunk.address)
            .map_err(|source| CacheError::Io {
                path: self.path.clone(),
                source,
            })?;
        codec.decode(encoded, rows.counts, raw).map_err(|e| {
            self.damaged(
                set,
                index,
                format!("the chunk at byte {} does not decode: {e}", chunk.address),
            )
        })
    }

    fn check_checksum(&self, set: Set, index: usize, checksum: u32) -> Result<(), CacheError> {
        let expected = self.set(set).samples[index].checksum;
        if checksum == expected {
            return Ok(());
        }
        let name = set.name();
        let reason = format!("CRC-32 is {checksum:08x}, /{name}/checksums says {expected:08x}");
        Err(self.damaged(set, index, reason))
    }

    fn damaged(&self, set: Set, index: usize, reason: String) -> CacheError {
        let name = &self.set(set).samples[index].name;
        CacheError::Damaged {
            path: self.path.clone(),
            key: format!("/{}/frames, row {index} ({name})", set.name()),
            reason,
        }
    }
}

impl Frames {
    /// The counts as `u32`, whatever their stored type.
    pub fn counts(&self, counts: CountType) -> impl Iterator<Item = u32> + '_ {
        let width = counts.bytes();
        self.raw.chunks_exact(width).map(move |bytes| {
            let mut word = [0; 4];
            word[..width].copy_from_slice(bytes);
            u32::from_le_bytes(word)
        })
    }

    /// Moves the frames out but keeps the decoding buffer for reuse.
    pub fn take(&mut self) -> Self {
        Self {
            frames: self.frames,
            raw: std::mem::take(&mut self.raw),
            chunk: Vec::new(),
        }
    }
}
