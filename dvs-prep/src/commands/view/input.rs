//! Reads the samples to show from a cache, a recording, a file of one sample, or the dataset.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::error::ErrorKind;
use dvs_prep::pipeline::Progress;
use dvs_shared::frames::{MAX_FRAMES_BY_DURATION, frame_count, integrate, time_spans};
use dvs_shared::labels::gestures;
use dvs_shared::sample_input::{EventSample, InputOptions, SampleContent, SampleInput};
use dvs_shared::select::{ListedSample, SampleChoice, SampleRequest};
use dvs_shared::view::Timing;
use dvs_shared::{CacheFile, ChunkCodec, Frames, Set, SplitMode};

use super::sample::{FrameCollector, ShownSample};
use crate::cli::ViewArgs;
use crate::cli::options::{self, misuse};
use crate::cli::progress::Bar;

/// The samples to show.
pub struct ShownInput {
    pub path: PathBuf,
    /// Type of the input.
    pub kind: &'static str,
    /// How its recordings were read, and the reason.
    pub recognised: Vec<String>,
    /// Names of the classes, by label.
    pub label_names: Vec<String>,
    pub samples: Vec<ShownSample>,
}

/// Reads the samples that `args` select, each with at most `max_frames` frames to show.
///
/// # Errors
/// Returns an error if the input has no such sample or cannot be read.
pub fn read(args: &ViewArgs, max_frames: usize) -> Result<ShownInput> {
    let wanted = wanted(args);
    let split = options::split_mode(&args.split);
    let path = match &args.input {
        Some(path) => path.clone(),
        None => default_input(split)?,
    };
    let options = InputOptions {
        read: args.read.options(),
        classes: args.read.classes.clone(),
        span: args.start_us.zip(args.end_us),
        default_names: gestures(),
        memory: options::memory(args.memory),
    };
    let mut input = SampleInput::open(&path, options)?;
    if input.cache().is_some() {
        refuse_options_of_recordings(args, &path);
    }
    let progress = Arc::new(Progress::default());
    let bar = follow("looking for samples", &input, &progress);
    let places = input.find(&wanted, &progress.bytes)?;
    drop(bar);
    progress.bytes.store(0, Ordering::Relaxed);
    let bar = follow("reading samples", &input, &progress);
    let listed = input.samples().to_vec();
    let label_names = input.label_names().to_vec();
    let mut viewing = Viewing {
        split,
        split_given: args.split.selects_split_mode(),
        max_frames,
        samples: places.len(),
        codec: ChunkCodec::default(),
        frames: Frames::default(),
        recognised: Vec::new(),
    };
    let mut read: Vec<(usize, ShownSample)> = Vec::new();
    input.read(&places, &progress.bytes, &mut |at, content| {
        read.push((at, viewing.sample(&listed[at], content)?));
        anyhow::Ok(())
    })?;
    drop(bar);
    for note in input.take_notes() {
        eprintln!("dvs-prep: warning: {note}");
    }
    read.sort_by_key(|(at, _)| places.iter().position(|place| place == at));
    Ok(ShownInput {
        path: input.path().to_owned(),
        kind: input.kind(),
        recognised: viewing.recognised,
        label_names,
        samples: read.into_iter().map(|(_, sample)| sample).collect(),
    })
}

/// The samples that `args` select. A sample name with --each-class is misuse.
fn wanted(args: &ViewArgs) -> SampleRequest {
    let sample = args
        .sample
        .as_deref()
        .map_or(SampleChoice::Nth(0), SampleChoice::parse);
    if let (SampleChoice::Named(name), true) = (&sample, args.each_class) {
        misuse(
            ErrorKind::ArgumentConflict,
            format!(
                "--each-class takes a sample of each class by its number, not the one named {name}"
            ),
        );
    }
    SampleRequest {
        set: args.set.map(Set::from),
        sample,
        label: args.label.clone(),
        each_class: args.each_class,
    }
}

/// A progress bar for reading `input`.
fn follow(what: &'static str, input: &SampleInput, progress: &Arc<Progress>) -> Bar {
    Bar::follow(what, input.bytes(), Arc::clone(progress))
}

/// The default input in the data folder: the cache for this split if it exists, else the archive.
fn default_input(split: SplitMode) -> Result<PathBuf> {
    let folder = options::existing_data_folder()?;
    let cache = folder.join(split.file_name());
    Ok(if cache.is_file() { cache } else { folder })
}

