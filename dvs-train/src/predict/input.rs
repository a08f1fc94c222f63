//! What a prediction is made of: the frames of one sample, from a recording, the dataset's archive or a cache.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::AtomicU64;

use anyhow::{Context, Result, bail, ensure};
use dvs_prep::archive::{Archive, Content, Entry, Member};
use dvs_prep::formats::{Format, decode};
use dvs_prep::frames::integrate;
use dvs_prep::recording::Recording;
use dvs_prep::samples::{LABELS_SUFFIX, RECORDING_SUFFIX, Window, read_labels};
use dvs_shared::cache_format::HDF5_SIGNATURE;
use dvs_shared::event::SensorSize;
use dvs_shared::{CacheFile, ChunkCodec, Frames, Set, SplitMode};

use crate::cli::PredictArgs;

/// Bytes of the largest recording that is read; the largest real one has 100 MB.
const MAX_RECORDING: u64 = 4 << 30;
/// Bytes that a compressed recording may become, a quarter of the most that it may.
const MAX_INFLATED: u64 = 1 << 30;
/// Bytes of the largest label file.
const MAX_LABELS: u64 = 1 << 20;

/// How a network takes samples.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// T and the way to divide.
    pub split: SplitMode,
    /// Size of the frames.
    pub sensor: SensorSize,
    /// Whether events whose valid bit is clear count.
    pub keep_invalid: bool,
}

/// One sample's frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its name, with the label where it has one.
    pub name: String,
    /// Its label, where it has one.
    pub label: Option<u8>,
    /// Its window in microseconds.
    pub window: (i64, i64),
    /// Events in its frames.
    pub events: u64,
    /// Counts `[T, 2, H, W]`.
    pub counts: Vec<f32>,
}

/// Reads the sample that `args` mean.
///
/// # Errors
/// Where it is not there, is not the only one that is meant, or cannot be read.
pub fn read(
    args: &PredictArgs,
    shape: Shape,
    check: impl FnOnce(&CacheFile) -> Result<()>,
) -> Result<Input> {
    let path = &args.input;
    let cannot = || format!("cannot read {}", path.display());
    let mut start = [0; 9];
    if !path.is_dir() {
        let file = File::open(path).with_context(cannot)?;
        let mut first = Vec::new();
        file.take(9).read_to_end(&mut first).with_context(cannot)?;
        start[..first.len()].copy_from_slice(&first);
    }
    if start.starts_with(HDF5_SIGNATURE) {
        let cache = CacheFile::open(path)?;
        check(&cache)?;
        return of_cache(&cache, args, shape);
    }
    if start.starts_with(b"#!AER-DAT") {
        return of_recording(args, shape);
    }
    of_archive(args, shape)
}

fn of_recording(args: &PredictArgs, shape: Shape) -> Result<Input> {
    let path = &args.input;
    let cannot = |path: &Path| format!("cannot read {}", path.display());
    let bytes = File::open(path).and_then(|f| bounded(f, MAX_RECORDING));
    let bytes = bytes.with_context(|| cannot(path))?;
    let name = path
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let window = match (args.start_us, args.end_us) {
        (Some(start), Some(end)) => {
            ensure!(
                start < end,
                "--start-us {start} is not before --end-us {end}"
            );
            Wanted::Between(start, end)
        }
        _ => {
            let labels = path.with_file_name(format!("{name}{LABELS_SUFFIX}"));
            ensure!(
                labels.exists(),
                "there are no labels {} beside the recording; name the window with --start-us and --end-us",
                labels.display()
            );
            let text = File::open(&labels).and_then(|f| bounded(f, MAX_LABELS));
            let windows = read_labels(&text.with_context(|| cannot(&labels))?)
                .with_context(|| cannot(&labels))?;
            let names = windows.iter().map(|w| (w.sample_name(&name), w.label));
            Wanted::Labelled(windows[pick(names, args, path)?])
        }
    };
    of_bytes(&name, &bytes, window, shape).with_context(|| cannot(path))
}

fn of_archive(args: &PredictArgs, shape: Shape) -> Result<Input> {
    let path = &args.input;
    let archive = Archive::find(path).with_context(|| {
        format!(
            "{} is neither a recording, a frame cache nor the dataset's archive",
            path.display()
        )
    })?;
    let sample = args.sample.as_deref().with_context(|| {
        format!(
            "{} holds many samples; name one with --sample, as --sample user01_led_0@3 for label 3",
            archive.path.display()
        )
    })?;
    let name = sample.split_once('@').map_or(sample, |(name, _)| name);
    let Some((recording, _)) = name.rsplit_once('_') else {
        bail!("--sample {sample:?} does not name a sample, as user01_led_0@3 does");
    };
    let (mut bytes, mut labels, mut seen) = (None, None, 0);
    let result = archive.visit(&AtomicU64::new(0), &mut |entry| {
        seen += usize::from(matches!(
            entry.member,
            Member::Recording(_) | Member::Aedat4(_)
        ));
        match &entry.member {
            Member::Recording(found) | Member::Aedat4(found) if found == recording => {
                bytes = Some(content(entry, MAX_RECORDING)?)
            }
            Member::Labels(found) if found == recording => {
                labels = Some(content(entry, MAX_LABELS)?)
            }
            _ => {}
        }
        match (&bytes, &labels) {
            // The rest of the archive need not be read.
            (Some(_), Some(_)) => Err(io::Error::other("found")),
            _ => Ok(()),
        }
    });
    let (bytes, labels) = match (bytes, labels, result) {
        (Some(bytes), Some(labels), _) => (bytes, labels),
        (_, _, Err(error)) => return Err(error.into()),
        (None, ..) => bail!(
            "{} holds no recording {recording}{RECORDING_SUFFIX} among its {seen}",
            archive.path.display()
        ),
        (_, None, _) => bail!(
            "{} holds no {recording}{LABELS_SUFFIX}",
            archive.path.display()
        ),
    };
    let cannot = || format!("cannot use {recording} of {}", archive.path.display());
    let windows = read_labels(&labels).with_context(cannot)?;
    let names = windows.iter().map(|w| (w.sample_name(recording), w.label));
    let window = windows[pick(names, args, path)?];
    of_bytes(recording, &bytes, Wanted::Labelled(window), shape).with_context(cannot)
}

