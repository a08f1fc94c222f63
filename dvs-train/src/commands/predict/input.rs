//! Reads the frames of one sample from any kind of input.

use std::sync::atomic::AtomicU64;

use anyhow::{Context, Result, bail, ensure};
use dvs_shared::event::SensorSize;
use dvs_shared::frames::integrate;
use dvs_shared::labels::listed;
use dvs_shared::sample_input::{EventSample, InputOptions, SampleContent, SampleInput};
use dvs_shared::select::{ListedSample, SampleChoice, SampleRequest};
use dvs_shared::{CacheFile, ChunkCodec, Frames, Set, SplitMode};

use crate::cli::PredictArgs;

/// The samples that a network expects.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// T, and how samples are split into frames.
    pub split: SplitMode,
    /// Size of the frames.
    pub sensor: SensorSize,
    /// Whether events whose valid bit is clear count.
    pub keep_invalid: bool,
    /// Class names, indexed by label.
    pub label_names: &'a [String],
}

/// A sample and its frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Name, with the label if there is one.
    pub name: String,
    pub label: Option<u8>,
    /// Start and end in microseconds.
    pub window: (i64, i64),
    /// Number of events in the frames.
    pub events: u64,
    /// Counts `[T, 2, H, W]`.
    pub counts: Vec<f32>,
    /// How the recording was read, and what decided that.
    pub recognised: Option<String>,
}

/// Reads the sample that `args` choose.
///
/// # Errors
/// Returns an error if the sample is missing, ambiguous or unreadable, or does not match the
/// network.
pub fn read(
    args: &PredictArgs,
    shape: Shape<'_>,
    check: impl FnOnce(&CacheFile) -> Result<()>,
) -> Result<Input> {
    let mut options = args.read.options();
    options.keep_invalid |= shape.keep_invalid;
    let options = InputOptions {
        read: options,
        classes: args.read.classes.clone(),
        span: args.start_us.zip(args.end_us),
        default_names: shape.label_names.to_vec(),
        memory: args.memory.saturating_mul(1 << 20),
    };
    let wanted = SampleRequest {
        set: args.set.map(Set::from),
        sample: args
            .sample
            .as_deref()
            .map_or(SampleChoice::Only, SampleChoice::parse),
        label: args.label.clone(),
        each_class: false,
    };
    let mut input = SampleInput::open(&args.input, options)?;
    if let Some(cache) = input.cache() {
        if let Some(option) = args.read.given() {
            bail!(
                "{option} is for recordings; {} is a cache, whose frames are made already",
                cache.path().display()
            );
        }
        check(cache)?;
    }
    let places = input.find(&wanted, &AtomicU64::new(0))?;
    ensure!(
        !input.names_given() || input.label_names() == shape.label_names,
        "{} holds other classes than the network tells apart: {}, not {}",
        args.read
            .classes
            .as_deref()
            .unwrap_or(input.path())
            .display(),
        listed(input.label_names()),
        listed(shape.label_names)
    );
    let samples = input.samples().to_vec();
    let mut found = None;
    input.read(&places, &AtomicU64::new(0), &mut |at, content| {
        found = Some(shape.sample(&samples[at], content)?);
        anyhow::Ok(())
    })?;
    for note in input.take_notes() {
        eprintln!("dvs-train: warning: {note}");
    }
    found.context("the sample was not read")
}

impl Shape<'_> {
    fn sample(&self, listed: &ListedSample, content: SampleContent<'_>) -> Result<Input> {
        match content {
            SampleContent::Cached(cache, set, index) => self.of_cache(cache, set, index, listed),
            SampleContent::Events(sample) => self.of_events(&sample, listed),
            SampleContent::Frames {
                counts,
                frames,
                sensor,
                split,
                recognised,
            } => {
                self.check_size(sensor, listed)?;
                let name = listed.full_name();
                match split {
                    Some(split) if split == self.split => {}
                    Some(split) => bail!(
                        "{name} has {split}, but the network was trained on {}",
                        self.split
                    ),
                    None => bail!(
                        "{name} has ready frames, and the name of their folder does not say how they were made; make a \
                         cache of them with dvs-prep, whose --frames and --split say it, and give that"
                    ),
                }
                ensure!(
                    frames == self.split.frames() as usize,
                    "{name} has {frames} frames, but the network takes {}",
                    self.split.frames()
                );
                Ok(Input {
                    events: counts.iter().map(|&count| u64::from(count)).sum(),
                    counts: counts.iter().map(|&count| count as f32).collect(),
                    recognised: Some(recognised.to_owned()),
                    ..Self::input(listed, (0, 0))
                })
            }
        }
    }

    fn of_events(&self, sample: &EventSample<'_>, listed: &ListedSample) -> Result<Input> {
        let events = &sample.events;
        self.check_size(events.sensor(), listed)?;
        if let Some(why) = sample.why_empty() {
            bail!("{} has {why}", listed.full_name());
        }
        let frames = self.split.frames() as usize;
        let mut counts = Vec::with_capacity(frames * self.sensor.frame_cells());
        integrate(events, self.split, frames, |frame| {
            counts.extend(frame.counts().into_iter().map(|count| count as f32));
        });
        Ok(Input {
            events: events.number,
            counts,
            recognised: Some(sample.recognised.to_owned()),
            ..Self::input(listed, sample.span)
        })
    }

    fn of_cache(
        &self,
        cache: &CacheFile,
        set: Set,
        index: usize,
        listed: &ListedSample,
    ) -> Result<Input> {
        let (mut codec, mut frames) = (ChunkCodec::default(), Frames::default());
        cache.read(set, index, &mut codec, &mut frames)?;
        let sample = &cache.set(set).samples[index];
        let counts = frames.counts(cache.set(set).counts);
        Ok(Input {
            events: sample.events,
            counts: counts.map(|count| count as f32).collect(),
            ..Self::input(listed, (sample.start_us, sample.end_us))
        })
    }

    /// A sample without its frames.
    fn input(listed: &ListedSample, window: (i64, i64)) -> Input {
        Input {
            name: listed.full_name(),
            label: listed.label,
            window,
            events: 0,
            counts: Vec::new(),
            recognised: None,
        }
    }

    /// Checks the frame size. Larger frames would be cut off, and smaller ones would fill only a
    /// corner.
    fn check_size(&self, found: SensorSize, listed: &ListedSample) -> Result<()> {
        ensure!(
            found == self.sensor,
            "{} has {found} pixels, but the network takes {}",
            listed.full_name(),
            self.sensor
        );
        Ok(())
    }
}
