//! Reads the chosen samples: events of recordings and sample files, ready-made frames, or rows of a
//! cache.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;

use super::lists::{Place, content};
use super::{InputError, InputKind, SampleInput, read_file, recording_name};
use crate::aedat::EventCounts;
use crate::archive::Member;
use crate::cache_file::CacheFile;
use crate::cache_format::Set;
use crate::event::SensorSize;
use crate::formats::{
    EVENTS_NPY, EVENTS_NPZ, FRAMES_NPZ, Format, FormatError, ReadOptions, ReadyFrames, SampleError,
    decode, events_npy, events_npz, frames_npz, holds_frames,
};
use crate::frames::MAX_FRAMES_BY_DURATION;
use crate::recording::{Recording, WindowEvents};
use crate::split_mode::SplitMode;

/// A file, or the ready frames in it, may take at most the memory limit divided by this.
const FILE_SHARE: u64 = 2;
/// However small a compressed file is, its inflated data may take the memory limit divided by this.
const INFLATED_SHARE: u64 = 8;

/// A sample's content.
pub enum SampleContent<'a> {
    Cached(&'a CacheFile, Set, usize),
    Events(EventSample<'a>),
    /// Frames that were counted by another program.
    Frames {
        /// `[T, 2, H, W]`.
        counts: &'a [u32],
        /// T.
        frames: usize,
        sensor: SensorSize,
        /// The split mode, if the name of their folder shows it.
        split: Option<SplitMode>,
        /// The recognised format, and what decided it.
        recognised: &'a str,
    },
}

/// Events of a sample.
pub struct EventSample<'a> {
    /// The recording or sample file.
    recording: &'a Recording<'a>,
    /// Event counts of the whole file.
    counts: EventCounts,
    pub events: WindowEvents<'a>,
    /// Start (inclusive) and end (exclusive) in microseconds of the label's window, or of all
    /// events.
    pub span: (i64, i64),
    /// How the file was read, and what decided it.
    pub recognised: &'a str,
}

impl EventSample<'_> {
    /// Explains in words why there are no events; `None` if there are some.
    pub fn why_empty(&self) -> Option<String> {
        let (start, end) = self.span;
        (self.events.number == 0).then(|| match self.recording.span() {
            Some(_) => format!(
                "no events from {start} to {end} us; the recording {}",
                self.counts.why_empty(self.recording.span())
            ),
            None => format!("no events; the recording {}", self.counts.why_empty(None)),
        })
    }
}

