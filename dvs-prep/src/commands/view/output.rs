//! Writes the file of a picture completely or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use dvs_shared::output::{AtomicFile, OutputLock};
use dvs_shared::view::ViewError;

use crate::commands::stale_files;

/// The first bytes of the files with each extension.
const SIGNATURES: [(&str, &[u8]); 2] = [("png", b"\x89PNG\r\n\x1a\n"), ("gif", b"GIF8")];

/// Refuses to replace a file that is not a picture of this type, as it was probably named by
/// mistake.
///
/// # Errors
/// Returns an error if there is such a file.
pub fn may_be_replaced(path: &Path) -> Result<()> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found.with_context(|| format!("cannot write {}", path.display()))?,
    };
    let mut start = Vec::new();
    if metadata.is_file() {
        File::open(path)
            .and_then(|file| file.take(8).read_to_end(&mut start))
            .with_context(|| format!("cannot read {}, which is there already", path.display()))?;
    }
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let alike = |(kind, signature): &(&str, &[u8])| ending == *kind && start.starts_with(signature);
    if SIGNATURES.iter().any(alike) || (metadata.is_file() && metadata.len() == 0) {
        return Ok(());
    }
    bail!(
        "{} exists and is not a .{} picture, so it is not replaced; name another --output",
        path.display(),
        ending.to_string_lossy()
    )
}

/// Writes `path` with `write`. An existing file stays until the new one is complete.
///
/// # Errors
/// Returns an error if the file cannot be written; nothing is left in that case.
pub fn write(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<(), ViewError>,
) -> Result<()> {
    // A link means the file that it points to.
    let path: PathBuf = match path.is_symlink() {
        true => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        false => path.to_owned(),
    };
    let cannot = || format!("cannot write {}", path.display());
    let lock = OutputLock::acquire(&path, || ())?;
    stale_files::clear_up(&lock, &[]);
    let unfinished = AtomicFile::create(&lock, &path).with_context(cannot)?;
    let file = File::options().write(true).open(unfinished.path());
    let mut file = BufWriter::new(file.with_context(cannot)?);
    write(&mut file).with_context(cannot)?;
    file.flush().with_context(cannot)?;
    drop(file);
    unfinished.finish(true).with_context(cannot)
}
