//! What an archive says of its samples, and its members read one by one until that is enough.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use dvs_prep::archive::{Archive, Content, Entry, Member};
use dvs_prep::file_stamp::FileStamp;
use dvs_prep::pipeline::Progress;
use dvs_prep::samples::{MAX_LIST_BYTES, Window, read_labels, read_trials};

use crate::progress::Bar;

/// Rows of all label files of an archive; the real one has 1,464.
const MAX_ROWS: usize = 1 << 18;

/// What an archive says of its samples, as far as it was read.
#[derive(Default)]
pub struct Lists {
    /// The trial lists, in the order of [`Set::ALL`].
    pub trials: [Option<Vec<String>>; 2],
    /// Windows by recording.
    pub labels: HashMap<String, Vec<Window>>,
    /// Rows of all label files.
    pub rows: usize,
}

impl Lists {
    /// Takes the next member, if it is a list or a label file.
    ///
    /// # Errors
    /// Where it cannot be read, is a trial list that is none, or there are too many rows.
    pub fn take(&mut self, entry: Entry<'_>) -> Result<()> {
        match entry.member.clone() {
            Member::Trials(set) => {
                let name = entry.member.file_name();
                let trials = read_trials(&content(entry, MAX_LIST_BYTES)?).context(name)?;
                self.trials[set as usize] = Some(trials);
            }
            Member::Labels(recording) => {
                let name = entry.member.file_name();
                match read_labels(&content(entry, MAX_LIST_BYTES)?) {
                    Ok(windows) => {
                        self.rows += windows.len();
                        self.labels.insert(recording, windows);
                    }
                    Err(error) => {
                        eprintln!("dvs-prep: warning: left out what {name} labels: {error}");
                    }
                }
                ensure!(
                    self.rows <= MAX_ROWS && self.labels.len() <= MAX_ROWS,
                    "its label files have more than {MAX_ROWS} rows, the limit"
                );
            }
            Member::Mapping
            | Member::Recording(_)
            | Member::Aedat4(_)
            | Member::Sample(_)
            | Member::Stray(_) => {}
        }
        Ok(())
    }
}

/// Visits the members of `archive` until `each` has enough.
///
/// # Errors
/// Those of `each`, or where the archive cannot be read.
pub fn visit(
    archive: &Archive,
    what: &'static str,
    each: &mut dyn FnMut(Entry<'_>) -> Result<bool>,
) -> Result<()> {
    let progress = Arc::new(Progress::default());
    let total = FileStamp::of_input(archive)?
        .iter()
        .map(FileStamp::size)
        .sum();
    let _bar = Bar::follow(what, total, Arc::clone(&progress));
    let mut ended = None;
    let visited = archive.visit(&progress.bytes, &mut |entry| match each(entry) {
        Ok(false) => Ok(()),
        end => {
            ended = Some(end);
            Err(io::Error::other("no more is needed"))
        }
    });
    match ended {
        Some(end) => end
            .map(|_| ())
            .with_context(|| format!("cannot use {}", archive.path.display())),
        None => Ok(visited?),
    }
}

/// The bytes of a member, of which it may have so many.
///
/// # Errors
/// Where it cannot be read or has more.
pub fn content(entry: Entry<'_>, limit: u64) -> io::Result<Vec<u8>> {
    match entry.content {
        Content::Stream(stream) => bounded(stream, limit),
        Content::File(path) => bounded(File::open(path)?, limit),
    }
}

/// All bytes of `reader`, which may have so many.
///
/// # Errors
/// Where it cannot be read or has more.
pub fn bounded(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!(
            "it has more than {limit} bytes, the limit"
        )));
    }
    Ok(bytes)
}
