//! Identifies the input by its SHA-256, and keeps a note of it to avoid reading the input again.
//!
//! The note, `<cache>.source.json`, is stored beside the path of the cache. It records the SHA-256
//! and the path, size and modification time of each input file. While these match, the input is not
//! read again. The note does not describe the cache: the cache holds the SHA-256 of its own input,
//! protected by a checksum.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;

use dvs_shared::archive::Archive;
use dvs_shared::file_kind::irregular;
use dvs_shared::output::{AtomicFile, OutputLock};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::input::error::InputProblems;
use crate::input::file_stamp::{FileStamp, change_since};
use crate::input::fingerprint;

/// Maximum size of a note in bytes. The note for a folder takes some 200 bytes for each file, and
/// N-MNIST has 70,000.
const MAX_NOTE: u64 = 1 << 26;

/// Why the input cannot be identified.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The input cannot be read.
    #[error(transparent)]
    Unreadable(#[from] InputProblems),
    /// The input changed while it was read.
    #[error("{path} changed while it was read: {change}. Run again when nothing writes to it")]
    Changed {
        path: PathBuf,
        /// Description of the change.
        change: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    input: Vec<FileStamp>,
    /// Damaged recordings that are not part of the SHA-256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<String>,
    source_sha256: String,
}

/// Path of the note beside `cache`.
pub fn path(cache: &Path) -> PathBuf {
    let mut name = cache.as_os_str().to_owned();
    name.push(".source.json");
    name.into()
}

/// The SHA-256 noted beside `cache` for an input with the stamps `input`, without the recordings in
/// `skipped`. Returns `None` if the note cannot be read or describes another state of the input.
pub fn noted(cache: &Path, input: &[FileStamp], skipped: &[String]) -> Option<String> {
    let note = note_of(cache, input)?;
    (note.skipped == skipped).then_some(note.source_sha256)
}

/// Whether there is a note for this state of the input, regardless of the skipped recordings.
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

/// Computes the SHA-256 of the whole input, which had the stamps `input`. The bytes read are
/// counted in `read`.
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

/// Checks that the input still has the stamps `input`.
///
/// # Errors
/// Returns [`SourceError::Changed`] if it does not.
pub fn unchanged(archive: &Archive, input: &[FileStamp]) -> Result<(), SourceError> {
    match change_since(input, archive) {
        None => Ok(()),
        Some(change) => Err(SourceError::Changed {
            path: archive.path.clone(),
            change,
        }),
    }
}

/// Writes the note beside the locked cache: an input with the stamps `input`, taken before it was
/// read, has this SHA-256 without the recordings in `skipped`.
///
/// # Errors
/// Returns an error if the note cannot be written.
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
