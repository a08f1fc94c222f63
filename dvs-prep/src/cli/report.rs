//! The output of the commands: text for people, or one JSON object for programs. JSON keys are
//! stable: keys may be added, but none is renamed or removed within a major version.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use dvs_prep::pipeline::step_times::Step;
use dvs_prep::pipeline::{InputKind, PreparedDataset};
use dvs_prep::synth::SynthSummary;
use dvs_shared::archive::Archive;
use dvs_shared::formats::AddressLayout;
use dvs_shared::{CacheFile, Set};
use serde::Serialize;

/// One number for each set.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PerSet<T> {
    train: T,
    test: T,
}

/// The contents of a cache.
#[derive(Debug, Serialize)]
pub struct Contents {
    cache: String,
    bytes: u64,
    format_version: u32,
    split_by: &'static str,
    frames: u32,
    duration_us: u64,
    height: u32,
    width: u32,
    polarities: u32,
    keep_invalid: bool,
    /// Events outside the sensor that --ignore-outside left out; `null` without it.
    events_outside: Option<u64>,
    /// The value of --layout; `null` without it.
    address_layout: Option<&'static str>,
    /// The value of --stream; `null` without it.
    stream: Option<i32>,
    /// The value of --test-share; `null` without it.
    test_share: Option<String>,
    /// The value of --split-seed; `null` without it.
    split_seed: Option<u64>,
    /// Recordings that --skip-damaged left out.
    skipped: Vec<String>,
    count_type: PerSet<&'static str>,
    samples: PerSet<usize>,
    samples_per_class: PerSet<Vec<usize>>,
    label_names: Vec<String>,
    frames_in_all: PerSet<usize>,
    events: PerSet<u64>,
    empty_samples: PerSet<usize>,
    created_by: String,
    source_sha256: String,
}

/// What a run of `prepare` did.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// "made" or "already there".
    status: &'static str,
    input: String,
    #[serde(flatten)]
    contents: Contents,
    /// `None` if the cache already existed.
    #[serde(flatten)]
    run: Option<Run>,
}

/// What was read and how long it took.
#[derive(Debug, Serialize)]
struct Run {
    /// The formats that were recognised in the input.
    recognised: Vec<String>,
    /// What the files of the input are called.
    #[serde(skip)]
    files: &'static str,
    recordings: u64,
    recordings_left_out: u64,
    recordings_cut_short: u64,
    events_read: u64,
    events_left_out: LeftOut,
    times_going_backwards: u64,
    raw_bytes: u64,
    seconds: f64,
    megabytes_per_second: f64,
    /// Seconds in each step, summed over threads.
    step_seconds: serde_json::Map<String, serde_json::Value>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LeftOut {
    valid_bit_clear: u64,
    outside_windows: u64,
    outside_sensor: u64,
    other_types: u64,
    unexplained: u64,
}

impl LeftOut {
    /// The rare reasons for leaving events out, as a continuation of a sentence.
    fn rare_reasons(&self) -> String {
        let parts = [
            (self.outside_sensor, "outside the sensor"),
            (self.unexplained, "that nothing explains"),
        ];
        let parts = parts.iter().filter(|(number, _)| *number > 0);
        parts
            .map(|(number, what)| format!(", {} {what}", grouped(*number)))
            .collect()
    }
}

impl<T> PerSet<T> {
    fn of(mut f: impl FnMut(Set) -> T) -> Self {
        Self {
            train: f(Set::Train),
            test: f(Set::Test),
        }
    }
}

impl Contents {
    /// The contents of `cache`, from its header and rows.
    pub fn of(cache: &CacheFile) -> Self {
        let header = &cache.header;
        let samples = |set| cache.set(set).samples.iter();
        Self {
            cache: cache.path().to_string_lossy().into_owned(),
            bytes: fs::metadata(cache.path()).map_or(0, |m| m.len()),
            format_version: dvs_shared::cache_format::FORMAT_VERSION,
            split_by: header.split.split_by().name(),
            frames: header.split.frames(),
            duration_us: header.split.duration_us(),
            height: header.sensor.height,
            width: header.sensor.width,
            polarities: dvs_shared::event::POLARITIES,
            keep_invalid: header.keep_invalid,
            events_outside: header.events_outside,
            address_layout: header.layout.map(AddressLayout::name),
            stream: header.stream,
            test_share: header.test_split.map(|split| split.share().to_string()),
            split_seed: header.test_split.and_then(|split| split.seed),
            skipped: header.skipped.clone(),
            count_type: PerSet::of(|set| cache.set(set).counts.name()),
            samples: PerSet::of(|set| samples(set).count()),
            samples_per_class: PerSet::of(|set| {
                let mut classes = vec![0; header.label_names.len()];
                samples(set).for_each(|s| classes[usize::from(s.label)] += 1);
                classes
            }),
            label_names: header.label_names.clone(),
            frames_in_all: PerSet::of(|set| samples(set).map(|s| s.frames).sum()),
            events: PerSet::of(|set| samples(set).map(|s| s.events).sum()),
            empty_samples: PerSet::of(|set| samples(set).filter(|s| s.events == 0).count()),
            created_by: header.created_by.clone(),
            source_sha256: header.source_sha256.clone(),
        }
    }

