//! Stores the bytes of a recording until it can be worked on.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::input::error::InputProblem;
use crate::pipeline::memory_budget::BufferPool;

/// Where a recording's bytes are.
pub enum FileBytes {
    Memory(Vec<u8>),
    /// In a file of the extracted folder, with this length.
    File(PathBuf, u64),
    /// In the spill file, at this offset and with this length.
    Spilled(Arc<File>, u64, u64),
}

impl FileBytes {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, length) | Self::Spilled(_, _, length) => *length,
        }
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or its length has changed.
    pub fn load(self, buffers: &BufferPool) -> Result<Vec<u8>, InputProblem> {
        match self {
            Self::Memory(bytes) => Ok(bytes),
            Self::File(path, length) => {
                let read =
                    File::open(&path).and_then(|mut file| read_whole(&mut file, length, buffers));
                read.map_err(|reason| InputProblem::Unreadable {
                    file: path.display().to_string(),
                    reason,
                })
            }
            Self::Spilled(file, at, length) => {
                let mut bytes = buffers.take(length as usize);
                bytes.resize(length as usize, 0);
                match file.read_exact_at(&mut bytes, at) {
                    Ok(()) => Ok(bytes),
                    Err(reason) => Err(InputProblem::Io {
                        action: "read",
                        path: "the spill file beside the cache".into(),
                        reason,
                    }),
                }
            }
        }
    }
}

/// Reads exactly `length` bytes of `stream` up to its end: a container verifies a member's checksum
/// only there.
pub(super) fn read_whole(
    stream: &mut dyn Read,
    length: u64,
    buffers: &BufferPool,
) -> io::Result<Vec<u8>> {
    let mut bytes = buffers.take(length as usize);
    let read = stream.take(length).read_to_end(&mut bytes)?;
    if (read as u64) < length {
        let message = format!("it ends after {read} of its {length} bytes");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    check_end_of_stream(stream, length)?;
    Ok(bytes)
}

/// Checks that `stream` ends after the `length` bytes that have been read.
pub(super) fn check_end_of_stream(stream: &mut dyn Read, length: u64) -> io::Result<()> {
    let mut more = [0];
    loop {
        match stream.read(&mut more) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                let message = format!("it goes on after the {length} bytes it claims to have");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
