//! Detects changes to a file from its metadata, without reading it.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use dvs_shared::archive::{Archive, ArchiveError};
use serde::{Deserialize, Serialize};

/// Path, size and modification time of a file. If two stamps are equal, they most likely belong to
/// the same file with the same content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    path: String,
    size: u64,
    modified_ns: u64,
    /// Device and inode. They are not saved, because they can change when a file system is mounted
    /// again, or when a file is copied and keeps its times.
    #[serde(skip)]
    inode: (u64, u64),
}

impl FileStamp {
    /// The current stamp of a file.
    ///
    /// # Errors
    /// Returns an error if the metadata cannot be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let metadata = fs::metadata(&path)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
        Ok(Self {
            size: metadata.len(),
            modified_ns: modified.unwrap_or_default().as_nanos() as u64,
            inode: (metadata.dev(), metadata.ino()),
            // JSON holds only UTF-8, so other bytes of the path are replaced.
            path: path.to_string_lossy().into_owned(),
        })
    }

    /// The stamps of all files of an input.
    ///
    /// # Errors
    /// Returns an error if the metadata of a file cannot be read.
    pub fn of_input(archive: &Archive) -> Result<Vec<Self>, ArchiveError> {
        let files = archive.files()?;
        let stamps = files.iter().map(|path| {
            Self::of(path).map_err(|source| ArchiveError::Read {
                path: path.clone(),
                place: String::new(),
                source,
            })
        });
        stamps.collect()
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether the saved stamp `noted` has the same path, size and modification time.
    pub fn agrees_with(&self, noted: &Self) -> bool {
        (&self.path, self.size, self.modified_ns) == (&noted.path, noted.size, noted.modified_ns)
    }
}

/// Describes how the input has changed since its stamps were `before`; `None` if it has not.
pub fn change_since(before: &[FileStamp], archive: &Archive) -> Option<String> {
    let now = match FileStamp::of_input(archive) {
        Ok(now) => now,
        Err(ArchiveError::Read { path, source, .. }) => {
            return Some(format!(
                "{} cannot be found any more: {source}",
                path.display()
            ));
        }
        Err(error) => return Some(error.to_string()),
    };
    let found: HashMap<&String, &FileStamp> = now.iter().map(|new| (&new.path, new)).collect();
    for old in before {
        let path = &old.path;
        let Some(new) = found.get(path) else {
            return Some(format!("{path} is gone"));
        };
        if new.inode != old.inode {
            return Some(format!("another file has taken the place of {path}"));
        }
        if new.size != old.size {
            return Some(format!(
                "{path} had {} bytes and has {} now",
                old.size, new.size
            ));
        }
        if new.modified_ns != old.modified_ns {
            return Some(format!("{path} was written to"));
        }
    }
    let known: HashSet<&String> = before.iter().map(|old| &old.path).collect();
    let added = now.iter().find(|new| !known.contains(&new.path));
    added.map(|new| format!("{} has been added", new.path))
}
