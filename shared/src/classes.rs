//! Reads the names of the classes from `gesture_mapping.csv` or a similar file.
//!
//! A row is a name and a number in either order, for example `hand_clapping,1`; a first row without
//! a number is a header. Numbers count from 1, like those of label files, or from 0.

use std::fs::File;
use std::io;
use std::path::Path;

use thiserror::Error;

use crate::cache_format::{MAX_CLASSES, NAME_BYTES};
use crate::file_kind::irregular;
use crate::limited_reader::read_bounded;
use crate::samples::{ListError, MAX_LIST_BYTES, lines, refuse_foreign};

/// An error in a mapping. Lines count from 1.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MappingError {
    /// Not text.
    #[error(transparent)]
    Text(#[from] ListError),
    /// A row that is not a name and a number.
    #[error("line {line} is {found:?}, not a name and a number, as in \"hand_clapping,1\"")]
    Row { line: usize, found: String },
    /// A name that no class can have.
    #[error(
        "line {line}: {found:?} is not a name; a name has from 1 to {NAME_BYTES} bytes, none of them a control character"
    )]
    Name { line: usize, found: String },
    /// A number or a name that occurs twice.
    #[error("line {line}: {found:?} appears a second time")]
    Twice { line: usize, found: String },
    /// Numbers with gaps.
    #[error("its {found} numbers are not those from 0 or from 1 on without a gap")]
    Gaps { found: usize },
    /// No class, or more than a label can represent.
    #[error("it names {found} classes; there are from 1 to {MAX_CLASSES}")]
    Number { found: usize },
}

/// Reads a mapping and returns the names in the order of their numbers.
///
/// # Errors
/// Returns an error if the mapping is invalid: see [`MappingError`].
pub fn read_mapping(text: &[u8]) -> Result<Vec<String>, MappingError> {
    refuse_foreign(text)?;
    let mut rows: Vec<(usize, String)> = Vec::new();
    for (place, line) in lines(text).enumerate() {
        let (line, row) = line?;
        let fields: Vec<&str> = row.split(',').map(str::trim).collect();
        let found = || row.chars().take(80).collect();
        let [first, second, ..] = fields[..] else {
            return Err(MappingError::Row {
                line,
                found: found(),
            });
        };
        let (name, number) = match (first.parse::<usize>(), second.parse::<usize>()) {
            (_, Ok(number)) => (first, number),
            (Ok(number), _) => (second, number),
            (Err(_), Err(_)) if place == 0 => continue,
            _ => {
                return Err(MappingError::Row {
                    line,
                    found: found(),
                });
            }
        };
        if name.is_empty() || name.len() > NAME_BYTES || name.chars().any(char::is_control) {
            let found = name.chars().take(NAME_BYTES).collect();
            return Err(MappingError::Name { line, found });
        }
        let twice = |found: String| MappingError::Twice { line, found };
        if rows.iter().any(|(_, n)| n == name) {
            return Err(twice(name.to_owned()));
        }
        if rows.iter().any(|&(n, _)| n == number) {
            return Err(twice(number.to_string()));
        }
        rows.push((number, name.to_owned()));
        if rows.len() > MAX_CLASSES {
            return Err(MappingError::Number { found: rows.len() });
        }
    }
    rows.sort_unstable();
    let found = rows.len();
    let Some(&(first, _)) = rows.first() else {
        return Err(MappingError::Number { found });
    };
    if first > 1
        || rows
            .iter()
            .zip(first..)
            .any(|((n, _), expected)| *n != expected)
    {
        return Err(MappingError::Gaps { found });
    }
    Ok(rows.into_iter().map(|(_, name)| name).collect())
}

/// Why a file cannot be used as a mapping.
#[derive(Debug, Error)]
pub enum MappingFileError {
    /// It is not a regular file.
    #[error("it is {0}")]
    Irregular(&'static str),
    /// It cannot be read.
    #[error("{0}")]
    Read(io::Error),
    /// It exceeds the size limit of a mapping.
    #[error("it has more than {MAX_LIST_BYTES} bytes, the limit")]
    TooLong,
    /// Its content is invalid.
    #[error("{0}")]
    Mapping(MappingError),
}

/// Reads a mapping from a file and returns the names in the order of their numbers.
///
/// # Errors
/// Returns an error if the file is not a readable mapping: see [`MappingFileError`].
pub fn read_mapping_file(path: &Path) -> Result<Vec<String>, MappingFileError> {
    if let Some(kind) = irregular(path).map_err(MappingFileError::Read)? {
        return Err(MappingFileError::Irregular(kind));
    }
    let text = File::open(path).and_then(|file| read_bounded(file, MAX_LIST_BYTES));
    let text = text.map_err(MappingFileError::Read)?;
    let text = text.ok_or(MappingFileError::TooLong)?;
    read_mapping(&text).map_err(MappingFileError::Mapping)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::labels::{LABEL_NAMES, gestures};

    #[test]
    fn reads_the_gesture_mapping_of_the_dataset() {
        let rows: String = (1..)
            .zip(LABEL_NAMES)
            .map(|(i, n)| format!("{n},{i}\r\n"))
            .collect();
        let text = format!("Action,Label\r\n{rows}\r\n");
        assert_eq!(read_mapping(text.as_bytes()).unwrap(), gestures());
        assert_eq!(
            read_mapping(b"\xef\xbb\xbf1, wave\n0 ,rest").unwrap(),
            ["rest", "wave"]
        );
    }

    #[test]
    fn refuses_invalid_mappings() {
        let error = |text: &str| read_mapping(text.as_bytes()).unwrap_err().to_string();
        assert!(error("name,number").contains("names 0 classes"));
        assert!(error("a,1\nb").contains("line 2 is \"b\""));
        assert!(error("a,1\nb,c").contains("line 2"));
        assert!(error("a,1\nb,1").contains("\"1\" appears a second time"));
        assert!(error("a,1\na,2").contains("\"a\" appears"));
        assert!(error("a,1\nb,3").contains("gap"));
        assert!(error("a,2\nb,3").contains("gap"));
        assert!(error("a,1\n,2").contains("not a name"));
        let many: String = (0..300).map(|i| format!("c{i},{i}\n")).collect();
        assert!(error(&many).contains("257 classes"));
    }
}
