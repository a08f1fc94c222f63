//! Augmentation: random changes to training samples, against overfitting.
//!
//! - Mirroring, rotating, shifting: Li et al., Neuromorphic Data Augmentation for Training Spiking
//!   Neural Networks (ECCV 2022, arXiv:2203.06145). Cells are moved, never mixed: an event stays
//!   one event (see [`geometry`]).
//! - Dropping events: the random drop of Gu et al., EventDrop: Data Augmentation for Event-based
//!   Learning (IJCAI 2021, arXiv:2106.05836). Events that share a cell are dropped one by one (see
//!   [`event_drop`]).
//! - Random temporal delete: Fang et al., Deep Residual Learning in Spiking Neural Networks
//!   (NeurIPS 2021, arXiv:2102.04159). As in SpikingJelly's `RandomTemporalDelete`, all samples of
//!   a batch keep the same frames.
//! - Exchanging the polarities: as if bright and dark were exchanged in the scene. Tonic's
//!   `RandomFlipPolarity` (Lenz et al., 2021, doi:10.5281/zenodo.5079802) flips single events; here
//!   the whole sample is flipped.
//!
//! The changes to a sample depend only on the run's seed, the epoch and the sample, so a resumed
//! run makes the same changes as a run that was never stopped. All numbers are drawn even if no
//! flag needs them, so a flag does not change the draws for the others. The frames are altered on
//! the device, in one pass.

pub mod backend;
mod config;
mod cpu;
mod event_drop;
mod geometry;
#[cfg(feature = "gpu")]
mod gpu;

use std::{fmt, vec};

use anyhow::{Result, ensure};
use burn::tensor::Tensor;
use burn_snn::backend::primitive::{primitive, tensor};
use dvs_shared::labels::{LABEL_NAMES, MIRRORED, is_gestures, listed};
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;

use self::backend::AugmentBackend;
pub use self::config::AugmentConfig;
use crate::data::seed::{Purpose, derive, derive_each};

/// Largest angle in degrees.
const MOST_DEGREES: f64 = 45.0;

/// Augmentation of a run's training samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    config: AugmentConfig,
    steps: usize,
    size: [usize; 2],
}

/// Changes to the samples of one epoch.
#[derive(Clone, Copy, Debug)]
pub struct EpochTransforms {
    augmentation: Augmentation,
    seed: u64,
}

/// Changes to the batches of one epoch, or to one rank's part of each.
#[derive(Clone, Debug)]
pub struct BatchTransforms {
    epoch: EpochTransforms,
    /// The first sample of each whole batch that is left.
    firsts: vec::IntoIter<usize>,
}

/// Changes to one sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleTransform {
    /// Whether the sample is mirrored, before the rotation.
    pub flip: bool,
    /// Rotation in degrees, clockwise on the screen.
    pub degrees: f64,
    /// Shift in pixels to the right and down, after the rotation.
    pub shift: [i32; 2],
    /// Whether the polarities are exchanged.
    pub flip_polarity: bool,
    /// Probability that an event is dropped.
    pub drop: f64,
    /// Random key that decides which events are dropped.
    pub key: u32,
}

/// Changes to a batch, in the form for backends.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Frames that are kept, in order.
    pub steps: Vec<u32>,
    /// For each sample and cell `[B, H * W]`, the cell that its events come from, or
    /// [`geometry::NOWHERE`].
    pub sources: Vec<u32>,
    /// [`NUMBERS`] values per sample, `[B, 3]`: the key of the events' hashes; a threshold, below
    /// which the hash of a dropped event is; and 1 if the polarities are exchanged.
    pub numbers: Vec<u32>,
}

/// Numbers per sample in [`Plan::numbers`].
pub const NUMBERS: usize = 3;

