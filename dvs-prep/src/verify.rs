//! `dvs-prep verify`: every sample of a cache, read and held against what the cache says of it.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use dvs_shared::{CacheFile, ChunkCodec, Frames, Set};
use rayon::prelude::*;

/// Checks the cache at `path` and returns how many samples it has. Opening it checks every attribute and the shape,
/// type and place of every row.
///
/// # Errors
/// The first thing that is not as it should be, in the cache's order.
pub fn verify(path: &Path) -> Result<usize> {
    let cache = CacheFile::open(path)?;
    let mut samples = 0;
    for set in Set::ALL {
        let rows = &cache.set(set).samples;
        let mut seen = HashSet::new();
        for (row, sample) in rows.iter().enumerate() {
            let at = || {
                format!(
                    "the cache {} is damaged: /{}, row {row} ({})",
                    path.display(),
                    set.name(),
                    sample.name
                )
            };
            if !seen.insert((&sample.name, sample.label)) {
                bail!(
                    "{}: the sample stands there twice with label {}",
                    at(),
                    sample.label
                );
            }
            if sample.end_us < sample.start_us {
                bail!(
                    "{}: its window ends at {} us, before its start at {} us",
                    at(),
                    sample.end_us,
                    sample.start_us
                );
            }
        }
        rows.par_iter()
            .enumerate()
            .map_init(
                || (ChunkCodec::default(), Frames::default()),
                |(codec, frames), (row, sample)| {
                    cache.read(set, row, codec, frames)?;
                    let counted: u64 = frames.counts(cache.set(set).counts).map(u64::from).sum();
                    if counted != sample.events {
                        bail!(
                            "the cache {} is damaged: /{}/events, row {row} ({}) says {} events, its frames hold {counted}",
                            path.display(), set.name(), sample.name, sample.events
                        );
                    }
                    Ok(())
                },
            )
            .find_first(Result::is_err)
            .unwrap_or(Ok(()))
            .context("verify")?;
        samples += rows.len();
    }
    Ok(samples)
}
