//! Accepts a recording or sample: checks that there is room for it, and stores its bytes until it
//! can be worked on.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use dvs_shared::archive::{Content, Member, SampleId, VisitorError};
use dvs_shared::formats::{FIRST_BYTES, Format};
use dvs_shared::samples::MAX_SAMPLE_NAME_BYTES;

use super::file_bytes::{check_end_of_stream, read_whole};
use super::{CollectError, Collector, FileBytes, FileSamples, Waiting, WorkItem};
use crate::input::error::InputProblem;
use crate::pipeline::memory_budget::Loan;

const COPY_BUFFER: usize = 1 << 20;

impl<'a> Collector<'a> {
    pub(super) fn memory(&self, format: Format, size: u64) -> u64 {
        format.memory(size, self.limits.inflated, &self.limits.read)
    }

    fn too_large(&mut self, member: &Member, format: Format, size: u64) -> bool {
        // The message gives the limit as a file size, because the user can check that.
        let taken = self.memory(format, size);
        if taken <= self.limits.recording {
            return false;
        }
        let problem = InputProblem::TooLarge {
            file: member.file_name(),
            size,
            limit: (u128::from(self.limits.recording) * u128::from(size) / u128::from(taken))
                as u64,
            remedy: ", which --memory raises",
        };
        self.problem(member, problem);
        true
    }

    pub(super) fn sample(
        &mut self,
        sample: &SampleId,
        size: u64,
        content: Content<'_>,
    ) -> io::Result<Option<WorkItem<'a>>> {
        self.samples.insert(sample.key(), sample.clone());
        let member = Member::Sample(sample.clone());
        if sample.name.len() > MAX_SAMPLE_NAME_BYTES {
            let problem = InputProblem::SampleName {
                file: sample.file_name(),
                bytes: sample.name.len(),
            };
            self.problem(&member, problem);
            return Ok(None);
        }
        // The first bytes of a recording give its format, and the format gives the required memory.
        let (format, start, content) = match sample.format() {
            Some(format) => (format, Vec::new(), content),
            None => {
                let (start, content) = first_bytes(content)?;
                (Format::of_recording(&start), start, content)
            }
        };
        if self.too_large(&member, format, size) {
            return Ok(None);
        }
        let loan = self.budget.borrow(self.memory(format, size));
        let source = match content {
            Content::File(path) => FileBytes::File(path, size),
            Content::Stream(stream) => {
                let stream = &mut start.as_slice().chain(stream);
                FileBytes::Memory(read_whole(stream, size, self.buffers)?)
            }
        };
        let task = FileSamples::Whole(sample.clone());
        Ok(Some(WorkItem {
            member,
            format,
            source,
            task,
            loan,
        }))
    }

    pub(super) fn recording(
        &mut self,
        recording: &str,
        member: Member,
        size: u64,
        content: Content<'_>,
    ) -> io::Result<Option<WorkItem<'a>>> {
        if let [Some(train), Some(test)] = &self.lists
            && !train.iter().chain(test).any(|r| r == recording)
        {
            return Ok(None);
        }
        // The first bytes give the format, and the format gives the required memory.
        let (start, mut content) = first_bytes(content)?;
        let format = Format::of_recording(&start);
        if self.too_large(&member, format, size) {
            return Ok(None);
        }
        let labelled = match self.labels.get(recording) {
            // The problem with its label file is already recorded.
            Some(None) => return Ok(None),
            labels => labels.is_some(),
        };
        // Memory is borrowed before anything is read into it.
        let loan = labelled.then(|| self.budget.borrow(self.memory(format, size)));
        let source = match &mut content {
            Content::File(path) => FileBytes::File(std::mem::take(path), size),
            Content::Stream(stream) => {
                let stream = &mut start.as_slice().chain(stream);
                if labelled {
                    FileBytes::Memory(read_whole(stream, size, self.buffers)?)
                } else if self.waiting_bytes + size <= self.limits.waiting {
                    self.waiting_bytes += size;
                    FileBytes::Memory(read_whole(stream, size, self.buffers)?)
                } else {
                    self.spill(stream, size)?
                }
            }
        };
        let waiting = Waiting {
            member,
            format,
            source,
        };
        match loan {
            Some(loan) => Ok(self.ready(recording, waiting, loan)),
            None => {
                self.waiting.insert(recording.to_owned(), waiting);
                Ok(None)
            }
        }
    }

    pub(super) fn ready(
        &self,
        recording: &str,
        waiting: Waiting,
        loan: Loan<'a>,
    ) -> Option<WorkItem<'a>> {
        let windows = self.labels.get(recording)?.clone()?;
        let Waiting {
            member,
            format,
            source,
        } = waiting;
        Some(WorkItem {
            member,
            format,
            source,
            task: FileSamples::Windows(windows),
            loan,
        })
    }

    fn spill(&mut self, stream: &mut dyn Read, size: u64) -> io::Result<FileBytes> {
        let in_spill_file = |source| {
            VisitorError::because(CollectError::Spill {
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
        check_end_of_stream(stream, size)?;
        self.spill = Some((Arc::clone(&file), at + size));
        Ok(FileBytes::Spilled(file, at, size))
    }
}

/// Reads the first bytes of a member. A stream continues after them.
fn first_bytes(content: Content<'_>) -> io::Result<(Vec<u8>, Content<'_>)> {
    let mut start = Vec::with_capacity(FIRST_BYTES);
    let content = match content {
        Content::File(path) => {
            File::open(&path)?
                .take(FIRST_BYTES as u64)
                .read_to_end(&mut start)?;
            Content::File(path)
        }
        Content::Stream(stream) => {
            stream.take(FIRST_BYTES as u64).read_to_end(&mut start)?;
            Content::Stream(stream)
        }
    };
    Ok((start, content))
}
