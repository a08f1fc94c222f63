//! The configuration of augmentation.

use serde::{Deserialize, Serialize};

/// How training samples are changed, drawn anew in each epoch. By default nothing is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Probability of mirroring a sample left to right, which exchanges the labels of right and
    /// left.
    pub flip: f64,
    /// Largest rotation either way about the centre of the frame, in degrees.
    pub rotate: f64,
    /// Largest shift along each axis, in pixels.
    pub shift: u32,
    /// Probability of exchanging a sample's ON and OFF events.
    pub flip_polarity: f64,
    /// Largest share of a sample's events that is dropped; the share is drawn from 0 to this.
    pub drop_events: f64,
    /// Number of the T frames to keep, the same frames for all samples of a batch; `None` keeps
    /// all.
    pub keep_frames: Option<u32>,
}
