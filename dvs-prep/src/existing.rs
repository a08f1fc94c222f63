//! Whether the cache that is asked for is already there.
//!
//! A cache says which options made it and, as a SHA-256, from what input. So that asking again does not mean
//! reading gigabytes again, a stamp is kept beside it (`<cache>.source.json`): size and modification time of the
//! input's files and of the cache. While they match, nothing is read. Where the stamp is missing or does not match,
//! the input is read for its SHA-256, and a cache of the same content gets a new stamp.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::UNIX_EPOCH;

use dvs_shared::{CacheError, CacheFile};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::archive::Archive;
use crate::cache_writer::folder_of;
use crate::error::Problems;
use crate::fingerprint;
use crate::pipeline::Settings;

/// How every HDF5 file begins.
const HDF5_SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Why an existing file is neither used nor overwritten.
#[derive(Debug, Error)]
pub enum ExistingError {
    /// It is no HDF5 file at all, so it is not this program's to replace.
    #[error(
        "{path} exists and is no HDF5 file; it is not replaced, even with --force. Choose another --output, or remove it"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot read {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// The input was replaced while it was compared.
    #[error("{path} changed while it was read")]
    Changed {
        /// The input.
        path: PathBuf,
    },
    /// It is no whole cache.
    #[error("{path} exists and cannot be used; --force replaces it")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: CacheError,
    },
    /// It was made with other options or from another input.
    #[error("{path} exists and is another cache: {}. Choose another --output, or replace it with --force", .differences.join("; "))]
    Other {
        /// The file.
        path: PathBuf,
        /// Each difference: what it has, what was asked for.
        differences: Vec<String>,
    },
    /// The input cannot be read for comparison.
    #[error("cannot tell whether {path} was made from this input")]
    Input {
        /// The existing cache.
        path: PathBuf,
        /// What is wrong with the input.
        source: Problems,
    },
}

/// Size and modification time of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    path: String,
    size: u64,
    modified_ns: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    input: Vec<FileStamp>,
    cache: FileStamp,
    source_sha256: String,
}

impl FileStamp {
    /// The stamp of a file as it is now.
    ///
    /// # Errors
    /// Where it cannot be looked at.
    pub fn of(path: &Path) -> Result<Self, ExistingError> {
        let stamp = || {
            let path = fs::canonicalize(path)?;
            let metadata = fs::metadata(&path)?;
            let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
            Ok(Self {
                size: metadata.len(),
                modified_ns: modified.unwrap_or_default().as_nanos() as u64,
                // JSON holds no other text; a path that is not UTF-8 is told by what of it is.
                path: path.to_string_lossy().into_owned(),
            })
        };
        stamp().map_err(|source| ExistingError::Io {
            path: path.to_owned(),
            source,
        })
    }

    /// The stamps of all files of an input.
    ///
    /// # Errors
    /// Where one cannot be looked at.
    pub fn of_input(archive: &Archive) -> Result<Vec<Self>, ExistingError> {
        let files = archive.files().map_err(|source| ExistingError::Io {
            path: archive.path.clone(),
            source: io::Error::other(source),
        })?;
        files.iter().map(|path| Self::of(path)).collect()
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Whether what stands at `path` may be replaced at all: nothing, an empty file, or HDF5.
///
/// # Errors
/// Where it is anything else.
pub fn may_be_replaced(path: &Path) -> Result<(), ExistingError> {
    let mut start = Vec::new();
    match File::open(path).and_then(|f| f.take(HDF5_SIGNATURE.len() as u64).read_to_end(&mut start))
    {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(ExistingError::Io {
            path: path.to_owned(),
            source,
        }),
        Ok(_) if start.is_empty() || start == HDF5_SIGNATURE => Ok(()),
        Ok(_) => Err(ExistingError::Foreign {
            path: path.to_owned(),
        }),
    }
}

/// The existing cache at `path`, if it is the one asked for; `None` where there is no file. `input` are the input's
/// stamps from before anything of it was read; bytes of it that have to be read are counted in `read`.
///
/// # Errors
/// Where the file is something else.
pub fn find(
    path: &Path,
    archive: &Archive,
    input: &[FileStamp],
    settings: Settings,
    read: &AtomicU64,
) -> Result<Option<CacheFile>, ExistingError> {
    if !path.exists() {
        return Ok(None);
    }
    let Settings {
        split,
        keep_invalid,
        skip_damaged,
        ..
    } = settings;
    let cache = CacheFile::open(path).map_err(|source| ExistingError::Unusable {
        path: path.to_owned(),
        source,
    })?;
    let mut differences = Vec::new();
    if cache.header.split != split {
        differences.push(format!("it holds {}, not {split}", cache.header.split));
    }
    if cache.header.keep_invalid != keep_invalid {
        let said = |kept| {
            if kept {
                "with --keep-invalid"
            } else {
                "without --keep-invalid"
            }
        };
        differences.push(format!(
            "it was made {}, not {}",
            said(cache.header.keep_invalid),
            said(keep_invalid)
        ));
    }
    let skipped = &cache.header.skipped;
    if !skipped.is_empty() && !skip_damaged {
        differences.push(format!(
            "it was made with --skip-damaged and lacks {}, not without",
            skipped.join(", ")
        ));
    }
    let said = &cache.header.source_sha256;
    // What was damaged may be whole now, which the content of the others does not tell.
    if differences.is_empty() && !skipped.is_empty() && !stamp_matches(path, input, said) {
        differences.push(format!(
            "it lacks {}, which were damaged, and the input or the cache has been touched since",
            skipped.join(", ")
        ));
    }
    if differences.is_empty() && !stamp_matches(path, input, said) {
        let source =
            fingerprint::of_archive(archive, read).map_err(|source| ExistingError::Input {
                path: path.to_owned(),
                source,
            })?;
        if FileStamp::of_input(archive)? != input {
            return Err(ExistingError::Changed {
                path: archive.path.clone(),
            });
        }
        if source == *said {
            // A stamp that cannot be written costs time when asked again, nothing else.
            let _ = write_stamp(path, input.to_vec(), &source);
        } else {
            differences.push(format!(
                "it was made from an input with SHA-256 {said}, and {} has {source}",
                archive.path.display()
            ));
        }
    }
    if differences.is_empty() {
        Ok(Some(cache))
    } else {
        Err(ExistingError::Other {
            path: path.to_owned(),
            differences,
        })
    }
}

fn stamp_path(cache: &Path) -> PathBuf {
    let mut name = cache.as_os_str().to_owned();
    name.push(".source.json");
    name.into()
}

fn stamp_matches(cache: &Path, input: &[FileStamp], source_sha256: &str) -> bool {
    let written = fs::read(stamp_path(cache)).ok();
    let written = written.and_then(|json| serde_json::from_slice::<Stamp>(&json).ok());
    written.is_some_and(|stamp| {
        stamp.input == input
            && stamp.source_sha256 == source_sha256
            && FileStamp::of(cache).is_ok_and(|now| now == stamp.cache)
    })
}

/// Notes that `cache` was made from an input with the stamps `input`, taken before it was read.
///
/// # Errors
/// Where the stamp cannot be written.
pub fn write_stamp(cache: &Path, input: Vec<FileStamp>, source_sha256: &str) -> io::Result<()> {
    let stamp = Stamp {
        input,
        cache: FileStamp::of(cache).map_err(io::Error::other)?,
        source_sha256: source_sha256.to_owned(),
    };
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder_of(cache))?;
    serde_json::to_writer_pretty(&mut file, &stamp)?;
    file.write_all(b"\n")?;
    file.persist(stamp_path(cache))?;
    Ok(())
}