impl Augmentation {
    /// Checks `config` for samples with T = `steps` and this `size` (height and width). Returns
    /// `None` if it changes nothing.
    ///
    /// # Errors
    /// Returns an error if a value is out of its limits, or if samples are to be mirrored and the
    /// classes are not the eleven gestures.
    pub fn new(
        config: &AugmentConfig,
        steps: usize,
        size: [usize; 2],
        label_names: &[String],
    ) -> Result<Option<Self>> {
        let share = |flag: &str, value: f64, limit: f64| {
            ensure!(
                (0.0..=limit).contains(&value),
                "{flag} {value} is not within 0 and {limit}"
            );
            Ok(())
        };
        share("--flip", config.flip, 1.0)?;
        ensure!(
            config.flip == 0.0 || is_gestures(label_names),
            "--flip exchanges the labels of right and left among the eleven gestures, and this cache has classes of its own: \
             {}; leave --flip out",
            listed(label_names)
        );
        share("--flip-polarity", config.flip_polarity, 1.0)?;
        share("--rotate", config.rotate, MOST_DEGREES)?;
        // A sample without events teaches nothing.
        share("--drop-events", config.drop_events, 0.95)?;
        let [height, width] = size;
        ensure!(
            (config.shift as usize) < height.min(width),
            "--shift {} would move frames of {height} x {width} out of sight",
            config.shift
        );
        if let Some(kept) = config.keep_frames {
            ensure!(
                (1..=steps).contains(&(kept as usize)),
                "--keep-frames {kept} is not within 1 and the {steps} frames of a sample"
            );
        }
        let augmentation = Self {
            config: *config,
            steps,
            size,
        };
        Ok((*config != AugmentConfig::default()).then_some(augmentation))
    }

    /// Returns the changes in an epoch of the run with this seed.
    pub fn epoch(self, seed: u64, epoch: u32) -> EpochTransforms {
        EpochTransforms {
            augmentation: self,
            seed: derive(seed, Purpose::Augmentation, epoch),
        }
    }
}

