//! The samples of any input, one at a time: a frame cache, a recording, a file of one sample, or a dataset in a folder or an
//! archive. What `dvs-prep prepare` makes a cache of, this reads in the same way, for programs that want few of the
//! samples.

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
use crate::cache_format::HDF5_SIGNATURE;
use crate::classes::{MappingFileError, read_mapping, read_mapping_file};
use crate::formats::{FIRST_AEDAT, Format, FormatError, ReadOptions};
use crate::samples::{Ending, LABELS_SUFFIX, ListError, MAPPING_NAME, MAX_LIST_BYTES, read_labels};
use crate::select::{ChoiceError, Listed, Wanted};
use crate::{CacheError, CacheFile, Set};

/// How samples are read.
#[derive(Clone, Debug)]
pub struct InputOptions {
    /// What recordings and samples leave open.
    pub read: ReadOptions,
    /// A file of class names that goes before the input's own.
    pub classes: Option<PathBuf>,
    /// Names of the classes if neither that file nor the input names them.
    pub default_names: Vec<String>,
    /// First microsecond, and first microsecond after, of the part of a recording that is wanted instead of its labelled
    /// samples.
    pub span: Option<(i64, i64)>,
    /// Bytes of memory that a recording may take.
    pub memory: u64,
}

/// Why samples cannot be listed or read.
#[derive(Debug, Error)]
pub enum InputError {
    /// The input is none that is known.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// It is a cache, which cannot be read.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A list or label file says something impossible.
    #[error("{file}: {reason}")]
    List {
        /// Its name.
        file: String,
        /// Where and how.
        reason: ListError,
    },
    /// The file that `--classes` names is no mapping.
    #[error("cannot use {path} for --classes: {reason}")]
    Classes {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: MappingFileError,
    },
    /// A recording or a sample departs from its format, or does not say how to read it.
    #[error("{file}: {reason}")]
    Format {
        /// Its name.
        file: String,
        /// Where and how.
        reason: FormatError,
    },
    /// A trial list is missing.
    #[error("{path}: {file} is missing")]
    ListMissing {
        /// The input.
        path: PathBuf,
        /// The list.
        file: String,
    },
    /// More label rows than any dataset has.
    #[error("its label files have more than {0} rows, the limit")]
    TooManyRows(usize),
    /// A listed recording is missing.
    #[error("{path} holds no recording {names}")]
    RecordingMissing {
        /// The input.
        path: PathBuf,
        /// Their names.
        names: String,
    },
    /// A part of a recording is wanted of something that is none.
    #[error("--start-us and --end-us are for one recording; name its file, not {0}")]
    NoRecording(PathBuf),
    /// A part that ends before it begins.
    #[error("--start-us {0} is not before --end-us {1}")]
    Span(i64, i64),
    /// A file is too large to be read.
    #[error("{file} has more than {limit} bytes, the limit{}", if *.is_list { "" } else { ", which --memory raises" })]
    TooLarge {
        /// Its name.
        file: String,
        /// The limit.
        limit: u64,
        /// Whether it is a list or a label file, whose limit is fixed.
        is_list: bool,
    },
    /// Recordings with trial lists and samples in folders, together.
    #[error(
        "{path} holds samples in folders of their own and recordings too; name the folder or archive of one of both"
    )]
    Mixed {
        /// The input.
        path: PathBuf,
    },
    /// Two files of one name.
    #[error("{file} stands in the archive twice")]
    Doubled {
        /// Its name.
        file: String,
    },
    /// The sample that is wanted is not there.
    #[error("cannot choose a sample of {path}: {reason}{}", .left_out.first().map_or(String::new(), |note| format!("; {note}")))]
    Choice {
        /// The input.
        path: PathBuf,
        /// Why.
        reason: ChoiceError,
        /// What was left out, if anything was.
        left_out: Vec<String>,
    },
}

/// What an input is.
#[derive(Debug)]
enum Kind {
    Cache(Box<CacheFile>),
    Recording,
    /// One sample, and its place in a dataset if its folders say one.
    Sample(Format, Option<SampleId>),
    Dataset(Archive),
}

/// An input that was recognised, and the samples that are known of it.
#[derive(Debug)]
pub struct SampleInput {
    path: PathBuf,
    kind: Kind,
    options: InputOptions,
    listed: Vec<Listed>,
    /// Where each of the listed samples comes from.
    places: Vec<Place>,
    label_names: Vec<String>,
    names_are_said: bool,
    notes: Vec<String>,
}