/// Rejects options for recordings, because the frames of a cache are already made.
fn refuse_options_of_recordings(args: &ViewArgs, path: &Path) {
    let given = [
        ("--frames", args.split.frames.is_some()),
        ("--split", args.split.split.is_some()),
        ("--duration", args.split.duration.is_some()),
    ];
    // Without an input, these options have selected the cache.
    let given = given
        .iter()
        .find(|(_, given)| *given && args.input.is_some());
    let given = given.map(|(option, _)| *option).or(args.read.given());
    if let Some(option) = given {
        misuse(
            ErrorKind::ArgumentConflict,
            format!(
                "{option} is for recordings; {} is a cache, whose frames are made already",
                path.display()
            ),
        );
    }
}

/// Turns samples into frames to show.
struct Viewing {
    split: SplitMode,
    split_given: bool,
    max_frames: usize,
    samples: usize,
    codec: ChunkCodec,
    frames: Frames,
    recognised: Vec<String>,
}

impl Viewing {
    fn sample(&mut self, listed: &ListedSample, content: SampleContent<'_>) -> Result<ShownSample> {
        match content {
            SampleContent::Cached(cache, set, index) => self.of_cache(cache, set, index, listed),
            SampleContent::Events(sample) => {
                self.recognise(sample.recognised);
                self.of_events(&sample, listed)
            }
            SampleContent::Frames {
                counts,
                frames,
                sensor,
                split,
                recognised,
            } => {
                self.recognise(recognised);
                let name = listed.full_name();
                let said = self.split_given.then_some(self.split);
                let split = split.or(said).with_context(|| {
                    format!("{name} has ready frames; say how they were made, with --frames and --split or --duration")
                })?;
                if let Some(said) = said.filter(|&said| said != split) {
                    bail!(
                        "{name} has {split}, and {said} are asked for; leave --frames, --split and --duration out"
                    );
                }
                ensure!(
                    [0, frames].contains(&(split.frames() as usize)),
                    "{name} has {frames} frames, not {}, as its folder or --frames says",
                    split.frames()
                );
                let mut collector =
                    FrameCollector::new(sensor, frames, self.max_frames, self.samples);
                for frame in counts.chunks_exact(sensor.frame_cells()) {
                    collector.push(frame.iter().copied());
                }
                Ok(collector.finish(listed.clone(), split, timing(split, (0, 0)), (0, 0)))
            }
        }
    }

    fn recognise(&mut self, recognised: &str) {
        if !self.recognised.iter().any(|known| known == recognised) {
            self.recognised.push(recognised.to_owned());
        }
    }

    fn of_events(&self, sample: &EventSample<'_>, listed: &ListedSample) -> Result<ShownSample> {
        if let Some(why) = sample.why_empty() {
            eprintln!("dvs-prep: warning: {} has {why}", listed.full_name());
        }
        let (events, split) = (&sample.events, self.split);
        let frames = frame_count(events, split).map_err(|frames| {
            anyhow!(
                "{} spans {frames} frames of {} us, beyond the limit of {MAX_FRAMES_BY_DURATION}: choose a longer \
                 --duration",
                listed.full_name(),
                split.duration_us()
            )
        })?;
        let mut collector =
            FrameCollector::new(events.sensor(), frames, self.max_frames, self.samples);
        integrate(events, split, frames, |frame| match frame.bytes() {
            Some(bytes) => collector.push(bytes.iter().map(|&count| count.into())),
            None => collector.push(frame.counts().into_iter()),
        });
        let timing = Timing::Spans(time_spans(events, split, frames));
        Ok(collector.finish(listed.clone(), split, timing, sample.span))
    }

    fn of_cache(
        &mut self,
        cache: &CacheFile,
        set: Set,
        index: usize,
        listed: &ListedSample,
    ) -> Result<ShownSample> {
        let sample = &cache.set(set).samples[index];
        let counts = cache.set(set).counts;
        let (size, split) = (cache.header.sensor, cache.header.split);
        let mut collector = FrameCollector::new(size, sample.frames, self.max_frames, self.samples);
        let Self { codec, frames, .. } = self;
        cache.read_by_chunk(set, index, codec, frames, |chunk| {
            let mut cells = chunk.counts(counts);
            for _ in 0..chunk.frames {
                collector.push(cells.by_ref().take(size.frame_cells()));
            }
        })?;
        let window = (sample.start_us, sample.end_us);
        Ok(collector.finish(listed.clone(), split, timing(split, window), window))
    }
}

/// Returns what is known about the frames' times, if the input holds frames and not events. `window`
/// is the sample's window in microseconds, or (0, 0) if it has none.
fn timing(split: SplitMode, window: (i64, i64)) -> Timing {
    match split {
        SplitMode::Duration { us } => Timing::Fixed(us),
        // Ready frames have no window.
        SplitMode::Time { .. } if window == (0, 0) => Timing::Unknown,
        SplitMode::Time { frames } => {
            let span = window.1 as f64 - window.0 as f64;
            Timing::AtMost(span / f64::from(frames))
        }
        SplitMode::Number { .. } => Timing::Unknown,
    }
}
