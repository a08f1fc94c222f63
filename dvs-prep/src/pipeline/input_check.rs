//! Finds what is missing or damaged in the input, and decides whether the rest may become a cache.

use std::collections::{HashMap, HashSet};

use dvs_shared::Set;
use dvs_shared::archive::{Archive, ArchiveError, Container, Member};
use dvs_shared::cache_format::MAX_SKIPPED;
use dvs_shared::words::some_of;

use crate::input::error::{InputProblem, InputProblems, RecordingProblem};
use crate::pipeline::collect::Collector;

/// Maximum number of recordings to name in a message.
pub const SHOWN: usize = 10;

/// Whether damage may have begun before the place where it was noticed. A flipped bit in a deflate
/// stream changes the output long before it violates the format. If the stream is only truncated,
/// everything before its end is intact.
pub fn earlier_data_may_be_damaged(archive: &Archive, error: &ArchiveError) -> bool {
    archive
        .parts
        .iter()
        .any(|part| part.container != Container::Tar)
        && !error.is_truncation()
}

/// The listed recordings that `problems` report as damaged, in the order of the lists.
///
/// # Errors
/// Returns all problems if some do not concern single recordings, if damaged recordings must not be
/// left out, if too many are damaged, or if none remains.
pub fn recordings_to_skip(
    intake: &Collector<'_>,
    problems: &mut Vec<RecordingProblem>,
    skip_damaged: bool,
) -> Result<Vec<String>, InputProblems> {
    let container = |p: &InputProblem| matches!(p, InputProblem::Archive(_));
    let of_recordings = problems
        .iter()
        .all(|(recording, p)| p.is_damage() && (recording.is_some() || container(p)));
    let damaged: HashSet<&String> = problems.iter().filter_map(|(r, _)| r.as_ref()).collect();
    let listed: Vec<&String> = intake.lists.iter().flatten().flatten().collect();
    let skipped: Vec<String> = listed
        .iter()
        .filter(|r| damaged.contains(*r))
        .map(|r| (*r).clone())
        .collect();
    let refusal = if !(skip_damaged && of_recordings) {
        None
    } else if skipped.len() == listed.len() {
        Some(InputProblem::NothingWhole {
            listed: listed.len(),
        })
    } else if skipped.len() > MAX_SKIPPED {
        Some(InputProblem::TooManyDamaged {
            damaged: skipped.len(),
            limit: MAX_SKIPPED,
        })
    } else {
        return Ok(skipped);
    };
    let problems = std::mem::take(problems).into_iter().map(|(_, p)| p);
    Err(InputProblems(problems.chain(refusal).collect()))
}

/// Listed recordings that were neither finished nor found damaged: they follow the damage in the
/// container.
pub fn unread_recordings<T>(
    intake: &Collector<'_>,
    finished: &HashMap<String, T>,
    problems: &[RecordingProblem],
) -> Vec<RecordingProblem> {
    let known: HashSet<&String> = problems.iter().filter_map(|(r, _)| r.as_ref()).collect();
    let listed = intake.lists.iter().flatten().flatten();
    listed
        .filter(|r| !finished.contains_key(*r) && !known.contains(r))
        .map(|r| {
            let file = intake.file_of(r);
            let files = match intake.holds_samples() {
                true => file,
                false => format!("{file} or its label file"),
            };
            (Some(r.clone()), InputProblem::NotReached { files })
        })
        .collect()
}

/// Files that the lists require but the archive lacks, each with the recording that it concerns,
/// and recordings that both lists name.
pub fn missing(intake: &Collector<'_>) -> Vec<RecordingProblem> {
    let mut problems = Vec::new();
    let unlisted = some_of(&intake.unlisted(), SHOWN);
    for set in Set::ALL {
        let file = Member::Trials(set).file_name();
        let Some(list) = &intake.lists[set as usize] else {
            if !intake.has_list(set) && !intake.holds_samples() {
                problems.push((None, InputProblem::ListMissing { file }));
            }
            continue;
        };
        let absent = list.iter().filter(|r| !intake.has_recording(r));
        problems.extend(absent.map(|r| {
            let problem = InputProblem::RecordingMissing {
                recording: r.clone(),
                list: file.clone(),
                unlisted: unlisted.clone(),
            };
            (Some(r.clone()), problem)
        }));
        let names: HashSet<&String> = list.iter().collect();
        let unlabelled = intake.without_labels().filter(|r| names.contains(r));
        problems.extend(unlabelled.map(|r| {
            let (recording, file) = (r.clone(), intake.file_of(r));
            (
                Some(r.clone()),
                InputProblem::LabelsMissing { recording, file },
            )
        }));
    }
    if let [Some(train), Some(test)] = &intake.lists {
        let test: HashSet<&String> = test.iter().collect();
        let both = train.iter().filter(|r| test.contains(r));
        problems.extend(both.map(|r| {
            let recording = r.clone();
            (None, InputProblem::InBothSets { recording })
        }));
    }
    problems
}