    /// Writes the contents as text or JSON.
    pub fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if json {
            return write_json(out, self);
        }
        line(
            out,
            "cache",
            &format!("{} ({})", self.cache, size(self.bytes)),
        )?;
        let split = match self.split_by {
            "duration" => format!("by duration, {} us a frame", self.duration_us),
            by => format!("{} frames a sample, split by {by}", self.frames),
        };
        let invalid = if self.keep_invalid {
            "counted"
        } else {
            "left out"
        };
        line(
            out,
            "frames",
            &format!(
                "{split}; {} x {} x {}, {}",
                self.polarities, self.height, self.width, self.count_type.train
            ),
        )?;
        line(
            out,
            "samples",
            &format!("{} train, {} test", self.samples.train, self.samples.test),
        )?;
        line(
            out,
            "events",
            &format!(
                "{} train, {} test; events with a clear valid bit {invalid}",
                grouped(self.events.train),
                grouped(self.events.test)
            ),
        )?;
        line(
            out,
            "empty samples",
            &format!(
                "{} train, {} test",
                self.empty_samples.train, self.empty_samples.test
            ),
        )?;
        if let Some(outside) = self.events_outside {
            let left_out = format!("{} left out", grouped(outside));
            line(out, "outside sensor", &left_out)?;
        }
        let said = [
            ("layout", self.address_layout.map(str::to_owned)),
            ("stream", self.stream.map(|stream| stream.to_string())),
            ("test-share", self.test_share.clone()),
            ("split-seed", self.split_seed.map(|seed| seed.to_string())),
        ];
        for (name, value) in said {
            if let Some(value) = value {
                line(out, name, &format!("{value}, as --{name} said"))?;
            }
        }
        if !self.skipped.is_empty() {
            let names = self.skipped.join(", ");
            line(out, "left out", &format!("damaged: {names}"))?;
        }
        line(
            out,
            "made by",
            &format!(
                "{}, format version {}",
                self.created_by, self.format_version
            ),
        )?;
        line(out, "source SHA-256", &self.source_sha256)?;
        let longest = self
            .label_names
            .iter()
            .map(|name| name.chars().count())
            .max();
        let width = longest.unwrap_or(0).max(26) + 2;
        writeln!(
            out,
            "\n{:>5}  {:<width$}{:>7}{:>7}",
            "label", "class", "train", "test"
        )?;
        for (label, name) in self.label_names.iter().enumerate() {
            let PerSet { train, test } = &self.samples_per_class;
            writeln!(
                out,
                "{label:>5}  {name:<width$}{:>7}{:>7}",
                train[label], test[label]
            )?;
        }
        Ok(())
    }
}

impl Summary {
    /// For a cache that already existed.
    pub fn for_existing_cache(archive: &Archive, cache: &CacheFile) -> Self {
        Self {
            status: "already there",
            input: archive.path.to_string_lossy().into_owned(),
            contents: Contents::of(cache),
            run: None,
        }
    }

