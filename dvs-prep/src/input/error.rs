//! Problems with the input. A run collects all of its problems and reports them together.

use std::io;
use std::path::PathBuf;

use dvs_shared::archive::ArchiveError;
use dvs_shared::formats::FormatError;
use dvs_shared::samples::{ListError, MAX_OVERLAP, MAX_SAMPLE_NAME_BYTES};
use dvs_shared::words::counted;
use dvs_shared::{SensorSize, Set};
use thiserror::Error;

/// A problem, and the recording or sample that it concerns, if there is one.
pub type RecordingProblem = (Option<String>, InputProblem);

/// A problem that prevents the cache from being made.
#[derive(Debug, Error)]
pub enum InputProblem {
    /// The rest of the container cannot be read.
    #[error("{}", with_cause(.0))]
    Archive(#[from] ArchiveError),
    /// A recording or a sample violates its format or does not fit the sensor.
    #[error("{file}: {reason}")]
    Format {
        file: String,
        /// Position and cause.
        reason: FormatError,
    },
    /// Recordings or samples come from sensors of different sizes.
    #[error(
        "{file} has {found} pixels, and {first} has {expected}; --sensor says which they are to have"
    )]
    Sensors {
        file: String,
        found: SensorSize,
        /// The first recording or sample in the order of the cache.
        first: String,
        expected: SensorSize,
    },
    /// The sensor is so large that the frames of a sample take too much memory.
    #[error(
        "{file}: {frames} frames of {sensor} pixels take {bytes} bytes at work, beyond the limit of {limit}: choose fewer \
         --frames, or raise --memory"
    )]
    FramesTooLarge {
        file: String,
        /// T.
        frames: u32,
        sensor: SensorSize,
        bytes: u64,
        /// Limit in bytes.
        limit: u64,
    },
    /// A file is where samples are expected, but its folder does not name a label.
    #[error("{file} lies where samples do, but its folders name no label from 0 to 255")]
    Stray {
        /// Path of the file.
        file: String,
    },
    /// The label of a sample is not one of the classes.
    #[error("{file}: label {label} is unknown; labels run from 0 to {}, as there are {classes} classes; --classes names others", .classes - 1)]
    Label {
        file: String,
        label: u8,
        /// Number of classes.
        classes: usize,
    },
    /// The name of a sample is too long for the cache.
    #[error("{file}: its name has {bytes} bytes, beyond the limit of {MAX_SAMPLE_NAME_BYTES}")]
    SampleName {
        file: String,
        /// Length of the name in bytes.
        bytes: usize,
    },
    /// The input has both recordings with trial lists and samples in folders.
    #[error(
        "it holds {samples} samples in folders of their own and recordings too, {recordings} among them; name the folder \
         or archive of one of both"
    )]
    Mixed {
        /// Number of samples in folders.
        samples: usize,
        /// One of the recordings or trial lists.
        recordings: String,
    },
    /// A set has no samples.
    #[error("it holds no samples of the set `{}`", .set.name())]
    NoSamples {
        /// The empty set.
        set: Set,
    },
    /// The input has ready frames, but events are needed.
    #[error(
        "{file} holds ready frames, and of what events they were made cannot be told from them"
    )]
    NoEvents {
        /// Name of the sample's file.
        file: String,
    },
    /// The input has ready frames, but it is unknown how they were made.
    #[error(
        "{file} holds ready frames; say how they were made, with --frames and --split or --duration"
    )]
    ReadyFrames {
        /// Name of the sample's file.
        file: String,
    },
    /// A label file or trial list has an impossible value.
    #[error("{file}: {reason}")]
    List {
        file: String,
        /// Position and cause.
        reason: ListError,
    },
    /// A member is too large.
    #[error("{file} has {size} bytes, beyond the limit of {limit}{remedy}")]
    TooLarge {
        file: String,
        /// Size in bytes.
        size: u64,
        /// Limit in bytes.
        limit: u64,
        /// Advice to the user, or empty.
        remedy: &'static str,
    },
    /// Two members have the same name.
    #[error("the archive contains {file} twice")]
    Doubled {
        /// Name of the second member.
        file: String,
    },
    /// The archive has no such trial list.
    #[error("{file} is missing")]
    ListMissing {
        /// Name of the list.
        file: String,
    },
    /// The archive lacks a listed recording.
    #[error("{recording}.aedat is missing; {list} lists it{}", unlisted_hint(.unlisted))]
    RecordingMissing {
        recording: String,
        /// The list that names the recording.
        list: String,
        /// Recordings that no list names: the missing one may be among them under a wrong name.
        unlisted: String,
    },
    /// A listed recording has no label file.
    #[error("{recording}_labels.csv is missing; {file} is there")]
    LabelsMissing {
        recording: String,
        /// File name of the recording.
        file: String,
    },
    /// A member cannot be read, although its container can.
    #[error("{file} cannot be read: {reason}")]
    Unreadable {
        /// Name of the member, or its path in a folder.
        file: String,
        reason: io::Error,
    },
    /// The container is damaged after this recording, and the damage may have begun in it.
    #[error("{file} was read whole, but comes right before the damage, which may have begun in it")]
    BeforeDamage {
        /// File name of the recording.
        file: String,
    },
    /// The container is damaged before the end of the recording or of its labels.
    #[error("{files} was not read whole: the archive is damaged before its end")]
    NotReached {
        /// The recording's file and its label file, or the sample's file.
        files: String,
    },
    /// No recording is left for a cache.
    #[error("none of the {listed} listed recordings is whole")]
    NothingWhole {
        /// Number of recordings in the lists.
        listed: usize,
    },
    /// No sample has any events.
    #[error("{}", match .first {
        None => "no label file names a sample".to_owned(),
        Some(first) => format!("none of the {} has an event. The first: {first}", counted(*.samples as u64, "sample")),
    })]
    NoEventsAtAll {
        /// Number of samples.
        samples: usize,
        /// Why the first sample has no events.
        first: Option<String>,
    },
    /// More recordings are damaged than a cache can list.
    #[error("{damaged} recordings are damaged, beyond the {limit} that --skip-damaged leaves out")]
    TooManyDamaged {
        /// Number of damaged recordings.
        damaged: usize,
        limit: usize,
    },
    /// Both trial lists name a recording.
    #[error("{recording} is listed for training and for testing")]
    InBothSets {
        /// Name of the recording.
        recording: String,
    },
    /// The windows of a recording overlap so much that they repeat the same events too often.
    #[error(
        "{recording}_labels.csv: its windows hold {events} events in all, beyond the limit of {limit}, which is \
         {MAX_OVERLAP} times what {recording}.aedat has"
    )]
    Overlap {
        recording: String,
        /// Events in all its windows together.
        events: u64,
        limit: u64,
    },
    /// The frame duration gives a sample too many frames.
    #[error(
        "sample {sample} spans {frames} frames of {us} us, beyond the limit of {limit}: choose a longer --duration"
    )]
    TooManyFrames {
        sample: String,
        frames: i64,
        /// Duration of a frame in microseconds.
        us: u64,
        limit: i64,
    },
    /// A sample has so many events in one cell, and so many frames, that they take too much memory.
    #[error(
        "sample {sample} has more than 255 events in a cell of a frame, so that its {frames} frames take {bytes} bytes, \
         beyond the limit of {limit}: choose fewer --frames, or raise --memory"
    )]
    TooWide {
        sample: String,
        /// T.
        frames: usize,
        bytes: usize,
        /// Limit in bytes.
        limit: usize,
    },
    /// A staging, spill or exported file cannot be read or written.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// "read" or "write".
        action: &'static str,
        path: PathBuf,
        reason: io::Error,
    },
}

