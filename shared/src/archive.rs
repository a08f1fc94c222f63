//! The input: found, recognised, and read member by member without extracting anything. One file for one container:
//! `folder`, `gzip`, `tar`, `zip`.

mod counted;
mod error;
mod find;
mod folder;
mod gzip;
mod member;
mod nothing;
mod tar;
mod visitor;
mod zip;

use std::fs::File;
use std::io::{self, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use self::counted::Counted;
pub use self::error::{ArchiveError, GivenUp};
use self::error::{invalid, read_error};
pub use self::member::{Member, SampleId, SampleLayout};
pub use self::visitor::{Content, Entry, Visitor};
use self::visitor::{Named, NotesMapping, Strict, WithoutMapping};

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
    /// What was named or found: a file, or a folder.
    pub path: PathBuf,
    /// What there is to be read: the same, or figshare's two archives.
    pub parts: Vec<Part>,
    /// A file of class names that goes before the input's own.
    pub mapping: Option<PathBuf>,
    /// A file of class names beside the input, which is used if it has none.
    pub mapping_beside: Option<PathBuf>,
}

/// A file or folder that is read.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file or folder.
    pub path: PathBuf,
    /// What it is.
    pub container: Container,
}

impl Archive {
    /// The files whose size and modification time stand for the input's content.
    ///
    /// # Errors
    /// Where the folder cannot be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>, ArchiveError> {
        let mappings = self.mapping.iter().chain(&self.mapping_beside);
        let mut files: Vec<PathBuf> = mappings.cloned().collect();
        for part in &self.parts {
            match part.container {
                Container::Folder => files.extend(
                    folder::members(&part.path)
                        .map_err(|source| read_error(&part.path, "", source))?
                        .into_iter()
                        .map(|(_, path)| path),
                ),
                _ => files.push(part.path.clone()),
            }
        }
        Ok(files)
    }

    /// Whether workers read the files themselves.
    pub fn is_folder(&self) -> bool {
        self.parts
            .iter()
            .all(|part| part.container == Container::Folder)
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

    /// As [`Archive::visit`], but ends where `visit` says that it has seen enough.
    ///
    /// # Errors
    /// If the container or a member of it cannot be read, or `visit` failed to.
    pub fn visit_until(
        &self,
        read: &AtomicU64,
        visit: &mut dyn FnMut(Entry<'_>) -> io::Result<ControlFlow<()>>,
    ) -> Result<(), ArchiveError> {
        let mut enough = false;
        let visited = self.visit(read, &mut |entry| match visit(entry)? {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                enough = true;
                Err(io::Error::other("enough"))
            }
        });
        if enough { Ok(()) } else { visited }
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
        let mut parts = self.parts.iter();
        if let Some(mapping) = &self.mapping {
            visit_mapping(mapping, visitor)?;
            let mut others = WithoutMapping(visitor);
            return parts.try_for_each(|part| part.visit(read, &mut others));
        }
        let mut noting = NotesMapping {
            visitor,
            mapping: false,
        };
        let result = parts.try_for_each(|part| part.visit(read, &mut noting));
        // Also if the archive ends too soon: what was read of it may still be used.
        if let Some(mapping) = self.mapping_beside.as_ref().filter(|_| !noting.mapping) {
            visit_mapping(mapping, visitor)?;
        }
        result
    }
}

/// Hands a file of class names to `visitor`.
fn visit_mapping(path: &Path, visitor: &mut dyn Visitor) -> Result<(), ArchiveError> {
    let given = std::fs::metadata(path).and_then(|metadata| {
        visitor.member(Entry {
            member: Member::Mapping,
            size: metadata.len(),
            content: Content::File(path.to_owned()),
        })
    });
    given.map_err(|source| read_error(path, "", source))
}

impl Part {
    fn visit(&self, read: &AtomicU64, visitor: &mut dyn Visitor) -> Result<(), ArchiveError> {
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
