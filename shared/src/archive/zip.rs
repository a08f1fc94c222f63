//! Reads the members of a `.zip`, the trial lists before the recordings. If the `.zip` contains the
//! dataset's `.tar.gz`, reads the members of that archive. IBM's download site makes such a `.zip`.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::gzip::Gunzip;
use super::member::FIGSHARE;
use super::other_files::{OtherFiles, Roles, file_name, has_ending, is_hidden};
use super::visitor::NotesMapping;
use super::{BUFFER, Content, Entry, Member, Visitor, invalid, tar};
use crate::file_kind;
use crate::limited_reader::LimitedReader;
use crate::words::{printable, some_of};

/// Endings of archives that can be read inside the archive.
const ARCHIVES: [&str; 3] = [".tar.gz", ".tgz", ".tar"];
/// Maximum number of archives in a message.
const SHOWN: usize = 10;
/// Maximum number of bytes read to list the entries; N-MNIST's 60,000 training samples need 5 MiB.
/// The directory is held in memory, and an entry of 46 bytes takes ten times as much there.
const MAX_DIRECTORY: u64 = 12 << 20;
/// Maximum compression ratio of deflate: about one bit for 258 bytes. If the entries claim more
/// than the file can hold at this ratio, they overlap.
const MAX_RATIO: u64 = 1032;

/// Opens the `.zip` in `file`.
fn open<R: BufRead + Seek>(
    file: R,
    allowed: &Cell<u64>,
) -> io::Result<ZipArchive<LimitedReader<'_, R>>> {
    allowed.set(MAX_DIRECTORY);
    let archive = ZipArchive::new(LimitedReader {
        inner: file,
        allowed,
    })
    .map_err(|e| explain(e.into(), allowed))?;
    allowed.set(u64::MAX);
    Ok(archive)
}

/// Calls `each` with the path of every file until it returns `ControlFlow::Break`.
pub(super) fn list(
    file: impl BufRead + Seek,
    each: &mut dyn FnMut(&Path) -> ControlFlow<()>,
) -> io::Result<()> {
    let allowed = Cell::new(0);
    let archive = open(file, &allowed)?;
    for i in 0..archive.len() {
        if let Some(Ok(name)) = archive.name_for_index(i)
            && !name.ends_with(['/', '\\'])
            && each(Path::new(&*name)).is_break()
        {
            break;
        }
    }
    Ok(())
}

/// Visits the members of the `.zip` in `file`, which has `length` bytes. `roles` says which files
/// are members.
pub(super) fn visit(
    file: impl BufRead + Seek,
    length: u64,
    roles: Roles<'_>,
    visitor: &mut dyn Visitor,
) -> io::Result<()> {
    let allowed = Cell::new(0);
    let mut archive = open(file, &allowed)?;
    let mut members = Vec::new();
    let mut nested = Vec::new();
    let mut others = OtherFiles::new(roles);
    for i in 0..archive.len() {
        // The dataset's names are all valid text.
        let Some(Ok(name)) = archive.name_for_index(i) else {
            continue;
        };
        let path = PathBuf::from(&*name);
        match others.member_of(&path) {
            Some(member) => members.push((member, i)),
            None if is_tar(&path) => nested.push((path, i)),
            None => {}
        }
    }
    // A stray recording beside an archive is not a dataset.
    let is_dataset = |member: &Member| matches!(member, Member::Trials(_) | Member::Sample(_));
    let has_dataset = members.iter().any(|(member, _)| is_dataset(member));
    if !has_dataset && !nested.is_empty() {
        return visit_nested(&mut archive, &members, &nested, visitor);
    }
    others.require_dataset_members()?;
    members.sort();
    let mut claimed = 0u64;
    for (member, i) in members {
        let visited = archive.by_index(i).map_err(Into::into).and_then(|mut entry| {
            let size = entry.size();
            claimed = claimed.saturating_add(size);
            if claimed / MAX_RATIO > length {
                return Err(invalid(format!(
                    "its entries claim {claimed} bytes or more, beyond what {length} bytes can hold"
                )));
            }
            visitor.member(Entry {
                member: member.clone(),
                size,
                content: Content::Stream(&mut entry),
            })
        });
        if let Err(error) = visited {
            visitor.damaged(member, error)?;
        }
    }
    Ok(())
}

