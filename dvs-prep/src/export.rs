//! Exports data for other programs. A folder is written completely or not at all.
//!
//! The layouts are SpikingJelly 2.0's: `events_np/{train,test}/<label>/<name>.npz` with the arrays
//! `t`, `x`, `y`, `p`, and `frames_number_<T>_split_by_<how>/{train,test}/<label>/<name>.npz` with
//! the array `frames` `[T, 2, H, W]`. Alternatively, each set is written as whole arrays.

mod events;
mod frames;
mod numpy;

use std::io;
use std::path::{Path, PathBuf};

use dvs_shared::CacheError;
use thiserror::Error;

pub use self::events::EventFiles;
pub use self::frames::{write_npy, write_npz};

/// Why nothing was exported. No folder is left under the final name.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The cache cannot be read.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The file system refused.
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// A sample name that is not a plain file name, and so could lead outside the folder.
    #[error("{cache}: the sample {name:?} of the set `{set}` cannot be a file's name")]
    Name {
        cache: PathBuf,
        /// `train` or `test`.
        set: &'static str,
        name: String,
    },
}

impl ExportError {
    pub(self) fn write(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}

/// Whether `name` is a plain file name.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}
