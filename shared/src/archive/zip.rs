//! The members of a `.zip`, lists first; or those of the `.tar.gz` in it, as Box hands it out, wherever it lies there.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::gzip::Gunzip;
use super::member::FIGSHARE;
use super::nothing::Others;
use super::visitor::NotesMapping;
use super::{BUFFER, Content, Entry, Member, Visitor, invalid, tar};
use crate::rationed::Rationed;

/// The most bytes that are read to find out which entries there are. The directory is held in memory, and an entry of
/// 46 bytes takes ten times as many there.
const MAX_DIRECTORY: u64 = 4 << 20;
/// How far deflate can compress: a bit for 258 bytes, about. A file whose entries claim more holds them several times.
const MAX_RATIO: u64 = 1032;

/// Visits the members of the `.zip` in `file`, which has `length` bytes.
pub(super) fn visit(
    file: impl BufRead + Seek,
    length: u64,
    visitor: &mut dyn Visitor,
) -> io::Result<()> {
    let allowed = Cell::new(MAX_DIRECTORY);
    let mut archive = ZipArchive::new(Rationed {
        inner: file,
        allowed: &allowed,
    })
    .map_err(|e| explain(e.into(), &allowed))?;
    allowed.set(u64::MAX);
    let mut members = Vec::new();
    let mut nested = Vec::new();
    let mut others = Others::default();
    for i in 0..archive.len() {
        // A name that is no text is none of the dataset's.
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
    let has_data = members.iter().any(|(member, _)| member.is_data());
    if !has_data && !nested.is_empty() {
        return visit_nested(&mut archive, &members, &nested, visitor);
    }
    others.refuse_if_alone()?;
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

/// Visits the dataset in an archive within the `.zip`. Box puts a copy of the names of the classes beside it, which are used
/// only if the archive has none.
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
    for i in the_archives(nested)? {
        let inner = BufReader::with_capacity(BUFFER, zip.by_index(i)?);
        if nested
            .iter()
            .any(|(path, at)| *at == i && ends_with(path, ".tar"))
        {
            tar::visit(inner, None, &mut named)?;
        } else {
            tar::visit(Gunzip::new(inner), None, &mut named)?;
        }
    }
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
    Ok(())
}

/// Which of the archives within the archive are meant: IBM's, or figshare's two.
fn the_archives(nested: &[(PathBuf, usize)]) -> io::Result<Vec<usize>> {
    let place = |name: &str| {
        nested
            .iter()
            .find(|(path, _)| path.to_string_lossy().rsplit(['/', '\\']).next() == Some(name))
            .map(|(_, i)| *i)
    };
    let [train, test] = FIGSHARE.map(|name| place(&format!("{name}.tar.gz")));
    match (place("DvsGesture.tar.gz"), train.zip(test), nested) {
        (Some(i), _, _) => Ok(vec![i]),
        (None, None, [(_, i)]) => Ok(vec![*i]),
        (None, Some((train, test)), _) => Ok(vec![train, test]),
        (None, None, _) => {
            let names: Vec<_> = nested
                .iter()
                .take(10)
                .map(|(path, _)| path.display().to_string())
                .collect();
            Err(invalid(format!(
                "it holds {} archives, none of them DvsGesture.tar.gz: {}",
                nested.len(),
                names.join(", ")
            )))
        }
    }
}

/// Whether a file is an archive that can be read within the archive. Files beginning with a dot are macOS's shadows.
fn is_tar(path: &Path) -> bool {
    let endings = [".tar.gz", ".tgz", ".tar"];
    let file = path.to_string_lossy();
    let name = file.rsplit(['/', '\\']).next().unwrap_or_default();
    !name.starts_with('.') && endings.iter().any(|ending| name.ends_with(ending))
}

fn ends_with(path: &Path, ending: &str) -> bool {
    path.to_string_lossy().ends_with(ending)
}

/// Says it where the ration was what ended the search.
fn explain(error: io::Error, allowed: &Cell<u64>) -> io::Error {
    if allowed.get() > 0 {
        return error;
    }
    invalid(format!(
        "its directory is not found within {MAX_DIRECTORY} bytes: it is cut off, or lists far more files than the dataset has"
    ))
}
