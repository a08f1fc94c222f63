//! Finds the samples of a dataset from its trial lists, label files and sample files, reading only
//! as many as necessary.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;

use super::{InputError, mapping_not_used};
use crate::archive::{Archive, Container, Content, Entry, Member, SampleId};
use crate::cache_format::Set;
use crate::classes::read_mapping;
use crate::limited_reader::read_bounded;
use crate::samples::{Ending, MAX_LIST_BYTES, Window, read_labels, read_trials};
use crate::select::{ListedSample, SampleChoice, SampleRequest};
use crate::words::some_of;

/// Maximum number of recordings in a message.
const SHOWN: usize = 5;
/// Limit on the rows of all label files and on the members of a dataset; the real one has 1,464
/// samples.
const MAX_ROWS: usize = 1 << 18;

/// The source of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Cached(Set, usize),
    /// A part of a recording, or the whole recording if there is no span.
    Window(String, Option<(i64, i64)>),
    /// The input file itself.
    File,
    /// A file of the dataset.
    Member(SampleId),
}

/// The metadata of a dataset that has been read so far.
#[derive(Default)]
pub(super) struct Lists {
    /// The trial lists, in the order of [`Set::ALL`].
    trials: [Option<Vec<String>>; 2],
    /// Windows by recording.
    labels: HashMap<String, Vec<Window>>,
    /// Rows of all label files.
    rows: usize,
    samples: Vec<SampleId>,
    /// Whether nothing divides the samples into sets.
    has_no_sets: bool,
    /// Whether there are recordings.
    has_recordings: bool,
    /// All members so far.
    seen: HashSet<Member>,
    mapping: Option<Vec<String>>,
    /// Whether class names were found, valid or not.
    mapping_seen: bool,
    /// Notes for the user.
    pub notes: Vec<String>,
}

