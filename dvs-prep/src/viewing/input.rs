//! Where samples come from: a cache, a recording, or the dataset's archive.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::error::ErrorKind;
use dvs_prep::view::Timing;
use dvs_shared::cache_format::HDF5_SIGNATURE;
use dvs_shared::labels::LABEL_NAMES;
use dvs_shared::{CacheFile, ChunkCodec, Frames, Set, SplitMode};

use super::choose::{Listed, Wanted};
use super::misuse;
use super::recordings::Recordings;
use super::sample::{Collector, Viewed};
use crate::cli::ViewArgs;
use crate::options;

/// How AEDAT recordings begin, of any version.
const AEDAT: &[u8] = b"#!AER-DAT";

/// An input that was opened, and the samples that are known of it.
pub enum Input {
    /// A frame cache.
    Cache(Box<CacheFile>, Vec<Listed>),
    /// A recording, or an archive of them.
    Recordings(Recordings),
}

impl Input {
    /// Opens what `args` name, or what lies where the dataset does. Of an archive no more is read than is needed to find
    /// what is `wanted`.
    ///
    /// # Errors
    /// Where it cannot be read, or is none of these.
    pub fn open(args: &ViewArgs, wanted: &Wanted) -> Result<Self> {
        let split = options::split_mode(&args.split);
        let path = match &args.input {
            Some(path) => path.clone(),
            None => by_convention(split)?,
        };
        let start =
            first_bytes(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if start == HDF5_SIGNATURE {
            refuse_options_of_recordings(args, &path);
            let cache = CacheFile::open(&path)?;
            let listed = Set::ALL.into_iter().flat_map(|set| listed(&cache, set));
            let listed = listed.collect();
            return Ok(Self::Cache(Box::new(cache), listed));
        }
        let recordings = match start == AEDAT {
            true => Recordings::of_file(&path, args, split)?,
            false => Recordings::of_archive(&path, args, split, wanted)?,
        };
        Ok(Self::Recordings(recordings))
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        match self {
            Self::Cache(cache, _) => cache.path(),
            Self::Recordings(recordings) => recordings.path(),
        }
    }

    /// What it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cache(..) => "cache",
            Self::Recordings(recordings) => recordings.kind(),
        }
    }

    /// The samples it has, as far as they had to be known.
    pub fn samples(&self) -> &[Listed] {
        match self {
            Self::Cache(_, listed) => listed,
            Self::Recordings(recordings) => recordings.samples(),
        }
    }

    /// Names of the classes by label.
    pub fn label_names(&self) -> Vec<String> {
        match self {
            Self::Cache(cache, _) => cache.header.label_names.clone(),
            Self::Recordings(_) => LABEL_NAMES.map(str::to_owned).to_vec(),
        }
    }

    /// The samples at these places of [`Input::samples`], each with at most so many frames to show.
    ///
    /// # Errors
    /// Where one cannot be read.
    pub fn read(&mut self, places: &[usize], max_frames: usize) -> Result<Vec<Viewed>> {
        match self {
            Self::Cache(cache, listed) => {
                let mut tools = (ChunkCodec::default(), Frames::default());
                let sample = |&at: &usize| {
                    let room = (max_frames, places.len());
                    of_cache(cache, &listed[at], room, &mut tools)
                };
                places.iter().map(sample).collect()
            }
            Self::Recordings(recordings) => recordings.read(places, max_frames),
        }
    }
}

/// What the dataset's folder has: the cache of this split, or else the archive.
fn by_convention(split: SplitMode) -> Result<PathBuf> {
    let folder = options::existing_data_folder()?;
    let cache = folder.join(split.file_name());
    Ok(if cache.is_file() { cache } else { folder })
}

/// The first bytes of a file, as many as tell what it is; none of a folder.
fn first_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut start = Vec::new();
    if std::fs::metadata(path)?.is_file() {
        File::open(path)?.take(9).read_to_end(&mut start)?;
        if start.starts_with(HDF5_SIGNATURE) {
            start.truncate(HDF5_SIGNATURE.len());
        }
    }
    Ok(start)
}

/// A cache's frames are made already.
fn refuse_options_of_recordings(args: &ViewArgs, path: &Path) {
    let given = [
        ("--frames", args.split.frames.is_some()),
        ("--split", args.split.split.is_some()),
        ("--duration", args.split.duration.is_some()),
        ("--keep-invalid", args.keep_invalid),
        ("--start-us", args.start_us.is_some()),
    ];
    // Without --input these options have found the cache.
    let given = given
        .iter()
        .find(|(_, given)| *given && args.input.is_some());
    if let Some((option, _)) = given {
        misuse(
            ErrorKind::ArgumentConflict,
            format!(
                "{option} is for recordings; {} is a cache, whose frames are made already",
                path.display()
            ),
        );
    }
}

fn listed(cache: &CacheFile, set: Set) -> impl Iterator<Item = Listed> + '_ {
    let samples = cache.set(set).samples.iter().enumerate();
    samples.map(move |(index, sample)| Listed {
        name: sample.name.clone(),
        label: Some(sample.label),
        set: Some(set),
        index: Some(index),
    })
}

fn of_cache(
    cache: &CacheFile,
    listed: &Listed,
    (max_frames, samples): (usize, usize),
    (codec, scratch): &mut (ChunkCodec, Frames),
) -> Result<Viewed> {
    let (Some(set), Some(index)) = (listed.set, listed.index) else {
        bail!("{} has no place in the cache", listed.full_name());
    };
    let sample = &cache.set(set).samples[index];
    let counts = cache.set(set).counts;
    let (size, split) = (cache.header.sensor, cache.header.split);
    let mut collector = Collector::new(size, sample.frames, max_frames, samples);
    cache.read_by_chunk(set, index, codec, scratch, |chunk| {
        let mut cells = chunk.counts(counts);
        for _ in 0..chunk.frames {
            collector.push(cells.by_ref().take(size.frame_cells()));
        }
    })?;
    let window = (sample.start_us, sample.end_us);
    let timing = match split {
        SplitMode::Duration { us } => Timing::Fixed(us),
        SplitMode::Time { frames } => {
            let span = window.1 as f64 - window.0 as f64;
            Timing::AtMost(span / f64::from(frames))
        }
        SplitMode::Number { .. } => Timing::Unknown,
    };
    Ok(collector.finish(listed.clone(), split, timing, window))
}
