//! Queries on the complete intake: which recordings and samples exist, which are listed, and which
//! contradict each other.

use dvs_shared::Set;
use dvs_shared::archive::{Member, SampleId};
use dvs_shared::labels::{gestures, is_gestures};
use dvs_shared::samples::{Ending, MAPPING_NAME, check_classes};

use super::Collector;
use crate::input::error::{InputProblem, RecordingProblem};
use crate::input::fingerprint;

impl Collector<'_> {
    /// The last recording that was read completely.
    pub fn latest(&self) -> Option<&String> {
        self.latest.as_ref()
    }

    /// Recordings that have no labels.
    pub fn without_labels(&self) -> impl Iterator<Item = &String> {
        self.waiting.keys()
    }

    /// Whether the archive has this recording, even if it is incomplete.
    pub fn has_recording(&self, recording: &str) -> bool {
        self.samples.contains_key(recording) || self.file_seen(recording).is_some()
    }

    /// The file of a recording, if the archive has one.
    pub(super) fn file_seen(&self, recording: &str) -> Option<Member> {
        let files = Ending::ALL.map(|ending| Member::Recording(recording.to_owned(), ending));
        files.into_iter().find(|file| self.seen.contains(file))
    }

    /// The file name of a recording or sample.
    pub fn file_of(&self, recording: &str) -> String {
        if let Some(sample) = self.samples.get(recording) {
            return sample.file_name();
        }
        let usual = || Member::Recording(recording.to_owned(), Ending::Aedat);
        self.file_seen(recording).unwrap_or_else(usual).file_name()
    }

    /// Whether the input consists of files of one sample each.
    pub fn holds_samples(&self) -> bool {
        let is_stray = |member: &Member| matches!(member, Member::Stray(_));
        !self.samples.is_empty() || self.seen.iter().any(is_stray)
    }

    /// Lists the samples that have their own files, unless the input has only recordings. Call this
    /// after everything has been read. The samples are sorted by name, then by label.
    pub fn list_samples(&mut self) {
        let has_recordings = |m: &Member| match m {
            Member::Recording(_, ending) => ending.is_only_of_recordings(),
            member => matches!(member, Member::Trials(_)),
        };
        if self.samples.is_empty() && self.seen.iter().any(has_recordings) {
            return;
        }
        let strays = std::mem::take(&mut self.strays);
        let strays = strays
            .into_iter()
            .map(|file| (None, InputProblem::Stray { file }));
        self.problems.extend(strays);
        if self.samples.is_empty() {
            return;
        }
        let others = self.seen.iter().filter(|m| has_recordings(m));
        if let Some(recordings) = others.min() {
            let (samples, recordings) = (self.samples.len(), recordings.file_name());
            let problem = InputProblem::Mixed {
                samples,
                recordings,
            };
            self.problems.push((None, problem));
            return;
        }
        let mut samples: Vec<&SampleId> = self.samples.values().collect();
        samples.sort_unstable();
        self.lists = Set::ALL.map(|set| {
            let of_set = samples.iter().filter(|s| s.set == set);
            Some(of_set.map(|s| s.key()).collect())
        });
        for set in Set::ALL {
            if self.lists[set as usize].as_ref().is_some_and(Vec::is_empty) {
                self.problems.push((None, InputProblem::NoSamples { set }));
            }
        }
    }

    pub fn classes(&self) -> Vec<String> {
        let named = self.mapping.as_ref().or(self.folders.as_ref());
        named.cloned().unwrap_or_else(gestures)
    }

    /// Labels that exceed the classes, each with the recording or sample that it belongs to. Call
    /// this after everything has been read.
    pub fn labels_out_of_range(&self) -> Vec<RecordingProblem> {
        let classes = self.classes().len();
        let mut problems: Vec<RecordingProblem> = Vec::new();
        for (recording, windows) in &self.labels {
            let Err(reason) = check_classes(windows.as_deref().unwrap_or_default(), classes) else {
                continue;
            };
            let file = Member::Labels(recording.clone()).file_name();
            problems.push((Some(recording.clone()), InputProblem::List { file, reason }));
        }
        let beyond = |s: &&SampleId| usize::from(s.label) >= classes;
        problems.extend(self.samples.values().filter(beyond).map(|sample| {
            let (file, label) = (sample.file_name(), sample.label);
            let problem = InputProblem::Label {
                file,
                label,
                classes,
            };
            (Some(sample.key()), problem)
        }));
        problems
    }

    /// Notes for the user.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The names of all files that `lists` require. If a file may have one of two names, both are
    /// included.
    pub fn files_of<'b>(&self, lists: impl Iterator<Item = &'b String>) -> Vec<String> {
        let mut recordings = Vec::new();
        let mut files = Vec::new();
        for name in lists {
            match self.samples.get(name) {
                Some(sample) => files.push(sample.file_name()),
                None => recordings.push(name),
            }
        }
        files.extend(fingerprint::files_of_recordings(recordings.into_iter()));
        if self.mapping.is_some() && !is_gestures(&self.classes()) {
            files.push(MAPPING_NAME.to_owned());
        }
        files
    }

    /// Takes all problems so far and those in `found`, each with the recording that it concerns.
    /// Problems of recordings that no list names are dropped, because these recordings are left
    /// out.
    pub fn take_problems(
        &mut self,
        found: Vec<(String, InputProblem)>,
    ) -> Vec<(Option<String>, InputProblem)> {
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

    /// Whether a list names this recording, or a list that has not been read might.
    pub fn is_listed(&self, recording: &str) -> bool {
        self.lists.iter().any(|list| match list {
            Some(list) => list.iter().any(|r| r == recording),
            None => true,
        })
    }

    /// Recordings in the archive that no list names.
    pub fn unlisted(&self) -> Vec<String> {
        let recordings = self.seen.iter().filter_map(|member| match member {
            Member::Recording(recording, _) if !self.is_listed(recording) => {
                Some(recording.clone())
            }
            _ => None,
        });
        let mut unlisted: Vec<String> = recordings.collect();
        unlisted.sort_unstable();
        unlisted
    }

    /// Whether the archive has this trial list.
    pub fn has_list(&self, set: Set) -> bool {
        self.seen.contains(&Member::Trials(set))
    }
}
