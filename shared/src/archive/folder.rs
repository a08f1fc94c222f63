//! The extracted folder. Workers read its files themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::classes::files_in;
use super::other_files::Roles;
use super::{Content, Entry, Member, Visitor};

/// Depth of the sample files below the folder.
const SAMPLE_DEPTH: usize = 2;

/// Whether a folder holds any recording, label file or trial list.
pub(super) fn holds_dataset(folder: &Path) -> bool {
    let Ok(mut entries) = fs::read_dir(folder) else {
        return false;
    };
    entries.any(|entry| entry.is_ok_and(|entry| is_of_recordings(&entry.path())))
}

/// Whether a file is a recording, a label file or a trial list.
fn is_of_recordings(path: &Path) -> bool {
    let member = Member::of(path);
    let wanted = match member {
        Some(Member::Trials(_) | Member::Labels(_)) => true,
        Some(Member::Recording(_, ending)) => ending.is_only_of_recordings(),
        _ => false,
    };
    wanted && path.is_file()
}

/// The files of `folder` that the dataset needs, lists first. Links are followed, because large
/// files are often kept elsewhere; pipes and devices are ignored. If the folder holds no
/// recordings, its subfolders are searched for samples.
pub(super) fn members(folder: &Path, roles: Roles<'_>) -> io::Result<Vec<(Member, PathBuf)>> {
    let mut members = Vec::new();
    if roles.classes.is_some() {
        for (within, path) in files_in(folder)? {
            if let Some(member) = roles.member_of(&within) {
                members.push((member, path));
            }
        }
    } else if holds_dataset(folder) {
        add(folder, 0, &mut members)?;
    } else {
        // Samples are recognised by the names of their folders, and `.` hides such a name.
        add(&folder.canonicalize()?, SAMPLE_DEPTH, &mut members)?;
    }
    members.sort();
    Ok(members)
}

fn add(folder: &Path, depth: usize, members: &mut Vec<(Member, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if depth > 0 && path.is_dir() {
            add(&path, depth - 1, members)?;
        } else if let Some(member) = Member::of(&path).filter(|_| path.is_file()) {
            members.push((member, path));
        }
    }
    Ok(())
}

pub(super) fn visit(folder: &Path, roles: Roles<'_>, visitor: &mut dyn Visitor) -> io::Result<()> {
    for (member, path) in members(folder, roles)? {
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
