//! Reads the label file of a recording and the trial lists of the dataset.

use std::collections::HashSet;

use thiserror::Error;

use crate::cache_format::MAX_CLASSES;
use crate::file_kind;
use crate::formats::Format;

/// The endings of recordings' file names. The format is recognised by a file's first bytes, not by
/// its ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// `.aedat`, of every version.
    Aedat,
    /// `.aedat2`, which jAER prefers for AEDAT 2.
    Aedat2,
    /// `.aedat3`.
    Aedat3,
    /// `.aedat4`, which DV writes.
    Aedat4,
    /// `.raw`, with the words of Prophesee's cameras.
    Raw,
    /// `.dat`, with events that Prophesee's programs have decoded.
    Dat,
}

impl Ending {
    /// All endings.
    pub const ALL: [Self; 6] = [
        Self::Aedat,
        Self::Aedat2,
        Self::Aedat3,
        Self::Aedat4,
        Self::Raw,
        Self::Dat,
    ];

    /// The ending with its dot.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Aedat => ".aedat",
            Self::Aedat2 => ".aedat2",
            Self::Aedat3 => ".aedat3",
            Self::Aedat4 => ".aedat4",
            Self::Raw => ".raw",
            Self::Dat => ".dat",
        }
    }

    /// Whether only recordings have this ending. Files of many kinds end in `.raw` and `.dat`, so
    /// such a file alone does not show that there are recordings.
    pub fn is_only_of_recordings(self) -> bool {
        !matches!(self, Self::Raw | Self::Dat)
    }

    /// Splits a file name into recording and ending, ignoring the ending's case.
    pub fn split(name: &str) -> Option<(&str, Self)> {
        Self::ALL.into_iter().find_map(|ending| {
            let at = name.len().checked_sub(ending.suffix().len())?;
            let (recording, found) = name.split_at_checked(at)?;
            found
                .eq_ignore_ascii_case(ending.suffix())
                .then_some((recording, ending))
        })
    }
}

/// The endings of files with one sample each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleEnding {
    /// That of a recording.
    Recording(Ending),
    /// `.npz`, as SpikingJelly writes it.
    Npz,
    /// `.npy`, as figshare's copy of DVS128 Gesture has it.
    Npy,
    /// `.bin`, as N-MNIST has it.
    Bin,
}

impl SampleEnding {
    /// The ending with its dot.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Recording(ending) => ending.suffix(),
            Self::Npz => ".npz",
            Self::Npy => ".npy",
            Self::Bin => ".bin",
        }
    }

    /// The format of such a file; `None` if its first bytes decide.
    pub fn format(self) -> Option<Format> {
        match self {
            Self::Recording(_) => None,
            Self::Npz => Some(Format::Npz),
            Self::Npy => Some(Format::Npy),
            Self::Bin => Some(Format::AtisBin),
        }
    }

    /// Splits a file name into sample and ending, ignoring the ending's case.
    pub fn split(name: &str) -> Option<(&str, Self)> {
        if let Some((sample, ending)) = Ending::split(name) {
            return Some((sample, Self::Recording(ending)));
        }
        [Self::Npz, Self::Npy, Self::Bin]
            .into_iter()
            .find_map(|ending| {
                let at = name.len().checked_sub(ending.suffix().len())?;
                let (sample, found) = name.split_at_checked(at)?;
                found
                    .eq_ignore_ascii_case(ending.suffix())
                    .then_some((sample, ending))
            })
    }
}

/// The file that names the classes.
pub const MAPPING_NAME: &str = "gesture_mapping.csv";
/// Suffix that a label file's name adds to the recording's name.
pub const LABELS_SUFFIX: &str = "_labels.csv";
/// Maximum size of a label file or trial list, in bytes; real ones have a few hundred.
pub const MAX_LIST_BYTES: u64 = 1 << 20;
/// Maximum number of rows in a label file; real ones have about a dozen. The number is limited
/// because each row makes a sample, which has its own frames.
pub const MAX_WINDOWS: usize = 4096;
/// Limit on the average number of windows per event. Real windows overlap rarely and only slightly.
pub const MAX_OVERLAP: u64 = 64;
/// Maximum length of a recording's name, in bytes: the cache has room for 128, and a sample's name
/// adds up to 5.
pub const MAX_NAME_BYTES: usize = 120;
/// Maximum length of a sample file's name, in bytes: the cache must have room for its folders too.
pub const MAX_SAMPLE_NAME_BYTES: usize = 100;
/// Columns of a label file.
const COLUMNS: [&str; 3] = ["class", "startTime_usec", "endTime_usec"];

/// One row of a label file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From 0.
    pub label: u8,
    /// Number of earlier samples of this label in the recording.
    pub k: u32,
    /// Start in microseconds, inclusive.
    pub start_us: i64,
    /// End in microseconds, exclusive.
    pub end_us: i64,
    /// The line in the label file, from 1; 0 if there is none.
    pub line: usize,
}