/// Visits the dataset in an archive inside the `.zip`. In the `.zip`s that the file host Box makes,
/// a copy of the file of class names lies beside this archive; it is used only if the archive has
/// none.
fn visit_nested(
    zip: &mut ZipArchive<impl Read + Seek>,
    members: &[(Member, usize)],
    nested: &[(PathBuf, usize)],
    visitor: &mut dyn Visitor,
) -> io::Result<()> {
    let mut named = NotesMapping {
        visitor,
        mapping: false,
    };
    let result = choose_nested_archives(nested)?
        .into_iter()
        .try_for_each(|(path, i)| visit_archive(zip.by_index(i)?, path, &mut named));
    // This also applies to a truncated archive, whose first part may still be used.
    let mapping = members
        .iter()
        .find(|(member, _)| *member == Member::Mapping);
    if let Some((member, i)) = mapping.filter(|_| !named.mapping) {
        let mut entry = zip.by_index(*i)?;
        visitor.member(Entry {
            member: member.clone(),
            size: entry.size(),
            content: Content::Stream(&mut entry),
        })?;
    }
    result
}

/// Visits the `.tar.gz` or `.tar` at `path` in the `.zip`. Its first bytes decide which it is,
/// because names can be wrong.
fn visit_archive(entry: impl Read, path: &Path, visitor: &mut dyn Visitor) -> io::Result<()> {
    let mut inner = BufReader::with_capacity(BUFFER, entry);
    let start = inner.fill_buf()?;
    if start.starts_with(b"\x1f\x8b") {
        return tar::visit(Gunzip::new(inner), None, Roles::default(), visitor);
    }
    if start.get(257..262) == Some(b"ustar") {
        return tar::visit(inner, None, Roles::default(), visitor);
    }
    let kind = file_kind::by_content(&start[..start.len().min(file_kind::FIRST)]);
    let kind = kind.unwrap_or("is neither a .tar.gz nor a .tar");
    let name = printable(&path.to_string_lossy(), 80);
    Err(invalid(format!("{name} in it {kind}")))
}

/// Chooses among the archives inside the archive: IBM's, or figshare's two.
fn choose_nested_archives(nested: &[(PathBuf, usize)]) -> io::Result<Vec<(&Path, usize)>> {
    let called = |stem: &str| -> Vec<(&Path, usize)> {
        let has_name = |path: &Path| {
            let name = file_name(path).to_ascii_lowercase();
            ARCHIVES
                .iter()
                .any(|ending| name == stem.to_ascii_lowercase() + ending)
        };
        let found = nested.iter().filter(|(path, _)| has_name(path));
        found.map(|(path, i)| (path.as_path(), *i)).collect()
    };
    let refuse = |which: &str| {
        let names: Vec<String> = nested
            .iter()
            .map(|(path, _)| printable(&path.to_string_lossy(), 80))
            .collect();
        Err(invalid(format!(
            "it holds {} archives, {which}: {}. Unpack it, and name one of them",
            nested.len(),
            some_of(&names, SHOWN)
        )))
    };
    let [train, test] = FIGSHARE.map(called);
    match (
        called("DvsGesture").as_slice(),
        train.as_slice(),
        test.as_slice(),
        nested,
    ) {
        (&[one], ..) => Ok(vec![one]),
        ([], _, _, [(path, i)]) => Ok(vec![(path, *i)]),
        ([], &[train], &[test], _) => Ok(vec![train, test]),
        ([], ..) => refuse("none of them DvsGesture.tar.gz"),
        _ => refuse("several of them DvsGesture.tar.gz"),
    }
}

/// Whether a file is an archive that can be read inside the archive. Files that begin with a dot
/// are macOS's shadows.
pub(super) fn is_tar(path: &Path) -> bool {
    !is_hidden(path) && has_ending(path, &ARCHIVES)
}

/// Replaces the error if the byte limit ended the search.
fn explain(error: io::Error, allowed: &Cell<u64>) -> io::Error {
    if allowed.get() > 0 {
        return error;
    }
    invalid(format!(
        "its directory is not found within {MAX_DIRECTORY} bytes: it is cut off, or lists far more files than the dataset has"
    ))
}
