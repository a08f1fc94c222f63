//! The input: found, recognised, and read member by member without extracting anything.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dvs_shared::Set;
use flate2::bufread::MultiGzDecoder;
use thiserror::Error;
use zip::ZipArchive;

use crate::samples::{LABELS_SUFFIX, RECORDING_SUFFIX};

/// Where a folder is looked through for the dataset, in this order. The last two are where SpikingJelly keeps it.
const CONVENTIONS: [&str; 8] = [
    "DvsGesture.tar.gz",
    "download/DvsGesture.tar.gz",
    "DvsGesture.tgz",
    "DvsGesture.tar",
    "DvsGesture.zip",
    "download/DvsGesture.zip",
    "DvsGesture",
    "extract/DvsGesture",
];
const TRAIN_LIST: &str = "trials_to_train.txt";
const TEST_LIST: &str = "trials_to_test.txt";
const BUFFER: usize = 1 << 18;

/// The container the dataset comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `.tar.gz`, `.tgz`.
    TarGz,
    /// `.tar`.
    Tar,
    /// `.zip` with the dataset's files in it, or with the `.tar.gz` as Box hands it out.
    Zip,
    /// The extracted folder.
    Folder,
}

/// The input, found and recognised.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The file or folder.
    pub path: PathBuf,
    /// What it is.
    pub container: Container,
}

/// Why there is nothing to read, or why reading stopped.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Nothing by any of the known names.
    #[error(
        "no DVS128 Gesture archive in {folder}: looked for {}, a single .zip, and trials_to_train.txt. \
         Name it with --input, or get DvsGesture.tar.gz as the README says", CONVENTIONS.join(", ")
    )]
    NotFound {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// Neither of the known containers.
    #[error("{path} is neither a .tar.gz, a .tar, a .zip nor a folder: it {}", begins(.start))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Its first bytes.
        start: Vec<u8>,
    },
    /// Reading failed, at about this byte of the container.
    #[error("cannot read {path} {place}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Byte and member.
        place: String,
        /// What went wrong.
        source: io::Error,
    },
}

fn begins(start: &[u8]) -> String {
    match start {
        [] => "is empty".to_owned(),
        _ => format!("begins with the bytes {start:02x?}"),
    }
}

/// What a member of the dataset is, told by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A trial list.
    Trials(Set),
    /// The label file of this recording.
    Labels(String),
    /// This recording.
    Recording(String),
}

/// A member as it comes.
pub struct Entry<'a> {
    /// What it is.
    pub member: Member,
    /// Bytes it claims to have.
    pub size: u64,
    /// How to get them.
    pub content: Content<'a>,
}

/// The bytes of a member: in the stream now, or in a file that any thread may read.
pub enum Content<'a> {
    /// To be read before the next member.
    Stream(&'a mut dyn Read),
    /// A file of the extracted folder.
    File(PathBuf),
}

