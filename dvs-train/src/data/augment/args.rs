//! The flags of augmentation.

use clap::Args;
use serde::{Deserialize, Serialize};

/// Flags of augmentation, which is off by default.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[command(next_help_heading = "Augmentation of training samples, drawn anew each epoch")]
pub struct AugmentArgs {
    /// Mirror a sample left to right with this probability; right and left, clockwise and
    /// counter-clockwise swap in its label
    #[arg(
        long,
        default_value_t = 0.0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "PROBABILITY"
    )]
    pub flip: f64,

    /// Rotate a sample about its centre by up to this angle, either way
    #[arg(
        long,
        default_value_t = 0.0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "DEGREES"
    )]
    pub rotate: f64,

    /// Shift a sample by up to this many pixels along each axis; events that leave the frame are
    /// lost
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "PIXELS"
    )]
    pub shift: u32,

    /// Swap a sample's ON and OFF events with this probability
    #[arg(
        long,
        default_value_t = 0.0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "PROBABILITY"
    )]
    pub flip_polarity: f64,

    /// Drop single events at random; the share per sample is drawn between 0 and this value
    #[arg(
        long,
        default_value_t = 0.0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "SHARE"
    )]
    pub drop_events: f64,

    /// Random temporal delete: keep this many of the T frames, the same ones for all samples of a
    /// batch
    #[arg(long, value_name = "FRAMES")]
    pub keep_frames: Option<u32>,
}
