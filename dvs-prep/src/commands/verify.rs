//! `dvs-prep verify`: compares every sample of a cache with the cache's own metadata.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Result, bail};
use dvs_shared::{CacheFile, ChunkCodec, Frames, Set};
use rayon::prelude::*;

/// Checks the cache at `path` and returns its number of samples. Opening the cache checks every
/// attribute and the shape, type and place of every row.
///
/// # Errors
/// Returns the first error in the order of the cache.
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
                    "{}: the cache contains this sample twice, with label {}",
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
        (0..rows.len())
            .into_par_iter()
            .map_init(
                || (ChunkCodec::default(), Frames::default()),
                |(codec, scratch), row| cache.check(set, row, codec, scratch),
            )
            .find_first(Result::is_err)
            .unwrap_or(Ok(()))?;
        samples += rows.len();
    }
    Ok(samples)
}
