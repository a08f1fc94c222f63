//! `dvs-prep prepare`: from the options to a cache under its final name.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use dvs_prep::cache_writer::{Unfinished, folder_of};
use dvs_prep::existing::{self, FileStamp};
use dvs_prep::pipeline::{self, Prepared, Progress};
use dvs_prep::step_times::Step;
use dvs_shared::{CacheFile, CacheHeader};

use crate::options::Options;
use crate::progress::Bar;
use crate::report::Summary;

/// Makes the cache, or finds that it is there.
///
/// # Errors
/// With everything that is wrong with the input; no file is left under the cache's name then.
pub fn prepare(options: &Options) -> Result<Summary> {
    let Options {
        archive,
        output,
        settings,
        ..
    } = options;
    let start = Instant::now();
    let input = FileStamp::of_input(archive)?;
    let total = input.iter().map(FileStamp::size).sum();
    let progress = Arc::new(Progress::default());
    existing::may_be_replaced(output)?;
    if !options.force {
        let _bar = Bar::follow("comparing", total, Arc::clone(&progress));
        let found = existing::find(output, archive, &input, *settings, &progress.bytes)?;
        if let Some(cache) = found {
            return Ok(Summary::already_there(archive, &cache));
        }
    }
    let unfinished = Unfinished::create(output)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(settings.workers())
        .build()?;
    let bar = Bar::follow("preparing", total, Arc::clone(&progress));
    let prepared = pipeline::prepare(archive, *settings, &pool, folder_of(output), &progress)
        .with_context(|| format!("no cache was made from {}", archive.path.display()))?;
    drop(bar);
    if FileStamp::of_input(archive).ok().as_ref() != Some(&input) {
        bail!(
            "{} changed while it was read; no cache was made",
            archive.path.display()
        );
    }
    let header = CacheHeader {
        split: settings.split,
        sensor: dvs_shared::event::DVS128,
        keep_invalid: settings.keep_invalid,
        created_by: concat!("dvs-prep ", env!("CARGO_PKG_VERSION")).to_owned(),
        source_sha256: prepared.source_sha256.clone(),
        skipped: prepared.skipped.clone(),
    };
    let Prepared {
        sets,
        staging,
        times,
        ..
    } = &prepared;
    let writing = Instant::now();
    pool.install(|| unfinished.finish(&header, sets, staging))?;
    times.add(Step::Write, writing.elapsed());
    if let Err(error) = existing::write_stamp(output, input, &header.source_sha256) {
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
