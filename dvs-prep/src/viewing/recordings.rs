//! Samples cut from recordings: one `.aedat`, or those of the dataset's archive.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use dvs_prep::archive::{Archive, Member};
use dvs_prep::formats::{Format, decode};
use dvs_prep::frames::{MAX_FRAMES_BY_DURATION, frame_count, integrate, time_spans};
use dvs_prep::recording::Recording;
use dvs_prep::samples::{LABELS_SUFFIX, MAX_LIST_BYTES, Window, read_labels};
use dvs_prep::view::Timing;
use dvs_shared::labels::LABEL_NAMES;
use dvs_shared::{Set, SplitMode};

use super::choose::{Listed, Wanted};
use super::lists::{Lists, bounded, content, visit};
use super::sample::{Collector, Viewed};
use crate::cli::ViewArgs;

/// Bytes of the largest recording that is read; the largest real one has 100 MB.
const MAX_RECORDING: u64 = 512 << 20;

/// Bytes that a compressed recording may become, a quarter of the most that it may.
const MAX_INFLATED: u64 = 256 << 20;

/// Recordings, and the samples that are known of them.
pub struct Recordings {
    place: Place,
    split: SplitMode,
    keep_invalid: bool,
    listed: Vec<Listed>,
    /// Of each listed sample its recording and its window.
    windows: Vec<(String, i64, i64)>,
}

enum Place {
    File(PathBuf),
    Archive(Archive),
}

impl Recordings {
    /// The samples of one `.aedat`: those its label file names, or the part that is asked for, or else all of it.
    ///
    /// # Errors
    /// Where the label file is none.
    pub fn of_file(path: &Path, args: &ViewArgs, split: SplitMode) -> Result<Self> {
        let stem = path.file_stem().unwrap_or_default();
        let recording = stem.to_string_lossy().into_owned();
        let mut recordings = Self::new(Place::File(path.to_owned()), args, split);
        let labels = path.with_file_name(format!("{recording}{LABELS_SUFFIX}"));
        if let (Some(start), Some(end)) = (args.start_us, args.end_us) {
            ensure!(
                start < end,
                "--start-us {start} is not before --end-us {end}"
            );
            recordings.push_whole(recording, start, end);
        } else if labels.is_file() {
            let cannot = || format!("cannot read {}", labels.display());
            let text = File::open(&labels).and_then(|file| bounded(file, MAX_LIST_BYTES));
            let windows = read_labels(&text.with_context(cannot)?).with_context(cannot)?;
            recordings.push(None, Some(0), &recording, &windows);
        } else {
            eprintln!(
                "dvs-prep: there are no labels {} beside the recording: all of it is one sample",
                labels.display()
            );
            recordings.push_whole(recording, i64::MIN, i64::MAX);
        }
        Ok(recordings)
    }

    /// The samples of the dataset's archive, known as far as what is `wanted` can be told.
    ///
    /// # Errors
    /// Where it is no archive, cannot be read, or lacks a trial list.
    pub fn of_archive(
        path: &Path,
        args: &ViewArgs,
        split: SplitMode,
        wanted: &Wanted,
    ) -> Result<Self> {
        let archive = Archive::find(path).with_context(|| {
            format!(
                "{} is neither a frame cache, a recording nor the dataset",
                path.display()
            )
        })?;
        ensure!(
            args.start_us.is_none(),
            "--start-us and --end-us are for one recording; name the .aedat itself"
        );
        let new = || Self::new(Place::Archive(archive.clone()), args, split);
        let names = LABEL_NAMES.map(str::to_owned);
        let mut lists = Lists::default();
        // What is found is looked through now and then: each time would be too often in an archive made for it.
        let mut looked_through = 0;
        visit(&archive, "looking for samples", &mut |entry| {
            let named = wanted.recording();
            let found = matches!(&entry.member, Member::Labels(r) if Some(r.as_str()) == named);
            lists.take(entry)?;
            let more = lists.rows > looked_through + looked_through / 8;
            if lists.trials.iter().any(Option::is_none) || !(more || found) {
                return Ok(false);
            }
            looked_through = lists.rows;
            let mut known = new();
            known.push_lists(&lists, named, false);
            let chosen = wanted.choose(&known.listed, &names);
            Ok(chosen.is_ok_and(|chosen| !wanted.each_class || chosen.len() == names.len()))
        })?;
        for (set, list) in Set::ALL.into_iter().zip(&lists.trials) {
            ensure!(
                list.is_some(),
                "{} has no list {}",
                archive.path.display(),
                Member::Trials(set).file_name()
            );
        }
        let mut recordings = new();
        recordings.push_lists(&lists, wanted.recording(), false);
        if wanted.choose(&recordings.listed, &names).is_err() {
            // The message is about all there are.
            recordings = new();
            recordings.push_lists(&lists, None, true);
        }
        Ok(recordings)
    }

    fn new(place: Place, args: &ViewArgs, split: SplitMode) -> Self {
        Self {
            place,
            split,
            keep_invalid: args.keep_invalid,
            listed: Vec::new(),
            windows: Vec::new(),
        }
    }

    /// What was opened.
    pub fn path(&self) -> &Path {
        match &self.place {
            Place::File(path) => path,
            Place::Archive(archive) => &archive.path,
        }
    }

