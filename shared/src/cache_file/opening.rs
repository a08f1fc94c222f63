//! Checks a cache when it is opened: attributes, columns and chunk positions.

use std::path::Path;

use hdf5::filters::Filter;
use hdf5::plist::dataset_create::Layout;
use hdf5::types::{FixedUnicode, IntSize, TypeDescriptor, VarLenUnicode};
use hdf5::{Container, Dataset, Group, H5Type, LinkType};

use super::{CacheError, CacheSet, Chunk, Sample};
use crate::cache_format::{
    CacheHeader, CountType, FORMAT, FORMAT_VERSION, MAX_CHUNK_BYTES, MAX_CLASSES, MAX_SKIPPED,
    NAME_BYTES, ROWS_CRC32, Set, SetRows, attr, dataset, frame_bytes, frames_shape,
};
use crate::event::{MAX_PIXELS, POLARITIES, SensorSize};
use crate::split_mode::SplitMode;
use crate::test_split::TestSplit;

/// Maximum number of samples or frames in a set; a larger number means a damaged or hostile file.
const MAX_ROWS: usize = 1 << 26;

/// Maximum number of members in a group. Other writers of the format may add some.
const MAX_LINKS: u64 = 64;

/// Reads the parts of a cache that is being opened.
pub(super) struct Reader<'a> {
    pub path: &'a Path,
    pub length: u64,
}

