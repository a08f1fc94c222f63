//! A finished cache: opened, checked, and read sample by sample from any number of threads.
//!
//! The HDF5 library is asked once where the chunks lie. They are then read with positioned reads and decoded
//! here, so that its lock is never held while training.

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
    /// The file system refused.
    #[error("cannot read the cache {path}")]
    Io {
        /// The cache.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// Not HDF5, or HDF5 of another kind.
    #[error("{path} is not a frame cache: {reason}")]
    NotACache {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// A version this program does not know.
    #[error(
        "{path} has cache format version {found}; this program reads version {FORMAT_VERSION}. \
         Make it again with this version's dvs-prep"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The attribute that is written last is missing.
    #[error(
        "the cache {path} was cut off while it was written (attribute `complete` is missing). \
         Make it again with dvs-prep --force"
    )]
    CutOff {
        /// The file.
        path: PathBuf,
    },
    /// Something in the file contradicts the format or its own checksum.
    #[error("the cache {path} is damaged at {key}: {reason}. Make it again with dvs-prep --force")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Attribute, dataset or row.
        key: String,
        /// The value found and the one expected.
        reason: String,
    },
}

/// What a cache says of one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// `<recording>_<k>`.
    pub name: String,
    /// 0 to 10.
    pub label: u8,
    /// Events in its frames.
    pub events: u64,
    /// Start of its window in microseconds, inclusive.
    pub start_us: i64,
    /// End of its window in microseconds, exclusive.
    pub end_us: i64,
    /// CRC-32 of its raw little-endian frames.
    pub checksum: u32,
    /// Its chunks: one, or with a fixed duration one a frame.
    chunks: Range<usize>,
    /// T.
    pub frames: usize,
}

/// Where a chunk lies in the file.
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
    /// Type of the counts.
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
    /// Opens `path` and checks everything that can be told without reading frames.
    ///
    /// # Errors
    /// See [`CacheError`]; a cache that was cut off is one.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let io_error = |source| CacheError::Io {
            path: path.to_owned(),
            source,
        };
        // A pipe would keep whoever opens it waiting.
        let metadata = std::fs::metadata(path).map_err(io_error)?;
        if !metadata.is_file() {
            return Err(CacheError::NotACache {
                path: path.to_owned(),
                reason: "it is no regular file".to_owned(),
            });
        }
        let file = File::open(path).map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        text_lengths::check(&file).map_err(|reason| CacheError::NotACache {
            path: path.to_owned(),
            reason,
        })?;
        // HDF5's own lock is left out. A file that has a cache's name is whole and written no more, and the lock would
        // keep the cache from being read where a file system has none (NFS without its lock service) or where somebody
        // has it open for writing in h5py, whose changes the checksums tell.
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

    /// Where the cache lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One set.
    pub fn set(&self, set: Set) -> &CacheSet {
        match set {
            Set::Train => &self.train,
            Set::Test => &self.test,
        }
    }

    /// Reads and decodes the frames of sample `index` of `set` into `frames` and holds them against their
    /// checksum.
    ///
    /// # Errors
    /// Names the set, the row and the sample that cannot be read.
    ///
    /// # Panics
    /// Where `index` is not below the set's number of samples.
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
        self.hold_checksum(set, index, crc32fast::hash(&frames.raw))
    }

    /// Holds sample `index` of `set` against its checksum and its number of events, one chunk in memory at a time.
    ///
    /// # Errors
    /// Names the set, the row and the sample that is not what the cache says.
    ///
    /// # Panics
    /// Where `index` is not below the set's number of samples.
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

    /// Hands the frames of sample `index` of `set` to `each`, in order and one chunk in memory at a time: all of them at
    /// once, or with a fixed duration one by one. Their checksum is known only afterwards, so what was made of them is
    /// worth nothing after an error.
    ///
    /// # Errors
    /// Names the set, the row and the sample that cannot be read.
    ///
    /// # Panics
    /// Where `index` is not below the set's number of samples.
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
        self.hold_checksum(set, index, checksum.finalize())
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

    fn hold_checksum(&self, set: Set, index: usize, checksum: u32) -> Result<(), CacheError> {
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
    /// The counts as a slice iterator of `u32`, whatever type they are stored in.
    pub fn counts(&self, counts: CountType) -> impl Iterator<Item = u32> + '_ {
        let width = counts.bytes();
        self.raw.chunks_exact(width).map(move |bytes| {
            let mut word = [0; 4];
            word[..width].copy_from_slice(bytes);
            u32::from_le_bytes(word)
        })
    }

    /// Moves the frames out; what decoding needs stays for the next.
    pub fn take(&mut self) -> Self {
        Self {
            frames: self.frames,
            raw: std::mem::take(&mut self.raw),
            chunk: Vec::new(),
        }
    }
}
