//! Frames as pictures: counts of events in, pixels out.
//!
//! A [`Clip`] is what is to be seen of one sample. [`contact_sheet`] lays its frames side by side, or those of several
//! clips below each other; an [`Animation`] shows them one after another, several clips at once; [`plot`] draws how many
//! events each frame has and how long it lasts; [`terminal`] draws with characters. [`Style`] says with which
//! [`Colours`] and how large.
//!
//! Where it is written to is the caller's to decide: pictures and animations go to any [`std::io::Write`].

mod animation;
mod clip;
mod colours;
mod picture;
mod plot;
mod scale;
mod sheet;
pub mod terminal;
mod text;
mod timing;

use std::io;

pub use animation::Animation;
pub use clip::Clip;
pub use colours::{Background, Colours, Scheme};
pub use picture::{MAX_PIXELS, MAX_SIDE, Picture, RgbPicture};
pub use plot::plot;
pub use scale::Scale;
pub use sheet::contact_sheet;
use thiserror::Error;
pub use timing::{Timing, caption, duration};

/// How pictures look.
#[derive(Clone, Debug)]
pub struct Style {
    /// Their colours.
    pub colours: Colours,
    /// Pixels of the picture for one of the sensor; `None` for what is readable.
    pub scale: Option<Scale>,
}

/// Why there is no picture.
#[derive(Debug, Error)]
pub enum ViewError {
    /// Counts that are not `[T, 2, H, W]`.
    #[error("{counts} counts are not whole frames of {cells} cells")]
    Shape {
        /// How many counts there are.
        counts: usize,
        /// Cells of a frame.
        cells: usize,
    },
    /// Another number of captions than of frames.
    #[error("{captions} captions for {frames} frames")]
    Captions {
        /// How many captions.
        captions: usize,
        /// How many frames.
        frames: usize,
    },
    /// No clip at all.
    #[error("there is nothing to show")]
    Nothing,
    /// Beyond what is drawn.
    #[error(
        "the picture would have {width} x {height} pixels; at most {MAX_PIXELS} in all and {MAX_SIDE} a side are drawn: \
         choose a smaller scale or fewer frames"
    )]
    TooLarge {
        /// Its width.
        width: u64,
        /// Its height.
        height: u64,
    },
    /// A plot that the drawing library refuses.
    #[error("cannot draw the plot: {0}")]
    Plot(String),
    /// The receiver refused.
    #[error("cannot write the picture")]
    Write(#[from] io::Error),
}
