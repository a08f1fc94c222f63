//! The flags that alter training samples.

use clap::Args;
use serde::{Deserialize, Serialize};

/// How training samples are altered. Each flag is off unless it is given.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[command(next_help_heading = "Augmentation of training samples, drawn anew each epoch")]
pub struct AugmentArgs {
    /// Mirror a sample left to right with this probability; right- and left-hand gestures exchange their labels, and with
    /// them clockwise and counter-clockwise
    #[arg(
        long,
        default_value_t = 0.0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "PROBABILITY"
    )]
    pub flip: f64,

    /// Rotate a sample about its middle by up to this angle, either way
    #[arg(
        long,
        default_value_t = 0.0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "DEGREES"
    )]
    pub rotate: f64,

    /// Shift a sample by up to so many pixels along either axis; what leaves the frame is lost
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "PIXELS"
    )]
    pub shift: u32,

    /// Exchange a sample's ON and OFF events with this probability
    #[arg(
        long,
        default_value_t = 0.0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "PROBABILITY"
    )]
    pub flip_polarity: f64,

    /// Drop a share of a sample's events, one by one; the share is drawn up to this one
    #[arg(
        long,
        default_value_t = 0.0,
        hide_default_value = true,
        allow_negative_numbers = true,
        value_name = "SHARE"
    )]
    pub drop_events: f64,

    /// Random temporal delete: keep so many of the T frames, the same of all samples of a batch
    #[arg(long, value_name = "FRAMES")]
    pub keep_frames: Option<u32>,
}
