//! Whether the cache that is asked for is already there.
//!
//! A cache says which options made it and, as a SHA-256, from what input. So that asking again does not mean
//! reading gigabytes again, a stamp is kept beside it (`<cache>.source.json`): size and modification time of the
//! input's files and of the cache. While they match, nothing is read. Where the stamp is missing or does not match,
//! the input is read for its SHA-256, and a cache of the same content gets a new stamp.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::UNIX_EPOCH;

use dvs_shared::{CacheError, CacheFile, SplitMode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::archive::Archive;
use crate::error::Problems;
use crate::fingerprint;

/// Why an existing file is neither used nor overwritten.
#[derive(Debug, Error)]
pub enum ExistingError {
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
    path: PathBuf,
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
    pub fn of(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let metadata = fs::metadata(&path)?;
        let modified = metadata
            .modified()?
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self {
            size: metadata.len(),
            modified_ns: modified.as_nanos() as u64,
            path,
        })
    }

    /// The stamps of all files of an input.
    ///
    /// # Errors
    /// Where one cannot be looked at.
    pub fn of_input(archive: &Archive) -> io::Result<Vec<Self>> {
        let files = archive.files().map_err(io::Error::other)?;
        files.iter().map(|path| Self::of(path)).collect()
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// The existing cache at `path`, if it is the one asked for; `None` where there is no file. Bytes of the input
/// that have to be read are counted in `read`.
///
/// # Errors
/// Where the file is something else.
pub fn find(
    path: &Path,
    archive: &Archive,
    split: SplitMode,
    keep_invalid: bool,
    read: &AtomicU64,
) -> Result<Option<CacheFile>, ExistingError> {
    if !path.exists() {
        return Ok(None);
    }
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
    if differences.is_empty() && !stamp_matches(path, archive, &cache.header.source_sha256) {
        let source =
            fingerprint::of_archive(archive, read).map_err(|source| ExistingError::Input {
                path: path.to_owned(),
                source,
            })?;
        if source == cache.header.source_sha256 {
            // A stamp that cannot be written costs time when asked again, nothing else.
            let _ = write_stamp(path, archive, &source);
        } else {
            differences.push(format!(
                "it was made from an input with SHA-256 {}, and {} has {source}",
                cache.header.source_sha256,
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

fn stamp_now(cache: &Path, archive: &Archive, source_sha256: &str) -> io::Result<Stamp> {
    Ok(Stamp {
        input: FileStamp::of_input(archive)?,
        cache: FileStamp::of(cache)?,
        source_sha256: source_sha256.to_owned(),
    })
}

fn stamp_matches(cache: &Path, archive: &Archive, source_sha256: &str) -> bool {
    let written = fs::read(stamp_path(cache))
        .ok()
        .and_then(|json| serde_json::from_slice::<Stamp>(&json).ok());
    written.is_some_and(|written| {
        stamp_now(cache, archive, source_sha256).is_ok_and(|now| now == written)
    })
}

/// Notes that `cache` was made from `archive` as both are now.
///
/// # Errors
/// Where the stamp cannot be written.
pub fn write_stamp(cache: &Path, archive: &Archive, source_sha256: &str) -> io::Result<()> {
    let stamp = stamp_now(cache, archive, source_sha256)?;
    let path = stamp_path(cache);
    let folder = path
        .parent()
        .filter(|p| *p != Path::new(""))
        .unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder)?;
    serde_json::to_writer_pretty(&mut file, &stamp)?;
    file.write_all(b"\n")?;
    file.persist(path)?;
    Ok(())
}
