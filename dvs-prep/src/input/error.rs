//! What can go wrong with the input. A run collects all of its problems and reports them together.

use std::io;
use std::path::PathBuf;

use dvs_shared::archive::ArchiveError;
use dvs_shared::formats::FormatError;
use dvs_shared::samples::{ListError, MAX_OVERLAP, MAX_SAMPLE_NAME_BYTES};
use dvs_shared::words::counted;
use dvs_shared::{SensorSize, Set};
use thiserror::Error;

/// A problem, and the recording or sample it is of if it is of one.
pub type Shortcoming = (Option<String>, Problem);

/// One thing that keeps the cache from being made.
#[derive(Debug, Error)]
pub enum Problem {
    /// The container cannot be read on.
    #[error("{}", with_cause(.0))]
    Archive(#[from] ArchiveError),
    /// A recording or a sample departs from its format or the sensor.
    #[error("{file}: {reason}")]
    Format {
        /// Its name.
        file: String,
        /// Where and how.
        reason: FormatError,
    },
    /// Recordings or samples of cameras that differ.
    #[error(
        "{file} has {found} pixels, and {first} has {expected}; --sensor says which they are to have"
    )]
    Sensors {
        /// Its name.
        file: String,
        /// Its size.
        found: SensorSize,
        /// The first in the cache's order.
        first: String,
        /// The size of that.
        expected: SensorSize,
    },
    /// A sensor so large that the frames of a sample take too much memory.
    #[error(
        "{file}: {frames} frames of {sensor} pixels take {bytes} bytes at work, beyond the limit of {limit}: choose fewer \
         --frames, or raise --memory"
    )]
    FramesTooLarge {
        /// Its name.
        file: String,
        /// T.
        frames: u32,
        /// The sensor.
        sensor: SensorSize,
        /// Bytes it would take.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A file that lies where samples do, in a folder that is no label.
    #[error("{file} lies where samples do, but its folders name no label from 0 to 255")]
    Stray {
        /// Its path.
        file: String,
    },
    /// A sample with a label beyond the classes.
    #[error("{file}: label {label} is unknown; labels run from 0 to {}, as there are {classes} classes; --classes names others", .classes - 1)]
    Label {
        /// Its name.
        file: String,
        /// Its label.
        label: u8,
        /// How many classes there are.
        classes: usize,
    },
    /// A sample's name that the cache has no room for.
    #[error("{file}: its name has {bytes} bytes, beyond the limit of {MAX_SAMPLE_NAME_BYTES}")]
    SampleName {
        /// Its name.
        file: String,
        /// Bytes of the name.
        bytes: usize,
    },
    /// Recordings with trial lists and samples in folders, together.
    #[error(
        "it holds {samples} samples in folders of their own and recordings too, {recordings} among them; name the folder \
         or archive of one of both"
    )]
    Mixed {
        /// How many samples.
        samples: usize,
        /// One of the others.
        recordings: String,
    },
    /// A set without samples.
    #[error("it holds no samples of the set `{}`", .set.name())]
    NoSamples {
        /// The set.
        set: Set,
    },
    /// Ready frames, where events are wanted.
    #[error(
        "{file} holds ready frames, and of what events they were made cannot be told from them"
    )]
    NoEvents {
        /// Its name.
        file: String,
    },
    /// Ready frames, of which it is not known how they were made.
    #[error(
        "{file} holds ready frames; say how they were made, with --frames and --split or --duration"
    )]
    ReadyFrames {
        /// Its name.
        file: String,
    },
    /// A label file or trial list says something impossible.
    #[error("{file}: {reason}")]
    List {
        /// Its name.
        file: String,
        /// Where and how.
        reason: ListError,
    },
    /// A member is larger than any real one.
    #[error("{file} has {size} bytes, beyond the limit of {limit}{remedy}")]
    TooLarge {
        /// Its name.
        file: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Two members of one name.
    #[error("{file} stands in the archive twice")]
    Doubled {
        /// Its name.
        file: String,
    },
    /// A trial list is not in the archive.
    #[error("{file} is missing")]
    ListMissing {
        /// Its name.
        file: String,
    },
    /// A listed recording is not in the archive.
    #[error("{recording}.aedat is missing; {list} lists it{}", no_list_names(.unlisted))]
    RecordingMissing {
        /// Its name.
        recording: String,
        /// The list that names it.
        list: String,
        /// Recordings of the archive that no list names: perhaps it is one of them, misnamed.
        unlisted: String,
    },
    /// A listed recording has no label file.
    #[error("{recording}_labels.csv is missing; {file} is there")]
    LabelsMissing {
        /// The recording.
        recording: String,
        /// Its file.
        file: String,
    },
    /// A member cannot be read, though the container it lies in can.
    #[error("{file} cannot be read: {reason}")]
    Unreadable {
        /// Its name, or its path in a folder.
        file: String,
        /// Why.
        reason: io::Error,
    },
    /// The container's damage was noticed behind this recording, and may have begun in it.
    #[error(
        "{file} was read whole, but stands right before the damage, which may have begun in it"
    )]
    BeforeDamage {
        /// The name of its file.
        file: String,
    },
    /// The container's damage lies before the recording's end or its labels'.
    #[error("{files} was not read whole: the archive is damaged before its end")]
    NotReached {
        /// The recording's file and its label file, or the sample's file.
        files: String,
    },
    /// Nothing is left to make a cache of.
    #[error("none of the {listed} listed recordings is whole")]
    NothingWhole {
        /// How many the lists name.
        listed: usize,
    },
    /// No sample has any event.
    #[error("{}", match .first {
        None => "no label file names a sample".to_owned(),
        Some(first) => format!("none of the {} has an event. The first: {first}", counted(*.samples as u64, "sample")),
    })]
    NoEventsAtAll {
        /// How many there are.
        samples: usize,
        /// Why the first has none.
        first: Option<String>,
    },
    /// More is damaged than a cache can say.
    #[error("{damaged} recordings are damaged, beyond the {limit} that --skip-damaged leaves out")]
    TooManyDamaged {
        /// How many.
        damaged: usize,
        /// The limit.
        limit: usize,
    },
    /// A recording stands in both trial lists.
    #[error("{recording} is listed for training and for testing")]
    InBothSets {
        /// Its name.
        recording: String,
    },
    /// Windows that hold the same events again and again.
    #[error(
        "{recording}_labels.csv: its windows hold {events} events in all, beyond the limit of {limit}, which is \
         {MAX_OVERLAP} times what {recording}.aedat has"
    )]
    Overlap {
        /// The recording.
        recording: String,
        /// Events in all its windows.
        events: u64,
        /// How many there may be.
        limit: u64,
    },
    /// A frame duration that gives a sample too many frames.
    #[error(
        "sample {sample} spans {frames} frames of {us} us, beyond the limit of {limit}: choose a longer --duration"
    )]
    TooManyFrames {
        /// Its name.
        sample: String,
        /// How many it would have.
        frames: i64,
        /// Duration of a frame.
        us: u64,
        /// The limit.
        limit: i64,
    },
    /// So many events in one cell, and so many frames, that a sample's frames take too much memory.
    #[error(
        "sample {sample} has more than 255 events in a cell of a frame, so that its {frames} frames take {bytes} bytes, \
         beyond the limit of {limit}: choose fewer --frames, or raise --memory"
    )]
    TooWide {
        /// Its name.
        sample: String,
        /// T.
        frames: usize,
        /// Bytes of its frames.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A file of this program's own, beside the cache, cannot be read or written.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Its reason.
        reason: io::Error,
    },
}

impl Problem {
    /// Whether it is damage to one recording or its labels, or to the container behind what was read: what
    /// `--skip-damaged` leaves out. The rest is the options' fault, the machine's, or such that nothing can be used.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Archive(error) => error.spares_what_was_read(),
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

fn no_list_names(unlisted: &str) -> String {
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

/// The most problems that are written out; beyond it their number is.
const SHOWN: usize = 1000;

/// All problems of a run, at least one.
#[derive(Debug)]
pub struct Problems(pub Vec<Problem>);

impl std::error::Error for Problems {}

impl std::fmt::Display for Problems {
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

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}
