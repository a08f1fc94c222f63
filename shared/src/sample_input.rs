//! Reads single samples of any input: a frame cache, a recording, a file of one sample, or a
//! dataset in a folder or an archive. It reads them exactly as `dvs-prep prepare` does, for
//! programs that need only a few samples.

mod lists;
mod read;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use thiserror::Error;

use self::lists::{Lists, Place};
pub use self::read::{EventSample, SampleContent};
use crate::archive::{Archive, ArchiveError, Member, SampleId};
use crate::cache_file::{CacheError, CacheFile};
use crate::cache_format::{HDF5_SIGNATURE, Set};
use crate::classes::{MappingFileError, read_mapping, read_mapping_file};
use crate::formats::{self, DatasetForm, Format, FormatError, ReadOptions};
use crate::limited_reader::read_file_bounded;
use crate::samples::{Ending, LABELS_SUFFIX, ListError, MAPPING_NAME, MAX_LIST_BYTES, read_labels};
use crate::select::{ListedSample, SampleRequest, SelectError};

/// How samples are read.
#[derive(Clone, Debug)]
pub struct InputOptions {
    /// Options for what recordings and samples leave open.
    pub read: ReadOptions,
    /// A file of class names that overrides the input's own.
    pub classes: Option<PathBuf>,
    /// Class names if neither that file nor the input has any.
    pub default_names: Vec<String>,
    /// Start (inclusive) and end (exclusive) in microseconds of the part of a recording to use
    /// instead of its labelled samples.
    pub span: Option<(i64, i64)>,
    /// Maximum memory for a recording, in bytes.
    pub memory: u64,
}

/// Why samples cannot be listed or read.
#[derive(Debug, Error)]
pub enum InputError {
    /// The input is of no known kind.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The input is a cache that cannot be read.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Read { path: PathBuf, reason: io::Error },
    /// A list or label file is invalid.
    #[error("{file}: {reason}")]
    List {
        file: String,
        /// Position and kind of the error.
        reason: ListError,
    },
    /// The file given by `--classes` is not a valid mapping.
    #[error("cannot use {path} for --classes: {reason}")]
    Classes {
        path: PathBuf,
        reason: MappingFileError,
    },
    /// A recording or a sample violates its format, or does not say how to read it.
    #[error("{file}: {reason}")]
    Format {
        file: String,
        /// Position and kind of the error.
        reason: FormatError,
    },
    /// A trial list is missing.
    #[error("{path}: {file} is missing")]
    ListMissing { path: PathBuf, file: String },
    /// The label files have more rows than any dataset.
    #[error("its label files have more than {0} rows, the limit")]
    TooManyRows(usize),
    /// A listed recording is missing.
    #[error("{path} holds no recording {names}")]
    RecordingMissing { path: PathBuf, names: String },
    /// A part of a recording is requested, but the input is not a recording.
    #[error("--start-us and --end-us are for one recording; name its file, not {0}")]
    NoRecording(PathBuf),
    /// A test set is requested, but the input is a single recording or sample.
    #[error("--test-share is for a dataset of class folders, and {0} is one file; leave it out")]
    NoDataset(PathBuf),
    /// The requested part ends before it begins.
    #[error("--start-us {0} is not before --end-us {1}")]
    Span(i64, i64),
    /// A file is too large to read.
    #[error("{file} has more than {limit} bytes, the limit{}", if *.is_list { "" } else { ", which --memory raises" })]
    TooLarge {
        file: String,
        limit: u64,
        /// Whether the file is a list or a label file, whose limit is fixed.
        is_list: bool,
    },
    /// The input holds both recordings with trial lists and samples in folders.
    #[error(
        "{path} holds samples in folders of their own and recordings too; name the folder or archive of one of both"
    )]
    Mixed { path: PathBuf },
    /// Two files have the same name.
    #[error("the archive contains {file} twice")]
    Doubled { file: String },
    /// The requested sample does not exist.
    #[error("cannot choose a sample of {path}: {reason}{}", .left_out.first().map_or(String::new(), |note| format!("; {note}")))]
    Choice {
        path: PathBuf,
        reason: SelectError,
        /// Notes on omitted files.
        left_out: Vec<String>,
    },
}

/// The kind of an input.
#[derive(Debug)]
enum InputKind {
    Cache(Box<CacheFile>),
    Recording,
    /// A file of one sample, and its place in a dataset if its folders show one.
    Sample(Format, Option<SampleId>),
    Dataset(Archive),
}

/// A recognised input and its known samples.
#[derive(Debug)]
pub struct SampleInput {
    path: PathBuf,
    kind: InputKind,
    options: InputOptions,
    listed: Vec<ListedSample>,
    /// The source of each listed sample.
    places: Vec<Place>,
    label_names: Vec<String>,
    names_given: bool,
    notes: Vec<String>,
}