fn of_cache(cache: &CacheFile, args: &PredictArgs, shape: Shape) -> Result<Input> {
    ensure!(
        args.start_us.is_none(),
        "{} is a frame cache: its samples cannot be cut anew by --start-us and --end-us; name one with --sample",
        cache.path().display()
    );
    let places: Vec<(Set, usize)> = Set::ALL
        .into_iter()
        .flat_map(|set| (0..cache.set(set).samples.len()).map(move |at| (set, at)))
        .collect();
    let names = places.iter().map(|&(set, at)| {
        let sample = &cache.set(set).samples[at];
        (sample.name.clone(), sample.label)
    });
    let (set, at) = places[pick(names, args, cache.path())?];
    let (mut codec, mut frames) = (ChunkCodec::default(), Frames::default());
    cache.read(set, at, &mut codec, &mut frames)?;
    let sample = &cache.set(set).samples[at];
    let counts = frames
        .counts(cache.set(set).counts)
        .map(|count| count as f32);
    let counts: Vec<f32> = counts.collect();
    debug_assert_eq!(
        counts.len(),
        shape.split.frames() as usize * shape.sensor.frame_cells()
    );
    Ok(Input {
        name: format!("{}@{}", sample.name, sample.label),
        label: Some(sample.label),
        window: (sample.start_us, sample.end_us),
        events: sample.events,
        counts,
    })
}

/// What is wanted of a recording.
enum Wanted {
    Labelled(Window),
    Between(i64, i64),
}

fn of_bytes(recording: &str, bytes: &[u8], wanted: Wanted, shape: Shape) -> Result<Input> {
    let (name, label, start, end) = match wanted {
        Wanted::Labelled(window) => {
            let name = format!("{}@{}", window.sample_name(recording), window.label);
            (name, Some(window.label), window.start_us, window.end_us)
        }
        Wanted::Between(start, end) => (recording.to_owned(), None, start, end),
    };
    let format = Format::of_recording(bytes);
    let decoded = decode(bytes, format, Some(shape.sensor), MAX_INFLATED)?;
    let recording = Recording::new(&decoded.packets, shape.sensor, shape.keep_invalid)?;
    let events = recording.window(start, end);
    if events.number == 0 {
        let span = recording
            .span()
            .map_or("no events at all".to_owned(), |(first, last)| {
                format!("events from {first} to {last} us")
            });
        bail!("{name} has no events from {start} to {end} us; the recording has {span}");
    }
    let frames = shape.split.frames() as usize;
    let mut counts = Vec::with_capacity(frames * shape.sensor.frame_cells());
    integrate(&events, shape.split, frames, |frame| {
        counts.extend(frame.counts().into_iter().map(|count| count as f32));
    });
    Ok(Input {
        name,
        label,
        window: (start, end),
        events: events.number,
        counts,
    })
}

/// The place of the sample that is meant among `names` with their labels.
fn pick(
    names: impl Iterator<Item = (String, u8)>,
    args: &PredictArgs,
    path: &Path,
) -> Result<usize> {
    let wanted = args.sample.as_deref();
    let names: Vec<String> = names
        .map(|(name, label)| format!("{name}@{label}"))
        .collect();
    let fits = |full: &str| match wanted {
        None => true,
        Some(wanted) => {
            full == wanted || full.split_once('@').is_some_and(|(name, _)| name == wanted)
        }
    };
    let places: Vec<usize> = (0..names.len()).filter(|&at| fits(&names[at])).collect();
    if let [place] = places[..] {
        return Ok(place);
    }
    let (what, shown) = match (wanted, places.is_empty()) {
        (Some(wanted), true) => (
            format!("no sample {wanted}; it holds"),
            (0..names.len()).collect(),
        ),
        (Some(wanted), false) => (format!("several samples {wanted}; name one of"), places),
        (None, _) => (
            "several samples; name one with --sample:".to_owned(),
            places,
        ),
    };
    let mut list: Vec<&str> = shown
        .iter()
        .take(12)
        .map(|&at| names[at].as_str())
        .collect();
    if shown.len() > list.len() {
        list.push("...");
    }
    bail!("{} holds {what} {}", path.display(), list.join(", "))
}

fn content(entry: Entry<'_>, limit: u64) -> io::Result<Vec<u8>> {
    match entry.content {
        Content::Stream(stream) => bounded(stream, limit),
        Content::File(path) => bounded(File::open(path)?, limit),
    }
}

fn bounded(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}
