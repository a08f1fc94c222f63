//! A finished cache: opened, checked, and read sample by sample from any number of threads.
//!
//! The HDF5 library is asked once where the chunks lie. They are then read with positioned reads and decoded
//! here, so that its lock is never held while training.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use hdf5::filters::Filter;
use hdf5::types::{IntSize, TypeDescriptor, VarLenUnicode};
use hdf5::{Dataset, Group, H5Type};
use thiserror::Error;

use crate::cache_format::{
    CacheHeader, ChunkCodec, CountType, DATASET, FORMAT, FORMAT_VERSION, Set, attr, dataset,
    frame_bytes, frames_shape,
};
use crate::event::{DVS128, POLARITIES, SensorSize};
use crate::labels::{CLASSES, LABEL_NAMES};
use crate::split_mode::SplitMode;

/// The most samples or frames a set is believed to have; a larger number is a damaged or hostile file.
const MAX_ROWS: usize = 1 << 26;

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
        let file = File::open(path).map_err(io_error)?;
        let length = file.metadata().map_err(io_error)?.len();
        let root = hdf5::File::open(path).map_err(|e| CacheError::NotACache {
            path: path.to_owned(),
            reason: format!("HDF5 cannot open it ({e})"),
        })?;
        let reader = Reader { path, length };
        let header = reader.header(&root)?;
        let sets = Set::ALL.map(|set| reader.set(&root, set, &header));
        let [train, test] = sets;
        Ok(Self {
            path: path.to_owned(),
            file,
            train: train?,
            test: test?,
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
        let damaged = |reason: String| CacheError::Damaged {
            path: self.path.clone(),
            key: format!("/{}/frames, row {index} ({})", set.name(), sample.name),
            reason,
        };
        let bytes = frame_bytes(sample.frames, self.header.sensor, rows.counts);
        frames.frames = sample.frames;
        frames.raw.resize(bytes, 0);
        let chunk_bytes = bytes / sample.chunks.len();
        let chunks = &rows.chunks[sample.chunks.clone()];
        for (chunk, raw) in chunks.iter().zip(frames.raw.chunks_exact_mut(chunk_bytes)) {
            frames.chunk.resize(chunk.size as usize, 0);
            self.file
                .read_exact_at(&mut frames.chunk, chunk.address)
                .map_err(|source| CacheError::Io {
                    path: self.path.clone(),
                    source,
                })?;
            codec.decode(&frames.chunk, rows.counts, raw).map_err(|e| {
                damaged(format!(
                    "the chunk at byte {} does not decode: {e}",
                    chunk.address
                ))
            })?;
        }
        let checksum = crc32fast::hash(&frames.raw);
        if checksum != sample.checksum {
            return Err(damaged(format!(
                "CRC-32 is {checksum:08x}, /{}/checksums says {:08x}",
                set.name(),
                sample.checksum
            )));
        }
        Ok(())
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

    /// Writes the counts as `f32` into `out`, which has `T * 2 * H * W` elements.
    pub fn write_f32(&self, counts: CountType, out: &mut [f32]) {
        match counts {
            CountType::U8 => {
                for (o, &c) in out.iter_mut().zip(&self.raw) {
                    *o = f32::from(c);
                }
            }
            _ => {
                for (o, c) in out.iter_mut().zip(self.counts(counts)) {
                    *o = c as f32;
                }
            }
        }
    }
}

/// Reads the parts of a cache that is being opened.
struct Reader<'a> {
    path: &'a Path,
    length: u64,
}