    /// What it is.
    pub fn kind(&self) -> &'static str {
        match &self.place {
            Place::File(_) => "recording",
            Place::Archive(_) => "archive",
        }
    }

    /// The samples that are known.
    pub fn samples(&self) -> &[Listed] {
        &self.listed
    }

    /// The samples of a recording, of which the first has place `index` in its set, if that is known.
    fn push(
        &mut self,
        set: Option<Set>,
        index: Option<usize>,
        recording: &str,
        windows: &[Window],
    ) {
        for (at, window) in windows.iter().enumerate() {
            self.listed.push(Listed {
                name: window.sample_name(recording),
                label: Some(window.label),
                set,
                index: index.map(|index| index + at),
            });
            let place = (recording.to_owned(), window.start_us, window.end_us);
            self.windows.push(place);
        }
    }

    fn push_whole(&mut self, recording: String, start: i64, end: i64) {
        self.listed.push(Listed {
            name: recording.clone(),
            label: None,
            set: None,
            index: None,
        });
        self.windows.push((recording, start, end));
    }

    /// The samples that the lists name, in the cache's order. A recording without labels ends its set, since what comes
    /// after it has no place yet, unless one recording alone is asked for, or `all` that are known.
    fn push_lists(&mut self, lists: &Lists, only: Option<&str>, all: bool) {
        for (set, list) in Set::ALL.into_iter().zip(&lists.trials) {
            let mut index = (only.is_none() && !all).then_some(0);
            for recording in list.iter().flatten() {
                if only.is_some_and(|only| only != recording) {
                    continue;
                }
                match lists.labels.get(recording) {
                    Some(windows) => {
                        self.push(Some(set), index, recording, windows);
                        index = index.map(|index| index + windows.len());
                    }
                    None if all => {}
                    None => break,
                }
            }
        }
    }

    /// The samples at these places.
    ///
    /// # Errors
    /// Where a recording is not there or cannot be read.
    pub fn read(&self, places: &[usize], max_frames: usize) -> Result<Vec<Viewed>> {
        let mut read: HashMap<usize, Viewed> = HashMap::new();
        let mut of_recording = |name: &str, bytes: &[u8]| -> Result<()> {
            let wanted = places.iter().filter(|&&at| self.windows[at].0 == name);
            let wanted: Vec<usize> = wanted.copied().collect();
            if !wanted.is_empty() {
                let samples = self.cut(name, bytes, &wanted, (max_frames, places.len()))?;
                read.extend(wanted.into_iter().zip(samples));
            }
            Ok(())
        };
        match &self.place {
            Place::File(path) => {
                let bytes = File::open(path).and_then(|file| bounded(file, MAX_RECORDING));
                let bytes = bytes.with_context(|| format!("cannot read {}", path.display()))?;
                let name = self.windows.first().map_or("", |(name, ..)| name);
                of_recording(name, &bytes)?;
            }
            Place::Archive(archive) => {
                let mut wanted: Vec<&str> = places
                    .iter()
                    .map(|&at| self.windows[at].0.as_str())
                    .collect();
                wanted.sort_unstable();
                wanted.dedup();
                visit(archive, "reading samples", &mut |entry| {
                    let (Member::Recording(name) | Member::Aedat4(name)) = entry.member.clone()
                    else {
                        return Ok(false);
                    };
                    let Ok(at) = wanted.binary_search(&name.as_str()) else {
                        return Ok(false);
                    };
                    of_recording(&name, &content(entry, MAX_RECORDING)?)?;
                    wanted.remove(at);
                    Ok(wanted.is_empty())
                })?;
                ensure!(
                    wanted.is_empty(),
                    "{} has no recording {}",
                    archive.path.display(),
                    wanted.join(", ")
                );
            }
        }
        let sample = |at: &usize| read.remove(at).context("a sample was not read");
        places.iter().map(sample).collect()
    }

    /// The samples at these places, all of one recording.
    fn cut(
        &self,
        name: &str,
        bytes: &[u8],
        places: &[usize],
        (max_frames, samples): (usize, usize),
    ) -> Result<Vec<Viewed>> {
        let cannot = || format!("cannot use the recording {name}");
        let format = Format::of_recording(bytes);
        let decoded = decode(bytes, format, None, MAX_INFLATED).with_context(cannot)?;
        let sensor = decoded.sensor;
        let recording =
            Recording::new(&decoded.packets, sensor, self.keep_invalid).with_context(cannot)?;
        if let Some(cut) = recording.cut_short().or(decoded.cut_short) {
            eprintln!(
                "dvs-prep: warning: the recording {name} is cut short: its last packet, at byte {}, has {} of its {} bytes",
                cut.offset, cut.left, cut.need
            );
        }
        let of = |&at: &usize| {
            let (_, start, end) = self.windows[at];
            let listed = self.listed[at].clone();
            let events = recording.window(start, end);
            if events.number == 0 {
                let span = match recording.span() {
                    Some((first, last)) => format!("has events from {first} to {last} us"),
                    None => "has no events".to_owned(),
                };
                eprintln!(
                    "dvs-prep: warning: {} has no events from {start} to {end} us; the recording {span}",
                    listed.full_name()
                );
            }
            let frames = frame_count(&events, self.split).map_err(|frames| {
                anyhow!(
                    "{} spans {frames} frames of {} us, beyond the limit of {MAX_FRAMES_BY_DURATION}: choose a longer \
                     --duration",
                    listed.full_name(),
                    self.split.duration_us()
                )
            })?;
            let mut collector = Collector::new(sensor, frames, max_frames, samples);
            integrate(&events, self.split, frames, |frame| match frame.bytes() {
                Some(bytes) => collector.push(bytes.iter().map(|&count| count.into())),
                None => collector.push(frame.counts().into_iter()),
            });
            let timing = Timing::Spans(time_spans(&events, self.split, frames));
            let window = match (start, end) {
                // All of it is from its first event to its last.
                (i64::MIN, i64::MAX) => recording
                    .span()
                    .map_or((0, 0), |(first, last)| (first, last.saturating_add(1))),
                window => window,
            };
            Ok(collector.finish(listed, self.split, timing, window))
        };
        places.iter().map(of).collect()
    }
}
