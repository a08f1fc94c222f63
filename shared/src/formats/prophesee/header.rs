//! The header of Prophesee's files: text lines `% keyword value`. The line `% end` ends it, or the
//! first line that does not begin so.

use super::PropheseeError;
use crate::event::SensorSize;
use crate::words::printable;

/// Most bytes of a header. Real headers have a few hundred.
pub(super) const MAX_HEADER: usize = 1 << 20;
/// Characters of a value that a message shows.
const SHOWN: usize = 80;

/// Order of the two halves of an EVT 2.1 word. Each half is little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WordOrder {
    /// The lower half comes first: the whole word is little-endian, as GenX320 sends it.
    Little,
    /// The upper half comes first, as IMX636 sends it. Headers call it `legacy`.
    Legacy,
}

/// What follows the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Evt2,
    /// The order of the halves, if the header says it.
    Evt21(Option<WordOrder>),
    Evt3,
    Dat,
}

/// A header.
#[derive(Debug)]
pub(super) struct Header {
    pub encoding: Encoding,
    /// Size of the sensor, if the header has it.
    pub sensor: Result<Option<SensorSize>, PropheseeError>,
    /// Microseconds to add to every time.
    pub t0: i64,
    /// Byte after the header.
    pub end: usize,
}

/// The lines that decide how a file is read.
#[derive(Default)]
struct Lines {
    /// Names of the encoding, in the order of their lines: keyword and value.
    encodings: Vec<(String, String)>,
    endianness: Option<String>,
    /// Widths and heights, as texts.
    widths: Vec<String>,
    heights: Vec<String>,
    t0: Option<String>,
}

impl Header {
    pub(super) fn read(file: &[u8]) -> Result<Self, PropheseeError> {
        let mut lines = Lines::default();
        let mut end = 0;
        loop {
            let rest = file.get(end..).unwrap_or_default();
            let Some(line) = header_line(rest) else {
                break;
            };
            let text = line
                .strip_suffix(b"\n")
                .ok_or(PropheseeError::HeaderCut { offset: end })?;
            end += line.len();
            if end > MAX_HEADER {
                return Err(PropheseeError::HeaderTooLong);
            }
            let text = String::from_utf8_lossy(text);
            let text = text.trim_start_matches('%').trim();
            if text == "end" {
                break;
            }
            lines.read(text);
        }
        Ok(Self {
            encoding: lines.encoding()?,
            sensor: lines.sensor(),
            t0: lines.t0()?,
            end,
        })
    }
}

/// The line that `rest` begins with, if it is a line of a header. Its end is missing if the file
/// ends inside it. Events may begin with the same bytes, but contain bytes that are not text.
fn header_line(rest: &[u8]) -> Option<&[u8]> {
    let line = rest.split_inclusive(|&b| b == b'\n').next()?;
    let is_text = line
        .iter()
        .all(|&b| b >= b' ' || matches!(b, b'\t' | b'\r' | b'\n'));
    (line.starts_with(b"% ") && is_text).then_some(line)
}

impl Lines {
    fn read(&mut self, line: &str) {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        let (keyword, value) = (keyword.to_ascii_lowercase(), value.trim().to_owned());
        match keyword.as_str() {
            "evt" | "version" => self.encodings.push((keyword, value)),
            "format" => {
                let mut parts = value.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default().to_owned();
                self.encodings.push((keyword, name));
                for (option, value) in parts.filter_map(|part| part.split_once('=')) {
                    self.option(option, value);
                }
            }
            "geometry" => {
                let (width, height) = value.split_once('x').unwrap_or((&value, ""));
                self.option("width", width);
                self.option("height", height);
            }
            "t0" => self.t0 = Some(value),
            other => self.option(other, &value),
        }
    }

    fn option(&mut self, option: &str, value: &str) {
        let value = value.trim().to_owned();
        match option {
            "width" => self.widths.push(value),
            "height" => self.heights.push(value),
            "endianness" => self.endianness = Some(value),
            _ => {}
        }
    }

    /// The encoding on which all lines agree.
    fn encoding(&self) -> Result<Encoding, PropheseeError> {
        let mut found: Option<(Encoding, &str, &str)> = None;
        let is_raw = self.encodings.iter().any(|(line, _)| line != "version");
        // A line `% Version` in a RAW file is not about the encoding.
        let lines = self.encodings.iter();
        for (keyword, value) in lines.filter(|(line, _)| !is_raw || line != "version") {
            let encoding = match (keyword.as_str(), value.as_str()) {
                ("evt", "2.0") | ("format", "EVT2") => Encoding::Evt2,
                ("evt", "2.1") | ("format", "EVT21") => Encoding::Evt21(None),
                ("evt", "3.0") | ("format", "EVT3") => Encoding::Evt3,
                ("version", "2") => Encoding::Dat,
                ("version", _) => return Err(PropheseeError::DatVersion(printable(value, SHOWN))),
                _ => return Err(PropheseeError::Encoding(printable(value, SHOWN))),
            };
            match found {
                Some((other, keyword_before, value_before)) if other != encoding => {
                    return Err(PropheseeError::Contradiction {
                        first: printable(&format!("{keyword_before} {value_before}"), SHOWN),
                        second: printable(&format!("{keyword} {value}"), SHOWN),
                    });
                }
                _ => found = Some((encoding, keyword, value)),
            }
        }
        let (encoding, ..) = found.ok_or(PropheseeError::NoEncoding)?;
        let order = match (self.endianness.as_deref(), encoding) {
            (None, _) => None,
            (Some("little"), _) => Some(WordOrder::Little),
            (Some("legacy"), Encoding::Evt21(_)) => Some(WordOrder::Legacy),
            (Some(other), _) => return Err(PropheseeError::Endianness(printable(other, SHOWN))),
        };
        Ok(match encoding {
            Encoding::Evt21(_) => Encoding::Evt21(order),
            encoding => encoding,
        })
    }