impl Lists {
    /// Reads `archive` until the `wanted` samples are known.
    pub(super) fn read(
        archive: &Archive,
        wanted: &SampleRequest,
        default_names: &[String],
        read: &AtomicU64,
    ) -> Result<Self, InputError> {
        let mut lists = Self::default();
        if let Some(classes) = &archive.classes {
            lists.samples = classes.samples();
            lists.has_no_sets = !classes.is_divided();
            lists.notes = classes.notes();
            return Ok(lists);
        }
        let mut failed = None;
        let mut at_the_end = true;
        // Rows at the last search for the wanted samples. A search after every member would be too
        // slow in a hostile archive.
        let mut looked_through = 0;
        // The files of a folder are known from the start. In an archive, class names may come last.
        let is_stream = archive
            .parts
            .iter()
            .any(|p| p.container != Container::Folder);
        archive.visit_until(read, &mut |entry| {
            let named = wanted.recording();
            let found = matches!(&entry.member, Member::Labels(r) if Some(r.as_str()) == named);
            if let Err(error) = lists.take(entry)? {
                failed = Some(error);
                return Ok(ControlFlow::Break(()));
            }
            let more = lists.rows > looked_through + looked_through / 8;
            let names_may_come = is_stream && !lists.mapping_seen;
            let lists_may_come = lists.trials.iter().any(Option::is_none);
            if names_may_come || lists_may_come || !(more || found) {
                return Ok(ControlFlow::Continue(()));
            }
            looked_through = lists.rows;
            at_the_end = !lists.tell(wanted, default_names);
            Ok(match at_the_end {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let missing = Set::ALL
            .into_iter()
            .find(|&set| lists.trials[set as usize].is_none());
        // After reading to the end, label files that were not found are missing.
        let listed = lists.trials.iter().flatten().flatten();
        let missing_labels = listed.filter(|r| !lists.labels.contains_key(*r));
        let missing_labels: Vec<&str> = missing_labels.map(String::as_str).collect();
        if at_the_end && lists.notes.is_empty() && !missing_labels.is_empty() {
            let note = format!(
                "there are no label files of {}",
                some_of(&missing_labels, SHOWN)
            );
            lists.notes.push(note);
        }
        let has_recordings = lists.trials.iter().any(Option::is_some) || lists.has_recordings;
        match missing {
            _ if has_recordings && !lists.samples.is_empty() => Err(InputError::Mixed {
                path: archive.path.clone(),
            }),
            Some(set) if lists.samples.is_empty() => Err(InputError::ListMissing {
                path: archive.path.clone(),
                file: Member::Trials(set).file_name(),
            }),
            _ => Ok(lists),
        }
    }

    /// The dataset's class names, if it has any.
    pub(super) fn mapping(&self) -> Option<&[String]> {
        self.mapping.as_deref()
    }

    /// Whether all `wanted` samples are known.
    fn tell(&self, wanted: &SampleRequest, default_names: &[String]) -> bool {
        let names = self.mapping.as_deref().unwrap_or(default_names);
        let (listed, _) = self.listed(wanted.recording(), false);
        let chosen = wanted.choose(&listed, names);
        // Whether a sample is the only one is known only at the end.
        wanted.sample != SampleChoice::Only
            && chosen.is_ok_and(|chosen| !wanted.each_class || chosen.len() == names.len())
    }

    /// The known samples in the cache's order, and their sources. If the `wanted` samples are not
    /// among them, returns all samples for a message.
    pub(super) fn samples(
        &self,
        wanted: &SampleRequest,
        names: &[String],
    ) -> (Vec<ListedSample>, Vec<Place>) {
        let found = self.listed(wanted.recording(), false);
        match wanted.choose(&found.0, names) {
            Ok(_) => found,
            Err(_) => self.listed(None, true),
        }
    }

    /// The samples that the lists name, in the cache's order. A recording without known labels ends
    /// its set, because the index of later samples is unknown. This does not apply if `only`
    /// selects one recording, or if `all` known samples are requested.
    fn listed(&self, only: Option<&str>, all: bool) -> (Vec<ListedSample>, Vec<Place>) {
        if !self.samples.is_empty() {
            return self.files();
        }
        let (mut listed, mut places) = (Vec::new(), Vec::new());
        for (set, list) in Set::ALL.into_iter().zip(&self.trials) {
            let mut index = (only.is_none() && !all).then_some(0);
            for recording in list.iter().flatten() {
                if only.is_some_and(|only| only != recording) {
                    continue;
                }
                let Some(windows) = self.labels.get(recording) else {
                    match all {
                        true => continue,
                        false => break,
                    }
                };
                for window in windows {
                    listed.push(ListedSample {
                        name: window.sample_name(recording),
                        label: Some(window.label),
                        set: Some(set),
                        index,
                    });
                    let span = Some((window.start_us, window.end_us));
                    places.push(Place::Window(recording.clone(), span));
                    index = index.map(|index| index + 1);
                }
            }
        }
        (listed, places)
    }

    /// The sample files, in the cache's order.
    fn files(&self) -> (Vec<ListedSample>, Vec<Place>) {
        let mut samples = self.samples.clone();
        samples.sort_unstable();
        let mut next = [0; 2];
        let listed = samples.iter().map(|sample| {
            let index = &mut next[sample.set as usize];
            *index += 1;
            ListedSample {
                name: sample.sample_name(),
                label: Some(sample.label),
                set: (!self.has_no_sets).then_some(sample.set),
                index: Some(*index - 1),
            }
        });
        let listed = listed.collect();
        (listed, samples.into_iter().map(Place::Member).collect())
    }

    /// Processes the next member.
    fn take(&mut self, entry: Entry<'_>) -> io::Result<Result<(), InputError>> {
        let (member, file) = (entry.member.clone(), entry.member.file_name());
        let text = || -> io::Result<Result<Vec<u8>, InputError>> {
            let limit = MAX_LIST_BYTES;
            Ok(content(entry, limit)?.ok_or(InputError::TooLarge {
                file: file.clone(),
                limit,
                is_list: true,
            }))
        };
        // Recordings that differ only in their file ending have the same name.
        let twin = match &member {
            Member::Recording(name, _) => Ending::ALL
                .into_iter()
                .any(|ending| self.seen.contains(&Member::Recording(name.clone(), ending))),
            _ => false,
        };
        if !self.seen.insert(member.clone()) || twin {
            return Ok(Err(InputError::Doubled { file: file.clone() }));
        }
        match member {
            Member::Trials(set) => match text()?.map(|text| read_trials(&text)) {
                Ok(Ok(list)) => self.trials[set as usize] = Some(list),
                Ok(Err(reason)) => return Ok(Err(InputError::List { file, reason })),
                Err(error) => return Ok(Err(error)),
            },
            Member::Labels(recording) => match text()?.map(|text| read_labels(&text)) {
                Ok(Ok(windows)) => {
                    self.rows += windows.len();
                    self.labels.insert(recording, windows);
                }
                Ok(Err(reason)) => self
                    .notes
                    .push(format!("left out what {file} labels: {reason}")),
                Err(error) => return Ok(Err(error)),
            },
            Member::Mapping => {
                self.mapping_seen = true;
                match text()?.map(|text| read_mapping(&text)) {
                    Ok(Ok(names)) => self.mapping = Some(names),
                    Ok(Err(reason)) => self.notes.push(mapping_not_used(&reason)),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Member::Sample(sample) => self.samples.push(sample),
            Member::Stray(path) => self.notes.push(format!(
                "left out: {path} lies where samples do, but its folders name no label from 0 to 255"
            )),
            Member::Recording(_, ending) => self.has_recordings |= ending.is_only_of_recordings(),
        }
        Ok(match self.rows.max(self.seen.len()) > MAX_ROWS {
            true => Err(InputError::TooManyRows(MAX_ROWS)),
            false => Ok(()),
        })
    }
}

/// Reads the bytes of a member; `None` if there are more than `limit`.
pub(super) fn content(entry: Entry<'_>, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match entry.content {
        Content::Stream(stream) => read_bounded(stream, limit),
        Content::File(path) => read_bounded(File::open(path)?, limit),
    }
}