impl Reader<'_> {
    pub(super) fn damaged(&self, key: impl Into<String>, reason: impl Into<String>) -> CacheError {
        CacheError::Damaged {
            path: self.path.to_owned(),
            key: key.into(),
            reason: reason.into(),
        }
    }

    /// Refuses groups with links as members: a link may lead to another file, a pipe, or back to
    /// itself.
    pub(super) fn check_links(&self, group: &Group, key: &str) -> Result<(), CacheError> {
        if group.len() > MAX_LINKS {
            let reason = format!(
                "it has {} members, beyond the limit of {MAX_LINKS}",
                group.len()
            );
            return Err(self.damaged(key, reason));
        }
        let mut link = None;
        group
            .iter_visit_default(|name, info| {
                if info.link_type != LinkType::Hard {
                    link = Some(format!("its member {name:?} is a link"));
                }
                Ok(())
            })
            .map_err(|e| self.damaged(key, e.to_string()))?;
        link.map_or(Ok(()), |reason| Err(self.damaged(key, reason)))
    }

    fn number<T: H5Type>(&self, root: &Group, name: &str) -> Result<T, CacheError> {
        root.attr(name)
            .and_then(|a| match a.size() {
                1 => a.read_scalar(),
                n => Err(format!("it has {n} values, not one").into()),
            })
            .map_err(|e| self.damaged(format!("attribute `{name}`"), e.to_string()))
    }

    /// An attribute that other writers of the format may omit.
    fn optional<T: H5Type>(&self, group: &Group, name: &str) -> Result<Option<T>, CacheError> {
        match group.attr(name) {
            Ok(_) => self.number(group, name).map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Compares a CRC-32 with the attribute that stores it, if there is one.
    fn check_crc32(
        &self,
        group: &Group,
        name: &str,
        key: &str,
        found: u32,
    ) -> Result<(), CacheError> {
        match self.optional::<u32>(group, name)? {
            Some(said) if said != found => Err(self.damaged(
                key,
                format!("CRC-32 is {found:08x}, attribute `{name}` says {said:08x}"),
            )),
            _ => Ok(()),
        }
    }

    fn text(&self, root: &Group, name: &str) -> Result<String, CacheError> {
        let damaged = |reason: String| self.damaged(format!("attribute `{name}`"), reason);
        let text = root
            .attr(name)
            .and_then(|a| match a.size() {
                1 => a.read_scalar::<VarLenUnicode>(),
                n => Err(format!("it has {n} values, not one").into()),
            })
            .map_err(|e| damaged(e.to_string()))?;
        // The library does not validate the bytes.
        String::from_utf8(text.as_bytes().to_vec()).map_err(|e| damaged(e.to_string()))
    }

    pub(super) fn header(&self, root: &Group) -> Result<CacheHeader, CacheError> {
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
        let whole =
            SensorSize::checked(sensor.width, sensor.height).filter(|_| polarities == POLARITIES);
        let widest = whole.map(|s| frame_bytes(split.frames().max(1) as usize, s, CountType::U32));
        if widest.is_none_or(|bytes| bytes > MAX_CHUNK_BYTES) {
            return Err(self.damaged(
                "attributes `polarities`, `height`, `width`, `frames`",
                format!(
                    "{polarities} x {} x {} and {} frames; there are {POLARITIES} polarities, at most {MAX_PIXELS} pixels each way, \
                     and the frames of a chunk take at most {MAX_CHUNK_BYTES} bytes",
                    sensor.height, sensor.width, split.frames()
                ),
            ));
        }
        let keep_invalid = self.optional::<u32>(root, attr::KEEP_INVALID)?.unwrap_or(0);
        if keep_invalid > 1 {
            return Err(self.damaged(
                "attribute `keep_invalid`",
                format!("it is {keep_invalid}, not 0 or 1"),
            ));
        }
        let layout = match root.attr(attr::ADDRESS_LAYOUT) {
            Ok(_) => {
                let text = self.text(root, attr::ADDRESS_LAYOUT)?;
                let layout = text.parse();
                Some(layout.map_err(|e: String| self.damaged("attribute `address_layout`", e))?)
            }
            Err(_) => None,
        };
        let seed = self.optional(root, attr::SPLIT_SEED)?;
        let test_split = match root.attr(attr::TEST_SHARE) {
            Ok(_) => {
                let share = self.text(root, attr::TEST_SHARE)?.parse();
                let share = share.map_err(|e: String| self.damaged("attribute `test_share`", e))?;
                Some(TestSplit::new(share, seed))
            }
            Err(_) if seed.is_some() => {
                let reason = "there is no attribute `test_share`";
                return Err(self.damaged("attribute `split_seed`", reason));
            }
            Err(_) => None,
        };
        let label_names = self.label_names(root)?;
        let header = CacheHeader {
            split,
            sensor,
            keep_invalid: keep_invalid == 1,
            sensor_given: self.optional::<u32>(root, attr::SENSOR_GIVEN)? == Some(1),
            events_outside: self.optional(root, attr::EVENTS_OUTSIDE)?,
            layout,
            stream: self.optional(root, attr::STREAM)?,
            test_split,
            created_by: self.text(root, attr::CREATED_BY)?,
            source_sha256: self.sha256(root, attr::SOURCE_SHA256)?,
            input_sha256: match root.attr(attr::INPUT_SHA256) {
                Ok(_) => Some(self.sha256(root, attr::INPUT_SHA256)?),
                Err(_) => None,
            },
            skipped: self.skipped(root)?,
            label_names,
        };
        let dataset = self.text(root, attr::DATASET)?;
        if dataset != header.dataset() {
            let expected = header.dataset();
            let reason = format!("it is {dataset:?}, not {expected:?}, as /label_names says");
            return Err(self.damaged("attribute `dataset`", reason));
        }
        self.check_crc32(
            root,
            attr::HEADER_CRC32,
            "the root attributes",
            header.crc32(),
        )?;
        Ok(header)
    }

    fn label_names(&self, root: &Group) -> Result<Vec<String>, CacheError> {
        let key = "/label_names";
        let classes = self.open_dataset(root, "", dataset::LABEL_NAMES)?.size();
        if !(1..=MAX_CLASSES).contains(&classes) {
            let reason =
                format!("it has {classes} names; there are from 1 to {MAX_CLASSES} classes");
            return Err(self.damaged(key, reason));
        }
        let names = self.names(root, "", dataset::LABEL_NAMES, classes)?;
        if let Some(k) = names
            .iter()
            .position(|n| n.is_empty() || n.chars().any(char::is_control))
        {
            let reason = format!("{:?} is not the name of a class", names[k]);
            return Err(self.damaged(format!("{key}, row {k}"), reason));
        }
        Ok(names)
    }

    fn sha256(&self, root: &Group, name: &str) -> Result<String, CacheError> {
        let text = self.text(root, name)?;
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(text);
        }
        let reason = format!("{text:?} is not 64 hexadecimal digits");
        Err(self.damaged(format!("attribute `{name}`"), reason))
    }

    /// Names of the skipped recordings.
    fn skipped(&self, root: &Group) -> Result<Vec<String>, CacheError> {
        let Ok(attribute) = root.attr(attr::SKIPPED) else {
            return Ok(Vec::new());
        };
        let key = format!("attribute `{}`", attr::SKIPPED);
        let shape = attribute.shape();
        match shape.as_slice() {
            [1..=MAX_SKIPPED] => self.fixed_names(&attribute, &key),
            _ => Err(self.damaged(
                key,
                format!("its shape is {shape:?}, not [N] with N from 1 to {MAX_SKIPPED}"),
            )),
        }
    }

    fn open_dataset(&self, group: &Group, prefix: &str, name: &str) -> Result<Dataset, CacheError> {
        group
            .dataset(name)
            .map_err(|e| self.damaged(format!("{prefix}/{name}"), e.to_string()))
    }

    /// Length of a one-dimensional dataset, checked before that much is allocated.
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

    /// A column of names. They have a fixed length, because the HDF5 library crashes on a damaged
    /// heap of variable-length names.
    fn names(
        &self,
        group: &Group,
        prefix: &str,
        name: &str,
        expected: usize,
    ) -> Result<Vec<String>, CacheError> {
        let key = format!("{prefix}/{name}");
        let data = self.open_dataset(group, prefix, name)?;
        self.rows(&data, &key, Some(expected))?;
        self.check_contiguous_storage(&data, &key, NAME_BYTES)?;
        self.fixed_names(&data, &key)
    }

    /// Names of at most [`NAME_BYTES`] each.
    fn fixed_names(&self, data: &Container, key: &str) -> Result<Vec<String>, CacheError> {
        match data.dtype().and_then(|t| t.to_descriptor()) {
            Ok(TypeDescriptor::FixedUnicode(bytes)) if bytes <= NAME_BYTES => {}
            other => {
                let reason =
                    format!("its type is {other:?}, not UTF-8 text of at most {NAME_BYTES} bytes");
                return Err(self.damaged(key, reason));
            }
        }
        let values: Vec<FixedUnicode<NAME_BYTES>> = data
            .read_raw()
            .map_err(|e| self.damaged(key, e.to_string()))?;
        values
            .iter()
            .enumerate()
            .map(|(row, name)| {
                String::from_utf8(name.as_bytes().to_vec())
                    .map_err(|e| self.damaged(format!("{key}, row {row}"), e.to_string()))
            })
            .collect()
    }

    /// Checks that a column of values of `width` bytes is stored contiguously and uncompressed in
    /// the file, and needs no more memory than the file has bytes. Chunks could use any filter and
    /// inflate to any size, and external storage could be any other file.
    fn check_contiguous_storage(
        &self,
        data: &Dataset,
        key: &str,
        width: usize,
    ) -> Result<(), CacheError> {
        if data.size() == 0 {
            return Ok(());
        }
        let layout = data.layout();
        if !matches!(layout, Layout::Compact | Layout::Contiguous) || !self.is_own(data) {
            let reason = format!("it is stored as {layout:?}, not in one piece in this file");
            return Err(self.damaged(key, reason));
        }
        let needed = (data.size() as u64).saturating_mul(width as u64);
        if needed > self.length {
            let reason = format!(
                "its {} rows take {needed} bytes, and the file has {}",
                data.size(),
                self.length
            );
            return Err(self.damaged(key, reason));
        }
        Ok(())
    }

    /// Whether a dataset's bytes are in the file itself.
    fn is_own(&self, data: &Dataset) -> bool {
        data.dcpl().is_ok_and(|list| list.external().is_empty())
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
        self.check_contiguous_storage(&data, &key, size_of::<T>())?;
        data.read_raw()
            .map_err(|e| self.damaged(&key, e.to_string()))
    }

    pub(super) fn set(
        &self,
        root: &Group,
        set: Set,
        header: &CacheHeader,
    ) -> Result<CacheSet, CacheError> {
        let prefix = format!("/{}", set.name());
        let group = root
            .group(set.name())
            .map_err(|e| self.damaged(&prefix, e.to_string()))?;
        self.check_links(&group, &prefix)?;
        let labels: Vec<u8> = self.column(&group, &prefix, dataset::LABELS, None)?;
        let samples = labels.len();
        let n = Some(samples);
        let rows = SetRows {
            names: self.names(&group, &prefix, dataset::NAMES, samples)?,
            events: self.column(&group, &prefix, dataset::EVENTS, n)?,
            start_us: self.column(&group, &prefix, dataset::START_US, n)?,
            end_us: self.column(&group, &prefix, dataset::END_US, n)?,
            checksums: self.column(&group, &prefix, dataset::CHECKSUMS, n)?,
            offsets: match header.split {
                SplitMode::Duration { .. } => self.offsets(&group, &prefix, samples)?,
                _ => Vec::new(),
            },
            labels,
        };
        self.check_crc32(&group, ROWS_CRC32, &prefix, rows.crc32())?;
        let classes = header.label_names.len();
        if let Some(row) = rows.labels.iter().position(|&l| usize::from(l) >= classes) {
            return Err(self.damaged(
                format!("{prefix}/labels, row {row}"),
                format!("label {} is beyond {}", rows.labels[row], classes - 1),
            ));
        }
        let all_frames = rows.offsets.last().map_or(0, |&o| o as usize);
        let (counts, chunks) = self.chunks(&group, &prefix, header, samples, all_frames)?;
        let samples = rows
            .names
            .into_iter()
            .enumerate()
            .map(|(i, name)| {
                let chunks = match rows.offsets.get(i..i + 2) {
                    Some(ends) => ends[0] as usize..ends[1] as usize,
                    None => i..i + 1,
                };
                Sample {
                    name,
                    label: rows.labels[i],
                    events: rows.events[i],
                    start_us: rows.start_us[i],
                    end_us: rows.end_us[i],
                    checksum: rows.checksums[i],
                    frames: match header.split {
                        SplitMode::Duration { .. } => chunks.len(),
                        split => split.frames() as usize,
                    },
                    chunks,
                }
            })
            .collect();
        Ok(CacheSet {
            samples,
            counts,
            chunks,
        })
    }

    fn offsets(&self, group: &Group, prefix: &str, samples: usize) -> Result<Vec<u64>, CacheError> {
        let offsets: Vec<u64> = self.column(group, prefix, dataset::OFFSETS, Some(samples + 1))?;
        let increasing = offsets.windows(2).all(|w| w[0] < w[1]);
        let last = offsets.last().copied().unwrap_or(0);
        if offsets.first() != Some(&0) || !increasing || last > MAX_ROWS as u64 {
            return Err(self.damaged(
                format!("{prefix}/offsets"),
                format!("the rows do not increase from 0 to at most {MAX_ROWS}"),
            ));
        }
        Ok(offsets)
    }

    /// The type of the counts and the position of every chunk, in row order.
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
