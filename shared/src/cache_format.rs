//! The format of the HDF5 frame cache: names, types and the encoding of chunks.
//!
//! The root attributes are listed in [`attr`]. The groups `/train` and `/test` each have the
//! datasets of [`dataset`]; `/label_names` is in the root group. Frames are counts of events per
//! `[polarity, y, x]`, stored in the smallest of u8, u16 and u32 that holds every count of the
//! cache.

use thiserror::Error;
use zlib_rs::{DeflateConfig, InflateConfig, ReturnCode, Strategy};

use crate::event::{POLARITIES, SensorSize};
use crate::formats::AddressLayout;
use crate::labels::is_gestures;
use crate::split_mode::SplitMode;
use crate::test_split::TestSplit;

/// Value of the attribute `format`.
pub const FORMAT: &str = "dvs-frame-cache";
/// Value of the attribute `format_version`.
pub const FORMAT_VERSION: u32 = 1;
/// Value of the attribute `dataset` if the classes are the eleven gestures.
pub const DATASET: &str = "DVS128Gesture";
/// Value of the attribute `dataset` for other classes.
pub const OTHER_DATASET: &str = "other";

/// The first bytes of an HDF5 file.
pub const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Names of the root attributes.
pub mod attr {

    pub const FORMAT: &str = "format";
    pub const FORMAT_VERSION: &str = "format_version";
    pub const DATASET: &str = "dataset";
    pub const SPLIT_BY: &str = "split_by";
    pub const FRAMES: &str = "frames";
    pub const DURATION_US: &str = "duration_us";
    pub const HEIGHT: &str = "height";
    pub const WIDTH: &str = "width";
    pub const POLARITIES: &str = "polarities";
    /// 1 if events with a clear valid bit were also counted.
    pub const KEEP_INVALID: &str = "keep_invalid";
    /// Number of omitted events outside the sensor; absent if such events were an error.
    pub const EVENTS_OUTSIDE: &str = "events_outside";
    /// 1 if the user specified the sensor size; otherwise absent.
    pub const SENSOR_GIVEN: &str = "sensor_said";
    /// How AEDAT 2's addresses were read, if the user specified it; otherwise absent.
    pub const ADDRESS_LAYOUT: &str = "address_layout";
    /// The event stream or camera that was read of each recording, if the user specified it;
    /// otherwise absent.
    pub const STREAM: &str = "stream";
    /// The share of each class in the test set, as text such as "0.1", if an option divided the
    /// samples into sets; otherwise absent.
    pub const TEST_SHARE: &str = "test_share";
    /// The seed with which the test samples were chosen; absent if their names decided.
    pub const SPLIT_SEED: &str = "split_seed";
    pub const CREATED_BY: &str = "created_by";
    pub const SOURCE_SHA256: &str = "source_sha256";
    /// Names of the recordings that were skipped because they are damaged, in trial-list order;
    /// absent if there are none.
    pub const SKIPPED: &str = "skipped";
    /// SHA-256 of the whole input, including the recordings in [`SKIPPED`]; absent if none were
    /// skipped or if part of the input could not be read.
    pub const INPUT_SHA256: &str = "input_sha256";
    /// CRC-32 of the other attributes: see [`super::CacheHeader::crc32`].
    pub const HEADER_CRC32: &str = "header_crc32";
    /// 1. It is written last: a cache without it was cut off.
    pub const COMPLETE: &str = "complete";
}

/// Attribute of a set's group: CRC-32 of its rows, see [`SetRows::crc32`].
pub const ROWS_CRC32: &str = "rows_crc32";

/// Bytes of a sample's name in the cache, padded with NUL.
pub const NAME_BYTES: usize = 128;

/// Maximum number of classes: a label is a byte.
pub const MAX_CLASSES: usize = 256;

/// Maximum size in bytes of the frames of a chunk, for any type of counts, because a reader holds
/// them in memory.
pub const MAX_CHUNK_BYTES: usize = 1 << 29;

/// Maximum number of recordings in [`attr::SKIPPED`]: an HDF5 attribute is limited to 64 KiB.
pub const MAX_SKIPPED: usize = 500;

/// Names of the datasets.
pub mod dataset {

    pub const LABEL_NAMES: &str = "label_names";
    pub const FRAMES: &str = "frames";
    pub const OFFSETS: &str = "offsets";
    pub const LABELS: &str = "labels";
    pub const NAMES: &str = "names";
    pub const EVENTS: &str = "events";
    pub const START_US: &str = "start_us";
    pub const END_US: &str = "end_us";
    pub const CHECKSUMS: &str = "checksums";
}

