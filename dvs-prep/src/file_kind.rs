//! What stands at a path, told without opening it: a pipe would keep whoever opens it waiting, and a device may do
//! anything.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What stands at `path`, links followed, if it is something other than a regular file; `None` where it is one or where
/// there is nothing.
///
/// # Errors
/// Where it cannot be looked at.
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