impl SampleInput {
    /// Recognises the input at `path` and reads no more of it than necessary.
    ///
    /// # Errors
    /// Returns an error if the input is of no known kind, or if `options` do not suit it.
    pub fn open(path: &Path, mut options: InputOptions) -> Result<Self, InputError> {
        if let Some((start, end)) = options.span.filter(|(start, end)| start >= end) {
            return Err(InputError::Span(start, end));
        }
        let read_error = |reason| InputError::Read {
            path: path.to_owned(),
            reason,
        };
        let metadata = fs::metadata(path).map_err(read_error)?;
        if !metadata.is_file() && !metadata.is_dir() {
            // Opening a pipe would block.
            return Err(InputError::Archive(ArchiveError::NotAFile {
                path: path.to_owned(),
            }));
        }
        let mut start = Vec::new();
        if metadata.is_file() {
            File::open(path)
                .and_then(|file| file.take(16).read_to_end(&mut start))
                .map_err(read_error)?;
        }
        let ending = |ending: &str| {
            path.extension()
                .is_some_and(|found| found.eq_ignore_ascii_case(ending))
        };
        let sample = |format| InputKind::Sample(format, sample_id(path));
        let kind = if start.starts_with(HDF5_SIGNATURE) {
            InputKind::Cache(Box::new(CacheFile::open(path)?))
        } else if formats::is_recording(&start) {
            InputKind::Recording
        } else if !path.is_dir() && ending("npz") {
            sample(Format::Npz)
        } else if !path.is_dir() && ending("npy") {
            sample(Format::Npy)
        } else if !path.is_dir() && ending("bin") {
            sample(Format::AtisBin)
        } else if !path.is_dir() && path.file_name().is_some_and(is_recording) {
            // The name claims a recording; if it is not, the reader reports what it is.
            InputKind::Recording
        } else {
            let mut archive = Archive::find(path)?;
            archive.mapping = options.classes.clone();
            let names = options.classes.as_deref().map(read_classes).transpose()?;
            archive.divide(names.as_deref(), options.read.test_split)?;
            InputKind::Dataset(archive)
        };
        options.read.form = match &kind {
            InputKind::Dataset(archive) => archive.form(),
            _ => DatasetForm::of_path(&path.canonicalize().map_err(read_error)?),
        };
        let is_dataset = matches!(kind, InputKind::Dataset(_) | InputKind::Cache(_));
        if options.read.test_split.is_some() && !is_dataset {
            return Err(InputError::NoDataset(path.to_owned()));
        }
        if options.span.is_some() && !matches!(kind, InputKind::Recording) {
            return Err(InputError::NoRecording(path.to_owned()));
        }
        let mut input = Self {
            path: match &kind {
                InputKind::Dataset(archive) => archive.path.clone(),
                _ => path.to_owned(),
            },
            kind,
            label_names: options.default_names.clone(),
            options,
            listed: Vec::new(),
            places: Vec::new(),
            names_given: false,
            notes: Vec::new(),
        };
        input.name_classes()?;
        Ok(input)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kind of input, in a word.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            InputKind::Cache(_) => "cache",
            InputKind::Recording => "recording",
            InputKind::Sample(..) => "sample",
            InputKind::Dataset(_) => "archive",
        }
    }

    /// The cache, if the input is one.
    pub fn cache(&self) -> Option<&CacheFile> {
        match &self.kind {
            InputKind::Cache(cache) => Some(cache),
            _ => None,
        }
    }

    /// Total size of the input's files in bytes, for progress display.
    pub fn bytes(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        match &self.kind {
            InputKind::Dataset(archive) => {
                let files = archive.files().unwrap_or_default();
                files.iter().map(|path| size(path)).sum()
            }
            _ => size(&self.path),
        }
    }

    /// The known samples.
    pub fn samples(&self) -> &[ListedSample] {
        &self.listed
    }

    /// Class names by label.
    pub fn label_names(&self) -> &[String] {
        &self.label_names
    }

    /// Whether the input or the user names the classes; if not, the default names apply.
    pub fn names_given(&self) -> bool {
        self.names_given
    }

    /// Returns the notes for the user that were collected since the last call.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Finds the `wanted` samples and returns their indices in [`SampleInput::samples`]. It reads
    /// only what it needs and counts those bytes in `read`.
    ///
    /// # Errors
    /// Returns an error if there is no such sample, or if the input cannot be read.
    pub fn find(
        &mut self,
        wanted: &SampleRequest,
        read: &AtomicU64,
    ) -> Result<Vec<usize>, InputError> {
        self.listed.clear();
        self.places.clear();
        match &self.kind {
            InputKind::Cache(cache) => {
                for set in Set::ALL {
                    for (index, sample) in cache.set(set).samples.iter().enumerate() {
                        self.listed.push(ListedSample {
                            name: sample.name.clone(),
                            label: Some(sample.label),
                            set: Some(set),
                            index: Some(index),
                        });
                        self.places.push(Place::Cached(set, index));
                    }
                }
            }
            InputKind::Recording => self.list_recording()?,
            InputKind::Sample(_, id) => {
                let stem = self.path.file_stem().unwrap_or_default();
                let name = stem.to_string_lossy().into_owned();
                self.listed.push(ListedSample {
                    name: id.as_ref().map_or(name, SampleId::sample_name),
                    label: id.as_ref().map(|id| id.label),
                    set: id.as_ref().map(|id| id.set),
                    index: None,
                });
                self.places.push(Place::File);
            }
            InputKind::Dataset(archive) => {
                let lists = Lists::read(archive, wanted, &self.label_names, read)?;
                self.notes.extend(lists.notes.iter().cloned());
                if let Some(names) = lists.mapping() {
                    (self.label_names, self.names_given) = (names.to_vec(), true);
                }
                (self.listed, self.places) = lists.samples(wanted, &self.label_names);
            }
        }
        let chosen = wanted.choose(&self.listed, &self.label_names);
        chosen.map_err(|reason| InputError::Choice {
            path: self.path.clone(),
            reason,
            // The sample may be among what was left out.
            left_out: std::mem::take(&mut self.notes),
        })
    }

    /// Lists the samples of one recording: those of its label file, the requested part, or the
    /// whole recording.
    fn list_recording(&mut self) -> Result<(), InputError> {
        let recording = recording_name(&self.path);
        let labels = self
            .path
            .with_file_name(format!("{recording}{LABELS_SUFFIX}"));
        if self.options.span.is_none() && labels.is_file() {
            let text = read_file(&labels, MAX_LIST_BYTES)?;
            let windows = read_labels(&text).map_err(|reason| InputError::List {
                file: labels.display().to_string(),
                reason,
            })?;
            for (at, window) in windows.iter().enumerate() {
                self.listed.push(ListedSample {
                    name: window.sample_name(&recording),
                    label: Some(window.label),
                    set: None,
                    index: Some(at),
                });
                let span = Some((window.start_us, window.end_us));
                self.places.push(Place::Window(recording.clone(), span));
            }
            return Ok(());
        }
        if self.options.span.is_none() {
            self.notes.push(format!(
                "there are no labels {} beside the recording: all of it is one sample",
                labels.display()
            ));
        }
        self.listed.push(ListedSample {
            name: recording.clone(),
            label: None,
            set: None,
            index: None,
        });
        self.places
            .push(Place::Window(recording, self.options.span));
        Ok(())
    }

    /// Sets the class names that are known before the samples are read.
    fn name_classes(&mut self) -> Result<(), InputError> {
        if let InputKind::Cache(cache) = &self.kind {
            (self.label_names, self.names_given) = (cache.header.label_names.clone(), true);
            return Ok(());
        }
        if let Some(path) = &self.options.classes {
            (self.label_names, self.names_given) = (read_classes(path)?, true);
            return Ok(());
        }
        if let InputKind::Dataset(Archive {
            classes: Some(classes),
            ..
        }) = &self.kind
        {
            (self.label_names, self.names_given) = (classes.names().to_vec(), true);
            return Ok(());
        }
        // A dataset contains its own class names.
        let beside = match &self.kind {
            InputKind::Recording => self.path.with_file_name(MAPPING_NAME),
            // The folder that contains the sets.
            InputKind::Sample(_, Some(_)) => {
                let path = self
                    .path
                    .canonicalize()
                    .unwrap_or_else(|_| self.path.clone());
                let folder = path.ancestors().nth(3).unwrap_or(&path);
                folder.join(MAPPING_NAME)
            }
            _ => return Ok(()),
        };
        if beside.is_file() {
            match read_mapping(&read_file(&beside, MAX_LIST_BYTES)?) {
                Ok(names) => (self.label_names, self.names_given) = (names, true),
                Err(error) => self.notes.push(mapping_not_used(&error)),
            }
        }
        Ok(())
    }
}