/// The training or the test set, as defined by the trial lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Set {
    /// `trials_to_train.txt`.
    Train,
    /// `trials_to_test.txt`.
    Test,
}

impl Set {
    /// Both sets, in the order in which they are written.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// Name of the set's group.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// The content of the root attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheHeader {
    /// How samples were divided into frames.
    pub split: SplitMode,
    /// Size of the frames.
    pub sensor: SensorSize,
    /// Whether events with a clear valid bit were counted.
    pub keep_invalid: bool,
    /// Number of events omitted because they are outside the sensor; `None` if such events were
    /// refused.
    pub events_outside: Option<u64>,
    /// Whether the user specified the sensor size.
    pub sensor_given: bool,
    /// How AEDAT 2's addresses were read, if the user specified it.
    pub layout: Option<AddressLayout>,
    /// The event stream or camera that was read of a recording, if the user specified it.
    pub stream: Option<i32>,
    /// How samples were divided into sets, if an option did it.
    pub test_split: Option<TestSplit>,
    /// Program and version that wrote the cache.
    pub created_by: String,
    /// SHA-256, in hexadecimal, of the list of the input's files and their SHA-256
    /// (what `sha256sum FILES | LC_ALL=C sort -k2 | sha256sum` prints).
    pub source_sha256: String,
    /// Recordings that were skipped because they are damaged, in trial-list order.
    pub skipped: Vec<String>,
    /// Like `source_sha256`, but including the files of the skipped recordings, so that a repaired
    /// input differs from the damaged one. `None` if none was skipped or something could not be
    /// read.
    pub input_sha256: Option<String>,
    /// Names of the classes by label: the eleven gestures, or others.
    pub label_names: Vec<String>,
}

impl CacheHeader {
    /// Value of the attribute `dataset`.
    pub fn dataset(&self) -> &'static str {
        if is_gestures(&self.label_names) {
            DATASET
        } else {
            OTHER_DATASET
        }
    }

    /// How recordings were read and samples divided into sets, as far as the user specified it: the
    /// attributes `events_outside`, `sensor_given`, `address_layout`, `stream`, `test_share` and
    /// `split_seed` that are present, in the form `stream=1`.
    pub fn reading(&self) -> Vec<String> {
        let said = [
            (
                attr::EVENTS_OUTSIDE,
                self.events_outside.map(|n| n.to_string()),
            ),
            (
                attr::SENSOR_GIVEN,
                self.sensor_given.then(|| "1".to_owned()),
            ),
            (
                attr::ADDRESS_LAYOUT,
                self.layout.map(|l| l.name().to_owned()),
            ),
            (attr::STREAM, self.stream.map(|n| n.to_string())),
            (
                attr::TEST_SHARE,
                self.test_split.map(|split| split.share().to_string()),
            ),
            (
                attr::SPLIT_SEED,
                self.test_split
                    .and_then(|split| split.seed)
                    .map(|seed| seed.to_string()),
            ),
        ];
        let said = said.into_iter();
        said.filter_map(|(name, value)| Some(format!("{name}={}", value?)))
            .collect()
    }

    /// CRC-32 of the attributes as text: `split_by`, `frames`, `duration_us`, `height`, `width`,
    /// `keep_invalid`, `created_by`, `source_sha256`, each name of `skipped`, `input_sha256` if
    /// present and, if they are not the eleven gestures, each of `label_names`, each followed by a
    /// line feed; then each line of [`CacheHeader::reading`] and a line feed.
    pub fn crc32(&self) -> u32 {
        let Self {
            split,
            sensor,
            keep_invalid,
            events_outside: _,
            sensor_given: _,
            layout: _,
            stream: _,
            test_split: _,
            created_by,
            source_sha256,
            skipped,
            input_sha256,
            label_names,
        } = self;
        let mut text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n{created_by}\n{source_sha256}\n",
            split.split_by().name(),
            split.frames(),
            split.duration_us(),
            sensor.height,
            sensor.width,
            u32::from(*keep_invalid),
        );
        let others = label_names.iter().filter(|_| !is_gestures(label_names));
        for line in skipped.iter().chain(input_sha256).chain(others) {
            text.push_str(line);
            text.push('\n');
        }
        for said in self.reading() {
            text.push_str(&said);
            text.push('\n');
        }
        crc32fast::hash(text.as_bytes())
    }
}

/// The columns of a set, with one row per sample.
#[derive(Clone, Debug, Default)]
pub struct SetRows {
    pub names: Vec<String>,
    pub labels: Vec<u8>,
    /// Events in the frames.
    pub events: Vec<u64>,
    /// Starts of the windows in microseconds.
    pub start_us: Vec<i64>,
    /// Ends of the windows in microseconds.
    pub end_us: Vec<i64>,
    /// CRC-32 of the frames.
    pub checksums: Vec<u32>,
    /// Number of frames before each sample and after the last; empty if T is fixed.
    pub offsets: Vec<u64>,
}