impl SampleInput {
    /// Recognises what lies at `path`. No more of it is read than that takes.
    ///
    /// # Errors
    /// If nothing that is known lies there, or if `options` do not go with it.
    pub fn open(path: &Path, options: InputOptions) -> Result<Self, InputError> {
        if let Some((start, end)) = options.span.filter(|(start, end)| start >= end) {
            return Err(InputError::Span(start, end));
        }
        let read_error = |reason| InputError::Read {
            path: path.to_owned(),
            reason,
        };
        let metadata = fs::metadata(path).map_err(read_error)?;
        if !metadata.is_file() && !metadata.is_dir() {
            // A pipe would keep whoever opens it waiting.
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
        let sample = |format| Kind::Sample(format, sample_id(path));
        let kind = if start.starts_with(HDF5_SIGNATURE) {
            Kind::Cache(Box::new(CacheFile::open(path)?))
        } else if start.starts_with(FIRST_AEDAT) {
            Kind::Recording
        } else if !path.is_dir() && ending("npz") {
            sample(Format::Npz)
        } else if !path.is_dir() && ending("npy") {
            sample(Format::Npy)
        } else if !path.is_dir() && path.file_name().is_some_and(is_recording) {
            // Its name says what it should be, and its reader says what it is instead.
            Kind::Recording
        } else {
            let mut archive = Archive::find(path)?;
            archive.mapping = options.classes.clone();
            Kind::Dataset(archive)
        };
        if options.span.is_some() && !matches!(kind, Kind::Recording) {
            return Err(InputError::NoRecording(path.to_owned()));
        }
        let mut input = Self {
            path: match &kind {
                Kind::Dataset(archive) => archive.path.clone(),
                _ => path.to_owned(),
            },
            kind,
            label_names: options.default_names.clone(),
            options,
            listed: Vec::new(),
            places: Vec::new(),
            names_are_said: false,
            notes: Vec::new(),
        };
        input.name_classes()?;
        Ok(input)
    }

    /// What lies there.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it is.
    pub fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Cache(_) => "cache",
            Kind::Recording => "recording",
            Kind::Sample(..) => "sample",
            Kind::Dataset(_) => "archive",
        }
    }

    /// The cache, if it is one.
    pub fn cache(&self) -> Option<&CacheFile> {
        match &self.kind {
            Kind::Cache(cache) => Some(cache),
            _ => None,
        }
    }

    /// Bytes of its files, for who shows progress.
    pub fn bytes(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        match &self.kind {
            Kind::Dataset(archive) => {
                let files = archive.files().unwrap_or_default();
                files.iter().map(|path| size(path)).sum()
            }
            _ => size(&self.path),
        }
    }

    /// The samples that are known.
    pub fn samples(&self) -> &[Listed] {
        &self.listed
    }

    /// Names of the classes by label.
    pub fn label_names(&self) -> &[String] {
        &self.label_names
    }

    /// Whether the input or the user names the classes; if not, they are taken for the eleven gestures.
    pub fn names_are_said(&self) -> bool {
        self.names_are_said
    }

    /// What a user should know of what was read since the last call.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Finds the samples that are `wanted` and returns their places among [`SampleInput::samples`]. No more is read than is
    /// needed to find them; its bytes are counted in `read`.
    ///
    /// # Errors
    /// If there is no such sample, or if the input cannot be read.
    pub fn find(&mut self, wanted: &Wanted, read: &AtomicU64) -> Result<Vec<usize>, InputError> {
        self.listed.clear();
        self.places.clear();
        match &self.kind {
            Kind::Cache(cache) => {
                for set in Set::ALL {
                    for (index, sample) in cache.set(set).samples.iter().enumerate() {
                        self.listed.push(Listed {
                            name: sample.name.clone(),
                            label: Some(sample.label),
                            set: Some(set),
                            index: Some(index),
                        });
                        self.places.push(Place::Cached(set, index));
                    }
                }
            }
            Kind::Recording => self.list_recording()?,
            Kind::Sample(_, id) => {
                let stem = self.path.file_stem().unwrap_or_default();
                let name = stem.to_string_lossy().into_owned();
                self.listed.push(Listed {
                    name: id.as_ref().map_or(name, SampleId::sample_name),
                    label: id.as_ref().map(|id| id.label),
                    set: id.as_ref().map(|id| id.set),
                    index: None,
                });
                self.places.push(Place::File);
            }
            Kind::Dataset(archive) => {
                let lists = Lists::read(archive, wanted, &self.label_names, read)?;
                self.notes.extend(lists.notes.iter().cloned());
                if let Some(names) = lists.mapping() {
                    (self.label_names, self.names_are_said) = (names.to_vec(), true);
                }
                (self.listed, self.places) = lists.samples(wanted, &self.label_names);
            }
        }
        let chosen = wanted.choose(&self.listed, &self.label_names);
        chosen.map_err(|reason| InputError::Choice {
            path: self.path.clone(),
            reason,
            // What was left out may be what is missing.
            left_out: std::mem::take(&mut self.notes),
        })
    }

    /// The samples of one recording: those that its label file names, or the part that is asked for, or else all of it.
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
                self.listed.push(Listed {
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
        self.listed.push(Listed {
            name: recording.clone(),
            label: None,
            set: None,
            index: None,
        });
        self.places
            .push(Place::Window(recording, self.options.span));
        Ok(())
    }

    /// Names the classes as far as they are known before anything is read.
    fn name_classes(&mut self) -> Result<(), InputError> {
        if let Kind::Cache(cache) = &self.kind {
            (self.label_names, self.names_are_said) = (cache.header.label_names.clone(), true);
            return Ok(());
        }
        if let Some(path) = &self.options.classes {
            let names = read_mapping_file(path).map_err(|reason| InputError::Classes {
                path: path.clone(),
                reason,
            })?;
            (self.label_names, self.names_are_said) = (names, true);
            return Ok(());
        }
        // The names of a dataset's classes are among its files.
        let beside = match &self.kind {
            Kind::Recording => self.path.with_file_name(MAPPING_NAME),
            // The folder that holds the sets.
            Kind::Sample(_, Some(_)) => {
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
                Ok(names) => (self.label_names, self.names_are_said) = (names, true),
                Err(error) => self.notes.push(mapping_not_used(&error)),
            }
        }
        Ok(())
    }
}

/// What is said of a mapping that says nothing.
pub fn mapping_not_used(error: &impl std::fmt::Display) -> String {
    format!("{MAPPING_NAME} is not used, and the classes are called as the dataset's: {error}")
}

/// The sample that a file is, as its folders say.
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

/// The recording's name: that of its file without the ending.
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

/// All bytes of a file, which may have so many.
fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, InputError> {
    let read = File::open(path).and_then(|file| bounded(file, limit));
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

/// All bytes of `reader`; `None` if it has more than `limit`.
fn bounded(reader: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}