impl Member {
    /// What the file at `path` is to the dataset; `None` for files it does not need. Files beginning with a dot
    /// are macOS's shadows of the real ones.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if name.starts_with('.') {
            return None;
        }
        if name == TRAIN_LIST {
            Some(Self::Trials(Set::Train))
        } else if name == TEST_LIST {
            Some(Self::Trials(Set::Test))
        } else if let Some(recording) = name.strip_suffix(LABELS_SUFFIX) {
            Some(Self::Labels(recording.to_owned()))
        } else {
            name.strip_suffix(RECORDING_SUFFIX)
                .map(|r| Self::Recording(r.to_owned()))
        }
    }

    /// The member's file name.
    pub fn file_name(&self) -> String {
        match self {
            Self::Trials(Set::Train) => TRAIN_LIST.to_owned(),
            Self::Trials(Set::Test) => TEST_LIST.to_owned(),
            Self::Labels(recording) => format!("{recording}{LABELS_SUFFIX}"),
            Self::Recording(recording) => format!("{recording}{RECORDING_SUFFIX}"),
        }
    }
}

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

    /// The files whose size and modification time stand for the input's content.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>, ArchiveError> {
        match self.container {
            Container::Folder => Ok(self
                .folder_members()?
                .into_iter()
                .map(|(_, path)| path)
                .collect()),
            _ => Ok(vec![self.path.clone()]),
        }
    }

    /// Calls `visit` with every member the dataset needs and counts the bytes read from the container in `read`.
    /// Members of a `.zip` or a folder come lists first; those of a `.tar` in the order they stand.
    ///
    /// # Errors
    /// Where the container cannot be read on, or `visit` failed to read a member.
    pub fn visit(
        &self,
        read: &AtomicU64,
        visit: &mut dyn FnMut(Entry<'_>) -> io::Result<()>,
    ) -> Result<(), ArchiveError> {
        if self.container == Container::Folder {
            for (member, path) in self.folder_members()? {
                let place = || format!("({})", member.file_name());
                let size = fs::metadata(&path)
                    .map_err(|e| read_error(&self.path, &place(), e))?
                    .len();
                let entry = Entry {
                    member: member.clone(),
                    size,
                    content: Content::File(path),
                };
                visit(entry).map_err(|e| read_error(&self.path, &place(), e))?;
            }
            return Ok(());
        }
        let mut current = String::new();
        let result = self.visit_stream(read, &mut |entry| {
            current = entry.member.file_name();
            visit(entry)
        });
        result.map_err(|source| {
            let near = format!("near byte {}", read.load(Ordering::Relaxed));
            let place = if current.is_empty() {
                near
            } else {
                format!("{near}, in or after {current}")
            };
            read_error(&self.path, &place, source)
        })
    }

    fn visit_stream(
        &self,
        read: &AtomicU64,
        visit: &mut dyn FnMut(Entry<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let file = Counted {
            inner: File::open(&self.path)?,
            read,
        };
        let file = BufReader::with_capacity(BUFFER, file);
        match self.container {
            Container::TarGz => visit_tar_gz(file, visit),
            Container::Zip => visit_zip(file, visit),
            Container::Tar | Container::Folder => visit_tar(file, visit),
        }
    }

    fn folder_members(&self) -> Result<Vec<(Member, PathBuf)>, ArchiveError> {
        let listing = fs::read_dir(&self.path).map_err(|e| read_error(&self.path, "", e))?;
        let mut members = Vec::new();
        for entry in listing {
            let path = entry.map_err(|e| read_error(&self.path, "", e))?.path();
            if let Some(member) = Member::of(&path).filter(|_| path.is_file()) {
                members.push((member, path));
            }
        }
        members.sort();
        Ok(members)
    }
}

fn read_error(path: &Path, place: &str, source: io::Error) -> ArchiveError {
    ArchiveError::Read {
        path: path.to_owned(),
        place: place.to_owned(),
        source,
    }
}

fn visit_tar(
    stream: impl Read,
    visit: &mut dyn FnMut(Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_contiguous()) {
            continue;
        }
        if let Some(member) = Member::of(&entry.path()?) {
            visit(Entry {
                member,
                size: entry.size(),
                content: Content::Stream(&mut entry),
            })?;
        }
    }
    // What follows the end mark holds nothing of the dataset, but gzip's checksum stands at its end.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

fn visit_tar_gz(
    stream: impl io::BufRead,
    visit: &mut dyn FnMut(Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    visit_tar(MultiGzDecoder::new(stream), visit)
}

fn visit_zip(
    stream: impl Read + Seek,
    visit: &mut dyn FnMut(Entry<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = ZipArchive::new(stream)?;
    let mut members = Vec::new();
    let mut nested = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index(i)?;
        let Some(path) = entry.enclosed_name().filter(|_| entry.is_file()) else {
            continue;
        };
        match Member::of(&path) {
            Some(member) => members.push((member, i)),
            None if is_tar_gz(&path) => nested.push((path, i)),
            None => {}
        }
    }
    if members.is_empty() && !nested.is_empty() {
        let named = nested
            .iter()
            .position(|(path, _)| path.ends_with("DvsGesture.tar.gz"));
        let (_, i) = match (named, nested.as_slice()) {
            (Some(named), _) => nested.swap_remove(named),
            (None, [_]) => nested.remove(0),
            (None, _) => {
                let names: Vec<_> = nested
                    .iter()
                    .map(|(path, _)| path.display().to_string())
                    .collect();
                let message = format!(
                    "it holds several archives, none of them DvsGesture.tar.gz: {}",
                    names.join(", ")
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        };
        let inner = BufReader::with_capacity(BUFFER, archive.by_index(i)?);
        return visit_tar_gz(inner, visit);
    }
    members.sort();
    for (member, i) in members {
        let mut entry = archive.by_index(i)?;
        let size = entry.size();
        visit(Entry {
            member,
            size,
            content: Content::Stream(&mut entry),
        })?;
        // A member's checksum is compared where it ends, which whoever reads so many bytes does not reach.
        io::copy(&mut entry, &mut io::sink())?;
    }
    Ok(())
}

/// Whether a file is an archive within the archive. Files beginning with a dot are macOS's shadows.
fn is_tar_gz(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    !name.starts_with('.') && (name.ends_with(".tar.gz") || name.ends_with(".tgz"))
}

/// A reader that counts what passes through.
struct Counted<'a, R> {
    inner: R,
    read: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl<R: Seek> Seek for Counted<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_by_their_names() {
        let of = |p: &str| Member::of(Path::new(p));
        assert_eq!(
            of("DvsGesture/user01_led.aedat"),
            Some(Member::Recording("user01_led".to_owned()))
        );
        assert_eq!(
            of("user01_led_labels.csv"),
            Some(Member::Labels("user01_led".to_owned()))
        );
        assert_eq!(of("x/trials_to_test.txt"), Some(Member::Trials(Set::Test)));
        assert_eq!(of("DvsGesture/._user01_led.aedat"), None);
        assert_eq!(of("DvsGesture/gesture_mapping.csv"), None);
    }
}
