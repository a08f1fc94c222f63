//! The members of a `.tar`, in their order in the file.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Entry as TarEntry, PaxExtensions};

use super::other_files::{OtherFiles, Roles};
use super::{Content, Entry, Visitor, invalid};

/// Maximum size of an entry in bytes; a larger number means a damaged or hostile header.
const MAX_ENTRY: u64 = 1 << 40;
/// Maximum size in bytes of an entry that describes the next one, such as a name too long for its
/// header. Such entries are read into memory.
const MAX_EXTENSION: u64 = 1 << 20;

/// Visits the members of the `.tar` in `stream`, whose length in bytes is `length` if known. `roles`
/// says which files are members.
pub(super) fn visit(
    stream: impl Read,
    length: Option<u64>,
    roles: Roles<'_>,
    visitor: &mut dyn Visitor,
) -> io::Result<()> {
    let mut others = OtherFiles::new(roles);
    let rest = for_each_file(stream, length, &mut |path, size, content| {
        if let Some(member) = others.member_of(path) {
            let content = Content::Stream(content);
            visitor.member(Entry {
                member,
                size,
                content,
            })?;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    // Read past the end mark as well, because gzip's checksum is at the end.
    if let Some(mut rest) = rest {
        io::copy(&mut rest, &mut io::sink())?;
    }
    others.require_dataset_members()
}

/// Calls `each` with the path of every file until it returns `ControlFlow::Break`.
pub(super) fn list(
    stream: impl Read,
    length: Option<u64>,
    each: &mut dyn FnMut(&Path) -> ControlFlow<()>,
) -> io::Result<()> {
    for_each_file(stream, length, &mut |path, _, _| Ok(each(path))).map(drop)
}

/// What a file's visitor gets: its path, its size and its bytes.
type EachFile<'a> = dyn FnMut(&Path, u64, &mut dyn Read) -> io::Result<ControlFlow<()>> + 'a;

/// Calls `each` with every regular file until it returns `ControlFlow::Break`. Returns the stream
/// after the last one, unless `each` stopped.
fn for_each_file<R: Read>(
    stream: R,
    length: Option<u64>,
    each: &mut EachFile<'_>,
) -> io::Result<Option<R>> {
    let mut archive = tar::Archive::new(stream);
    // The name of the next entry, if its own header does not contain it.
    let mut name: Option<Vec<u8>> = None;
    // Raw entries, because the crate would read entries that hold names into memory whatever their
    // size.
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry?;
        check_size(&entry, length)?;
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            name = Some(long_name(&mut entry)?);
        } else if kind.is_pax_local_extensions() {
            name = pax_name(&mut entry)?.or(name);
        } else if kind.is_gnu_longlink() || kind.is_pax_global_extensions() {
            continue;
        } else {
            let path = name
                .take()
                .unwrap_or_else(|| entry.path_bytes().into_owned());
            // Only regular files hold data of the dataset.
            if !(kind.is_file() || kind.is_contiguous()) {
                continue;
            }
            let path = Path::new(OsStr::from_bytes(&path));
            let size = entry.size();
            if each(path, size, &mut entry)?.is_break() {
                return Ok(None);
            }
        }
    }
    Ok(Some(archive.into_inner()))
}

/// Refuses impossible sizes before that many bytes are skipped.
fn check_size<R: Read>(entry: &TarEntry<'_, R>, length: Option<u64>) -> io::Result<()> {
    let (at, size) = (entry.raw_file_position(), entry.size());
    if size > MAX_ENTRY {
        return Err(invalid(format!(
            "corrupt tar header: the entry at byte {at} claims {size} bytes, beyond the limit of {MAX_ENTRY}"
        )));
    }
    match length {
        Some(length) if at + size > length => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            format!(
                "unexpected end of file: the entry at byte {at} has {size} bytes, and the file ends at byte {length}"
            ),
        )),
        _ => Ok(()),
    }
}

fn extension<R: Read>(entry: &mut TarEntry<'_, R>) -> io::Result<Vec<u8>> {
    let size = entry.size();
    if size > MAX_EXTENSION {
        return Err(invalid(format!(
            "corrupt tar header: {size} bytes say how the next entry is called, beyond the limit of {MAX_EXTENSION}"
        )));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn long_name<R: Read>(entry: &mut TarEntry<'_, R>) -> io::Result<Vec<u8>> {
    let mut name = extension(entry)?;
    name.truncate(name.iter().position(|&b| b == 0).unwrap_or(name.len()));
    Ok(name)
}

/// The `path` of a pax header, if it has one.
fn pax_name<R: Read>(entry: &mut TarEntry<'_, R>) -> io::Result<Option<Vec<u8>>> {
    let bytes = extension(entry)?;
    let mut name = None;
    for record in PaxExtensions::new(&bytes) {
        let record = record?;
        if record.key_bytes() == b"path" {
            name = Some(record.value_bytes().to_vec());
        }
    }
    Ok(name)
}
