//! Collects the members of the archive, in any order, until a recording and its labels are both
//! there.

mod accept;
mod file_bytes;
mod listing;
mod work_item;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use dvs_shared::archive::{ClassFolders, Content, Entry, Member, SampleId, VisitorError};
use dvs_shared::classes::read_mapping;
use dvs_shared::formats::Format;
use dvs_shared::samples::{
    ListError, MAPPING_NAME, MAX_LIST_BYTES, Window, read_labels, read_trials,
};

pub use self::file_bytes::FileBytes;
use self::file_bytes::read_whole;
use self::work_item::MAX_MEMBERS;
pub use self::work_item::{CollectError, CollectLimits, FileSamples, WorkItem};
use crate::input::error::InputProblem;
use crate::input::fingerprint::Fingerprint;
use crate::pipeline::memory_budget::{BufferPool, MemoryBudget};

/// A recording that still lacks its labels.
struct Waiting {
    member: Member,
    format: Format,
    source: FileBytes,
}

/// The state of reading the archive.
pub struct Collector<'a> {
    budget: &'a MemoryBudget,
    buffers: &'a BufferPool,
    fingerprint: &'a Fingerprint,
    limits: CollectLimits,
    spill_folder: &'a Path,
    spill: Option<(Arc<File>, u64)>,
    seen: HashSet<Member>,
    /// The trial lists, in the order of [`Set::ALL`](dvs_shared::Set::ALL).
    pub lists: [Option<Vec<String>>; 2],
    /// Windows by recording; `None` if the label file is invalid, which is then among the problems.
    labels: HashMap<String, Option<Vec<Window>>>,
    waiting: HashMap<String, Waiting>,
    waiting_bytes: u64,
    /// Samples that have their own files, by key.
    samples: BTreeMap<String, SampleId>,
    /// Files among the samples whose folders are not labels.
    strays: Vec<String>,
    /// Names of the classes, if the input gives them.
    mapping: Option<Vec<String>>,
    /// Names of the classes' folders.
    folders: Option<Vec<String>>,
    /// The last recording that was read.
    latest: Option<String>,
    /// Notes for the user.
    notes: Vec<String>,
    /// Problems so far, each with the recording that it concerns.
    problems: Vec<(Option<String>, InputProblem)>,
}

impl<'a> Collector<'a> {
    /// Starts with nothing read. If a spill file is needed, it is an unnamed file in
    /// `spill_folder`.
    pub fn new(
        budget: &'a MemoryBudget,
        buffers: &'a BufferPool,
        fingerprint: &'a Fingerprint,
        limits: CollectLimits,
        spill_folder: &'a Path,
    ) -> Self {
        Self {
            budget,
            buffers,
            fingerprint,
            limits,
            spill_folder,
            spill: None,
            seen: HashSet::new(),
            lists: [None, None],
            labels: HashMap::new(),
            waiting: HashMap::new(),
            waiting_bytes: 0,
            samples: BTreeMap::new(),
            strays: Vec::new(),
            mapping: None,
            folders: None,
            latest: None,
            notes: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Makes the folders of `classes` the names of the classes, unless the user gives others.
    pub fn name_classes(&mut self, classes: &ClassFolders) {
        self.folders = Some(classes.names().to_vec());
        self.notes.extend(classes.notes());
    }

    /// Takes the next member and returns a recording if it is ready.
    ///
    /// # Errors
    /// Returns an error if the member cannot be read or the spill file cannot be written. Errors in
    /// the content of the member go to `problems`.
    pub fn take(&mut self, entry: Entry<'_>) -> io::Result<Option<WorkItem<'a>>> {
        let Entry {
            member,
            size,
            content,
        } = entry;
        if self.seen.len() >= MAX_MEMBERS {
            return Err(VisitorError::because(CollectError::TooManyMembers));
        }
        // File endings do not distinguish recordings.
        let twin = match &member {
            Member::Recording(name, _) => self.file_seen(name).is_some(),
            _ => false,
        };
        if !self.seen.insert(member.clone()) || twin {
            let problem = InputProblem::Doubled {
                file: member.file_name(),
            };
            self.problem(&member, problem);
            return Ok(None);
        }
        match &member {
            Member::Trials(set) => {
                if let Some(text) = self.text(&member, size, content)? {
                    match read_trials(&text) {
                        Ok(list) => self.lists[*set as usize] = Some(list),
                        Err(source) => self.list_problem(&member, source),
                    }
                }
                Ok(None)
            }
            Member::Labels(recording) => {
                let text = self.text(&member, size, content)?;
                let windows = text.and_then(|text| match read_labels(&text) {
                    Ok(windows) => Some(windows),
                    Err(source) => {
                        self.list_problem(&member, source);
                        None
                    }
                });
                self.labels.insert(recording.clone(), windows);
                let Some(source) = self.waiting.remove(recording) else {
                    return Ok(None);
                };
                if let FileBytes::Memory(bytes) = &source.source {
                    self.waiting_bytes -= bytes.len() as u64;
                }
                let loan = self
                    .budget
                    .borrow(self.memory(source.format, source.source.bytes()));
                Ok(self.ready(recording, source, loan))
            }
            Member::Mapping => {
                if let Some(text) = self.text(&member, size, content)? {
                    match read_mapping(&text) {
                        Ok(names) => self.mapping = Some(names),
                        Err(error) => self.notes.push(format!(
                            "{MAPPING_NAME} is not used, and the classes are called as the dataset's: {error}"
                        )),
                    }
                }
                Ok(None)
            }
            Member::Recording(recording, _) => {
                let recording = recording.clone();
                let ready = self.recording(&recording, member, size, content)?;
                self.latest = Some(recording);
                Ok(ready)
            }
            Member::Sample(sample) => {
                let sample = sample.clone();
                let ready = self.sample(&sample, size, content)?;
                self.latest = Some(sample.key());
                Ok(ready)
            }
            Member::Stray(path) => {
                self.strays.push(path.clone());
                Ok(None)
            }
        }
    }

    /// Records that a member cannot be read.
    pub fn unreadable(&mut self, member: &Member, reason: io::Error) {
        self.seen.insert(member.clone());
        if let Member::Sample(sample) = member {
            self.samples.insert(sample.key(), sample.clone());
        }
        if let Member::Labels(recording) = member {
            self.labels.insert(recording.clone(), None);
            self.waiting.remove(recording);
        }
        let problem = InputProblem::Unreadable {
            file: member.file_name(),
            reason,
        };
        self.problem(member, problem);
    }

    fn list_problem(&mut self, member: &Member, reason: ListError) {
        let problem = InputProblem::List {
            file: member.file_name(),
            reason,
        };
        self.problem(member, problem);
    }

    fn problem(&mut self, member: &Member, problem: InputProblem) {
        self.problems.push((member.recording(), problem));
    }

    /// The text of a list or label file. It is added to the fingerprint.
    fn text(
        &mut self,
        member: &Member,
        size: u64,
        content: Content<'_>,
    ) -> io::Result<Option<Vec<u8>>> {
        if size > MAX_LIST_BYTES {
            let problem = InputProblem::TooLarge {
                file: member.file_name(),
                size,
                limit: MAX_LIST_BYTES,
                remedy: "",
            };
            self.problem(member, problem);
            return Ok(None);
        }
        let text = match content {
            Content::Stream(stream) => read_whole(stream, size, self.buffers)?,
            Content::File(path) => read_whole(&mut File::open(path)?, size, self.buffers)?,
        };
        self.fingerprint.add(member, &text);
        Ok(Some(text))
    }
}
