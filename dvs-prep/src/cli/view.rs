//! Options of `view`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dvs_shared::Set;
use dvs_shared::read_args::ReadArgs;
use dvs_shared::view::{Background, Scale, Scheme};

use super::{SplitArgs, parse_duration_us};

/// Background colour of a frame.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum BackgroundName {
    /// Black, so that events appear bright
    Black,
    /// White, for print
    White,
}

/// Colours of ON and OFF.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SchemeName {
    /// ON blue, OFF orange: distinguishable for colour-blind people
    Accessible,
    /// ON blue, OFF green, as in SpikingJelly's play_frame
    #[value(name = "spikingjelly")]
    SpikingJelly,
}

/// Whether terminal output has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always, even if the output is not a terminal
    Always,
    /// Never: characters only
    Never,
}

/// A set of the dataset.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SetName {
    /// The training set
    Train,
    /// The test set
    Test,
}

/// How long a frame of an animation is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// A fixed number of microseconds.
    Fixed(u64),
    /// The duration of the frame itself.
    Real,
}

/// Options of `view`.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// A cache, a recording (.aedat, .aedat4, .raw, .dat), a file of one sample (.npz, .npy), or the dataset's
    /// archive or folder [default: in $DVS_DATA, else in ./DVS128Gesture, the cache that the
    /// options below name, else the archive]
    pub input: Option<PathBuf>,
    /// The sample: its name, such as user02_led_0@3 for label 3, or its number from 0 among those
    /// of --set and --label [default: 0]
    #[arg(long, short, value_name = "NAME|N")]
    pub sample: Option<String>,
    /// Only samples of this class: the number of its label, from 0, or its name
    #[arg(long, short, value_name = "LABEL")]
    pub label: Option<String>,
    /// The set to take samples from [default: train; a name is looked up in both]
    #[arg(long, value_enum)]
    pub set: Option<SetName>,
    /// One sample of each class: the first, or number --sample
    #[arg(long, conflicts_with = "label")]
    pub each_class: bool,
    /// The picture to write: .png for a sheet or a plot, .gif for an animation [default: frames in
    /// the terminal]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Events and duration of each frame instead of the frames: as a .png, or as a table in the
    /// terminal
    #[arg(long, conflicts_with = "each_class")]
    pub plot: bool,
    /// Maximum number of frames per sample, evenly spaced; captions give the frame numbers
    /// [default: 100 in a sheet, 8 with --each-class, 1000 in an animation, what fits in the
    /// terminal]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_frames: Option<u32>,
    /// Colour of pixels without events
    #[arg(long, value_enum, value_name = "COLOUR", default_value = "black")]
    pub background: BackgroundName,
    /// Colours of ON and OFF
    #[arg(long, value_enum, value_name = "PALETTE", default_value = "accessible")]
    pub palette: SchemeName,
    /// Picture pixels per sensor pixel, such as 3, or a fraction such as 1/2 [default: a readable
    /// size]
    #[arg(long, value_name = "N")]
    pub scale: Option<Scale>,
    /// How long an animation shows each frame: a time, or `real` for the frame's own duration
    /// [default: 100ms]
    #[arg(long, value_name = "TIME", value_parser = parse_delay)]
    pub delay: Option<Delay>,
    /// When to use colours in the terminal
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
    /// Print one JSON object, with the events and time span of every frame
    #[arg(long)]
    pub json: bool,
    /// How the samples of a recording are divided into frames.
    #[command(flatten, next_help_heading = "Reading recordings")]
    pub split: SplitArgs,
    /// How recordings are read.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Memory limit in MiB for a recording; its file may take half of it
    #[arg(
        long,
        value_name = "MIB",
        default_value_t = 2048,
        help_heading = "Reading recordings"
    )]
    pub memory: u64,
    /// With --end-us, the part of a recording to show instead of a labelled sample, in the
    /// recording's own microseconds
    #[arg(long, value_name = "US", requires = "end_us", allow_negative_numbers = true, help_heading = "Reading recordings",
          conflicts_with_all = ["sample", "label", "each_class", "set"])]
    pub start_us: Option<i64>,
    /// First microsecond after that part
    #[arg(
        long,
        value_name = "US",
        requires = "start_us",
        allow_negative_numbers = true,
        help_heading = "Reading recordings"
    )]
    pub end_us: Option<i64>,
}

impl From<BackgroundName> for Background {
    fn from(name: BackgroundName) -> Self {
        match name {
            BackgroundName::Black => Self::Black,
            BackgroundName::White => Self::White,
        }
    }
}

impl From<SchemeName> for Scheme {
    fn from(name: SchemeName) -> Self {
        match name {
            SchemeName::Accessible => Self::Accessible,
            SchemeName::SpikingJelly => Self::SpikingJelly,
        }
    }
}

impl From<SetName> for Set {
    fn from(name: SetName) -> Self {
        match name {
            SetName::Train => Self::Train,
            SetName::Test => Self::Test,
        }
    }
}

fn parse_delay(text: &str) -> Result<Delay, String> {
    match text {
        "real" => Ok(Delay::Real),
        _ => parse_duration_us(text).map(Delay::Fixed),
    }
}