impl InputProblem {
    /// Whether `--skip-damaged` leaves this problem out: damage to one recording or its labels, or
    /// to the container after the part that was read. The other problems come from the options or
    /// the machine, or make the whole input unusable.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Archive(error) => error.keeps_earlier_data_valid(),
            Self::Format { .. }
            | Self::Stray { .. }
            | Self::Label { .. }
            | Self::SampleName { .. }
            | Self::List { .. }
            | Self::Doubled { .. }
            | Self::RecordingMissing { .. }
            | Self::LabelsMissing { .. }
            | Self::Overlap { .. }
            | Self::Unreadable { .. }
            | Self::BeforeDamage { .. }
            | Self::NotReached { .. } => true,
            Self::TooLarge { remedy, .. } => remedy.is_empty(),
            Self::ListMissing { .. }
            | Self::InBothSets { .. }
            | Self::Sensors { .. }
            | Self::FramesTooLarge { .. }
            | Self::Mixed { .. }
            | Self::NoSamples { .. }
            | Self::ReadyFrames { .. }
            | Self::NoEvents { .. }
            | Self::TooManyFrames { .. }
            | Self::TooWide { .. }
            | Self::NothingWhole { .. }
            | Self::NoEventsAtAll { .. }
            | Self::TooManyDamaged { .. }
            | Self::Io { .. } => false,
        }
    }
}

fn unlisted_hint(unlisted: &str) -> String {
    match unlisted {
        "" => String::new(),
        names => format!(". Is it one of those that no list names? {names}"),
    }
}

fn with_cause(error: &ArchiveError) -> String {
    match error {
        ArchiveError::Read { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

/// Maximum number of problems that are printed. For the rest, only their number is printed.
const SHOWN: usize = 1000;

/// All problems of a run, at least one.
#[derive(Debug)]
pub struct InputProblems(pub Vec<InputProblem>);

impl std::error::Error for InputProblems {}

impl std::fmt::Display for InputProblems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let [problem] = self.0.as_slice() {
            return write!(f, "{problem}");
        }
        write!(f, "{} problems with the input:", self.0.len())?;
        self.0
            .iter()
            .take(SHOWN)
            .try_for_each(|problem| write!(f, "\n  - {problem}"))?;
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  - and {more} more"),
        }
    }
}

impl From<InputProblem> for InputProblems {
    fn from(problem: InputProblem) -> Self {
        Self(vec![problem])
    }
}
