//! What the program says, and the signals that it hears.

pub mod interrupt;
pub mod progress;

use std::io::{self, Write};

use anyhow::{Context, Result};

/// Prints a result, and flushes it, so that a log can be followed as it grows.
///
/// # Errors
/// If standard output cannot be written.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match written {
        // A reader that has seen enough, such as `head`, ends no run.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}