impl Window {
    /// The sample's name, `<recording>_<k>`. As in SpikingJelly's folders, it is unique only
    /// together with the label.
    pub fn sample_name(&self, recording: &str) -> String {
        format!("{recording}_{}", self.k)
    }
}

/// An error in a label file or a trial list. Lines count from 1.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ListError {
    /// The file is something other than a list.
    #[error("it {0}")]
    Foreign(&'static str),
    /// Not text.
    #[error("line {line} is not UTF-8 text")]
    NotText { line: usize },
    /// The first line names other columns.
    #[error(
        "line {line} is {found:?}; a label file begins with `class,startTime_usec,endTime_usec`"
    )]
    Columns {
        /// The line number, or 1 if the file has no line.
        line: usize,
        found: String,
    },
    /// Fewer than three fields.
    #[error("line {line} has {found} fields, not the 3 of `class,startTime_usec,endTime_usec`")]
    Fields { line: usize, found: usize },
    /// A field that is not an integer.
    #[error("line {line}: {column} is {found:?}, not a whole number")]
    Number {
        line: usize,
        column: &'static str,
        found: String,
    },
    /// The class is not one of the dataset's.
    #[error(
        "line {line}: class {found} is unknown; classes run from 1 to {classes}{}",
        if *.classes < MAX_CLASSES && *.found > 0 {
            ". gesture_mapping.csv beside the recordings or --classes names others"
        } else {
            ""
        }
    )]
    Class {
        line: usize,
        found: i64,
        /// The number of classes.
        classes: usize,
    },
    /// A window that ends before it starts.
    #[error("line {line}: the window ends at {end_us} us, before its start at {start_us} us")]
    Window {
        line: usize,
        start_us: i64,
        end_us: i64,
    },
    /// The label file has too many rows.
    #[error("line {line} is beyond the limit of {MAX_WINDOWS} rows")]
    TooManyRows { line: usize },
    /// The name is not valid for a recording.
    #[error(
        "line {line} is not the name of a recording: it has {bytes} bytes; a name has at most {MAX_NAME_BYTES}, none of \
         them a control character"
    )]
    Name {
        line: usize,
        /// Length of the name.
        bytes: usize,
    },
    /// The list is empty.
    #[error("it lists no recording")]
    Empty,
    /// A recording is listed twice.
    #[error("line {line} lists {recording} a second time")]
    Twice { line: usize, recording: String },
}

/// Trimmed lines that are not blank, with their number from 1. A byte order mark is skipped.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = Result<(usize, &str), ListError>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.split(|&b| b == b'\n')
        .enumerate()
        .map(|(i, line)| match std::str::from_utf8(line) {
            Ok(line) => Ok((i + 1, line.trim())),
            Err(_) => Err(ListError::NotText { line: i + 1 }),
        })
        .filter(|line| !matches!(line, Ok((_, ""))))
}

/// Reads a label file and returns its windows in row order. The number of classes may not be known
/// yet: see [`check_classes`].
///
/// # Errors
/// Returns an error for the first invalid line. Columns after the third are ignored.
pub fn read_labels(text: &[u8]) -> Result<Vec<Window>, ListError> {
    refuse_foreign(text)?;
    let mut lines = lines(text);
    match lines.next().transpose()? {
        Some((_, header)) if header.split(',').map(str::trim).take(3).eq(COLUMNS) => {}
        found => {
            let (line, found) = found.unwrap_or((1, ""));
            return Err(ListError::Columns {
                line,
                found: found.to_owned(),
            });
        }
    }
    let mut seen = [0; MAX_CLASSES];
    lines
        .zip(0..)
        .map(|(line, row_number)| {
            let (line, row) = line?;
            if row_number >= MAX_WINDOWS {
                return Err(ListError::TooManyRows { line });
            }
            let fields: Vec<&str> = row.split(',').map(str::trim).collect();
            if fields.len() < COLUMNS.len() {
                return Err(ListError::Fields {
                    line,
                    found: fields.len(),
                });
            }
            let number = |i: usize| -> Result<i64, ListError> {
                fields[i].parse().map_err(|_| ListError::Number {
                    line,
                    column: COLUMNS[i],
                    found: fields[i].to_owned(),
                })
            };
            let (class, start_us, end_us) = (number(0)?, number(1)?, number(2)?);
            let classes = MAX_CLASSES;
            if !(1..=classes as i64).contains(&class) {
                return Err(ListError::Class {
                    line,
                    found: class,
                    classes,
                });
            }
            if end_us < start_us {
                return Err(ListError::Window {
                    line,
                    start_us,
                    end_us,
                });
            }
            let label = (class - 1) as u8;
            let k = seen[usize::from(label)];
            seen[usize::from(label)] += 1;
            Ok(Window {
                label,
                k,
                start_us,
                end_us,
                line,
            })
        })
        .collect()
}

