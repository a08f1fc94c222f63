//! The members of the archive as they come, in any order, until a recording and its labels are together.

mod source;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dvs_shared::Set;
use thiserror::Error;

pub use self::source::Source;
use self::source::{at_its_end, read_whole};
use crate::archive::{Content, Entry, GivenUp, Member};
use crate::budget::{Budget, Buffers, Loan};
use crate::error::Problem;
use crate::fingerprint::Fingerprint;
use crate::samples::{ListError, MAX_LIST_BYTES, Window, read_labels, read_trials};

const COPY_BUFFER: usize = 1 << 20;
/// The most members of the dataset an archive is believed to hold; the real one has 246. What is noted of each takes
/// some hundred bytes.
const MAX_MEMBERS: usize = 1 << 16;

/// Why the rest of the archive cannot be taken in, damaged or not.
#[derive(Debug, Error)]
pub enum IntakeError {
    /// The file for recordings that memory has no room for cannot be written.
    #[error("the spill file in {folder}: {source}")]
    Spill {
        /// Where it lies.
        folder: PathBuf,
        /// The file system's reason.
        source: io::Error,
    },
    /// More members than any dataset has.
    #[error("it holds more than {MAX_MEMBERS} recordings, label files and trial lists")]
    TooManyMembers,
}

/// A recording that can be worked on.
pub struct Ready<'a> {
    /// Its name.
    pub recording: String,
    /// Its bytes.
    pub source: Source,
    /// Its samples.
    pub windows: Vec<Window>,
    /// The memory it is counted for.
    pub loan: Loan<'a>,
}

/// Bounds on what is held.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of recordings that wait in memory for their labels; beyond it they wait in a file.
    pub waiting: u64,
    /// Bytes of one recording.
    pub recording: u64,
}

/// The state of a run over the archive.
pub struct Intake<'a> {
    budget: &'a Budget,
    buffers: &'a Buffers,
    fingerprint: &'a Fingerprint,
    limits: Limits,
    spill_folder: &'a Path,
    spill: Option<(Arc<File>, u64)>,
    seen: HashSet<Member>,
    /// The trial lists, in the order of [`Set::ALL`].
    pub lists: [Option<Vec<String>>; 2],
    /// Windows by recording; `None` where the label file is no label file, which is then among the problems.
    labels: HashMap<String, Option<Vec<Window>>>,
    waiting: HashMap<String, Source>,
    waiting_bytes: u64,
    /// The recording read last.
    latest: Option<String>,
    /// What is wrong so far, each with the recording it is of.
    problems: Vec<(Option<String>, Problem)>,
}