impl Reader<'_> {
    fn damaged(&self, key: impl Into<String>, reason: impl Into<String>) -> CacheError {
        CacheError::Damaged {
            path: self.path.to_owned(),
            key: key.into(),
            reason: reason.into(),
        }
    }

    fn number<T: H5Type>(&self, root: &Group, name: &str) -> Result<T, CacheError> {
        root.attr(name)
            .and_then(|a| a.read_scalar())
            .map_err(|e| self.damaged(format!("attribute `{name}`"), e.to_string()))
    }

    fn text(&self, root: &Group, name: &str) -> Result<String, CacheError> {
        root.attr(name)
            .and_then(|a| a.read_scalar::<VarLenUnicode>())
            .map(|s| s.as_str().to_owned())
            .map_err(|e| self.damaged(format!("attribute `{name}`"), e.to_string()))
    }

    fn header(&self, root: &Group) -> Result<CacheHeader, CacheError> {
        match self.text(root, attr::FORMAT) {
            Ok(format) if format == FORMAT => {}
            Ok(format) => {
                return Err(CacheError::NotACache {
                    path: self.path.to_owned(),
                    reason: format!("attribute `format` is {format:?}, not {FORMAT:?}"),
                });
            }
            Err(_) => {
                return Err(CacheError::NotACache {
                    path: self.path.to_owned(),
                    reason: "it has no attribute `format`".to_owned(),
                });
            }
        }
        let version = self.number(root, attr::FORMAT_VERSION)?;
        if version != FORMAT_VERSION {
            return Err(CacheError::Version {
                path: self.path.to_owned(),
                found: version,
            });
        }
        if root.attr(attr::COMPLETE).is_err() || self.number::<u32>(root, attr::COMPLETE)? != 1 {
            return Err(CacheError::CutOff {
                path: self.path.to_owned(),
            });
        }
        let data = self.text(root, attr::DATASET)?;
        if data != DATASET {
            return Err(self.damaged(
                "attribute `dataset`",
                format!("it is {data:?}, not {DATASET:?}"),
            ));
        }
        let (split_by, frames, duration_us) = (
            self.text(root, attr::SPLIT_BY)?,
            self.number(root, attr::FRAMES)?,
            self.number(root, attr::DURATION_US)?,
        );
        let split =
            SplitMode::from_attributes(&split_by, frames, duration_us).ok_or_else(|| {
                self.damaged(
                    "attributes `split_by`, `frames`, `duration_us`",
                    format!("{split_by:?}, {frames} and {duration_us} do not go together"),
                )
            })?;
        let sensor = SensorSize {
            width: self.number(root, attr::WIDTH)?,
            height: self.number(root, attr::HEIGHT)?,
        };
        let polarities: u32 = self.number(root, attr::POLARITIES)?;
        if sensor != DVS128 || polarities != POLARITIES {
            return Err(self.damaged(
                "attributes `polarities`, `height`, `width`",
                format!(
                    "{polarities} x {} x {}, not {POLARITIES} x {} x {}",
                    sensor.height, sensor.width, DVS128.height, DVS128.width
                ),
            ));
        }
        let keep_invalid = self.number::<u32>(root, attr::KEEP_INVALID)?;
        if keep_invalid > 1 {
            return Err(self.damaged(
                "attribute `keep_invalid`",
                format!("it is {keep_invalid}, not 0 or 1"),
            ));
        }
        let source_sha256 = self.text(root, attr::SOURCE_SHA256)?;
        if source_sha256.len() != 64 || !source_sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(self.damaged(
                "attribute `source_sha256`",
                format!("{source_sha256:?} is not 64 hexadecimal digits"),
            ));
        }
        let names = self.strings(root, "", dataset::LABEL_NAMES, Some(CLASSES))?;
        if let Some(k) = (0..CLASSES).find(|&k| names[k] != LABEL_NAMES[k]) {
            return Err(self.damaged(
                format!("/label_names, row {k}"),
                format!("it is {:?}, not {:?}", names[k], LABEL_NAMES[k]),
            ));
        }
        Ok(CacheHeader {
            split,
            sensor,
            keep_invalid: keep_invalid == 1,
            created_by: self.text(root, attr::CREATED_BY)?,
            source_sha256,
        })
    }

    fn open_dataset(&self, group: &Group, prefix: &str, name: &str) -> Result<Dataset, CacheError> {
        group
            .dataset(name)
            .map_err(|e| self.damaged(format!("{prefix}/{name}"), e.to_string()))
    }

    /// Length of a one-dimensional dataset, checked before anything of that length is allocated.
    fn rows(
        &self,
        data: &Dataset,
        key: &str,
        expected: Option<usize>,
    ) -> Result<usize, CacheError> {
        let shape = data.shape();
        match (shape.as_slice(), expected) {
            ([n], Some(e)) if *n == e => Ok(*n),
            ([n], None) if *n <= MAX_ROWS => Ok(*n),
            (_, Some(e)) => Err(self.damaged(key, format!("its shape is {shape:?}, not [{e}]"))),
            (_, None) => Err(self.damaged(
                key,
                format!("its shape is {shape:?}, not [N] with N at most {MAX_ROWS}"),
            )),
        }
    }

    fn strings(
        &self,
        group: &Group,
        prefix: &str,
        name: &str,
        expected: Option<usize>,
    ) -> Result<Vec<String>, CacheError> {
        let key = format!("{prefix}/{name}");
        let data = self.open_dataset(group, prefix, name)?;
        self.rows(&data, &key, expected)?;
        let values = data
            .read_raw::<VarLenUnicode>()
            .map_err(|e| self.damaged(&key, e.to_string()))?;
        Ok(values.iter().map(|s| s.as_str().to_owned()).collect())
    }

    fn column<T: H5Type>(
        &self,
        group: &Group,
        prefix: &str,
        name: &str,
        expected: Option<usize>,
    ) -> Result<Vec<T>, CacheError> {
        let key = format!("{prefix}/{name}");
        let data = self.open_dataset(group, prefix, name)?;
        self.rows(&data, &key, expected)?;
        data.read_raw()
            .map_err(|e| self.damaged(&key, e.to_string()))
    }

    fn set(&self, root: &Group, set: Set, header: &CacheHeader) -> Result<CacheSet, CacheError> {
        let prefix = format!("/{}", set.name());
        let group = root
            .group(set.name())
            .map_err(|e| self.damaged(&prefix, e.to_string()))?;
        let labels: Vec<u8> = self.column(&group, &prefix, dataset::LABELS, None)?;
        let n = Some(labels.len());
        let names = self.strings(&group, &prefix, dataset::NAMES, n)?;
        let events: Vec<u64> = self.column(&group, &prefix, dataset::EVENTS, n)?;
        let start_us: Vec<i64> = self.column(&group, &prefix, dataset::START_US, n)?;
        let end_us: Vec<i64> = self.column(&group, &prefix, dataset::END_US, n)?;
        let checksums: Vec<u32> = self.column(&group, &prefix, dataset::CHECKSUMS, n)?;
        let offsets = match header.split {
            SplitMode::Duration { .. } => Some(self.offsets(&group, &prefix, labels.len())?),
            _ => None,
        };
        if let Some(row) = labels.iter().position(|&l| usize::from(l) >= CLASSES) {
            return Err(self.damaged(
                format!("{prefix}/labels, row {row}"),
                format!("label {} is beyond {}", labels[row], CLASSES - 1),
            ));
        }
        let samples = names
            .into_iter()
            .enumerate()
            .map(|(i, name)| {
                let (chunks, frames) = match &offsets {
                    Some(o) => (o[i]..o[i + 1], o[i + 1] - o[i]),
                    None => (i..i + 1, header.split.frames() as usize),
                };
                Sample {
                    name,
                    label: labels[i],
                    events: events[i],
                    start_us: start_us[i],
                    end_us: end_us[i],
                    checksum: checksums[i],
                    chunks,
                    frames,
                }
            })
            .collect();
        let all_frames = offsets.map_or(0, |o| o.last().copied().unwrap_or(0));
        let (counts, chunks) = self.chunks(&group, &prefix, header, labels.len(), all_frames)?;
        Ok(CacheSet {
            samples,
            counts,
            chunks,
        })
    }

    fn offsets(
        &self,
        group: &Group,
        prefix: &str,
        samples: usize,
    ) -> Result<Vec<usize>, CacheError> {
        let offsets: Vec<u64> = self.column(group, prefix, dataset::OFFSETS, Some(samples + 1))?;
        let increasing = offsets.windows(2).all(|w| w[0] < w[1]);
        let last = offsets.last().copied().unwrap_or(0);
        if offsets.first() != Some(&0) || !increasing || last > MAX_ROWS as u64 {
            return Err(self.damaged(
                format!("{prefix}/offsets"),
                format!("the rows do not increase from 0 to at most {MAX_ROWS}"),
            ));
        }
        Ok(offsets.into_iter().map(|o| o as usize).collect())
    }

    /// Type of the counts and place of every chunk, in row order.
    fn chunks(
        &self,
        group: &Group,
        prefix: &str,
        header: &CacheHeader,
        samples: usize,
        all_frames: usize,
    ) -> Result<(CountType, Vec<Chunk>), CacheError> {
        let key = format!("{prefix}/{}", dataset::FRAMES);
        let data = self.open_dataset(group, prefix, dataset::FRAMES)?;
        let (shape, chunk_shape) = frames_shape(header.split, header.sensor, samples, all_frames);
        if data.shape() != shape {
            return Err(self.damaged(
                &key,
                format!("its shape is {:?}, not {shape:?}", data.shape()),
            ));
        }
        let counts = match data.dtype().and_then(|t| t.to_descriptor()) {
            Ok(TypeDescriptor::Unsigned(IntSize::U1)) => CountType::U8,
            Ok(TypeDescriptor::Unsigned(IntSize::U2)) => CountType::U16,
            Ok(TypeDescriptor::Unsigned(IntSize::U4)) => CountType::U32,
            other => {
                return Err(self.damaged(
                    &key,
                    format!("its type is {other:?}, not an unsigned integer of 1, 2 or 4 bytes"),
                ));
            }
        };
        if shape[0] == 0 {
            return Ok((counts, Vec::new()));
        }
        if data.chunk().as_ref() != Some(&chunk_shape) {
            return Err(self.damaged(
                &key,
                format!("its chunks are {:?}, not {chunk_shape:?}", data.chunk()),
            ));
        }
        let filters = data.filters();
        let known = matches!(
            (counts, filters.as_slice()),
            (CountType::U8, [Filter::Deflate(_)])
                | (
                    CountType::U16 | CountType::U32,
                    [Filter::Shuffle, Filter::Deflate(_)]
                )
        );
        if !known {
            return Err(self.damaged(
                &key,
                format!("its filters are {filters:?}, not deflate, after shuffle where counts have several bytes"),
            ));
        }
        let mut chunks = vec![None; shape[0]];
        let mut fault = None;
        let limit = 2 * frame_bytes(
            chunk_shape[..chunk_shape.len() - 3].iter().product(),
            header.sensor,
            counts,
        ) as u64
            + 64;
        data.chunks_visit(|info| {
            let row = info.offset[0] as usize;
            let inside = info.addr.checked_add(info.size).is_some_and(|end| end <= self.length);
            if info.filter_mask != 0 || !inside || info.size > limit || row >= chunks.len() {
                fault = Some(format!(
                    "the chunk of row {row} lies at byte {}, {} bytes long with filter mask {}, in a file of {} bytes",
                    info.addr, info.size, info.filter_mask, self.length
                ));
                return 1;
            }
            chunks[row] = Some(Chunk { address: info.addr, size: info.size });
            0
        })
        .map_err(|e| self.damaged(&key, e.to_string()))?;
        if let Some(fault) = fault {
            return Err(self.damaged(&key, fault));
        }
        let rows = chunks.len();
        let chunks: Vec<Chunk> = chunks.into_iter().flatten().collect();
        if chunks.len() < rows {
            return Err(self.damaged(
                &key,
                format!("{} of its {rows} chunks are missing", rows - chunks.len()),
            ));
        }
        Ok((counts, chunks))
    }
}
