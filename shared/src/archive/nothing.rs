//! An archive without anything of the dataset: what lies there instead.

use std::io;
use std::path::Path;

use thiserror::Error;

use super::Member;
use crate::words::{counted, printable};

/// Names that a message shows at most.
const SHOWN: usize = 5;

/// Marks the error of an archive that holds nothing of the dataset.
#[derive(Debug, Error)]
#[error("it holds {holds}")]
pub(super) struct Nothing {
    /// What it holds instead.
    pub holds: String,
}

/// What lies in an archive besides the dataset.
#[derive(Default)]
pub(super) struct Others {
    /// Whether there was anything of the dataset but names of classes.
    members: bool,
    /// Archives within.
    nested: Names,
    /// Everything else.
    files: Names,
}

/// The first names, and how many there are.
#[derive(Default)]
struct Names {
    first: Vec<String>,
    number: usize,
}

impl Others {
    /// What the file at `path` is to the dataset. If it is nothing, it is noted.
    pub(super) fn member_of(&mut self, path: &Path) -> Option<Member> {
        let member = Member::of(path);
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

    /// Refuses an archive that holds nothing of the dataset.
    pub(super) fn refuse_if_alone(&self) -> io::Result<()> {
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
        Err(io::Error::other(Nothing { holds }))
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

/// Whether a file's name is that of an archive.
fn is_archive(path: &Path) -> bool {
    const ENDINGS: [&str; 9] = [
        ".tar.gz", ".tgz", ".tar", ".zip", ".7z", ".rar", ".tar.xz", ".tar.bz2", ".tar.zst",
    ];
    has_ending(path, &ENDINGS)
}

/// Whether a file's name has one of these endings, in capitals or not.
pub(super) fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

/// The last part of a path in which a backslash may separate folders too.
pub(super) fn file_name(path: &Path) -> String {
    let path = path.to_string_lossy();
    path.rsplit(['/', '\\'])
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// Whether a file's name begins with a dot, as those of macOS's shadows do.
pub(super) fn is_hidden(path: &Path) -> bool {
    file_name(path).starts_with('.')
}
