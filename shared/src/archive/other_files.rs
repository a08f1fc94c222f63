//! Describes an archive that holds nothing of the dataset.

use std::io;
use std::path::Path;

use thiserror::Error;

use super::{ClassFolders, Member};
use crate::words::{counted, printable};

/// Maximum number of names in a message.
const SHOWN: usize = 5;

/// Marks the error for an archive that holds nothing of the dataset.
#[derive(Debug, Error)]
#[error("it holds {holds}")]
pub(super) struct NothingOfDataset {
    /// What the archive holds instead.
    pub holds: String,
}

/// How files are recognised as members.
#[derive(Clone, Copy, Default)]
pub(super) struct Roles<'a> {
    /// The dataset of class folders, if the input is one. Otherwise names alone decide.
    pub classes: Option<&'a ClassFolders>,
    /// The name of the archive or folder, if it counts as a folder of the dataset.
    pub part: Option<&'a str>,
}

impl Roles<'_> {
    /// The role of the file at `path`.
    pub(super) fn member_of(self, path: &Path) -> Option<Member> {
        match self.classes {
            Some(classes) => classes.member_at(self.part, path),
            None => Member::of(path),
        }
    }
}

/// The files of an archive that are not part of the dataset.
pub(super) struct OtherFiles<'a> {
    roles: Roles<'a>,
    /// Whether the archive holds any member other than class names.
    members: bool,
    /// Archives inside the archive.
    nested: Names,
    /// All other files.
    files: Names,
}

/// The first names, and the total number.
#[derive(Default)]
struct Names {
    first: Vec<String>,
    number: usize,
}

impl<'a> OtherFiles<'a> {
    pub(super) fn new(roles: Roles<'a>) -> Self {
        Self {
            roles,
            members: false,
            nested: Names::default(),
            files: Names::default(),
        }
    }

    /// Returns the role of the file at `path`, and records the file if it has none.
    pub(super) fn member_of(&mut self, path: &Path) -> Option<Member> {
        let member = self.roles.member_of(path);
        let is_folder = path.to_string_lossy().ends_with(['/', '\\']);
        match &member {
            Some(Member::Mapping) => self.files.push(path),
            Some(_) => self.members = true,
            None if is_folder || is_hidden(path) => {}
            None if is_archive(path) => self.nested.push(path),
            None => self.files.push(path),
        }
        member
    }

    /// Returns an error if the archive holds nothing of the dataset.
    pub(super) fn require_dataset_members(&self) -> io::Result<()> {
        if self.members {
            return Ok(());
        }
        let holds = match (self.nested.number, self.files.number) {
            (0, 0) => "no files".to_owned(),
            (0, _) => self.files.listed(),
            (nested, _) => format!(
                "{} within it: {}. Unpack it, and name what you get",
                counted(nested as u64, "archive"),
                self.nested.listed()
            ),
        };
        Err(io::Error::other(NothingOfDataset { holds }))
    }
}

impl Names {
    fn push(&mut self, path: &Path) {
        self.number += 1;
        if self.first.len() < SHOWN {
            self.first.push(printable(&path.to_string_lossy(), 80));
        }
    }

    fn listed(&self) -> String {
        let shown = self.first.join(", ");
        match self.number - self.first.len() {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }
}

/// Whether a file has the name of an archive.
fn is_archive(path: &Path) -> bool {
    const ENDINGS: [&str; 9] = [
        ".tar.gz", ".tgz", ".tar", ".zip", ".7z", ".rar", ".tar.xz", ".tar.bz2", ".tar.zst",
    ];
    has_ending(path, &ENDINGS)
}

/// Whether a file's name has one of these endings, ignoring case.
pub(super) fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// The last component of a path whose folders may also be separated by backslashes.
pub(super) fn file_name(path: &Path) -> String {
    let path = path.to_string_lossy();
    path.rsplit(['/', '\\'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Whether a file's name begins with a dot, like those of macOS's shadows.
pub(super) fn is_hidden(path: &Path) -> bool {
    file_name(path).starts_with('.')
}
