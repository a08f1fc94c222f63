//! Recognises files, so that errors can name them. `irregular` does not open the path, because
//! opening a pipe would block. The other functions look at a file's first bytes.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// The kind of file at `path`, following links; `None` if it is a regular file or does not exist.
///
/// # Errors
/// Returns an error if the path cannot be examined.
pub fn irregular(path: &Path) -> io::Result<Option<&'static str>> {
    let kind = match fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    Ok(if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a named pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    })
}

/// First bytes of a file that are searched to recognise it.
pub const FIRST: usize = 512;

/// Recognises a file that was saved in place of data by its first bytes. Returns a verb and its
/// object; `None` for anything else.
pub fn foreign(start: &[u8]) -> Option<&'static str> {
    const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";
    if start.is_empty() {
        return Some("is empty");
    }
    if start.starts_with(LFS) {
        return Some("is a Git LFS pointer; `git lfs pull` fetches the file that it stands for");
    }
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let text = text.trim_ascii_start();
    let begins = |with: &[u8]| {
        let start = text.get(..with.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    let holds = |part: &[u8]| {
        let start = &text[..text.len().min(FIRST)];
        start
            .windows(part.len())
            .any(|w| w.eq_ignore_ascii_case(part))
    };
    let is_markup = text.starts_with(b"<");
    if is_markup && (holds(b"<!doctype html") || holds(b"<html") || begins(b"<head")) {
        return Some(
            "is an HTML page, as a server sends it in place of a file that needs a login or a browser; download the file \
             again",
        );
    }
    if begins(b"<?xml") || begins(b"{\"") {
        return Some(
            "is an XML or JSON document, as a server sends it in place of a file that it refuses; download the file again",
        );
    }
    None
}

/// Recognises a common kind of file by its first bytes. Returns a verb and its object.
pub fn by_content(start: &[u8]) -> Option<&'static str> {
    const KINDS: [(&[u8], &str); 11] = [
        (b"\x1f\x8b", "is a .gz file"),
        (b"PK\x03\x04", "is a .zip file"),
        (b"PK\x05\x06", "is a .zip file without entries"),
        (b"\xfd7zXZ\0", "is a .xz file; unpack it first"),
        (b"\x28\xb5\x2f\xfd", "is a .zst file; unpack it first"),
        (b"BZh", "is a .bz2 file; unpack it first"),
        (b"7z\xbc\xaf\x27\x1c", "is a .7z file; unpack it first"),
        (b"Rar!\x1a\x07", "is a .rar file; unpack it first"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"\x93NUMPY", "is a NumPy array"),
        (b"%PDF", "is a PDF document"),
    ];
    foreign(start).or_else(|| {
        let kind = KINDS.iter().find(|(first, _)| start.starts_with(first));
        kind.map(|&(_, kind)| kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_files_saved_in_place_of_data() {
        let description = |start: &[u8]| foreign(start).unwrap_or_default();
        assert!(description(b"\n <!DOCTYPE HTML PUBLIC>").contains("HTML page"));
        assert!(description(b"\xef\xbb\xbf<html lang=en>").contains("HTML page"));
        assert!(
            description(b"version https://git-lfs.github.com/spec/v1\noid").contains("Git LFS")
        );
        assert!(description(b"<?xml version='1.0'?><!-- a page --><html>").contains("HTML page"));
        assert!(description(b"{\"error\": \"denied\"}").contains("JSON document"));
        assert_eq!(description(b""), "is empty");
        assert_eq!(foreign(b"#!AER-DAT3.1"), None);
        assert_eq!(
            by_content(b"7z\xbc\xaf\x27\x1c\0"),
            Some("is a .7z file; unpack it first")
        );
        assert_eq!(by_content(b"#!AER-DAT3.1"), None);
    }
}
