//! Why no archive was written.

use std::io;
use std::path::PathBuf;

use dvs_shared::output::LockError;
use thiserror::Error;

/// Why no archive was written.
#[derive(Debug, Error)]
pub enum SynthError {
    /// A name that tells no form of archive.
    #[error("cannot tell the form of {path} by its name: it must end in .tar.gz, .tgz or .tar")]
    Extension {
        /// The output.
        path: PathBuf,
    },
    /// The output is there and was not to be replaced.
    #[error("{path} exists already; --force replaces it")]
    Exists {
        /// The output.
        path: PathBuf,
    },
    /// The output is a folder, a pipe, a device or a socket.
    #[error("{path} exists and is {kind}; it is not replaced, even with --force")]
    Irregular {
        /// The output.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Another run is at it.
    #[error("another dvs-prep is making {path}")]
    Busy {
        /// The output.
        path: PathBuf,
    },
    /// The folder cannot be written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// An option outside its bounds.
    #[error("{option} is {value}; it must be {bounds}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        bounds: String,
    },
    /// No threads.
    #[error("cannot start {jobs} threads")]
    Threads {
        /// How many were asked for; 0 for as many as there are processors.
        jobs: usize,
        /// The reason.
        source: rayon::ThreadPoolBuildError,
    },
    /// A thread ended without a result.
    #[error("generating {recording} was broken off")]
    BrokenOff {
        /// Its name.
        recording: String,
    },
    /// The file system refused.
    #[error("cannot write the archive {path}")]
    Io {
        /// The output.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
}
