//! Exports the frames of a cache.

use std::fs;
use std::path::Path;

use dvs_shared::output::AtomicFolder;
use dvs_shared::{CacheFile, ChunkCodec, CountType, Frames, Set, SplitMode};
use rayon::prelude::*;

use super::numpy::{Array, Npy, write_npz as write_arrays};
use super::{ExportError, is_file_name};

/// NumPy's name for a count type.
fn descr(counts: CountType) -> &'static str {
    match counts {
        CountType::U8 => "|u1",
        CountType::U16 => "<u2",
        CountType::U32 => "<u4",
    }
}

/// Writes one file per sample of `cache`, in SpikingJelly's layout, and gives the folder its final
/// name. Returns the number of samples.
///
/// # Errors
/// See [`ExportError`].
pub fn write_npz(cache: &CacheFile, folder: AtomicFolder<'_>) -> Result<usize, ExportError> {
    let by_duration = matches!(cache.header.split, SplitMode::Duration { .. });
    let mut samples = 0;
    for set in Set::ALL {
        let rows = &cache.set(set).samples;
        let place = folder.path().join(set.name());
        for sample in rows {
            let label = place.join(sample.label.to_string());
            fs::create_dir_all(&label).map_err(ExportError::write(&label))?;
        }
        (0..rows.len()).into_par_iter().try_for_each_init(
            || (ChunkCodec::default(), Frames::default()),
            |(codec, frames), row| {
                let sample = &rows[row];
                if !is_file_name(&sample.name) {
                    return Err(ExportError::Name {
                        cache: cache.path().to_owned(),
                        set: set.name(),
                        name: sample.name.clone(),
                    });
                }
                cache.read(set, row, codec, frames)?;
                let name = match by_duration {
                    true => format!("{}_{}.npz", sample.name, frames.frames),
                    false => format!("{}.npz", sample.name),
                };
                let path = place.join(sample.label.to_string()).join(name);
                let array = Array {
                    name: "frames",
                    descr: descr(cache.set(set).counts),
                    shape: &shape(cache, &[frames.frames]),
                    write: &|out| out.write_all(&frames.raw),
                };
                write_arrays(&path, &[array]).map_err(ExportError::write(&path))
            },
        )?;
        samples += rows.len();
    }
    let path = folder.path().to_owned();
    folder.finish().map_err(ExportError::write(&path))?;
    Ok(samples)
}

fn shape(cache: &CacheFile, first: &[usize]) -> Vec<usize> {
    let sensor = cache.header.sensor;
    let frame = [2, sensor.height as usize, sensor.width as usize];
    [first, &frame].concat()
}

/// Writes the columns of both sets as arrays, `<set>_frames.npy`, `<set>_labels.npy` and so on, and
/// the names as text, one per line. Returns the number of samples.
///
/// # Errors
/// See [`ExportError`].
pub fn write_npy(cache: &CacheFile, folder: AtomicFolder<'_>) -> Result<usize, ExportError> {
    let mut all = 0;
    let (mut codec, mut frames) = (ChunkCodec::default(), Frames::default());
    let at = |name: String| folder.path().join(name);
    for set in Set::ALL {
        let (name, rows) = (set.name(), &cache.set(set).samples);
        let n = rows.len();
        all += n;
        let path = at(format!("{name}_frames.npy"));
        let first = match cache.header.split {
            SplitMode::Duration { .. } => vec![rows.iter().map(|s| s.frames).sum()],
            split => vec![n, split.frames() as usize],
        };
        let descr = descr(cache.set(set).counts);
        let mut file =
            Npy::create(&path, descr, &shape(cache, &first)).map_err(ExportError::write(&path))?;
        for row in 0..n {
            cache.read(set, row, &mut codec, &mut frames)?;
            file.write(&frames.raw).map_err(ExportError::write(&path))?;
        }
        file.finish().map_err(ExportError::write(&path))?;
        let column = |column: &str, descr: &str, n: usize, bytes: Vec<u8>| {
            let path = at(format!("{name}_{column}.npy"));
            Npy::create(&path, descr, &[n])
                .and_then(|mut file| {
                    file.write(&bytes)?;
                    file.finish()
                })
                .map_err(ExportError::write(&path))
        };
        column("labels", "|u1", n, rows.iter().map(|s| s.label).collect())?;
        let words = |word: fn(&dvs_shared::Sample) -> u64| -> Vec<u8> {
            rows.iter().flat_map(|s| word(s).to_le_bytes()).collect()
        };
        column("events", "<u8", n, words(|s| s.events))?;
        column("start_us", "<i8", n, words(|s| s.start_us as u64))?;
        column("end_us", "<i8", n, words(|s| s.end_us as u64))?;
        if let SplitMode::Duration { .. } = cache.header.split {
            let mut offset = 0u64;
            let mut offsets = offset.to_le_bytes().to_vec();
            for sample in rows {
                offset += sample.frames as u64;
                offsets.extend(offset.to_le_bytes());
            }
            column("offsets", "<u8", n + 1, offsets)?;
        }
        let names: Vec<&str> = rows.iter().map(|s| s.name.as_str()).collect();
        write_lines(&at(format!("{name}_names.txt")), &names)?;
    }
    let names: Vec<&str> = cache
        .header
        .label_names
        .iter()
        .map(String::as_str)
        .collect();
    write_lines(&at("label_names.txt".to_owned()), &names)?;
    let path = folder.path().to_owned();
    folder.finish().map_err(ExportError::write(&path))?;
    Ok(all)
}

fn write_lines(path: &Path, lines: &[&str]) -> Result<(), ExportError> {
    let text: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
    let written = fs::write(path, text).and_then(|()| fs::File::open(path)?.sync_all());
    written.map_err(ExportError::write(path))
}
