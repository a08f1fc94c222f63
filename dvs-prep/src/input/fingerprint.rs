//! Identifies an input by the SHA-256 of its files, regardless of their container and order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use dvs_shared::Set;
use dvs_shared::archive::{Archive, Content, Member};
use dvs_shared::classes::read_mapping;
use dvs_shared::labels::is_gestures;
use dvs_shared::samples::{Ending, MAPPING_NAME, MAX_LIST_BYTES, read_trials};
use sha2::{Digest, Sha256};

use crate::input::error::{InputProblem, InputProblems};

/// SHA-256 of every file read so far, by file name.
#[derive(Debug, Default)]
pub struct Fingerprint(Mutex<BTreeMap<String, String>>);

impl Fingerprint {
    /// Records the content of a file.
    pub fn add(&self, member: &Member, content: &[u8]) {
        self.note(member, Sha256::digest(content).as_slice());
    }

    fn note(&self, member: &Member, digest: &[u8]) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let noted = files.entry(member.file_name()).or_default();
        // A duplicated file is hashed twice, so the input differs from one that has only one of the
        // copies.
        noted.push_str(&hex(digest));
    }

    fn has(&self, file: &str) -> bool {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.contains_key(file)
    }

    /// The fingerprint of the dataset that consists of the files `names`: the SHA-256 of the lines
    /// that `sha256sum` prints for those that were read, sorted by name.
    pub fn of_dataset(&self, mut names: Vec<String>) -> String {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.sort_unstable();
        let mut whole = Sha256::new();
        for name in names {
            if let Some(digest) = files.get(&name) {
                whole.update(format!("{digest}  {name}\n"));
            }
        }
        hex(whole.finalize().as_slice())
    }
}

/// The file names of the trial lists and of the listed `recordings`, with each name that the file
/// of a recording may have.
pub fn files_of_recordings<'a>(recordings: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names = Set::ALL.map(|set| Member::Trials(set).file_name()).to_vec();
    for recording in recordings {
        names.push(Member::Labels(recording.clone()).file_name());
        for ending in Ending::ALL {
            names.push(Member::Recording(recording.clone(), ending).file_name());
        }
    }
    names
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Reads the whole input to compute its fingerprint. The bytes read from the container are counted
/// in `read`.
///
/// # Errors
/// Returns an error if the input cannot be read or a trial list is not valid.
pub fn of_archive(archive: &Archive, read: &AtomicU64) -> Result<String, InputProblems> {
    let files = Fingerprint::default();
    let mut lists = [None, None];
    let mut samples = Vec::new();
    let mut mapped = false;
    let mut problems = Vec::new();
    archive
        .visit(read, &mut |entry| {
            let mut hash = Sha256::new();
            let mut text = Vec::new();
            let content: &mut dyn Read = match entry.content {
                Content::Stream(stream) => stream,
                Content::File(path) => {
                    read.fetch_add(entry.size, Ordering::Relaxed);
                    &mut File::open(path)?
                }
            };
            if let Member::Trials(_) | Member::Mapping = entry.member {
                content.take(MAX_LIST_BYTES).read_to_end(&mut text)?;
                hash.update(&text);
            } else {
                io::copy(content, &mut HashWriter(&mut hash))?;
            }
            match &entry.member {
                Member::Trials(set) => match read_trials(&text) {
                    Ok(list) => lists[*set as usize] = Some(list),
                    Err(reason) => problems.push(InputProblem::List {
                        file: entry.member.file_name(),
                        reason,
                    }),
                },
                Member::Mapping => mapped = read_mapping(&text).is_ok_and(|n| !is_gestures(&n)),
                Member::Sample(sample) => samples.push(sample.file_name()),
                _ => {}
            }
            files.note(&entry.member, hash.finalize().as_slice());
            Ok(())
        })
        .map_err(|e| InputProblems::from(InputProblem::from(e)))?;
    let mut names = if samples.is_empty() {
        // Without trial lists, every input would have the fingerprint of an empty dataset.
        let absent = Set::ALL.map(|set| Member::Trials(set).file_name());
        let absent = absent.into_iter().filter(|file| !files.has(file));
        problems.extend(absent.map(|file| InputProblem::ListMissing { file }));
        files_of_recordings(lists.iter().flatten().flatten())
    } else {
        samples
    };
    if mapped {
        names.push(MAPPING_NAME.to_owned());
    }
    if problems.is_empty() {
        Ok(files.of_dataset(names))
    } else {
        Err(InputProblems(problems))
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