    /// For a cache that was made in `seconds`.
    pub fn made(
        archive: &Archive,
        cache: &CacheFile,
        prepared: PreparedDataset,
        seconds: f64,
    ) -> Self {
        let PreparedDataset {
            tally,
            warnings,
            times,
            ..
        } = prepared;
        let step_seconds =
            Step::ALL.map(|(step, name)| (name.to_owned(), times.seconds(step).into()));
        Self {
            status: "made",
            input: archive.path.to_string_lossy().into_owned(),
            contents: Contents::of(cache),
            run: Some(Run {
                recognised: tally.recognised.into_iter().collect(),
                files: match tally.kinds.first() {
                    Some(InputKind::Recordings) | None => "recordings",
                    Some(_) => "samples' files",
                },
                recordings: tally.recordings,
                recordings_left_out: tally.unlisted,
                recordings_cut_short: tally.cut_short,
                events_read: tally.counts.kept + tally.counts.invalid + tally.counts.outside,
                events_left_out: LeftOut {
                    valid_bit_clear: tally.counts.invalid,
                    outside_windows: tally.outside_windows,
                    outside_sensor: tally.counts.outside,
                    other_types: tally.counts.other_types,
                    unexplained: tally.counts.unexplained,
                },
                times_going_backwards: tally.counts.backwards,
                raw_bytes: tally.raw_bytes,
                seconds,
                megabytes_per_second: tally.raw_bytes as f64 * 1e-6 / seconds,
                step_seconds: step_seconds.into_iter().collect(),
                warnings,
            }),
        }
    }

    /// Writes the summary as text or JSON.
    pub fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if json {
            return write_json(out, self);
        }
        line(out, "input", &self.input)?;
        let Some(run) = &self.run else {
            line(
                out,
                "status",
                "already there, made from this input with these options; nothing to do",
            )?;
            return self.contents.write(out, false);
        };
        for recognised in &run.recognised {
            line(out, "recognised", recognised)?;
        }
        line(
            out,
            run.files,
            &format!(
                "{} read, {} left out",
                run.recordings, run.recordings_left_out
            ),
        )?;
        line(
            out,
            "events read",
            &format!(
                "{}; left out: {} with a clear valid bit, {} outside every window, {} of other types{}",
                grouped(run.events_read),
                grouped(run.events_left_out.valid_bit_clear),
                grouped(run.events_left_out.outside_windows),
                grouped(run.events_left_out.other_types),
                run.events_left_out.rare_reasons()
            ),
        )?;
        self.contents.write(out, false)?;
        let steps = run
            .step_seconds
            .iter()
            .filter_map(|(name, s)| Some(format!("{name} {:.2}", s.as_f64()?)));
        writeln!(out)?;
        line(
            out,
            "time",
            &format!(
                "{:.2} s, {:.0} MB/s of events",
                run.seconds, run.megabytes_per_second
            ),
        )?;
        line(out, "thread seconds", &steps.collect::<Vec<_>>().join(", "))
    }
}

/// Writes the summary of `synth`.
pub fn write_synth(
    out: &mut impl Write,
    path: &Path,
    summary: &SynthSummary,
    json: bool,
) -> io::Result<()> {
    let SynthSummary {
        train_recordings,
        test_recordings,
        samples,
        events,
        raw_bytes,
        archive_bytes,
    } = *summary;
    if json {
        let object = serde_json::json!({
            "archive": path.to_string_lossy(),
            "recordings": PerSet { train: train_recordings, test: test_recordings },
            "samples": samples,
            "events": events,
            "raw_bytes": raw_bytes,
            "bytes": archive_bytes,
        });
        return write_json(out, &object);
    }
    line(
        out,
        "archive",
        &format!(
            "{} ({}, {} raw)",
            path.display(),
            size(archive_bytes),
            size(raw_bytes)
        ),
    )?;
    line(
        out,
        "recordings",
        &format!("{train_recordings} train, {test_recordings} test"),
    )?;
    line(out, "samples", &grouped(samples.into()))?;
    line(out, "events", &grouped(events))
}

/// Writes the result of `verify` for an undamaged cache.
pub fn write_verified(
    out: &mut impl Write,
    path: &Path,
    samples: usize,
    json: bool,
) -> io::Result<()> {
    if json {
        let object = serde_json::json!({
            "cache": path.to_string_lossy(),
            "status": "whole",
            "samples": samples,
        });
        return write_json(out, &object);
    }
    writeln!(
        out,
        "{}: every attribute, row and checksum holds ({samples} samples)",
        path.display()
    )
}

/// Writes one JSON object over several lines.
pub fn write_json(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

pub fn line(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{name:<16}{value}")
}

/// Formats 1234567 as 1,234,567.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a number of bytes for people.
pub fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
