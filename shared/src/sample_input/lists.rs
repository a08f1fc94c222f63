//! Which samples a dataset has: its trial lists, its label files and its files of samples, as far as they must be read.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::AtomicU64;

use super::{InputError, bounded, mapping_not_used};
use crate::Set;
use crate::archive::{Archive, Container, Content, Entry, Member, SampleId};
use crate::classes::read_mapping;
use crate::samples::{Ending, MAX_LIST_BYTES, Window, read_labels, read_trials};
use crate::select::{Listed, Wanted, Which};
use crate::words::some_of;

/// Recordings that a message names at most.
const SHOWN: usize = 5;
/// Rows of all label files of a dataset, and files of samples; the real one has 1,464.
const MAX_ROWS: usize = 1 << 18;

/// Where a sample comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A row of a cache.
    Cached(Set, usize),
    /// A part of a recording; all of it without a span.
    Window(String, Option<(i64, i64)>),
    /// The input itself.
    File,
    /// A file of the dataset.
    Member(SampleId),
}

/// What a dataset says of its samples, as far as it was read.
#[derive(Default)]
pub(super) struct Lists {
    /// The trial lists, in the order of [`Set::ALL`].
    trials: [Option<Vec<String>>; 2],
    /// Windows by recording.
    labels: HashMap<String, Vec<Window>>,
    /// Rows of all label files.
    rows: usize,
    /// Files of one sample each.
    samples: Vec<SampleId>,
    /// Whether there are recordings.
    has_recordings: bool,
    /// Every member so far.
    seen: HashSet<Member>,
    mapping: Option<Vec<String>>,
    /// Whether names of classes were found, though perhaps none that can be used.
    mapping_seen: bool,
    /// What a user should know.
    pub notes: Vec<String>,
}

impl Lists {
    /// Reads as much of `archive` as tells which samples are `wanted`.
    pub(super) fn read(
        archive: &Archive,
        wanted: &Wanted,
        default_names: &[String],
        read: &AtomicU64,
    ) -> Result<Self, InputError> {
        let mut lists = Self::default();
        let mut failed = None;
        let mut at_the_end = true;
        // What is found is looked through now and then: each time would be too often in an archive made for it.
        let mut looked_through = 0;
        // A folder's files are known from the start. Elsewhere names of classes may come last.
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
        // Read to the end, so that what is not there is missing.
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

    /// Names of the classes, if the dataset says them.
    pub(super) fn mapping(&self) -> Option<&[String]> {
        self.mapping.as_deref()
    }

    /// Whether all that is `wanted` is known.
    fn tell(&self, wanted: &Wanted, default_names: &[String]) -> bool {
        let names = self.mapping.as_deref().unwrap_or(default_names);
        let (listed, _) = self.listed(wanted.recording(), false);
        let chosen = wanted.choose(&listed, names);
        // The only one of many is known only at the end.
        wanted.sample != Which::Only
            && chosen.is_ok_and(|chosen| !wanted.each_class || chosen.len() == names.len())
    }

    /// The samples that are known, in the cache's order, and where they come from. If what is `wanted` is not among them,
    /// all that there are, for a message.
    pub(super) fn samples(&self, wanted: &Wanted, names: &[String]) -> (Vec<Listed>, Vec<Place>) {
        let found = self.listed(wanted.recording(), false);
        match wanted.choose(&found.0, names) {
            Ok(_) => found,
            Err(_) => self.listed(None, true),
        }
    }

    /// The samples that the lists name, in the cache's order. A recording without labels ends its set, because what comes
    /// after it has no place yet, unless one recording alone is asked for, or `all` that are known.
    fn listed(&self, only: Option<&str>, all: bool) -> (Vec<Listed>, Vec<Place>) {
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
                    listed.push(Listed {
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

    /// The files of samples, in the cache's order.
    fn files(&self) -> (Vec<Listed>, Vec<Place>) {
        let mut samples = self.samples.clone();
        samples.sort_unstable();
        let mut next = [0; 2];
        let listed = samples.iter().map(|sample| {
            let index = &mut next[sample.set as usize];
            *index += 1;
            Listed {
                name: sample.sample_name(),
                label: Some(sample.label),
                set: Some(sample.set),
                index: Some(*index - 1),
            }
        });
        let listed = listed.collect();
        (listed, samples.into_iter().map(Place::Member).collect())
    }

    /// Takes the next member, if it says something of samples.
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
        // A recording has one name, whatever its file's ending.
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
            Member::Recording(..) => self.has_recordings = true,
        }
        Ok(match self.rows.max(self.seen.len()) > MAX_ROWS {
            true => Err(InputError::TooManyRows(MAX_ROWS)),
            false => Ok(()),
        })
    }
}

/// The bytes of a member; `None` if it has more than `limit`.
pub(super) fn content(entry: Entry<'_>, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match entry.content {
        Content::Stream(stream) => bounded(stream, limit),
        Content::File(path) => bounded(File::open(path)?, limit),
    }
}
