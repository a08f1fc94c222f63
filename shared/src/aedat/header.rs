//! The text header of a recording: version, packet encoding and cameras.

use std::collections::BTreeSet;

use super::AedatError;
use super::error::MAX_HEADER;
use crate::words::{printable, some_of};

const FIRST_LINE: &[u8] = b"#!AER-DAT3.";
const LAST_LINE: &[u8] = b"#!END-HEADER";
const FORMAT: &str = "format";
const SOURCE: &str = "source";
/// Key of the original camera, if a program recorded the events again.
const FORMER_SOURCE: &str = "-source";
/// Most characters of a name in a message.
const SHOWN: usize = 40;
/// The only encoding that is read: packets without compression.
const RAW: &str = "RAW";

/// The shortest header a recording can have.
pub const FIRST_LINES: &[u8] = b"#!AER-DAT3.1\r\n#!END-HEADER\r\n";

/// A version of AEDAT 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// y counts from the bottom. The header ends at `#!END-HEADER`, or before the first line that
    /// is not text beginning with `#`.
    V30,
    /// y counts from the top. The header ends at `#!END-HEADER`.
    V31,
}

/// A line that names a camera, such as `#Source 1: DVS128`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The camera's number in packets, if it is a number.
    pub number: Option<u16>,
    /// The camera's name, shortened for messages.
    pub name: String,
    /// Whether the events come from a file that was recorded from this camera.
    pub former: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHeader {
    pub version: Version,
    /// The cameras that the header names.
    pub sources: Vec<Source>,
    /// Byte after the header.
    pub end: usize,
}

impl FileHeader {
    /// Reads the header of `recording`.
    ///
    /// # Errors
    /// Returns an error if the recording is not AEDAT 3.0 or 3.1, if its packets are encoded, or if
    /// the header does not end.
    pub fn read(recording: &[u8]) -> Result<Self, AedatError> {
        let version = version(recording)?;
        let mut sources = Vec::new();
        let mut at = 0;
        loop {
            let rest = &recording[at..];
            let line = rest.split_inclusive(|&b| b == b'\n').next();
            let whole = line.filter(|line| line.starts_with(b"#") && line.ends_with(b"\n"));
            let Some(line) = whole.filter(|line| version == Version::V31 || is_text(line)) else {
                return match version {
                    Version::V30 => Ok(Self {
                        version,
                        sources,
                        end: at,
                    }),
                    Version::V31 => Err(AedatError::HeaderWithoutEnd {
                        offset: if rest.starts_with(b"#") {
                            recording.len()
                        } else {
                            at
                        },
                    }),
                };
            };
            at += line.len();
            if at > MAX_HEADER {
                return Err(AedatError::HeaderTooLong);
            }
            let line = line.trim_ascii_end();
            if line == LAST_LINE {
                return Ok(Self {
                    version,
                    sources,
                    end: at,
                });
            }
            let line = String::from_utf8_lossy(line);
            if let Some(format) = value_of(&line, FORMAT)
                && !format.eq_ignore_ascii_case(RAW)
            {
                return Err(AedatError::Encoding {
                    found: printable(format, SHOWN),
                });
            }
            sources.extend(source(&line));
        }
    }
}

impl FileHeader {
    /// Lists cameras by number and, if the header has it, by name: `1 (DVS128), 2`.
    pub fn names_of(&self, cameras: &BTreeSet<u16>) -> String {
        const MOST: usize = 10;
        let name = |&number: &u16| {
            let source = self.sources.iter().find(|s| s.number == Some(number));
            match source {
                Some(source) => format!("{number} ({})", source.name),
                None => number.to_string(),
            }
        };
        let mut names: Vec<String> = cameras.iter().take(MOST).map(name).collect();
        names.resize(cameras.len(), String::new());
        some_of(&names, MOST)
    }
}