impl SetRows {
    /// CRC-32 of the columns in this struct's order: names each followed by NUL, numbers
    /// little-endian.
    pub fn crc32(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for name in &self.names {
            crc.update(name.as_bytes());
            crc.update(&[0]);
        }
        crc.update(&self.labels);
        self.events
            .iter()
            .for_each(|v| crc.update(&v.to_le_bytes()));
        self.start_us
            .iter()
            .for_each(|v| crc.update(&v.to_le_bytes()));
        self.end_us
            .iter()
            .for_each(|v| crc.update(&v.to_le_bytes()));
        self.checksums
            .iter()
            .for_each(|v| crc.update(&v.to_le_bytes()));
        self.offsets
            .iter()
            .for_each(|v| crc.update(&v.to_le_bytes()));
        crc.finalize()
    }
}

/// Type of the counts in a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CountType {
    /// At most 255 events per cell.
    U8,
    /// At most 65,535.
    U16,
    /// At most 4,294,967,295.
    U32,
}

impl CountType {
    /// The smallest type that holds `max`.
    pub fn holding(max: u32) -> Self {
        match max {
            0..=0xff => Self::U8,
            0x100..=0xffff => Self::U16,
            _ => Self::U32,
        }
    }

    /// Bytes of one count.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }

    /// Name as h5py and NumPy print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
        }
    }

    /// Appends `counts` in this type, little-endian.
    ///
    /// Every count must fit: higher bits are lost.
    pub fn write(self, counts: &[u32], out: &mut Vec<u8>) {
        match self {
            Self::U8 => out.extend(counts.iter().map(|&c| c as u8)),
            Self::U16 => out.extend(counts.iter().flat_map(|&c| (c as u16).to_le_bytes())),
            Self::U32 => out.extend(counts.iter().flat_map(|&c| c.to_le_bytes())),
        }
    }

    /// Re-encodes little-endian counts of this type in the wider type `to`.
    pub fn widen(self, raw: &[u8], to: Self) -> Vec<u8> {
        let mut out = Vec::with_capacity(raw.len() / self.bytes() * to.bytes());
        for count in raw.chunks_exact(self.bytes()) {
            out.extend_from_slice(count);
            out.resize(out.len() + to.bytes() - self.bytes(), 0);
        }
        out
    }
}

/// Size in bytes of `frames` frames for `sensor`, with counts of type `counts`.
pub fn frame_bytes(frames: usize, sensor: SensorSize, counts: CountType) -> usize {
    frames * sensor.frame_cells() * counts.bytes()
}

/// Shape of the dataset `frames` and of its chunks.
///
/// With a fixed T, `[samples, T, 2, H, W]` in chunks of one sample; otherwise `[all frames, 2, H,
/// W]` in chunks of one frame.
pub fn frames_shape(
    split: SplitMode,
    sensor: SensorSize,
    samples: usize,
    all_frames: usize,
) -> (Vec<usize>, Vec<usize>) {
    let frame = [
        POLARITIES as usize,
        sensor.height as usize,
        sensor.width as usize,
    ];
    let (mut shape, mut chunk) = match split {
        SplitMode::Number { frames } | SplitMode::Time { frames } => {
            (vec![samples, frames as usize], vec![1, frames as usize])
        }
        SplitMode::Duration { .. } => (vec![all_frames], vec![1]),
    };
    shape.extend(frame);
    chunk.extend(frame);
    (shape, chunk)
}

/// A chunk that does not decode.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ChunkError {
    /// The chunk is not a complete deflate stream.
    #[error("it is not a whole deflate stream ({0})")]
    Deflate(&'static str),
    /// The stream has the wrong length.
    #[error("it inflates to {found} bytes, not {expected}")]
    Length {
        /// Bytes it inflates to.
        found: usize,
        /// Bytes the chunk must have.
        expected: usize,
    },
}

/// Size in bytes above which a chunk is large: see [`ChunkCodec::encode`].
const LARGE_CHUNK: usize = 8 << 20;

/// Encodes and decodes chunks like HDF5's own filters: byte shuffle (for counts of more than a
/// byte), then deflate. It works outside the HDF5 library, whose lock would allow only one thread
/// to work.
///
/// Frames are mostly runs of zeros, so the encoder searches only for runs: this is faster than
/// searching for matches, and the result is smaller than that of zlib's fastest levels. The output
/// depends only on the input, not on the processor, so caches are byte-identical across machines.
#[derive(Default)]
pub struct ChunkCodec {
    shuffled: Vec<u8>,
    deflated: Vec<u8>,
}

