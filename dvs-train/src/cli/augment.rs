//! The flags of augmentation.

use clap::Args;

use crate::cli::set;
use crate::data::augment::AugmentConfig;

/// Flags of augmentation, which is off by default.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Augmentation of training samples, drawn anew each epoch")]
pub struct AugmentArgs {
    /// Mirror a sample left to right with this probability; right and left, clockwise and
    /// counter-clockwise swap in its label
    #[arg(long, allow_negative_numbers = true, value_name = "PROBABILITY")]
    pub flip: Option<f64>,

    /// Rotate a sample about its centre by up to this angle, either way
    #[arg(long, allow_negative_numbers = true, value_name = "DEGREES")]
    pub rotate: Option<f64>,

    /// Shift a sample by up to this many pixels along each axis; events that leave the frame are
    /// lost
    #[arg(long, value_name = "PIXELS")]
    pub shift: Option<u32>,

    /// Swap a sample's ON and OFF events with this probability
    #[arg(long, allow_negative_numbers = true, value_name = "PROBABILITY")]
    pub flip_polarity: Option<f64>,

    /// Drop single events at random; the share per sample is drawn between 0 and this value
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE")]
    pub drop_events: Option<f64>,

    /// Random temporal delete: keep this many of the T frames, the same ones for all samples of a
    /// batch
    #[arg(long, value_name = "FRAMES")]
    pub keep_frames: Option<u32>,
}

impl AugmentArgs {
    /// Sets what was typed.
    pub fn apply(&self, augmentation: &mut AugmentConfig) {
        // The pattern names every flag, so that a new one cannot be forgotten here.
        let Self {
            flip,
            rotate,
            shift,
            flip_polarity,
            drop_events,
            keep_frames,
        } = self;
        set(&mut augmentation.flip, flip);
        set(&mut augmentation.rotate, rotate);
        set(&mut augmentation.shift, shift);
        set(&mut augmentation.flip_polarity, flip_polarity);
        set(&mut augmentation.drop_events, drop_events);
        set(&mut augmentation.keep_frames, keep_frames);
    }
}
