//! Finds and recognises the input.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::read_error;
use super::member::{FIGSHARE, TRAIN_LIST};
use super::other_files::{has_ending, is_hidden};
use super::{Archive, ArchiveError, Container, Part, folder};
use crate::cache_format::Set;
use crate::file_kind;
use crate::samples::MAPPING_NAME;

/// Paths in a folder at which the dataset is searched for, in this order. SpikingJelly uses the
/// last three.
const CONVENTIONS: [&str; 9] = [
    "DvsGesture.tar.gz",
    "download/DvsGesture.tar.gz",
    "DvsGesture.tgz",
    "DvsGesture.tar",
    "DvsGesture.zip",
    "download/DvsGesture.zip",
    "DvsGesture",
    "extract/DvsGesture",
    "events_np",
];

/// Subfolders in which figshare's two archives are searched for; tonic uses the last.
const FIGSHARE_FOLDERS: [&str; 3] = ["", "download", "DVSGesture"];

/// Depth in folders of the search for a dataset that has none of the conventional paths.
const MAX_DEPTH: usize = 3;
/// Maximum number of folders in that search.
const MAX_FOLDERS: usize = 1000;

impl Archive {
    /// Recognises `path`, or finds the dataset in it if it is a folder that holds an archive.
    ///
    /// # Errors
    /// Returns an error if nothing is found, or if its kind is unknown.
    pub fn find(path: &Path) -> Result<Self, ArchiveError> {
        let metadata = fs::metadata(path).map_err(|source| read_error(path, "", source))?;
        if let Some(folder) = path.parent().filter(|_| is_figshare_archive(path)) {
            // The other archive is in the same folder.
            return match Self::figshare(folder)? {
                Some(archive) => Ok(Self {
                    path: path.to_owned(),
                    ..archive
                }),
                None => Self::recognise(path),
            };
        }
        if !metadata.is_dir() {
            return match Self::of_both_sets(path)? {
                Some(archive) => Ok(archive),
                None => Self::recognise(path),
            };
        }
        match Self::in_folder(path)? {
            Some(archive) if archive.path != path => Ok(archive.with_mapping_beside()),
            Some(archive) => Ok(archive),
            None => Self::find_in_subfolders(path),
        }
    }

    /// If a file of class names lies beside the archive or folder, notes its path, to be used if
    /// the archive or folder has no such file itself. A `.zip` of the same files would contain this
    /// file.
    fn with_mapping_beside(self) -> Self {
        let beside = self.path.with_file_name(MAPPING_NAME);
        Self {
            mapping_beside: Some(beside).filter(|path| path.is_file()),
            ..self
        }
    }

    /// Finds the dataset in a folder: the folder itself or one of its conventional paths.
    fn in_folder(path: &Path) -> Result<Option<Self>, ArchiveError> {
        if path.join(TRAIN_LIST).is_file() {
            return Ok(Some(Self::folder(path)));
        }
        if holds_samples(path) {
            return Self::folder(path).with_classes().map(Some);
        }
        for name in CONVENTIONS {
            let candidate = path.join(name);
            if candidate.is_file() {
                return Self::recognise(&candidate).map(Some);
            }
            if folder::holds_dataset(&candidate) {
                return Ok(Some(Self::folder(&candidate)));
            }
            if holds_samples(&candidate) {
                return Self::folder(&candidate).with_classes().map(Some);
            }
        }
        for name in FIGSHARE_FOLDERS {
            if let Some(archive) = Self::figshare(&path.join(name))? {
                return Ok(Some(archive));
            }
        }
        // A dataset without its lists is still the intended one; reading it reports what is
        // missing.
        if folder::holds_dataset(path) {
            Self::refuse_one_class(path)?;
            return Ok(Some(Self::folder(path)));
        }
        let mut archives: Vec<PathBuf> = entries(path)?
            .filter(|path| path.is_file() && has_archive_ending(path))
            .collect();
        archives.sort();
        if let Some(found) = Self::of_class_folders(path, &archives)? {
            return Ok(Some(found));
        }
        match archives.as_slice() {
            [] => Ok(None),
            [archive] => Self::recognise(archive).map(Some),
            several => match Self::of_class_archives(path, several)? {
                Some(archive) => Ok(Some(archive)),
                None => Err(ArchiveError::Several {
                    folder: path.to_owned(),
                    found: archives,
                }),
            },
        }
    }

    /// Finds the only dataset in the subfolders of `path`, for example if an archive was unpacked
    /// into a new folder.
    fn find_in_subfolders(path: &Path) -> Result<Self, ArchiveError> {
        let mut level = vec![path.to_owned()];
        let mut looked_into = 0;
        let mut broken = None;
        for _ in 0..MAX_DEPTH {
            let mut next = Vec::new();
            for folder in &level {
                // Ignore folders that cannot be listed.
                let folders = entries(folder).into_iter().flatten();
                next.extend(folders.filter(|path| path.is_dir() && !is_hidden(path)));
            }
            next.sort();
            looked_into += next.len();
            if looked_into > MAX_FOLDERS {
                return Err(ArchiveError::TooManyFolders {
                    folder: path.to_owned(),
                    limit: MAX_FOLDERS,
                });
            }
            let mut found = Vec::new();
            for folder in &next {
                match Self::in_folder(folder) {
                    Ok(archive) => found.extend(archive),
                    Err(ArchiveError::Read { .. }) => {}
                    Err(error) => broken = broken.or(Some(error)),
                }
            }
            match found.len() {
                0 => level = next,
                1 => return Ok(found.swap_remove(0).with_mapping_beside()),
                _ => {
                    return Err(ArchiveError::Several {
                        folder: path.to_owned(),
                        found: found.into_iter().map(|archive| archive.path).collect(),
                    });
                }
            }
        }
        // A file that has the dataset's name but is not an archive explains why nothing was found.
        if let Some(error) = broken {
            return Err(error);
        }
        let mut folder_contents: Vec<String> = entries(path)?
            .filter(|path| !is_hidden(path))
            .filter_map(|path| {
                Some(
                    path.file_name()?
                        .to_string_lossy()
                        .escape_debug()
                        .to_string(),
                )
            })
            .collect();
        folder_contents.sort();
        Err(ArchiveError::NotFound {
            folder: path.to_owned(),
            names: &CONVENTIONS,
            folder_contents,
        })
    }

