//! Reads the text and JSON files of a run folder, which anybody may have changed.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use dvs_shared::limited_reader::read_bounded;
use serde::de::DeserializeOwned;

/// Maximum bytes of a file; rows for the maximum number of epochs fit.
const MAX_BYTES: u64 = 1 << 30;

/// The value in a JSON file of a run folder; `None` if there is no such file.
///
/// # Errors
/// Returns an error if the file cannot be read, or does not hold such a value.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(text) = read_text(path)? else {
        return Ok(None);
    };
    let value = serde_json::from_str(&text);
    value.with_context(|| format!("{} is not as this version writes it", path.display()))
}

/// The text of a file; `None` if there is no such file.
///
/// # Errors
/// Returns an error if the file cannot be read, is too large, or is not text.
pub fn read_text(path: &Path) -> Result<Option<String>> {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Opening a named pipe would wait for a writer.
        Ok(there) => ensure!(there.is_file(), "{shown} is not a file"),
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
    }
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let bytes = read_bounded(file, MAX_BYTES).with_context(|| format!("cannot read {shown}"))?;
    let bytes =
        bytes.with_context(|| format!("{shown} has more than {MAX_BYTES} bytes, the limit"))?;
    let text = String::from_utf8(bytes).with_context(|| format!("{shown} is not text"))?;
    Ok(Some(text))
}