impl<'a> Intake<'a> {
    /// Nothing seen yet. A spill file, should one be needed, lies unnamed in `spill_folder`.
    pub fn new(
        budget: &'a Budget,
        buffers: &'a Buffers,
        fingerprint: &'a Fingerprint,
        limits: Limits,
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
            latest: None,
            problems: Vec::new(),
        }
    }

    /// Takes the next member and returns a recording that can be worked on now.
    ///
    /// # Errors
    /// Where the member cannot be read or the spill file cannot be written. What the member says wrongly goes to
    /// `problems`.
    pub fn take(&mut self, entry: Entry<'_>) -> io::Result<Option<Ready<'a>>> {
        let Entry {
            member,
            size,
            content,
        } = entry;
        if self.seen.len() >= MAX_MEMBERS {
            return Err(GivenUp::because(IntakeError::TooManyMembers));
        }
        if !self.seen.insert(member.clone()) {
            let problem = Problem::Doubled {
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
                if let Source::Memory(bytes) = &source {
                    self.waiting_bytes -= bytes.len() as u64;
                }
                let loan = self.budget.borrow(source.bytes());
                Ok(self.ready(recording, source, loan))
            }
            Member::Recording(recording) => {
                let ready = self.recording(recording, size, content)?;
                self.latest = Some(recording.clone());
                Ok(ready)
            }
        }
    }

    /// Notes that a member cannot be read.
    pub fn unreadable(&mut self, member: &Member, source: io::Error) {
        self.seen.insert(member.clone());
        if let Member::Labels(recording) = member {
            self.labels.insert(recording.clone(), None);
            self.waiting.remove(recording);
        }
        let problem = Problem::Unreadable {
            file: member.file_name(),
            source,
        };
        self.problem(member, problem);
    }

    /// The recording that was read whole last.
    pub fn latest(&self) -> Option<&String> {
        self.latest.as_ref()
    }

    /// Recordings that are there without labels.
    pub fn without_labels(&self) -> impl Iterator<Item = &String> {
        self.waiting.keys()
    }

    /// Whether the archive held this recording, whole or not.
    pub fn has_recording(&self, recording: &str) -> bool {
        self.seen.contains(&Member::Recording(recording.to_owned()))
    }

    /// Whether the archive held this trial list.
    pub fn has_list(&self, set: Set) -> bool {
        self.seen.contains(&Member::Trials(set))
    }

    fn recording(
        &mut self,
        recording: &str,
        size: u64,
        content: Content<'_>,
    ) -> io::Result<Option<Ready<'a>>> {
        if let [Some(train), Some(test)] = &self.lists
            && !train.iter().chain(test).any(|r| r == recording)
        {
            return Ok(None);
        }
        if size > self.limits.recording {
            let problem = Problem::TooLarge {
                file: format!("{recording}.aedat"),
                size,
                limit: self.limits.recording,
                remedy: ", which --memory raises",
            };
            self.problem(&Member::Recording(recording.to_owned()), problem);
            return Ok(None);
        }
        let labelled = match self.labels.get(recording) {
            // Its label file is among the problems.
            Some(None) => return Ok(None),
            labels => labels.is_some(),
        };
        // Memory is asked for before anything is read into it.
        let loan = labelled.then(|| self.budget.borrow(size));
        let source = match content {
            Content::File(path) => Source::File(path, size),
            Content::Stream(stream) if labelled => {
                Source::Memory(read_whole(stream, size, self.buffers)?)
            }
            Content::Stream(stream) if self.waiting_bytes + size <= self.limits.waiting => {
                self.waiting_bytes += size;
                Source::Memory(read_whole(stream, size, self.buffers)?)
            }
            Content::Stream(stream) => self.spill(stream, size)?,
        };
        match loan {
            Some(loan) => Ok(self.ready(recording, source, loan)),
            None => {
                self.waiting.insert(recording.to_owned(), source);
                Ok(None)
            }
        }
    }

    fn ready(&self, recording: &str, source: Source, loan: Loan<'a>) -> Option<Ready<'a>> {
        let windows = self.labels.get(recording)?.clone()?;
        let recording = recording.to_owned();
        Some(Ready {
            recording,
            source,
            windows,
            loan,
        })
    }

    fn spill(&mut self, stream: &mut dyn Read, size: u64) -> io::Result<Source> {
        let in_spill_file = |source| {
            GivenUp::because(IntakeError::Spill {
                folder: self.spill_folder.to_owned(),
                source,
            })
        };
        let (file, at) = match self.spill.take() {
            Some(spill) => spill,
            None => (
                Arc::new(tempfile::tempfile_in(self.spill_folder).map_err(in_spill_file)?),
                0,
            ),
        };
        let mut buffer = vec![0; COPY_BUFFER];
        let mut done = 0;
        while done < size {
            let part = buffer.len().min((size - done) as usize);
            stream.read_exact(&mut buffer[..part])?;
            file.write_all_at(&buffer[..part], at + done)
                .map_err(in_spill_file)?;
            done += part as u64;
        }
        at_its_end(stream, size)?;
        self.spill = Some((Arc::clone(&file), at + size));
        Ok(Source::Spilled(file, at, size))
    }

    fn list_problem(&mut self, member: &Member, source: ListError) {
        let problem = Problem::List {
            file: member.file_name(),
            source,
        };
        self.problem(member, problem);
    }

    fn problem(&mut self, member: &Member, problem: Problem) {
        let recording = match member {
            Member::Trials(_) => None,
            Member::Labels(recording) | Member::Recording(recording) => Some(recording.clone()),
        };
        self.problems.push((recording, problem));
    }

    /// Everything that is wrong so far, each with the recording it is of, `found` by others included, but for
    /// recordings that no list names: what is left out need not be right, wherever in the archive the lists stand.
    pub fn take_problems(
        &mut self,
        found: Vec<(String, Problem)>,
    ) -> Vec<(Option<String>, Problem)> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.extend(
            found
                .into_iter()
                .map(|(recording, problem)| (Some(recording), problem)),
        );
        let wanted = |recording: &Option<String>| match recording {
            Some(recording) => self.is_listed(recording),
            None => true,
        };
        problems.retain(|(recording, _)| wanted(recording));
        problems
    }

    /// Whether a list names this recording, or might.
    pub fn is_listed(&self, recording: &str) -> bool {
        self.lists.iter().any(|list| match list {
            Some(list) => list.iter().any(|r| r == recording),
            None => true,
        })
    }

    /// Recordings of the archive that no list names.
    pub fn unlisted(&self) -> Vec<String> {
        let recordings = self.seen.iter().filter_map(|member| match member {
            Member::Recording(recording) if !self.is_listed(recording) => Some(recording.clone()),
            _ => None,
        });
        let mut unlisted: Vec<String> = recordings.collect();
        unlisted.sort_unstable();
        unlisted
    }

    /// The text of a list or label file, which also goes into the fingerprint.
    fn text(
        &mut self,
        member: &Member,
        size: u64,
        content: Content<'_>,
    ) -> io::Result<Option<Vec<u8>>> {
        if size > MAX_LIST_BYTES {
            let problem = Problem::TooLarge {
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