    pub(super) fn folder(path: &Path) -> Self {
        Self::of_parts(
            path,
            vec![Part {
                path: path.to_owned(),
                container: Container::Folder,
                folder: None,
            }],
        )
    }

    pub(super) fn of_parts(path: &Path, parts: Vec<Part>) -> Self {
        Self {
            path: path.to_owned(),
            parts,
            mapping: None,
            mapping_beside: None,
            classes: None,
        }
    }

    /// Finds figshare's two archives, or their extracted folders, in `folder`. Returns `None` if
    /// both are missing, and an error if only one is.
    fn figshare(folder: &Path) -> Result<Option<Self>, ArchiveError> {
        let found = FIGSHARE.map(|name| {
            let names =
                ["", ".tar.gz", ".tgz", ".tar"].map(|end| folder.join(name.to_owned() + end));
            names.into_iter().find(|path| path.exists())
        });
        let [train, test] = match found {
            [None, None] => return Ok(None),
            [Some(train), Some(test)] => [train, test],
            [Some(found), None] | [None, Some(found)] => {
                let missing = FIGSHARE.into_iter().find(|name| !has_name(&found, name));
                return Err(ArchiveError::HalfMissing {
                    found,
                    missing: missing.unwrap_or_default(),
                });
            }
        };
        let mut parts = Vec::new();
        for path in [&train, &test] {
            if path.is_dir() {
                parts.extend(Self::folder(path).parts);
            } else {
                parts.push(Self::container(path)?);
            }
        }
        Ok(Some(Self::of_parts(&train, parts)))
    }

    fn recognise(path: &Path) -> Result<Self, ArchiveError> {
        Self::of_parts(path, vec![Self::container(path)?]).with_classes()
    }

    /// Recognises a container by its first bytes, because names can be wrong.
    pub(super) fn container(path: &Path) -> Result<Part, ArchiveError> {
        // Reading from a pipe or a device could block or never end.
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
        let foreign = file_kind::foreign(&start).is_some();
        if let Some(ending) = ["npz", "npy"]
            .into_iter()
            .filter(|_| !foreign)
            .find(|e| path.extension().is_some_and(|x| x == *e))
        {
            return Err(ArchiveError::OneSample {
                path: path.to_owned(),
                ending,
            });
        }
        let container = match start.as_slice() {
            [0x1f, 0x8b, ..] => Container::TarGz,
            [b'P', b'K', 3, 4, ..] => Container::Zip,
            s if s.get(257..262) == Some(b"ustar") => Container::Tar,
            _ => {
                return Err(ArchiveError::Unknown {
                    path: path.to_owned(),
                    start,
                });
            }
        };
        Ok(Part {
            path: path.to_owned(),
            container,
            folder: None,
        })
    }
}

/// The paths in a folder.
fn entries(folder: &Path) -> Result<impl Iterator<Item = PathBuf>, ArchiveError> {
    let listing = fs::read_dir(folder).map_err(|source| read_error(folder, "", source))?;
    Ok(listing.flatten().map(|entry| entry.path()))
}

/// Whether a file has the ending of a readable archive.
fn has_archive_ending(path: &Path) -> bool {
    !is_hidden(path) && has_ending(path, &[".zip", ".tar.gz", ".tgz", ".tar"])
}

/// Whether a folder holds SpikingJelly's samples: the folder of a set that holds `.npz` files or
/// folders with `.npz` files.
fn holds_samples(folder: &Path) -> bool {
    let is_npz = |path: &Path| has_ending(path, &[".npz"]) && path.is_file();
    let holds_npz = |folder: &Path| {
        let mut files = entries(folder).into_iter().flatten();
        files.any(|path| is_npz(&path))
    };
    Set::ALL.iter().any(|set| {
        let set = folder.join(set.name());
        let mut inside = entries(&set).into_iter().flatten();
        inside.any(|path| is_npz(&path) || path.is_dir() && holds_npz(&path))
    })
}

/// Whether a file or folder has the name of one of figshare's archives.
fn is_figshare_archive(path: &Path) -> bool {
    FIGSHARE.iter().any(|name| has_name(path, name))
}

/// Whether a file or folder is named `name`, apart from its ending.
fn has_name(path: &Path, name: &str) -> bool {
    let file = path
        .file_name()
        .and_then(|f| f.to_str())
        .unwrap_or_default();
    file.split('.').next() == Some(name)
}
