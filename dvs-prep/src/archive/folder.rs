//! The extracted folder: its files, whose bytes workers read themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Content, Entry, Member, Visitor};

/// The files of `folder` that the dataset needs, lists first. Links are followed, since large files are often kept
/// elsewhere; pipes and devices are no files.
pub(super) fn members(folder: &Path) -> io::Result<Vec<(Member, PathBuf)>> {
    let mut members = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(member) = Member::of(&path).filter(|_| path.is_file()) {
            members.push((member, path));
        }
    }
    members.sort();
    Ok(members)
}

pub(super) fn visit(folder: &Path, visitor: &mut dyn Visitor) -> io::Result<()> {
    for (member, path) in members(folder)? {
        let visited = fs::metadata(&path).and_then(|metadata| {
            visitor.member(Entry {
                member: member.clone(),
                size: metadata.len(),
                content: Content::File(path),
            })
        });
        if let Err(error) = visited {
            visitor.damaged(member, error)?;
        }
    }
    Ok(())
}
