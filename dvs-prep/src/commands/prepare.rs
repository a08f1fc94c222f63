//! `dvs-prep prepare`: makes the cache from the options.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use dvs_prep::cache::lookup;
use dvs_prep::cache::writer;
use dvs_prep::input::file_stamp::FileStamp;
use dvs_prep::input::source_manifest;
use dvs_prep::pipeline::step_times::Step;
use dvs_prep::pipeline::{self, PreparedDataset, Progress};
use dvs_shared::output::{AtomicFile, OutputLock, folder_of};
use dvs_shared::{CacheFile, CacheHeader};

use crate::cli::options::Options;
use crate::cli::progress::{Bar, Waiting};
use crate::cli::report::Summary;
use crate::commands::stale_files;

/// Makes the cache, or finds the existing one.
///
/// # Errors
/// Returns an error that lists everything wrong with the input. No file is left under the cache's
/// name in that case.
pub fn prepare(options: &Options) -> Result<Summary> {
    let Options {
        archive,
        output,
        settings,
        force,
        ..
    } = options;
    let start = Instant::now();
    let input = FileStamp::of_input(archive)?;
    let total = input.iter().map(FileStamp::size).sum();
    let progress = Arc::new(Progress::default());
    let note = source_manifest::path(output);
    lookup::may_be_replaced(output)?;
    if !force && let Some(cache) = lookup::find_noted(output, &input, settings) {
        stale_files::clear_up_unlocked(output, &[&note]);
        return Ok(Summary::for_existing_cache(archive, &cache));
    }
    let lock = OutputLock::acquire(output, || Waiting::announce(output));
    if let Ok(lock) = &lock {
        stale_files::clear_up(lock, &[&note]);
    }
    if !force {
        let _bar = Bar::follow("comparing", total, Arc::clone(&progress));
        // In a read-only folder the cache cannot be locked, but an existing one can be used.
        let held = lock.as_ref().ok();
        let found = lookup::find(output, archive, &input, settings, held, &progress.bytes)?;
        if let Some(cache) = found {
            return Ok(Summary::for_existing_cache(archive, &cache));
        }
    }
    let lock = lock.context("no cache can be made there")?;
    let unfinished = AtomicFile::create(&lock, output)
        .with_context(|| format!("cannot write the cache {}", output.display()))?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(settings.workers())
        .build()?;
    let bar = Bar::follow("preparing", total, Arc::clone(&progress));
    let prepared = pipeline::prepare(archive, *settings, &pool, folder_of(output), &progress);
    drop(bar);
    let none_made = || format!("no cache was made from {}", archive.path.display());
    // A file that was replaced explains all other problems, so it is reported first.
    source_manifest::unchanged(archive, &input).with_context(none_made)?;
    let prepared = prepared.with_context(none_made)?;
    // The SHA-256 that identifies the cache does not cover recordings that were left out.
    let input_sha256 = if prepared.skipped.is_empty() {
        None
    } else {
        let progress = Arc::new(Progress::default());
        let _bar = Bar::follow("reading what is damaged", total, Arc::clone(&progress));
        source_manifest::noted(output, &input, &[])
            .or_else(|| source_manifest::read(archive, &input, &progress.bytes).ok())
    };
    let header = CacheHeader {
        split: settings.split,
        sensor: prepared.sensor,
        keep_invalid: settings.read.keep_invalid,
        events_outside: settings
            .read
            .ignore_outside
            .then_some(prepared.tally.counts.outside),
        sensor_given: settings.read.sensor.is_some(),
        layout: settings.read.layout,
        stream: settings.read.stream,
        test_split: settings.read.test_split,
        created_by: concat!("dvs-prep ", env!("CARGO_PKG_VERSION")).to_owned(),
        source_sha256: prepared.source_sha256.clone(),
        skipped: prepared.skipped.clone(),
        label_names: prepared.label_names.clone(),
        input_sha256,
    };
    let PreparedDataset {
        sets,
        staging,
        times,
        ..
    } = &prepared;
    let writing = Instant::now();
    pool.install(|| writer::write(output, unfinished, &header, sets, staging))?;
    times.add(Step::Write, writing.elapsed());
    if let Err(error) =
        source_manifest::write(&lock, &input, &header.skipped, &header.source_sha256)
    {
        eprintln!(
            "dvs-prep: warning: cannot note the input beside the cache ({error}); it is compared by content next time"
        );
    }
    for warning in &prepared.warnings {
        eprintln!("dvs-prep: warning: {warning}");
    }
    let cache = CacheFile::open(output)?;
    Ok(Summary::made(
        archive,
        &cache,
        prepared,
        start.elapsed().as_secs_f64(),
    ))
}
