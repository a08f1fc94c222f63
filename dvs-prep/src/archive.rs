//! The input: found, recognised, and read member by member without extracting anything. One file for one container:
//! `folder`, `gzip`, `tar`, `zip`.

mod folder;
mod gzip;
mod tar;
mod zip;

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use dvs_shared::Set;
use thiserror::Error;

use self::gzip::GzipError;
use crate::intake::IntakeError;
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
    /// A pipe, a device or a socket.
    #[error("{path} is neither a regular file nor a folder")]
    NotAFile {
        /// What was named.
        path: PathBuf,
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
    #[error("cannot read {path}{}{place}", if .place.is_empty() { "" } else { " " })]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Byte and member, or nothing where it cannot even be opened.
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

/// Who reads the members.
pub trait Visitor {
    /// Reads the next member, as far as it is wanted.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()>;

    /// Is told why a member cannot be read where the others still can, as in a `.zip` or a folder.
    ///
    /// # Errors
    /// Where the others are not wanted then.
    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()>;
}

/// A visitor that stops at the first member that cannot be read.
struct Strict<'a>(&'a mut dyn FnMut(Entry<'_>) -> io::Result<()>);

impl Visitor for Strict<'_> {
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()> {
        (self.0)(entry)
    }

    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()> {
        Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", member.file_name()),
        ))
    }
}

impl ArchiveError {
    /// Whether what was read before this error may still be used. It may where the container ends too soon or cannot
    /// be read on; it may not where a checksum over the whole of it tells that something was wrong somewhere, nor
    /// where it was the visitor that could not go on.
    pub fn spares_what_was_read(&self) -> bool {
        let Self::Read { source, .. } = self else {
            return false;
        };
        let checksum = source
            .get_ref()
            .is_some_and(|e| matches!(e.downcast_ref(), Some(GzipError::Checksum { .. })));
        !checksum && !IntakeError::is(source)
    }

    /// Whether the container ends too soon, so that all before its end is as it was written.
    pub fn is_truncation(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::UnexpectedEof)
    }
}

impl Member {
    /// What the file at `path` is to the dataset; `None` for files it does not need. Only its name counts, wherever
    /// `path` leads, since nothing is ever extracted. Files beginning with a dot are macOS's shadows of the real ones;
    /// no file of the dataset has control characters in its name, and messages could not show them.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if name.starts_with('.') || name.chars().any(char::is_control) {
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

    /// The files whose size and modification time stand for the input's content.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>, ArchiveError> {
        match self.container {
            Container::Folder => Ok(folder::members(&self.path)
                .map_err(|source| read_error(&self.path, "", source))?
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
    /// Where the container or a member of it cannot be read, or `visit` failed to.
    pub fn visit(
        &self,
        read: &AtomicU64,
        visit: &mut dyn FnMut(Entry<'_>) -> io::Result<()>,
    ) -> Result<(), ArchiveError> {
        self.visit_all(read, &mut Strict(visit))
    }

    /// As [`Archive::visit`], but goes on past members that cannot be read where the others still can.
    ///
    /// # Errors
    /// Where the container cannot be read on.
    pub fn visit_all(
        &self,
        read: &AtomicU64,
        visitor: &mut dyn Visitor,
    ) -> Result<(), ArchiveError> {
        if self.container == Container::Folder {
            return folder::visit(&self.path, visitor)
                .map_err(|source| read_error(&self.path, "", source));
        }
        let mut named = Named {
            current: String::new(),
            visitor,
        };
        let result = self.visit_stream(read, &mut named);
        result.map_err(|source| {
            let near = format!("near byte {}", read.load(Ordering::Relaxed));
            let place = if named.current.is_empty() {
                near
            } else {
                format!("{near}, in or after {}", named.current)
            };
            read_error(&self.path, &place, source)
        })
    }

    fn visit_stream(&self, read: &AtomicU64, visitor: &mut dyn Visitor) -> io::Result<()> {
        let file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        let file = BufReader::with_capacity(BUFFER, Counted { inner: file, read });
        match self.container {
            Container::TarGz => tar::visit(gzip::Gunzip::new(file), None, visitor),
            Container::Zip => zip::visit(file, length, visitor),
            Container::Tar | Container::Folder => tar::visit(file, Some(length), visitor),
        }
    }
}

/// A visitor that notes which member is being read, for messages.
struct Named<'a> {
    current: String,
    visitor: &'a mut dyn Visitor,
}

impl Visitor for Named<'_> {
    fn member(&mut self, entry: Entry<'_>) -> io::Result<()> {
        self.current = entry.member.file_name();
        self.visitor.member(entry)
    }

    fn damaged(&mut self, member: Member, error: io::Error) -> io::Result<()> {
        self.visitor.damaged(member, error)
    }
}

fn read_error(path: &Path, place: &str, source: io::Error) -> ArchiveError {
    ArchiveError::Read {
        path: path.to_owned(),
        place: place.to_owned(),
        source,
    }
}

/// What the bytes of a container say that cannot be.
fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
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