/// Reads the file that `--classes` names.
fn read_classes(path: &Path) -> Result<Vec<String>, InputError> {
    read_mapping_file(path).map_err(|reason| InputError::Classes {
        path: path.to_owned(),
        reason,
    })
}

/// The note on an invalid mapping.
pub fn mapping_not_used(error: &impl std::fmt::Display) -> String {
    format!("{MAPPING_NAME} is not used, and the classes are called as the dataset's: {error}")
}

/// Identifies the sample in a file by its folders.
fn sample_id(path: &Path) -> Option<SampleId> {
    match Member::of(&path.canonicalize().ok()?)? {
        Member::Sample(sample) => Some(sample),
        _ => None,
    }
}

fn is_recording(name: &std::ffi::OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| Ending::split(name).is_some())
}

/// The recording's name: its file name without the ending.
fn recording_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match Ending::split(&name) {
        Some((recording, _)) => recording.to_owned(),
        None => path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
    }
}

/// Reads a whole file of at most `limit` bytes.
fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, InputError> {
    let read = File::open(path).and_then(|file| read_file_bounded(file, limit));
    let bytes = read.map_err(|reason| InputError::Read {
        path: path.to_owned(),
        reason,
    })?;
    bytes.ok_or_else(|| InputError::TooLarge {
        file: path.display().to_string(),
        limit,
        is_list: limit == MAX_LIST_BYTES,
    })
}
