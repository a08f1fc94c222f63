//! Draws frames, which are counts of events, as pictures.
//!
//! A [`Clip`] holds the frames of one sample. [`contact_sheet`] draws the frames of a clip side by
//! side, or several clips below each other. An [`Animation`] shows the frames one after another,
//! for several clips at once. [`plot`] draws the number of events and the duration of each frame.
//! [`terminal`] draws with characters. A [`Style`] sets the [`Colours`] and the size.
//!
//! The caller decides where the output goes: pictures and animations are written to any
//! [`std::io::Write`].

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
pub use plot::{plot, plot_font, short_number};
pub use scale::Scale;
pub use sheet::contact_sheet;
use thiserror::Error;
pub use timing::{Timing, caption, duration};

/// The style of pictures.
#[derive(Clone, Debug)]
pub struct Style {
    pub colours: Colours,
    /// Picture pixels per sensor pixel; `None` chooses a readable size.
    pub scale: Option<Scale>,
}

/// Why no picture was drawn.
#[derive(Debug, Error)]
pub enum ViewError {
    /// The counts do not have the shape `[T, 2, H, W]`.
    #[error("{counts} counts are not whole frames of {cells} cells")]
    Shape {
        /// Number of counts.
        counts: usize,
        /// Cells of a frame.
        cells: usize,
    },
    /// The number of captions differs from that of frames.
    #[error("{captions} captions for {frames} frames")]
    Captions { captions: usize, frames: usize },
    /// There is no clip.
    #[error("there is nothing to show")]
    Nothing,
    /// The picture exceeds the size limits.
    #[error(
        "the picture would have {width} x {height} pixels; at most {MAX_PIXELS} in all and {MAX_SIDE} a side are drawn: \
         choose a smaller scale or fewer frames"
    )]
    TooLarge { width: u64, height: u64 },
    /// The drawing library reported an error.
    #[error("cannot draw the plot: {0}")]
    Plot(String),
    /// The output reported an error.
    #[error("cannot write the picture")]
    Write(#[from] io::Error),
}
