//! What a file's metadata tell of its content, without reading it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use dvs_shared::archive::{Archive, ArchiveError};
use serde::{Deserialize, Serialize};

/// Size, modification time and place of a file. Two are equal where it is the same file with, by all signs, the same
/// content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    path: String,
    size: u64,
    modified_ns: u64,
    /// Device and inode. They are kept nowhere: a mount or a copy that keeps times changes them.
    #[serde(skip)]
    inode: (u64, u64),
}

impl FileStamp {
    /// The stamp of a file as it is now.
    ///
    /// # Errors
    /// Where it cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let metadata = fs::metadata(&path)?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
        Ok(Self {
            size: metadata.len(),
            modified_ns: modified.unwrap_or_default().as_nanos() as u64,
            inode: (metadata.dev(), metadata.ino()),
            // JSON holds no other text; a path that is not UTF-8 is told by what of it is.
            path: path.to_string_lossy().into_owned(),
        })
    }

    /// The stamps of all files of an input.
    ///
    /// # Errors
    /// Where one cannot be looked at.
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

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether a stamp that was written down is of this file and content.
    pub fn agrees_with(&self, noted: &Self) -> bool {
        (&self.path, self.size, self.modified_ns) == (&noted.path, noted.size, noted.modified_ns)
    }
}

/// What has become different about the input since its stamps were `before`; `None` where nothing has.
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
    for old in before {
        let path = &old.path;
        let Some(new) = now.iter().find(|new| new.path == *path) else {
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
    let added = now
        .iter()
        .find(|new| before.iter().all(|old| old.path != new.path));
    added.map(|new| format!("{} has been added", new.path))
}