impl ChunkCodec {
    /// Deflate level, which is also a parameter of the dataset's filter.
    pub const LEVEL: u8 = 1;

    /// Encodes the raw little-endian counts of one chunk.
    pub fn encode(&mut self, raw: &[u8], counts: CountType) -> Vec<u8> {
        let Self { shuffled, deflated } = self;
        let plain = match counts {
            CountType::U8 => raw,
            _ => {
                shuffle(raw, counts.bytes(), shuffled);
                shuffled
            }
        };
        let config = DeflateConfig {
            strategy: Strategy::Rle,
            ..DeflateConfig::new(Self::LEVEL.into())
        };
        // Nearly all of a large chunk is zeros, so the worst case is not allocated at first.
        let bound = zlib_rs::compress_bound(plain.len());
        let rooms = if plain.len() > LARGE_CHUNK {
            [bound / 4, bound]
        } else {
            [bound, bound]
        };
        for room in rooms {
            deflated.resize(room, 0);
            if let (chunk, ReturnCode::Ok) = zlib_rs::compress_slice(deflated, plain, config) {
                return chunk.to_vec();
            }
        }
        // The call fails only if the buffer is below the library's bound, and it was not.
        Vec::new()
    }

    /// Decodes one chunk into `raw`, which has the chunk's exact size.
    ///
    /// # Errors
    /// Returns an error if the chunk is not a complete deflate stream of that size.
    pub fn decode(
        &mut self,
        chunk: &[u8],
        counts: CountType,
        raw: &mut [u8],
    ) -> Result<(), ChunkError> {
        if counts == CountType::U8 {
            return inflate(chunk, raw);
        }
        self.shuffled.resize(raw.len(), 0);
        inflate(chunk, &mut self.shuffled)?;
        unshuffle(&self.shuffled, counts.bytes(), raw);
        Ok(())
    }
}

fn inflate(chunk: &[u8], plain: &mut [u8]) -> Result<(), ChunkError> {
    let expected = plain.len();
    match zlib_rs::decompress_slice(plain, chunk, InflateConfig::default()) {
        (whole, ReturnCode::Ok) if whole.len() == expected => Ok(()),
        (part, ReturnCode::Ok) => Err(ChunkError::Length {
            found: part.len(),
            expected,
        }),
        (_, code) => Err(ChunkError::Deflate(match code {
            ReturnCode::DataError => "bad data",
            ReturnCode::BufError => "too long or cut off",
            _ => "not inflated",
        })),
    }
}

/// HDF5's shuffle: the first bytes of all values, then the second bytes, and so on.
fn shuffle(raw: &[u8], width: usize, out: &mut Vec<u8>) {
    out.clear();
    for byte in 0..width {
        out.extend(raw.iter().skip(byte).step_by(width));
    }
}

fn unshuffle(shuffled: &[u8], width: usize, raw: &mut [u8]) {
    for (byte, plane) in shuffled.chunks_exact(raw.len() / width).enumerate() {
        for (value, &b) in raw.chunks_exact_mut(width).zip(plane) {
            value[byte] = b;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn chunks_of_every_count_type_round_trip() {
        let mut codec = ChunkCodec::default();
        for (counts, step) in [
            (CountType::U8, 1),
            (CountType::U16, 259),
            (CountType::U32, 65_537 * 3),
        ] {
            let values: Vec<u32> = (0..200).map(|i| i * step).collect();
            let mut raw = Vec::new();
            counts.write(&values, &mut raw);
            let chunk = codec.encode(&raw, counts);
            let mut decoded = vec![0; raw.len()];
            codec.decode(&chunk, counts, &mut decoded).unwrap();
            assert_eq!(raw, decoded);
            assert!(
                codec
                    .decode(&chunk, counts, &mut vec![0; raw.len() + 8])
                    .is_err()
            );
            assert!(
                codec
                    .decode(&chunk[..chunk.len() - 5], counts, &mut decoded)
                    .is_err()
            );
        }
    }

    #[test]
    fn widening_keeps_the_counts() {
        let values = [0, 1, 254, 255];
        let (mut narrow, mut wide) = (Vec::new(), Vec::new());
        CountType::U8.write(&values, &mut narrow);
        CountType::U32.write(&values, &mut wide);
        assert_eq!(CountType::U8.widen(&narrow, CountType::U32), wide);
        assert_eq!(CountType::holding(255), CountType::U8);
        assert_eq!(CountType::holding(256), CountType::U16);
        assert_eq!(CountType::holding(65_536), CountType::U32);
    }
}
