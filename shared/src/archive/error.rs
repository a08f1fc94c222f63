//! Errors of finding and reading the input.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::classes::ClassError;
use super::gzip::GzipError;
use super::other_files::NothingOfDataset;
use crate::file_kind;
use crate::formats::is_recording;
use crate::words::some_of;

/// Why the input was not found, or why reading stopped.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The folder holds nothing with a known name.
    #[error(
        "no DVS128 Gesture archive in {folder}, which holds {}: looked for {}, ibmGestureTrain.tar.gz, a single .zip or \
         .tar.gz, recordings with trials_to_train.txt, folders train and test, and folders of classes. Name the archive itself, or get \
         DvsGesture.tar.gz as the README says", names_in(.folder_contents), .names.join(", ")
    )]
    NotFound {
        /// The folder that was searched.
        folder: PathBuf,
        /// The names that were searched for.
        names: &'static [&'static str],
        /// What the folder holds instead.
        folder_contents: Vec<String>,
    },
    /// The search reached its limit of folders.
    #[error(
        "no dataset was found in the first {limit} folders within {folder}; name the archive or the folder itself"
    )]
    TooManyFolders {
        /// The folder that was searched.
        folder: PathBuf,
        limit: usize,
    },
    /// Several candidates exist.
    #[error("several datasets or archives lie in {folder}; name one of them: {}", paths(.found))]
    Several {
        folder: PathBuf,
        found: Vec<PathBuf>,
    },
    /// Only one of figshare's two archives exists.
    #[error(
        "{found} is there, but {missing} is not beside it, as figshare's ibmGestureTrain.tar.gz and ibmGestureTest.tar.gz are"
    )]
    HalfMissing {
        found: PathBuf,
        /// The name of the missing archive.
        missing: &'static str,
    },
    /// The input is a pipe, a device or a socket.
    #[error("{path} is neither a regular file nor a folder")]
    NotAFile { path: PathBuf },
    /// The input is a file of one sample, but all samples are needed.
    #[error(
        "{path} is one sample. Name the folder that holds all of them: {}", match *.ending {
            "npz" => "events_np, with train/<label>/<name>.npz and test/<label>/<name>.npz in it",
            _ => "the one with ibmGestureTrain and ibmGestureTest in it",
        }
    )]
    OneSample {
        path: PathBuf,
        /// `npz` or `npy`.
        ending: &'static str,
    },
    /// The input is not a known container.
    #[error("{path} is neither a .tar.gz, a .tar, a .zip nor a folder: it {}", begins(.start))]
    Unknown {
        path: PathBuf,
        /// Its first bytes.
        start: Vec<u8>,
    },
    /// The input looks like a dataset of class folders and cannot be used as one.
    #[error("cannot use {path}: {reason}")]
    Classes { path: PathBuf, reason: ClassError },
    /// The input holds nothing of the dataset.
    #[error(
        "trials_to_train.txt is missing in {path}, and so is everything else of the dataset; it holds {holds}"
    )]
    NothingOfDataset { path: PathBuf, holds: String },
    /// Reading failed.
    #[error("cannot read {path}{}{place}", if .place.is_empty() { "" } else { " " })]
    Read {
        path: PathBuf,
        /// Byte and member, or empty if the container cannot even be opened.
        place: String,
        source: io::Error,
    },
}

fn begins(start: &[u8]) -> String {
    if is_recording(start) {
        return "is one recording. Name the folder that holds it with its label file and the trial lists"
            .to_owned();
    }
    match file_kind::by_content(start) {
        Some(kind) => kind.to_owned(),
        None => format!(
            "begins with the bytes {:02x?}",
            &start[..start.len().min(8)]
        ),
    }
}

/// Maximum number of names in a message.
const SHOWN: usize = 8;

fn names_in(folder: &[String]) -> String {
    match folder {
        [] => "nothing".to_owned(),
        names => some_of(names, SHOWN),
    }
}

fn paths(paths: &[PathBuf]) -> String {
    let names: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    some_of(&names, SHOWN)
}

/// Marks the error with which a [`Visitor`](super::Visitor) stops the visit although the container
/// is intact, because it does not want the rest.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct VisitorError(Box<dyn Error + Send + Sync>);

impl VisitorError {
    /// Returns the error of a visitor that stops for `reason`.
    pub fn because(reason: impl Error + Send + Sync + 'static) -> io::Error {
        io::Error::other(Self(Box::new(reason)))
    }

    /// Whether the visitor itself stopped the visit.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|e| e.is::<Self>())
    }
}

impl ArchiveError {
    pub(super) fn classes(path: &Path, reason: ClassError) -> Self {
        Self::Classes {
            path: path.to_owned(),
            reason,
        }
    }

    /// Whether the data read before this error may still be used. It may if the container is
    /// truncated or becomes unreadable. It may not if a checksum over the whole container fails,
    /// because the fault may be anywhere, or if the visitor stopped.
    pub fn keeps_earlier_data_valid(&self) -> bool {
        let Self::Read { source, .. } = self else {
            return false;
        };
        let checksum = source
            .get_ref()
            .is_some_and(|e| matches!(e.downcast_ref(), Some(GzipError::Checksum { .. })));
        !checksum && !VisitorError::is(source)
    }

    /// Whether the container is truncated, so that everything before its end is intact.
    pub fn is_truncation(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof)
    }
}

pub(super) fn read_error(path: &Path, place: &str, source: io::Error) -> ArchiveError {
    let nothing = source
        .get_ref()
        .and_then(|e| e.downcast_ref::<NothingOfDataset>());
    if let Some(NothingOfDataset { holds }) = nothing {
        return ArchiveError::NothingOfDataset {
            path: path.to_owned(),
            holds: holds.clone(),
        };
    }
    ArchiveError::Read {
        path: path.to_owned(),
        place: place.to_owned(),
        source: printable(source),
    }
}

/// Removes control characters from an error: its text may quote the container, and a terminal would
/// obey them.
fn printable(error: io::Error) -> io::Error {
    let mut text = error.to_string();
    let mut cause = error.get_ref().and_then(|error| error.source());
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    if text.contains(char::is_control) {
        return io::Error::new(error.kind(), text.replace(char::is_control, "\u{fffd}"));
    }
    error
}

/// The error for impossible data in a container.
pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_errors_replace_control_characters() {
        let message = |quoted: &str| {
            let source = io::Error::other(format!("no number: {quoted}"));
            let error = read_error(Path::new("x.tar"), "near byte 0", source);
            error.source().map(ToString::to_string)
        };
        assert_eq!(message("seven").as_deref(), Some("no number: seven"));
        let hostile = message("\u{1b}[2J\0");
        assert_eq!(hostile.as_deref(), Some("no number: \u{fffd}[2J\u{fffd}"));
    }
}
