//! What the input is, by its SHA-256, and the note that spares reading it again.
//!
//! The note, `<cache>.source.json`, lies beside the cache or where it would be. It says which SHA-256 was found in
//! which files, told by their path, size and modification time. While these match, the input is not read again. The
//! note says nothing of the cache: that holds, secured by a checksum, the SHA-256 of what it was made from.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use dvs_shared::archive::Archive;
use dvs_shared::file_kind::irregular;
use dvs_shared::output::{AtomicFile, OutputLock};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::input::error::Problems;
use crate::input::file_stamp::{FileStamp, change_since};
use crate::input::fingerprint;

/// The most bytes of a note that are read. One of a real dataset's folder has some 50 KB.
const MAX_NOTE: u64 = 1 << 24;

/// Why it cannot be told what the input is.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Problems),
    /// It was replaced while it was read.
    #[error("{path} changed while it was read: {change}. Run again when nothing writes to it")]
    Changed {
        /// The input.
        path: PathBuf,
        /// How.
        change: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    input: Vec<FileStamp>,
    /// Recordings that were damaged and have no part in the SHA-256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<String>,
    source_sha256: String,
}

/// The note beside `cache`.
pub fn path(cache: &Path) -> PathBuf {
    let mut name = cache.as_os_str().to_owned();
    name.push(".source.json");
    name.into()
}

/// The SHA-256 noted beside `cache` for an input with the stamps `input`, of all but the recordings that were `skipped`. A
/// note that cannot be read, or is of another state of the input, is none.
pub fn noted(cache: &Path, input: &[FileStamp], skipped: &[String]) -> Option<String> {
    let note = note_of(cache, input)?;
    (note.skipped == skipped).then_some(note.source_sha256)
}

/// Whether there is a note of this state of the input, whatever was skipped.
pub fn is_noted(cache: &Path, input: &[FileStamp]) -> bool {
    note_of(cache, input).is_some()
}

fn note_of(cache: &Path, input: &[FileStamp]) -> Option<Note> {
    let path = path(cache);
    let mut json = Vec::new();
    if irregular(&path).ok()?.is_some() {
        return None;
    }
    File::open(path)
        .and_then(|f| f.take(MAX_NOTE).read_to_end(&mut json))
        .ok()?;
    let note: Note = serde_json::from_slice(&json).ok()?;
    let same = note.input.len() == input.len()
        && input
            .iter()
            .zip(&note.input)
            .all(|(now, noted)| now.agrees_with(noted));
    same.then_some(note)
}

/// Reads the whole input, which had the stamps `input`, for its SHA-256, counting bytes in `read`.
///
/// # Errors
/// See [`SourceError`].
pub fn read(
    archive: &Archive,
    input: &[FileStamp],
    read: &AtomicU64,
) -> Result<String, SourceError> {
    let source = fingerprint::of_archive(archive, read);
    unchanged(archive, input)?;
    Ok(source?)
}

/// Nothing, if the input still has the stamps `input`.
///
/// # Errors
/// [`SourceError::Changed`].
pub fn unchanged(archive: &Archive, input: &[FileStamp]) -> Result<(), SourceError> {
    match change_since(input, archive) {
        None => Ok(()),
        Some(change) => Err(SourceError::Changed {
            path: archive.path.clone(),
            change,
        }),
    }
}

/// Notes beside the locked cache that an input with the stamps `input`, taken before it was read, has this SHA-256, the
/// recordings that were `skipped` left out.
///
/// # Errors
/// Where the note cannot be written.
pub fn write(
    lock: &OutputLock,
    input: &[FileStamp],
    skipped: &[String],
    source_sha256: &str,
) -> io::Result<()> {
    let note = Note {
        input: input.to_vec(),
        skipped: skipped.to_vec(),
        source_sha256: source_sha256.to_owned(),
    };
    let mut json = serde_json::to_vec_pretty(&note)?;
    json.push(b'\n');
    let unfinished = AtomicFile::create(lock, &path(lock.output()))?;
    File::options()
        .write(true)
        .open(unfinished.path())?
        .write_all(&json)?;
    unfinished.finish(true)
}
