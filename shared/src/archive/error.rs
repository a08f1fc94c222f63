//! Why there is nothing to read, or why reading stopped.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::gzip::GzipError;
use super::nothing::Nothing;
use crate::file_kind;
use crate::formats::FIRST_AEDAT;
use crate::words::some_of;

/// Why there is nothing to read, or why reading stopped.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Nothing by any of the known names.
    #[error(
        "no DVS128 Gesture archive in {folder}, which holds {}: looked for {}, ibmGestureTrain.tar.gz, a single .zip or \
         .tar.gz, recordings with trials_to_train.txt, and folders train and test. Name the archive itself, or get \
         DvsGesture.tar.gz as the README says", names_in(.lies_there), .names.join(", ")
    )]
    NotFound {
        /// Where it was looked for.
        folder: PathBuf,
        /// What was looked for.
        names: &'static [&'static str],
        /// What lies there instead.
        lies_there: Vec<String>,
    },
    /// More folders than are looked into.
    #[error(
        "no dataset was found in the first {limit} folders within {folder}; name the archive or the folder itself"
    )]
    TooManyFolders {
        /// Where it was looked for.
        folder: PathBuf,
        /// How many folders are looked into.
        limit: usize,
    },
    /// Several things of which each may be meant.
    #[error("several datasets or archives lie in {folder}; name one of them: {}", paths(.found))]
    Several {
        /// Where.
        folder: PathBuf,
        /// They.
        found: Vec<PathBuf>,
    },
    /// One of figshare's two archives.
    #[error(
        "{found} is there, but {missing} is not beside it, as figshare's ibmGestureTrain.tar.gz and ibmGestureTest.tar.gz are"
    )]
    HalfMissing {
        /// The one that is there.
        found: PathBuf,
        /// The name of the other.
        missing: &'static str,
    },
    /// A pipe, a device or a socket.
    #[error("{path} is neither a regular file nor a folder")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// A file of one sample, where all are wanted.
    #[error(
        "{path} is one sample. Name the folder that holds all of them: {}", match *.ending {
            "npz" => "events_np, with train/<label>/<name>.npz and test/<label>/<name>.npz in it",
            _ => "the one with ibmGestureTrain and ibmGestureTest in it",
        }
    )]
    OneSample {
        /// The file.
        path: PathBuf,
        /// `npz` or `npy`.
        ending: &'static str,
    },
    /// Neither of the known containers.
    #[error("{path} is neither a .tar.gz, a .tar, a .zip nor a folder: it {}", begins(.start))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        start: Vec<u8>,
    },
    /// Nothing of the dataset lies in it.
    #[error(
        "trials_to_train.txt is missing in {path}, and so is everything else of the dataset; it holds {holds}"
    )]
    Nothing {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        holds: String,
    },
    /// Reading failed, at about this byte of the container.
    #[error("cannot read {path}{}{place}", if .place.is_empty() { "" } else { " " })]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Byte and member, or nothing where it cannot even be opened.
        place: String,
        /// What went wrong.
        source: io::Error,
    },
}

fn begins(start: &[u8]) -> String {
    if start.starts_with(FIRST_AEDAT) {
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

/// Names that a message shows at most.
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

/// Marks the error with which a [`Visitor`](super::Visitor) ends the visit for a reason of its own: nothing is wrong
/// with the container, and what follows is not wanted.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct GivenUp(Box<dyn Error + Send + Sync>);

impl GivenUp {
    /// The error of a visitor that gives up for `reason`.
    pub fn because(reason: impl Error + Send + Sync + 'static) -> io::Error {
        io::Error::other(Self(Box::new(reason)))
    }

    /// Whether it was the visitor that gave up.
    pub fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|e| e.is::<Self>())
    }
}

impl ArchiveError {
    /// Whether what was read before this error may still be used. It may where the container ends too soon or cannot
    /// be read on; it may not where a checksum over the whole of it tells that something was wrong somewhere, nor
    /// where it was the visitor that could not go on.
    pub fn spares_what_was_read(&self) -> bool {
        let Self::Read { source, .. } = self else {
            return false;
        };
        let checksum = source
            .get_ref()
            .is_some_and(|e| matches!(e.downcast_ref(), Some(GzipError::Checksum { .. })));
        !checksum && !GivenUp::is(source)
    }

    /// Whether the container ends too soon, so that all before its end is as it was written.
    pub fn is_truncation(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof)
    }
}

pub(super) fn read_error(path: &Path, place: &str, source: io::Error) -> ArchiveError {
    let nothing = source.get_ref().and_then(|e| e.downcast_ref::<Nothing>());
    if let Some(Nothing { holds }) = nothing {
        return ArchiveError::Nothing {
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

/// The error without control characters: who reads a container may quote what it holds, and a terminal obeys it.
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

/// What the bytes of a container say that cannot be.
pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_container_holds_reaches_no_terminal_raw() {
        let said = |quoted: &str| {
            let source = io::Error::other(format!("no number: {quoted}"));
            let error = read_error(Path::new("x.tar"), "near byte 0", source);
            error.source().map(ToString::to_string)
        };
        assert_eq!(said("seven").as_deref(), Some("no number: seven"));
        let hostile = said("\u{1b}[2J\0");
        assert_eq!(hostile.as_deref(), Some("no number: \u{fffd}[2J\u{fffd}"));
    }
}