fn version(recording: &[u8]) -> Result<Version, AedatError> {
    let Some(rest) = recording.strip_prefix(FIRST_LINE) else {
        return Err(AedatError::not_aedat3(recording));
    };
    let line = rest.split(|&b| b == b'\n').next().unwrap_or_default();
    match line.trim_ascii_end() {
        b"0" => Ok(Version::V30),
        b"1" => Ok(Version::V31),
        other => Err(AedatError::Version {
            found: format!("3.{}", printable(&String::from_utf8_lossy(other), SHOWN)),
        }),
    }
}

/// Whether a line is text. In AEDAT 3.0, a packet that begins with the byte `#` may follow the
/// header.
fn is_text(line: &[u8]) -> bool {
    line.iter().all(|&b| b >= b' ' || b"\t\r\n".contains(&b))
}

/// Returns the value of `key` in a line: `RAW` for `format` in `#Format: RAW`. Programs differ in
/// case and blanks.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let text = line.strip_prefix('#')?.trim_start();
    let (start, rest) = text.split_at_checked(key.len())?;
    let separated = rest.starts_with([':', ' ', '\t']);
    let value = rest.trim_start_matches([':', ' ', '\t']).trim_end();
    (start.eq_ignore_ascii_case(key) && separated).then_some(value)
}

/// Parses a line that names a camera.
fn source(line: &str) -> Option<Source> {
    let (rest, former) = match value_of(line, SOURCE) {
        Some(rest) => (rest, false),
        None => (value_of(line, FORMER_SOURCE)?, true),
    };
    let (number, name) = rest.split_once(':')?;
    Some(Source {
        number: number.trim().parse().ok(),
        name: printable(name.trim(), SHOWN),
        former,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_version_sources_and_end_of_header() {
        let text = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#-Source 0: DAVIS240C\r\n#!END-HEADER\r\n\x01";
        let header = FileHeader::read(text).unwrap();
        assert_eq!((header.version, header.end), (Version::V31, text.len() - 1));
        let sources = header.sources.iter();
        let sources: Vec<_> = sources
            .map(|s| (s.number, s.name.as_str(), s.former))
            .collect();
        assert_eq!(
            sources,
            [(Some(1), "DVS128", false), (Some(0), "DAVIS240C", true)]
        );
        assert_eq!(FileHeader::read(FIRST_LINES).unwrap().sources, []);
    }

    #[test]
    fn version_3_0_header_needs_no_end_line() {
        let with_end_line = b"#!AER-DAT3.0\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n#\x01\n";
        assert_eq!(
            FileHeader::read(with_end_line).unwrap().end,
            with_end_line.len() - 3
        );
        let without_end_line = b"#!AER-DAT3.0\r\n#Source 1: DVS128\r\n#\x01\n";
        let header = FileHeader::read(without_end_line).unwrap();
        assert_eq!(
            (header.version, header.end),
            (Version::V30, without_end_line.len() - 3)
        );
        assert_eq!(FileHeader::read(b"#!AER-DAT3.0\r\n").unwrap().end, 14);
    }

    #[test]
    fn refuses_unsupported_and_truncated_headers() {
        let error = |text: &[u8]| FileHeader::read(text).unwrap_err().to_string();
        let serialized = error(b"#!AER-DAT3.1\r\n#Format: SerializedTS,PNGFrames\r\n");
        assert!(
            serialized.contains("SerializedTS,PNGFrames"),
            "{serialized}"
        );
        for other in [
            "# Format: SerializedTS",
            "#format:SerializedTS",
            "#Format SerializedTS",
            "#Format : SerializedTS",
        ] {
            let text = format!("#!AER-DAT3.1\r\n{other}\r\n#!END-HEADER\r\n");
            assert!(error(text.as_bytes()).contains("SerializedTS"), "{other}");
        }
        let version = error(b"#!AER-DAT3.2\r\n#!END-HEADER\r\n");
        assert!(version.contains("AEDAT 3.2"), "{version}");
        assert!(error(b"#!AER-DAT3.1\r\n#Format: RAW\r\nx").contains("before byte 28"));
        assert!(error(b"#!AER-DAT3.1\r\n#Format: RAW").contains("before byte 26"));
    }
}
