//! Writes the cache file: every attribute, row and chunk, in the order of the format.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use dvs_shared::cache_format::{
    FORMAT, FORMAT_VERSION, NAME_BYTES, ROWS_CRC32, attr, dataset, frame_bytes, frames_shape,
};
use dvs_shared::event::POLARITIES;
use dvs_shared::output::AtomicFile;
use dvs_shared::{CacheHeader, ChunkCodec, CountType, Set, SetRows};
use hdf5::types::{FixedUnicode, VarLenUnicode};
use hdf5::{Dataset, Group, H5Type};
use hdf5_metno_sys::h5d::H5Dwrite_chunk;
use hdf5_metno_sys::h5p::H5P_DEFAULT;
use rayon::prelude::*;
use thiserror::Error;

use crate::pipeline::chunk_store::{ChunkStore, StagedChunk, StagedSample};

/// Number of chunks that are encoded ahead of the one being written.
const AHEAD: usize = 32;

/// Why no cache was written. No file is left under its name.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The file system refused.
    #[error("cannot write the cache {path}")]
    Io {
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// HDF5 refused, usually because the disk is full.
    #[error("HDF5 cannot write {key} of the cache {path}: {reason}")]
    Hdf5 {
        path: PathBuf,
        /// The attribute, group or dataset.
        key: String,
        /// The system's reason if HDF5 reports one, else the whole HDF5 message.
        reason: String,
    },
}

/// Writes a cache into `unfinished` and gives it its final name. `sets` holds the training and the
/// test samples in their final order.
///
/// # Errors
/// See [`WriteError`].
pub fn write(
    path: &Path,
    unfinished: AtomicFile<'_>,
    header: &CacheHeader,
    sets: &[Vec<StagedSample>; 2],
    staging: &ChunkStore,
) -> Result<(), WriteError> {
    let writer = Writer {
        path,
        header,
        staging,
    };
    writer.write(unfinished.path(), sets)?;
    unfinished.finish(true).map_err(|source| WriteError::Io {
        path: path.to_owned(),
        source,
    })
}

struct Writer<'a> {
    path: &'a Path,
    header: &'a CacheHeader,
    staging: &'a ChunkStore,
}

