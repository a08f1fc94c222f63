//! Finds and recognises the input and reads its members without extracting anything. Each container
//! has its own file: `folder`, `gzip`, `tar`, `zip`.

mod classes;
mod counting_reader;
mod error;
mod find;
mod find_classes;
mod folder;
mod gzip;
mod member;
mod other_files;
mod tar;
mod visitor;
mod zip;

use std::fs::File;
use std::io::{self, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::classes::{ClassError, ClassFolders};
use self::counting_reader::CountingReader;
pub use self::error::{ArchiveError, VisitorError};
use self::error::{invalid, read_error};
pub use self::member::{InClass, Member, SampleId, SampleLayout};
use self::other_files::Roles;
pub use self::visitor::{Content, Entry, Visitor};
use self::visitor::{Named, NotesMapping, Strict, WithoutMapping};
use crate::event::SensorSize;
use crate::formats::DatasetForm;
use crate::test_split::TestSplit;

const BUFFER: usize = 1 << 18;

/// The container that holds the dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `.tar.gz`, `.tgz`.
    TarGz,
    /// `.tar`.
    Tar,
    /// `.zip` that holds the dataset's files, or the `.tar.gz` as Box serves it.
    Zip,
    /// The extracted folder.
    Folder,
}

#[derive(Clone, Debug)]
pub struct Archive {
    /// The file or folder that the user named or that was found.
    pub path: PathBuf,
    /// The files or folders to read: `path` itself, or figshare's two archives.
    pub parts: Vec<Part>,
    /// A file of class names that overrides the input's own.
    pub mapping: Option<PathBuf>,
    /// A file of class names beside the input, used if the input has none.
    pub mapping_beside: Option<PathBuf>,
    /// The classes, if the input is a dataset of class folders.
    pub classes: Option<ClassFolders>,
}

/// A file or folder to read.
#[derive(Clone, Debug)]
pub struct Part {
    pub path: PathBuf,
    pub container: Container,
    /// Its name, if this counts as a folder of the dataset.
    pub folder: Option<String>,
}

impl Archive {
    /// The files whose size and modification time identify the input's content.
    ///
    /// # Errors
    /// Returns an error if the folder cannot be listed.
    pub fn files(&self) -> Result<Vec<PathBuf>, ArchiveError> {
        let mappings = self.mapping.iter().chain(&self.mapping_beside);
        let mut files: Vec<PathBuf> = mappings.cloned().collect();
        for part in &self.parts {
            match part.container {
                Container::Folder => files.extend(
                    folder::members(&part.path, self.roles(part))
                        .map_err(|source| read_error(&part.path, "", source))?
                        .into_iter()
                        .map(|(_, path)| path),
                ),
                _ => files.push(part.path.clone()),
            }
        }
        Ok(files)
    }

    /// Whether all parts are folders, whose files the workers read themselves.
    pub fn is_folder(&self) -> bool {
        self.parts
            .iter()
            .all(|part| part.container == Container::Folder)
    }

    /// Gives the classes their names and divides the samples into sets, if the input is a dataset of
    /// class folders.
    ///
    /// # Errors
    /// Returns an error if the input is no such dataset and a division is asked for, or if the input
    /// does not go with the names or the division.
    pub fn divide(
        &mut self,
        names: Option<&[String]>,
        split: Option<TestSplit>,
    ) -> Result<(), ArchiveError> {
        let applied = match &mut self.classes {
            Some(classes) => classes.apply(names, split),
            None if split.is_some() => Err(ClassError::HasSets),
            None => Ok(()),
        };
        applied.map_err(|reason| ArchiveError::classes(&self.path, reason))
    }

    /// Refuses a dataset of class folders that is not divided into sets, or whose size of frames is
    /// not known although `sensor` does not say it.
    ///
    /// # Errors
    /// Returns an error if the input is such a dataset.
    pub fn require_all_known(&self, sensor: Option<SensorSize>) -> Result<(), ArchiveError> {
        let Some(classes) = &self.classes else {
            return Ok(());
        };
        let reason = if !classes.is_divided() {
            let summary = classes.summary();
            ClassError::NotDivided { summary }
        } else if let Some(example) = classes.file_without_size().filter(|_| sensor.is_none()) {
            ClassError::Size { example }
        } else {
            return Ok(());
        };
        Err(ArchiveError::classes(&self.path, reason))
    }

