//! `dvs-prep key`: names the cache that `prepare` would make from the same input and options.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, Result};
use dvs_prep::cache::key::cache_key;
use dvs_prep::input::file_stamp::FileStamp;
use dvs_prep::input::source_manifest;
use dvs_prep::pipeline::Progress;
use dvs_shared::cache_format::FORMAT_VERSION;
use dvs_shared::output::OutputLock;
use serde::Serialize;

use crate::cli::options::Options;
use crate::cli::progress::Bar;
use crate::cli::report::write_json;

/// A key and its ingredients.
#[derive(Debug, Serialize)]
pub struct Key {
    key: String,
    input: String,
    cache: String,
    format_version: u32,
    split_by: &'static str,
    frames: u32,
    duration_us: u64,
    keep_invalid: bool,
    ignore_outside: bool,
    skip_damaged: bool,
    source_sha256: String,
}

/// The key. If no note beside the cache has the SHA-256 of the input, the input is read, but
/// nothing is integrated.
///
/// # Errors
/// Returns an error if the input cannot be read.
pub fn key(options: &Options) -> Result<Key> {
    let Options {
        archive,
        output,
        settings,
        ..
    } = options;
    let input = FileStamp::of_input(archive)?;
    let source_sha256 = match source_manifest::noted(output, &input, &[]) {
        Some(source) => source,
        None => {
            let progress = Arc::new(Progress::default());
            let total = input.iter().map(FileStamp::size).sum();
            let _bar = Bar::follow("reading", total, Arc::clone(&progress));
            let source = source_manifest::read(archive, &input, &progress.bytes)
                .with_context(|| format!("cannot tell what {} is", archive.path.display()))?;
            // No harm is done if the note cannot be written or another run is about to write it. A
            // note for a cache that lacks recordings stays, because nothing else identifies that
            // cache.
            if !source_manifest::is_noted(output, &input)
                && let Ok(Some(lock)) = OutputLock::try_acquire(output)
            {
                let _ = source_manifest::write(&lock, &input, &[], &source);
            }
            source
        }
    };
    Ok(Key {
        key: cache_key(settings, &source_sha256),
        input: archive.path.to_string_lossy().into_owned(),
        cache: output.to_string_lossy().into_owned(),
        format_version: FORMAT_VERSION,
        split_by: settings.split.split_by().name(),
        frames: settings.split.frames(),
        duration_us: settings.split.duration_us(),
        keep_invalid: settings.read.keep_invalid,
        ignore_outside: settings.read.ignore_outside,
        skip_damaged: settings.skip_damaged,
        source_sha256,
    })
}

impl Key {
    /// Writes the key on one line, or everything as JSON.
    pub fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if json {
            write_json(out, self)
        } else {
            writeln!(out, "{}", self.key)
        }
    }
}
