//! The errors of writing an archive.

use std::io;
use std::path::PathBuf;

use dvs_shared::output::LockError;
use thiserror::Error;

/// Why no archive was written.
#[derive(Debug, Error)]
pub enum SynthError {
    /// The name does not end in the extension of an archive.
    #[error("cannot tell the form of {path} by its name: it must end in .tar.gz, .tgz or .tar")]
    Extension {
        /// The output.
        path: PathBuf,
    },
    /// The output exists and must not be replaced.
    #[error("{path} exists already; --force replaces it")]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The output exists and is not an empty folder.
    #[error(
        "{path} exists; it is not replaced, even with --force. Remove it, or choose another --output"
    )]
    FolderExists {
        /// The output.
        path: PathBuf,
    },
    /// The output is a folder, a pipe, a device or a socket.
    #[error("{path} exists and is {kind}; it is not replaced, even with --force")]
    Irregular {
        path: PathBuf,
        /// Kind of file, such as a pipe.
        kind: &'static str,
    },
    /// Another run is making the output.
    #[error("another dvs-prep is making {path}")]
    Busy {
        /// The output.
        path: PathBuf,
    },
    /// The folder cannot be written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An option is outside its bounds.
    #[error("{option} is {value}; it must be {bounds}")]
    Option {
        option: &'static str,
        /// The given value.
        value: String,
        /// The allowed values.
        bounds: String,
    },
    /// The threads cannot be started.
    #[error("cannot start {jobs} threads")]
    Threads {
        /// Requested number; 0 means one per processor.
        jobs: usize,
        source: rayon::ThreadPoolBuildError,
    },
    /// A thread ended without a result.
    #[error("generating {recording} was broken off")]
    BrokenOff {
        /// Name of the recording.
        recording: String,
    },
    /// The file system refused.
    #[error("cannot write the archive {path}")]
    Io {
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
}
