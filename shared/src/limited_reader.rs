//! Reading with a byte limit.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Reads all bytes of `reader`; `None` if there are more than `limit`.
///
/// # Errors
/// Returns the errors of the reader.
pub fn read_bounded(reader: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// Reads all bytes of `file`; `None` if there are more than `limit`. The file's size is asked for
/// first, because a buffer that grows would be copied again and again.
///
/// # Errors
/// Returns an error if the file cannot be read.
pub fn read_file_bounded(file: File, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let expected = file.metadata()?.len().min(limit).saturating_add(1);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

/// A reader with a byte limit, for code that might search a whole file; [`u64::MAX`] means no
/// limit.
pub struct LimitedReader<'a, R> {
    pub inner: R,
    /// Number of bytes that may still be read.
    pub allowed: &'a Cell<u64>,
}

impl<R: Read> Read for LimitedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowed.get();
        if allowed == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let part = usize::try_from(allowed).map_or(buffer.len(), |a| a.min(buffer.len()));
        let n = self.inner.read(&mut buffer[..part])?;
        if allowed < u64::MAX {
            self.allowed.set(allowed - n as u64);
        }
        Ok(n)
    }
}

impl<R: Seek> Seek for LimitedReader<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