    /// The size on which all lines agree.
    fn sensor(&self) -> Result<Option<SensorSize>, PropheseeError> {
        let agreed = |values: &[String]| match values {
            [first, others @ ..] if others.iter().all(|other| other == first) => {
                Some(first.clone())
            }
            _ => None,
        };
        if self.widths.is_empty() && self.heights.is_empty() {
            return Ok(None);
        }
        let pixels = agreed(&self.widths).zip(agreed(&self.heights));
        let pixels = pixels.and_then(|(width, height)| width.parse().ok().zip(height.parse().ok()));
        let sensor = pixels.and_then(|(width, height)| SensorSize::checked(width, height));
        sensor.map(Some).ok_or_else(|| PropheseeError::Size {
            widths: printable(&self.widths.join(" and "), SHOWN),
            heights: printable(&self.heights.join(" and "), SHOWN),
        })
    }

    fn t0(&self) -> Result<i64, PropheseeError> {
        let Some(text) = &self.t0 else { return Ok(0) };
        let t0 = text.parse().ok().filter(|t0| (0..1 << 62).contains(t0));
        t0.ok_or_else(|| PropheseeError::T0(printable(text, SHOWN)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn error(text: &str) -> String {
        Header::read(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn reads_headers_of_every_program() {
        let evk4 = "% camera_integrator_name Prophesee\n% date 2023-03-29 16:37:46\n% evt 3.0\n\
                    % format EVT3;height=720;width=1280\n% geometry 1280x720\n% system_ID 49\n% end\n% ";
        let header = Header::read(evk4.as_bytes()).unwrap();
        assert_eq!(header.encoding, Encoding::Evt3);
        assert_eq!(header.sensor.unwrap(), SensorSize::checked(1280, 720));
        assert_eq!((header.t0, header.end), (0, evk4.len() - 2));
        let genx320 = "% format EVT21;endianness=legacy;height=320;width=320\n% end\n";
        let header = Header::read(genx320.as_bytes()).unwrap();
        assert_eq!(header.encoding, Encoding::Evt21(Some(WordOrder::Legacy)));
        // Spaces before line ends, an upper-case keyword and no size, as expelliarmus writes them.
        let header = Header::read(b"% Date 1970-12-25 \n% evt 2.0 \n\x0f\0\0\x80").unwrap();
        assert_eq!((header.encoding, header.end), (Encoding::Evt2, 30));
        assert_eq!(header.sensor.unwrap(), None);
        let dat =
            "% Data file containing CD events\n% Version 2\n% Width 640\n% Height 480\n% T0 7\n";
        let header = Header::read(dat.as_bytes()).unwrap();
        assert_eq!((header.encoding, header.t0), (Encoding::Dat, 7));
        assert_eq!(header.sensor.unwrap(), SensorSize::checked(640, 480));
    }

    #[test]
    fn refuses_what_it_does_not_understand() {
        assert!(error("% date 2023-03-29\n").contains("neither"));
        assert!(error("% evt 4.0\n").contains("\"4.0\""));
        assert!(error("% format HISTO3D;height=320;width=320\n").contains("HISTO3D"));
        assert!(error("% Version 1\n").contains("version \"1\""));
        assert!(error("% evt 2.0\n% format EVT3\n").contains("\"evt 2.0\" and \"format EVT3\""));
        assert!(error("% evt 3.0\n% endianness big\n").contains("\"big\""));
        assert!(error("% evt 3.0\n% endianness legacy\n").contains("\"legacy\""));
        assert!(error("% evt 3.0\n% geom").contains("byte 10"));
        assert!(error("% evt 3.0\n% t0 -1\n").contains("\"-1\""));
        assert!(error(&"% a\n".repeat(MAX_HEADER / 4 + 1)).contains("limit"));
        for size in [
            "geometry 0x720",
            "geometry 1280",
            "width 5000\n% height 2",
            "width 9",
        ] {
            let header = Header::read(format!("% evt 3.0\n% {size}\n").as_bytes()).unwrap();
            assert!(header.sensor.unwrap_err().to_string().contains("--sensor"));
        }
        let two = "% format EVT3;width=640;height=480\n% geometry 1280x480\n";
        let two = Header::read(two.as_bytes()).unwrap().sensor.unwrap_err();
        assert!(two.to_string().contains("640 and 1280"), "{two}");
    }
}