impl fmt::Display for Augmentation {
    /// Describes the augmentation in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        let percent = |share: f64| 100.0 * share;
        let parts = [
            (config.flip > 0.0).then(|| format!("mirror {} %", percent(config.flip))),
            (config.rotate > 0.0).then(|| format!("rotate up to {} degrees", config.rotate)),
            (config.shift > 0).then(|| format!("shift up to {} pixels", config.shift)),
            (config.flip_polarity > 0.0)
                .then(|| format!("exchange polarities of {} %", percent(config.flip_polarity))),
            (config.drop_events > 0.0)
                .then(|| format!("drop up to {} % of the events", percent(config.drop_events))),
            config
                .keep_frames
                .map(|kept| format!("keep {kept} of {} frames", self.steps)),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

impl EpochTransforms {
    /// Draws the changes to a sample.
    pub fn sample(&self, sample: usize) -> SampleTransform {
        let config = &self.augmentation.config;
        let mut rng = Pcg64::seed_from_u64(derive_each(self.seed, sample as u64));
        let flip = uniform(&mut rng) < config.flip;
        let degrees = config.rotate * (2.0 * uniform(&mut rng) - 1.0);
        let most = f64::from(config.shift);
        let mut shift = || ((2.0 * most + 1.0) * uniform(&mut rng) - most).floor() as i32;
        SampleTransform {
            flip,
            degrees,
            shift: [shift(), shift()],
            flip_polarity: uniform(&mut rng) < config.flip_polarity,
            drop: config.drop_events * uniform(&mut rng),
            key: rng.next_u32(),
        }
    }

    /// Draws the frames that a batch keeps, in order. `first` is the batch's first sample.
    pub fn steps(&self, first: usize) -> Vec<u32> {
        let steps = self.augmentation.steps;
        let mut all: Vec<u32> = (0..steps as u32).collect();
        let Some(kept) = self.augmentation.config.keep_frames else {
            return all;
        };
        // The complement gives a different seed from that of the sample `first`.
        let seed = derive_each(self.seed, !(first as u64));
        let mut rng = Pcg64::seed_from_u64(seed);
        for place in 0..kept as usize {
            let left = (steps - place) as f64;
            all.swap(place, place + (left * uniform(&mut rng)) as usize);
        }
        all.truncate(kept as usize);
        all.sort_unstable();
        all
    }

    /// Draws the changes to `samples` of the batch whose first sample is `first`, and mirrors the
    /// labels of mirrored samples.
    pub fn plan(&self, first: usize, samples: &[usize], labels: &mut [u8]) -> Plan {
        let transforms: Vec<SampleTransform> = samples.iter().map(|&at| self.sample(at)).collect();
        for (label, transform) in labels.iter_mut().zip(&transforms) {
            *label = transform.label(*label);
        }
        Plan::new(self.steps(first), &transforms, self.augmentation.size)
    }

    /// Returns the changes to these whole batches, in order.
    pub fn batches(self, whole: &[Vec<usize>]) -> BatchTransforms {
        let firsts = whole.iter().filter_map(|batch| batch.first().copied());
        BatchTransforms {
            epoch: self,
            firsts: firsts.collect::<Vec<_>>().into_iter(),
        }
    }
}

impl BatchTransforms {
    /// Draws the changes to `samples`, all or some of the next batch, as
    /// [`EpochTransforms::plan`] does.
    pub fn next_plan(&mut self, samples: &[usize], labels: &mut [u8]) -> Plan {
        let first = self.firsts.next().or(samples.first().copied());
        self.epoch.plan(first.unwrap_or(0), samples, labels)
    }
}

impl Plan {
    /// Makes the plan that keeps `steps` and alters each sample of this size (height and width).
    fn new(steps: Vec<u32>, transforms: &[SampleTransform], size: [usize; 2]) -> Self {
        let sources = transforms.iter().flat_map(|of| geometry::sources(of, size));
        let numbers = transforms.iter().flat_map(|of| {
            let threshold = (of.drop * 2.0_f64.powi(32)) as u32;
            [of.key, threshold, u32::from(of.flip_polarity)]
        });
        Self {
            steps,
            sources: sources.collect(),
            numbers: numbers.collect(),
        }
    }
}

impl SampleTransform {
    /// Returns the label of the altered sample.
    pub fn label(&self, label: u8) -> u8 {
        match MIRRORED.get(usize::from(label)) {
            Some(&mirrored) if self.flip => mirrored,
            _ => label,
        }
    }

    /// Describes the changes to a sample with this label in words. Empty if nothing changes.
    pub fn to_text(self, label: u8) -> Vec<String> {
        let [right, down] = self.shift;
        let mirrored = self.label(label);
        let name = LABEL_NAMES.get(usize::from(mirrored)).copied();
        let parts = [
            self.flip.then(|| match name {
                Some(name) if mirrored != label => format!("mirrored: {mirrored} {name}"),
                _ => "mirrored".to_owned(),
            }),
            (self.degrees != 0.0).then(|| format!("rotated by {:.1} degrees", self.degrees)),
            (self.shift != [0; 2]).then(|| format!("shifted by {right}, {down}")),
            self.flip_polarity
                .then(|| "polarities exchanged".to_owned()),
            (self.drop > 0.0).then(|| format!("{:.1} % of its events dropped", 100.0 * self.drop)),
        ];
        parts.into_iter().flatten().collect()
    }
}

/// Alters frames `[T, B, 2, H, W]` by `plan`. The T of the result is the number of kept frames.
pub fn alter<B: AugmentBackend>(frames: Tensor<B, 5>, plan: &Plan) -> Tensor<B, 5> {
    tensor(B::alter(primitive(frames), plan))
}

/// Draws a number from 0 to 1 (exclusive). The formula is written out because libraries change how
/// they draw, and a seed must always give the same numbers.
fn uniform(rng: &mut Pcg64) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests;
