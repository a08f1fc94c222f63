//! The text that a recording begins with.

use super::AedatError;

const FIRST_LINE: &[u8] = b"#!AER-DAT3.";
const LAST_LINE: &[u8] = b"#!END-HEADER";
const SOURCE: &[u8] = b"#Source ";

/// The shortest header a recording can have.
pub const FIRST_LINES: &[u8] = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n";

/// The camera that the header names first, as `DVS128`.
pub fn source(recording: &[u8]) -> Option<&str> {
    let header = &recording[..header_end(recording).ok()?];
    let mut lines = header.split(|&b| b == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(SOURCE))?;
    let (_, name) = std::str::from_utf8(line).ok()?.split_once(':')?;
    Some(name.trim())
}

/// Byte after the text header.
pub(super) fn header_end(recording: &[u8]) -> Result<usize, AedatError> {
    if !recording.starts_with(FIRST_LINE) {
        let start = &recording[..recording.len().min(16)];
        return Err(AedatError::NotAedat3 {
            found: String::from_utf8_lossy(start).into_owned(),
        });
    }
    let mut at = 0;
    while recording[at..].starts_with(b"#") {
        let Some(length) = recording[at..].iter().position(|&b| b == b'\n') else {
            return Err(AedatError::HeaderWithoutEnd {
                offset: recording.len(),
            });
        };
        let line = &recording[at..at + length];
        at += length + 1;
        if line.strip_suffix(b"\r").unwrap_or(line) == LAST_LINE {
            return Ok(at);
        }
    }
    Err(AedatError::HeaderWithoutEnd { offset: at })
}