    /// The form of the dataset.
    pub fn form(&self) -> DatasetForm {
        self.classes
            .as_ref()
            .map_or(DatasetForm::Gestures, ClassFolders::form)
    }

    fn roles<'a>(&'a self, part: &'a Part) -> Roles<'a> {
        Roles {
            classes: self.classes.as_ref(),
            part: part.folder.as_deref(),
        }
    }

    /// Calls `visit` with every member that the dataset needs, and counts the bytes read from the
    /// container in `read`. A `.zip` or a folder yields its lists first; a `.tar` keeps its own
    /// order.
    ///
    /// # Errors
    /// Returns an error if the container or a member cannot be read, or if `visit` fails.
    pub fn visit(
        &self,
        read: &AtomicU64,
        visit: &mut dyn FnMut(Entry<'_>) -> io::Result<()>,
    ) -> Result<(), ArchiveError> {
        self.visit_all(read, &mut Strict(visit))
    }

    /// Like [`Archive::visit`], but stops once `visit` returns `ControlFlow::Break`.
    ///
    /// # Errors
    /// Returns an error if the container or a member cannot be read, or if `visit` fails.
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

    /// Like [`Archive::visit`], but continues past an unreadable member if the others are still
    /// readable.
    ///
    /// # Errors
    /// Returns an error if the rest of the container cannot be read.
    pub fn visit_all(
        &self,
        read: &AtomicU64,
        visitor: &mut dyn Visitor,
    ) -> Result<(), ArchiveError> {
        let mut parts = self.parts.iter();
        if let Some(mapping) = &self.mapping {
            visit_mapping(mapping, visitor)?;
            let mut others = WithoutMapping(visitor);
            return parts.try_for_each(|part| part.visit(read, self.roles(part), &mut others));
        }
        let mut noting = NotesMapping {
            visitor,
            mapping: false,
        };
        let result = parts.try_for_each(|part| part.visit(read, self.roles(part), &mut noting));
        // This also applies to a truncated archive, whose first part may still be used.
        if let Some(mapping) = self.mapping_beside.as_ref().filter(|_| !noting.mapping) {
            visit_mapping(mapping, visitor)?;
        }
        result
    }
}

/// Passes a file of class names to `visitor`.
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
    fn visit(
        &self,
        read: &AtomicU64,
        roles: Roles<'_>,
        visitor: &mut dyn Visitor,
    ) -> Result<(), ArchiveError> {
        if self.container == Container::Folder {
            return folder::visit(&self.path, roles, visitor)
                .map_err(|source| read_error(&self.path, "", source));
        }
        let mut named = Named {
            current: String::new(),
            visitor,
        };
        let result = self.visit_stream(read, roles, &mut named);
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

    fn visit_stream(
        &self,
        read: &AtomicU64,
        roles: Roles<'_>,
        visitor: &mut dyn Visitor,
    ) -> io::Result<()> {
        let (file, length) = self.open(read)?;
        match self.container {
            Container::TarGz => tar::visit(gzip::Gunzip::new(file), None, roles, visitor),
            Container::Zip => zip::visit(file, length, roles, visitor),
            Container::Tar | Container::Folder => tar::visit(file, Some(length), roles, visitor),
        }
    }

    /// Calls `each` with the path of every file of the container until it returns
    /// `ControlFlow::Break`.
    fn list(&self, each: &mut dyn FnMut(&Path) -> ControlFlow<()>) -> io::Result<()> {
        let read = AtomicU64::new(0);
        let (file, length) = self.open(&read)?;
        match self.container {
            Container::TarGz => tar::list(gzip::Gunzip::new(file), None, each),
            Container::Zip => zip::list(file, each),
            Container::Tar | Container::Folder => tar::list(file, Some(length), each),
        }
    }

    fn open<'a>(
        &self,
        read: &'a AtomicU64,
    ) -> io::Result<(BufReader<CountingReader<'a, File>>, u64)> {
        let file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        let file = BufReader::with_capacity(BUFFER, CountingReader { inner: file, read });
        Ok((file, length))
    }
}