/// Checks the labels of `windows` against the number of classes.
///
/// # Errors
/// Returns an error for the first line whose class is too large.
pub fn check_classes(windows: &[Window], classes: usize) -> Result<(), ListError> {
    match windows.iter().find(|w| usize::from(w.label) >= classes) {
        None => Ok(()),
        Some(window) => Err(ListError::Class {
            line: window.line,
            found: i64::from(window.label) + 1,
            classes,
        }),
    }
}

/// Refuses, for example, a web page that was saved in place of a list. An empty file is a list
/// without lines.
pub(crate) fn refuse_foreign(text: &[u8]) -> Result<(), ListError> {
    match file_kind::foreign(text).filter(|_| !text.is_empty()) {
        Some(kind) => Err(ListError::Foreign(kind)),
        None => Ok(()),
    }
}

/// Reads a trial list and returns the names of recordings, without `.aedat`, in order.
///
/// # Errors
/// Returns an error if the list is empty, lists a recording twice, or has a line that is not a
/// valid name.
pub fn read_trials(text: &[u8]) -> Result<Vec<String>, ListError> {
    refuse_foreign(text)?;
    let mut seen = HashSet::new();
    let mut recordings = Vec::new();
    for line in lines(text) {
        let (line, name) = line?;
        let recording = Ending::split(name)
            .map_or(name, |(name, _)| name)
            .to_owned();
        if recording.len() > MAX_NAME_BYTES || recording.chars().any(char::is_control) {
            return Err(ListError::Name {
                line,
                bytes: recording.len(),
            });
        }
        if !seen.insert(recording.clone()) {
            return Err(ListError::Twice { line, recording });
        }
        recordings.push(recording);
    }
    if recordings.is_empty() {
        Err(ListError::Empty)
    } else {
        Ok(recordings)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn samples_are_numbered_per_label() {
        let text = b"\xef\xbb\xbfclass,startTime_usec,endTime_usec\r\n8,5,9\r\n\r\n 1 , 10,20,note\n8,30,30";
        let windows = read_labels(text).unwrap();
        let expected = [(7, 0, 5, 9, 2), (0, 0, 10, 20, 4), (7, 1, 30, 30, 5)].map(
            |(label, k, start_us, end_us, line)| Window {
                label,
                k,
                start_us,
                end_us,
                line,
            },
        );
        assert_eq!(windows, expected);
        assert_eq!(windows[2].sample_name("user02_lab"), "user02_lab_1");
    }

    #[test]
    fn invalid_label_rows_are_reported_by_line() {
        let error = |rows: &str| {
            read_labels(format!("class,startTime_usec,endTime_usec\n{rows}").as_bytes())
                .unwrap_err()
        };
        let class = |line, found, classes| ListError::Class {
            line,
            found,
            classes,
        };
        assert_eq!(error("1,2,3\n257,2,3"), class(3, 257, MAX_CLASSES));
        assert_eq!(error("0,2,3"), class(2, 0, MAX_CLASSES));
        let windows = read_labels(b"class,startTime_usec,endTime_usec\n1,2,3\n\n12,2,3").unwrap();
        assert_eq!(check_classes(&windows, 12), Ok(()));
        assert_eq!(check_classes(&windows, 11), Err(class(4, 12, 11)));
        assert_eq!(
            error("1,3,2"),
            ListError::Window {
                line: 2,
                start_us: 3,
                end_us: 2
            }
        );
        assert_eq!(error("1,3"), ListError::Fields { line: 2, found: 2 });
        assert_eq!(
            error("1,x,3"),
            ListError::Number {
                line: 2,
                column: "startTime_usec",
                found: "x".to_owned()
            }
        );
        assert_eq!(
            read_labels(b"").unwrap_err(),
            ListError::Columns {
                line: 1,
                found: String::new()
            }
        );
        assert_eq!(
            read_labels(b"1,2,3").unwrap_err(),
            ListError::Columns {
                line: 1,
                found: "1,2,3".to_owned()
            }
        );
        assert_eq!(
            read_labels(b"class,startTime_usec,endTime_usec\n\xff").unwrap_err(),
            ListError::NotText { line: 2 }
        );
    }

    #[test]
    fn trial_lists_skip_blank_lines() {
        assert_eq!(
            read_trials(b"user02_led.aedat\r\n\n user03_lab\n\na.aedat2\nb.aedat4").unwrap(),
            ["user02_led", "user03_lab", "a", "b"]
        );
        assert_eq!(read_trials(b"\n\n").unwrap_err(), ListError::Empty);
        let repeated = read_trials(b"a.aedat\nb.aedat\na.aedat").unwrap_err();
        assert_eq!(
            repeated,
            ListError::Twice {
                line: 3,
                recording: "a".to_owned()
            }
        );
    }
}
