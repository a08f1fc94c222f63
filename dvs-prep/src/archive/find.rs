//! The input, found and recognised.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::error::read_error;
use super::member::TRAIN_LIST;
use super::{Archive, ArchiveError, Container};

/// Where a folder is looked through for the dataset, in this order. The last two are where SpikingJelly keeps it.
pub(super) const CONVENTIONS: [&str; 8] = [
    "DvsGesture.tar.gz",
    "download/DvsGesture.tar.gz",
    "DvsGesture.tgz",
    "DvsGesture.tar",
    "DvsGesture.zip",
    "download/DvsGesture.zip",
    "DvsGesture",
    "extract/DvsGesture",
];

impl Archive {
    /// Recognises `path`, or finds the dataset in it where it is a folder that holds an archive.
    ///
    /// # Errors
    /// Where nothing is found, or what is found is of no known kind.
    pub fn find(path: &Path) -> Result<Self, ArchiveError> {
        let metadata = fs::metadata(path).map_err(|source| read_error(path, "", source))?;
        if !metadata.is_dir() {
            return Self::recognise(path);
        }
        if path.join(TRAIN_LIST).is_file() {
            return Ok(Self {
                path: path.to_owned(),
                container: Container::Folder,
            });
        }
        for name in CONVENTIONS {
            let candidate = path.join(name);
            if candidate.join(TRAIN_LIST).is_file() {
                return Ok(Self {
                    path: candidate,
                    container: Container::Folder,
                });
            }
            if candidate.is_file() {
                return Self::recognise(&candidate);
            }
        }
        let listing = fs::read_dir(path).map_err(|source| read_error(path, "", source))?;
        let mut zips = listing
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == "zip"));
        match (zips.next(), zips.next()) {
            (Some(zip), None) => Self::recognise(&zip),
            _ => Err(ArchiveError::NotFound {
                folder: path.to_owned(),
            }),
        }
    }

    /// Tells a container by its first bytes: names lie.
    fn recognise(path: &Path) -> Result<Self, ArchiveError> {
        // A pipe or a device would keep whoever reads it waiting, or never end.
        let metadata = fs::metadata(path).map_err(|source| read_error(path, "", source))?;
        if !metadata.is_file() {
            return Err(ArchiveError::NotAFile {
                path: path.to_owned(),
            });
        }
        let mut start = Vec::new();
        File::open(path)
            .and_then(|f| f.take(512).read_to_end(&mut start))
            .map_err(|source| read_error(path, "", source))?;
        let container = match start.as_slice() {
            [0x1f, 0x8b, ..] => Container::TarGz,
            [b'P', b'K', 3, 4, ..] => Container::Zip,
            s if s.get(257..262) == Some(b"ustar") => Container::Tar,
            _ => {
                start.truncate(8);
                return Err(ArchiveError::Unknown {
                    path: path.to_owned(),
                    start,
                });
            }
        };
        Ok(Self {
            path: path.to_owned(),
            container,
        })
    }
}
