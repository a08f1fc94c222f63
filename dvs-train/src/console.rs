//! Terminal output, and the signals that the program handles.

pub mod interrupt;
pub mod numbers;
pub mod progress;

use std::io::{self, Write};

use anyhow::{Context, Result};

/// Prints a result and flushes it, so that a log can be followed as it grows.
///
/// # Errors
/// Returns an error if standard output cannot be written.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        // A reader that stops early, such as `head`, does not end a run.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
