//! The result: every sample in the order of the cache, statistics of the input, and warnings.

use std::collections::{BTreeSet, HashSet};
use std::sync::PoisonError;

use dvs_shared::SensorSize;
use dvs_shared::aedat::EventCounts;
use dvs_shared::event::DVS128;
use dvs_shared::formats::TimePrecision;
use dvs_shared::words::some_of;

use super::recording_result::{InputKind, RecordingResult};
use super::work::Work;
use crate::pipeline::chunk_store::{ChunkStore, StagedSample};
use crate::pipeline::collect::Collector;
use crate::pipeline::input_check::SHOWN;
use crate::pipeline::step_times::StepTimes;

/// Statistics of the input.
#[derive(Clone, Debug, Default)]
pub struct InputStats {
    /// Listed recordings that were used.
    pub recordings: u64,
    /// Recordings left out because no list names them.
    pub unlisted: u64,
    /// Recordings that end within their last packet.
    pub cut_short: u64,
    /// Events of the listed recordings.
    pub counts: EventCounts,
    /// Events outside every window.
    pub outside_windows: u64,
    /// Bytes of the listed recordings.
    pub raw_bytes: u64,
    /// Types of the input.
    pub kinds: BTreeSet<InputKind>,
    /// How the recordings were read, and the reason: one line for each type.
    pub recognised: BTreeSet<String>,
    /// The coarsest precision of times in milliseconds, if there are any.
    pub precision: Option<TimePrecision>,
}

/// Everything the cache will hold.
pub struct PreparedDataset {
    /// Samples in trial-list order, then label-row order.
    pub sets: [Vec<StagedSample>; 2],
    /// The chunks of the samples.
    pub staging: ChunkStore,
    /// SHA-256 of the input.
    pub source_sha256: String,
    /// Sensor size of the frames.
    pub sensor: SensorSize,
    /// Names of the classes.
    pub label_names: Vec<String>,
    /// Damaged recordings in the lists that were left out, in trial-list order.
    pub skipped: Vec<String>,
    pub tally: InputStats,
    /// The first sample without events, and why it has none.
    pub first_empty: Option<String>,
    /// Warnings: samples without events, windows outside a recording, times going backwards.
    pub warnings: Vec<String>,
    pub times: StepTimes,
}

impl Work<'_> {
    /// Puts the samples in order. Every listed recording has been finished, except those in
    /// `skipped`.
    pub(super) fn into_prepared(
        self,
        intake: Collector<'_>,
        skipped: Vec<String>,
        mut warnings: Vec<String>,
    ) -> PreparedDataset {
        let mut finished = self
            .finished
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let unlisted = intake.unlisted();
        warnings.extend(intake.notes().iter().cloned());
        let label_names = intake.classes();
        let mut sensor = self.settings.read.sensor;
        let left_out: HashSet<&String> = skipped.iter().collect();
        let mut lists = intake.lists.clone().map(Option::unwrap_or_default);
        for list in &mut lists {
            list.retain(|r| !left_out.contains(r));
        }
        let mut tally = InputStats::default();
        let mut first_empty = None;
        let mut sets = [Vec::new(), Vec::new()];
        for (list, set) in lists.iter().zip(&mut sets) {
            for name in list {
                let Some(recording) = finished.remove(name) else {
                    continue;
                };
                tally.add(&recording);
                sensor.get_or_insert(recording.sensor);
                recording.warn(name, &mut warnings);
                first_empty = first_empty.or_else(|| recording.empty_samples().next());
                set.extend(recording.samples);
            }
        }
        if !unlisted.is_empty() {
            let names = some_of(&unlisted, SHOWN);
            warnings.push(format!(
                "left out, because no trial list names them: {names}"
            ));
        }
        tally.unlisted = unlisted.len() as u64;
        warnings.extend(tally.precision.and_then(lost_precision));
        PreparedDataset {
            source_sha256: self
                .fingerprint
                .of_dataset(intake.files_of(lists.iter().flatten())),
            sensor: sensor.unwrap_or(DVS128),
            label_names,
            sets,
            staging: self.staging,
            skipped,
            tally,
            first_empty,
            warnings,
            times: self.times,
        }
    }
}

impl InputStats {
    fn add(&mut self, recording: &RecordingResult) {
        self.recordings += 1;
        self.raw_bytes += recording.bytes;
        self.outside_windows += recording.outside_windows;
        self.cut_short += u64::from(recording.cut_short.is_some());
        self.kinds.insert(recording.kind);
        if !self.recognised.contains(&recording.recognised) {
            self.recognised.insert(recording.recognised.clone());
        }
        if let Some(next) = recording.precision {
            let all = self.precision.get_or_insert(next);
            all.whole_ms &= next.whole_ms;
            all.step_us = all.step_us.max(next.step_us);
        }
        self.counts.add(&recording.counts);
    }
}

/// The precision that times in milliseconds lost compared with the camera's microseconds.
fn lost_precision(precision: TimePrecision) -> Option<String> {
    let TimePrecision { whole_ms, step_us } = precision;
    if whole_ms {
        Some(
            "the times of the input are whole milliseconds: up to 999 us of each are lost, so that frames of a fixed \
             duration may differ from those of the recordings"
                .to_owned(),
        )
    } else if step_us > 1.0 {
        Some(format!(
            "the times of the input are milliseconds in 32 bits, up to {step_us:.0} us apart where they are largest: \
             frames by time may differ from those of the recordings"
        ))
    } else {
        None
    }
}