impl SampleInput {
    /// Reads the samples at these indices of [`SampleInput::samples`] and passes each to `take`, in
    /// the order of their files. The bytes read are counted in `read`.
    ///
    /// # Errors
    /// Returns an error if a sample is missing or cannot be read, or if `take` fails.
    pub fn read<E: From<InputError>>(
        &mut self,
        places: &[usize],
        read: &AtomicU64,
        take: &mut dyn FnMut(usize, SampleContent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut notes = Vec::new();
        let result = self.read_and_collect_notes(places, read, &mut notes, take);
        self.notes.append(&mut notes);
        result
    }

    fn read_and_collect_notes<E: From<InputError>>(
        &self,
        places: &[usize],
        read: &AtomicU64,
        notes: &mut Vec<String>,
        take: &mut dyn FnMut(usize, SampleContent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let limit = self.options.memory / FILE_SHARE;
        match &self.kind {
            InputKind::Cache(cache) => places.iter().try_for_each(|&at| match self.places[at] {
                Place::Cached(set, index) => take(at, SampleContent::Cached(cache, set, index)),
                _ => Ok(()),
            }),
            InputKind::Recording => {
                let bytes = read_file(&self.path, limit)?;
                let name = recording_name(&self.path);
                let file = self.path.display().to_string();
                self.windows(&name, &file, &bytes, places, notes, take)
            }
            InputKind::Sample(format, _) => {
                let bytes = read_file(&self.path, limit)?;
                let path = self.path.canonicalize();
                let folder = path.as_ref().ok().and_then(|path| path.ancestors().nth(3));
                let split = folder.and_then(SplitMode::of_path);
                let file = self.path.display().to_string();
                places.iter().try_for_each(|&at| {
                    self.sample(*format, &file, &bytes, split, notes, &mut |content| {
                        take(at, content)
                    })
                })
            }
            InputKind::Dataset(archive) => {
                let mut wanted: Vec<usize> = places.to_vec();
                let mut failed = None;
                let split = SplitMode::of_path(&archive.path);
                archive
                    .visit_until(read, &mut |entry| {
                        let of_member = self.of_member(&entry.member, &wanted);
                        if of_member.is_empty() {
                            return Ok(ControlFlow::Continue(()));
                        }
                        let (member, file) = (entry.member.clone(), entry.member.file_name());
                        let result = match content(entry, limit)? {
                            None => Err(InputError::TooLarge {
                                file,
                                limit,
                                is_list: false,
                            }
                            .into()),
                            Some(bytes) => match &member {
                                Member::Sample(id) => of_member.iter().try_for_each(|&at| {
                                    let mut take = |content: SampleContent<'_>| take(at, content);
                                    let of_bytes = || Format::of_recording(&bytes);
                                    let format = id.format().unwrap_or_else(of_bytes);
                                    self.sample(format, &file, &bytes, split, notes, &mut take)
                                }),
                                _ => {
                                    let name = member.recording().unwrap_or_default();
                                    self.windows(&name, &file, &bytes, &of_member, notes, take)
                                }
                            },
                        };
                        wanted.retain(|at| !of_member.contains(at));
                        failed = result.err();
                        Ok(match failed.is_some() || wanted.is_empty() {
                            true => ControlFlow::Break(()),
                            false => ControlFlow::Continue(()),
                        })
                    })
                    .map_err(InputError::from)?;
                if let Some(error) = failed {
                    return Err(error);
                }
                match wanted.first() {
                    None => Ok(()),
                    Some(&at) => Err(InputError::RecordingMissing {
                        path: archive.path.clone(),
                        names: match &self.places[at] {
                            Place::Window(recording, _) => recording.clone(),
                            _ => self.listed[at].full_name(),
                        },
                    }
                    .into()),
                }
            }
        }
    }

    /// The indices in `wanted` of the samples that a member holds.
    fn of_member(&self, member: &Member, wanted: &[usize]) -> Vec<usize> {
        let holds = |place: &Place| match (place, member) {
            (Place::Window(recording, _), Member::Recording(name, _)) => recording == name,
            (Place::Member(sample), Member::Sample(found)) => sample == found,
            _ => false,
        };
        let wanted = wanted.iter().copied();
        wanted.filter(|&at| holds(&self.places[at])).collect()
    }

    /// Reads the samples at these indices, all from the recording `name` in `file`.
    fn windows<E: From<InputError>>(
        &self,
        name: &str,
        file: &str,
        bytes: &[u8],
        places: &[usize],
        notes: &mut Vec<String>,
        take: &mut dyn FnMut(usize, SampleContent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let format = Format::of_recording(bytes);
        self.decoded(format, name, file, bytes, notes, &mut |sample| {
            places.iter().try_for_each(|&at| {
                let span = match self.places[at] {
                    Place::Window(_, span) => span,
                    _ => None,
                };
                let (start, end) = span.unwrap_or(sample.span);
                let sample = EventSample {
                    events: sample.recording.window(start, end),
                    span: (start, end),
                    ..sample
                };
                take(at, SampleContent::Events(sample))
            })
        })
    }

    /// Decodes the recording `name` in `file` and passes all of it to `take` as one sample.
    fn decoded<E: From<InputError>>(
        &self,
        format: Format,
        name: &str,
        file: &str,
        bytes: &[u8],
        notes: &mut Vec<String>,
        take: &mut dyn FnMut(EventSample<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let wrong = |reason: FormatError| InputError::Format {
            file: file.to_owned(),
            reason,
        };
        let options = &self.options.read;
        let inflated = self.options.memory / INFLATED_SHARE;
        let decoded = decode(bytes, format, options, inflated).map_err(wrong)?;
        let recording = Recording::new(&decoded.packets, decoded.sensor, options.keep_invalid)
            .map_err(|e| wrong(e.into()))?;
        if let Some(cut) = recording.cut_short().or(decoded.cut_short) {
            notes.push(format!(
                "{name} is cut short: its last packet, at byte {}, has {} of its {} bytes",
                cut.offset, cut.left, cut.need
            ));
        }
        let mut counts = recording.counts();
        counts.add(&decoded.seen);
        notes.extend(left_out(file, &counts));
        let span = recording
            .span()
            .map_or((0, 0), |(first, last)| (first, last + 1));
        take(EventSample {
            recording: &recording,
            counts,
            events: recording.window(span.0, span.1),
            span,
            recognised: &decoded.recognised,
        })
    }

    /// Reads the single sample in `file`.
    fn sample<E: From<InputError>>(
        &self,
        format: Format,
        file: &str,
        bytes: &[u8],
        split: Option<SplitMode>,
        notes: &mut Vec<String>,
        take: &mut dyn FnMut(SampleContent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let wrong = |reason: FormatError| InputError::Format {
            file: file.to_owned(),
            reason,
        };
        let of_sample = |reason: SampleError| wrong(reason.into());
        let options = &self.options.read;
        options.check(format).map_err(wrong)?;
        if !matches!(format, Format::Npz | Format::Npy) {
            return self.decoded(format, file, file, bytes, notes, &mut |sample| {
                take(SampleContent::Events(sample))
            });
        }
        if format == Format::Npz && holds_frames(bytes).map_err(of_sample)? {
            let room = self.options.memory / FILE_SHARE;
            let ready = Frames::read(bytes, options, room).map_err(of_sample)?;
            return take(SampleContent::Frames {
                counts: &ready.counts,
                frames: ready.frames,
                sensor: ready.sensor,
                split,
                recognised: &format!("{FRAMES_NPZ}: {} pixels, as they have", ready.sensor),
            });
        }
        let limit = format.max_events(bytes.len() as u64, self.options.memory / INFLATED_SHARE);
        let read = match format {
            Format::Npy => events_npy(bytes, options, limit),
            _ => events_npz(bytes, options, limit),
        };
        let read = read.map_err(of_sample)?;
        let recording =
            Recording::new(&read.packets, read.sensor, true).map_err(|e| wrong(e.into()))?;
        let mut counts = recording.counts();
        counts.outside = read.outside;
        notes.extend(left_out(file, &counts));
        let span = recording
            .span()
            .map_or((0, 0), |(first, last)| (first, last + 1));
        take(SampleContent::Events(EventSample {
            recording: &recording,
            counts,
            events: recording.window(i64::MIN, i64::MAX),
            span,
            recognised: &format!(
                "{}: {} pixels, {}",
                match format {
                    Format::Npy => EVENTS_NPY,
                    _ => EVENTS_NPZ,
                },
                read.sensor,
                read.recognised
            ),
        }))
    }
}

/// Describes the omitted events of a file, if the user should know of them.
fn left_out(file: &str, counts: &EventCounts) -> Option<String> {
    Some(format!("{file}: {}", counts.left_out()?))
}

/// Ready-made frames in memory.
struct Frames {
    counts: Vec<u32>,
    frames: usize,
    sensor: SensorSize,
}

impl Frames {
    /// Reads the frames of a file, at most `room` bytes.
    fn read(bytes: &[u8], options: &ReadOptions, room: u64) -> Result<Self, SampleError> {
        let size = Cell::new((0, None));
        let expected = ReadyFrames {
            sensor: options.sensor,
            frames: None,
            limit: MAX_FRAMES_BY_DURATION as u64,
        };
        let mut counts: Vec<u32> = Vec::new();
        frames_npz::<SampleError>(
            bytes,
            expected,
            |frames, sensor| {
                let limit = room / (4 * sensor.frame_cells() as u64);
                if frames as u64 > limit {
                    let found = frames as u64;
                    return Err(SampleError::FrameNumber { found, limit });
                }
                size.set((frames, Some(sensor)));
                Ok(())
            },
            |frame| counts.extend_from_slice(frame),
        )?;
        let (frames, sensor) = size.get();
        Ok(Self {
            counts,
            frames,
            sensor: sensor.unwrap_or(crate::event::DVS128),
        })
    }
}