impl Writer<'_> {
    fn hdf5<T>(&self, key: &str, result: hdf5::Result<T>) -> Result<T, WriteError> {
        result.map_err(|source| WriteError::Hdf5 {
            path: self.path.to_owned(),
            key: key.to_owned(),
            reason: system_reason(&source),
        })
    }

    fn write(&self, unfinished: &Path, sets: &[Vec<StagedSample>; 2]) -> Result<(), WriteError> {
        // The oldest HDF5 format: every reader supports it, and its groups have no creation time,
        // which would make every cache differ.
        // HDF5's own lock is off: no other process knows the temporary name, and HDF5 would refuse
        // a file system without locks, such as NFS without its lock service.
        let created = hdf5::File::with_options()
            .with_fapl(|access| access.libver_earliest().file_locking(false))
            .create(unfinished);
        let root = self.hdf5("the file", created)?;
        let CacheHeader { split, sensor, .. } = *self.header;
        for (name, value) in [
            (attr::FORMAT, FORMAT),
            (attr::DATASET, self.header.dataset()),
            (attr::SPLIT_BY, split.split_by().name()),
            (attr::CREATED_BY, &self.header.created_by),
            (attr::SOURCE_SHA256, &self.header.source_sha256),
        ] {
            self.text(&root, name, value)?;
        }
        for (name, value) in [
            (attr::FORMAT_VERSION, FORMAT_VERSION),
            (attr::FRAMES, split.frames()),
            (attr::HEIGHT, sensor.height),
            (attr::WIDTH, sensor.width),
            (attr::POLARITIES, POLARITIES),
            (attr::KEEP_INVALID, u32::from(self.header.keep_invalid)),
        ] {
            self.attribute(&root, name, &value)?;
        }
        self.attribute(&root, attr::DURATION_US, &split.duration_us())?;
        if let Some(outside) = &self.header.events_outside {
            self.attribute(&root, attr::EVENTS_OUTSIDE, outside)?;
        }
        if self.header.sensor_given {
            self.attribute(&root, attr::SENSOR_GIVEN, &1u32)?;
        }
        if let Some(layout) = self.header.layout {
            self.text(&root, attr::ADDRESS_LAYOUT, layout.name())?;
        }
        if let Some(stream) = &self.header.stream {
            self.attribute(&root, attr::STREAM, stream)?;
        }
        if let Some(split) = self.header.test_split {
            self.text(&root, attr::TEST_SHARE, &split.share().to_string())?;
            if let Some(seed) = split.seed {
                self.attribute(&root, attr::SPLIT_SEED, &seed)?;
            }
        }
        if !self.header.skipped.is_empty() {
            let names = self.fixed(attr::SKIPPED, &self.header.skipped)?;
            let written = root
                .new_attr::<FixedUnicode<NAME_BYTES>>()
                .shape([names.len()])
                .create(attr::SKIPPED)
                .and_then(|a| a.write_raw(&names));
            self.hdf5(attr::SKIPPED, written)?;
        }
        if let Some(input_sha256) = &self.header.input_sha256 {
            self.text(&root, attr::INPUT_SHA256, input_sha256)?;
        }
        self.attribute(&root, attr::HEADER_CRC32, &self.header.crc32())?;
        self.names(&root, dataset::LABEL_NAMES, &self.header.label_names)?;
        let counts = sets
            .iter()
            .flatten()
            .flat_map(|sample| &sample.chunks)
            .map(|chunk| chunk.counts)
            .max()
            .unwrap_or(CountType::U8);
        for (set, samples) in Set::ALL.into_iter().zip(sets) {
            let group = self.hdf5(set.name(), root.create_group(set.name()))?;
            self.set(&group, samples, counts)?;
        }
        self.attribute(&root, attr::COMPLETE, &1u32)?;
        self.hdf5("the file", root.close())
    }

    fn text(&self, root: &Group, name: &str, value: &str) -> Result<(), WriteError> {
        let text = VarLenUnicode::from_str(value).map_err(|e| e.to_string().into());
        self.attribute(root, name, &self.hdf5(name, text)?)
    }

    fn attribute<T: H5Type>(&self, root: &Group, name: &str, value: &T) -> Result<(), WriteError> {
        let written = root
            .new_attr::<T>()
            .create(name)
            .and_then(|a| a.write_scalar(value));
        self.hdf5(name, written)
    }

    fn column<T: H5Type>(&self, group: &Group, name: &str, values: &[T]) -> Result<(), WriteError> {
        let written = group
            .new_dataset::<T>()
            .obj_track_times(false)
            .shape([values.len()])
            .create(name)
            .and_then(|d| {
                if values.is_empty() {
                    Ok(())
                } else {
                    d.write_raw(values)
                }
            });
        self.hdf5(name, written)
    }

    fn set(
        &self,
        group: &Group,
        samples: &[StagedSample],
        counts: CountType,
    ) -> Result<(), WriteError> {
        let mut rows = SetRows {
            checksums: self.frames(group, samples, counts)?,
            ..SetRows::default()
        };
        for sample in samples {
            rows.names.push(sample.name.clone());
            rows.labels.push(sample.window.label);
            rows.events.push(sample.events);
            rows.start_us.push(sample.window.start_us);
            rows.end_us.push(sample.window.end_us);
        }
        if self.header.split.frames() == 0 {
            let mut end = 0;
            rows.offsets.push(end);
            rows.offsets.extend(samples.iter().map(|s| {
                end += s.chunks.len() as u64;
                end
            }));
            self.column(group, dataset::OFFSETS, &rows.offsets)?;
        }
        self.column(group, dataset::CHECKSUMS, &rows.checksums)?;
        self.column(group, dataset::LABELS, &rows.labels)?;
        self.names(group, dataset::NAMES, &rows.names)?;
        self.column(group, dataset::EVENTS, &rows.events)?;
        self.column(group, dataset::START_US, &rows.start_us)?;
        self.column(group, dataset::END_US, &rows.end_us)?;
        self.attribute(group, ROWS_CRC32, &rows.crc32())
    }

    fn names(
        &self,
        group: &Group,
        name: &str,
        values: &[impl AsRef<str>],
    ) -> Result<(), WriteError> {
        let values = self.fixed(name, values)?;
        self.column(group, name, &values)
    }

    /// Converts names to the cache's fixed-length type.
    fn fixed(
        &self,
        key: &str,
        values: &[impl AsRef<str>],
    ) -> Result<Vec<FixedUnicode<NAME_BYTES>>, WriteError> {
        let values: Result<_, _> = values
            .iter()
            .map(|v| FixedUnicode::from_str(v.as_ref()))
            .collect();
        self.hdf5(key, values.map_err(|e| e.to_string().into()))
    }

    /// Writes the frames of all samples and returns the checksum of each.
    fn frames(
        &self,
        group: &Group,
        samples: &[StagedSample],
        counts: CountType,
    ) -> Result<Vec<u32>, WriteError> {
        let chunks: Vec<&StagedChunk> = samples.iter().flat_map(|s| &s.chunks).collect();
        let data = self.create_frames(group, samples.len(), chunks.len(), counts)?;
        let mut checksums = Vec::with_capacity(chunks.len());
        for (block, chunks) in chunks.chunks(AHEAD).enumerate() {
            let encoded: Vec<_> = chunks
                .par_iter()
                .map_init(ChunkCodec::default, |codec, chunk| {
                    self.encoded(codec, chunk, counts)
                })
                .collect::<Result<_, _>>()
                .map_err(|source| WriteError::Io {
                    path: self.path.to_owned(),
                    source,
                })?;
            for (i, (bytes, checksum)) in encoded.into_iter().enumerate() {
                checksums.push(checksum);
                let written = write_chunk(&data, block * AHEAD + i, &bytes);
                self.hdf5(dataset::FRAMES, written)?;
            }
        }
        // The checksum of a sample covers all its chunks.
        let mut rest = chunks.iter().zip(checksums);
        Ok(samples
            .iter()
            .map(|sample| {
                let mut whole = crc32fast::Hasher::new();
                for (chunk, checksum) in rest.by_ref().take(sample.chunks.len()) {
                    let bytes = frame_bytes(chunk.frames, self.header.sensor, counts);
                    whole.combine(&crc32fast::Hasher::new_with_initial_len(
                        checksum,
                        bytes as u64,
                    ));
                }
                whole.finalize()
            })
            .collect())
    }

    fn create_frames(
        &self,
        group: &Group,
        samples: usize,
        all_frames: usize,
        counts: CountType,
    ) -> Result<Dataset, WriteError> {
        let (shape, chunk) =
            frames_shape(self.header.split, self.header.sensor, samples, all_frames);
        let builder = match counts {
            CountType::U8 => group.new_dataset::<u8>(),
            CountType::U16 => group.new_dataset::<u16>(),
            CountType::U32 => group.new_dataset::<u32>(),
        };
        let builder = builder.obj_track_times(false);
        // HDF5 does not allow chunks in a dataset of fixed size 0.
        let created = if shape[0] == 0 {
            builder.no_chunk().shape(shape).create(dataset::FRAMES)
        } else {
            let shuffled = match counts {
                CountType::U8 => builder,
                CountType::U16 | CountType::U32 => builder.shuffle(),
            };
            let encoded = shuffled.deflate(ChunkCodec::LEVEL).chunk(chunk);
            encoded.shape(shape).create(dataset::FRAMES)
        };
        self.hdf5(dataset::FRAMES, created)
    }

    /// The encoded bytes and the checksum of a chunk, with its counts widened to type `counts`.
    fn encoded(
        &self,
        codec: &mut ChunkCodec,
        chunk: &StagedChunk,
        counts: CountType,
    ) -> io::Result<(Vec<u8>, u32)> {
        let bytes = self.staging.get(chunk)?;
        if chunk.counts == counts {
            return Ok((bytes, chunk.checksum));
        }
        let mut raw = vec![0; frame_bytes(chunk.frames, self.header.sensor, chunk.counts)];
        codec
            .decode(&bytes, chunk.counts, &mut raw)
            .map_err(io::Error::other)?;
        let raw = chunk.counts.widen(&raw, counts);
        Ok((codec.encode(&raw, counts), crc32fast::hash(&raw)))
    }
}

/// The system's error message, without the places, times and addresses that HDF5 adds.
fn system_reason(error: &hdf5::Error) -> String {
    let all = error.to_string();
    let system = all
        .split_once("error message = '")
        .and_then(|(_, rest)| rest.split_once('\''));
    match system {
        Some((reason, _)) => reason.to_owned(),
        None => format!("{all}; the usual reason is a full disk"),
    }
}

/// Writes the encoded chunk of row `row`.
fn write_chunk(data: &Dataset, row: usize, bytes: &[u8]) -> hdf5::Result<()> {
    let mut offset = vec![0u64; data.ndim()];
    offset[0] = row as u64;
    let _library = hdf5_metno_sys::LOCK.lock();
    // SAFETY: the library's lock is held, the dataset's handle is open, `offset` has one element
    // for each dimension and `bytes` has the length that is passed. HDF5 copies both and keeps no
    // pointer.
    let status = unsafe {
        H5Dwrite_chunk(
            data.id(),
            H5P_DEFAULT,
            0,
            offset.as_ptr(),
            bytes.len(),
            bytes.as_ptr().cast(),
        )
    };
    if status < 0 {
        return Err(hdf5::Error::query().unwrap_or_else(|none| none));
    }
    Ok(())
}
