//! Command-line options for what recordings and samples may leave open: the same in every command that reads them.

use std::path::PathBuf;

use clap::Args;

use crate::SensorSize;
use crate::event::MAX_PIXELS;
use crate::formats::{AddressLayout, ReadOptions};

/// How recordings and samples are read.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Reading recordings")]
pub struct ReadArgs {
    /// Size of the sensor in pixels [default: what the recordings say; 128x128 for samples in .npz and .npy files]
    #[arg(long, value_name = "WxH", value_parser = parse_sensor)]
    pub sensor: Option<SensorSize>,
    /// How AEDAT 2 packs events into addresses: dvs128, davis or dvs640 [default: as the camera that the recording names]
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<AddressLayout>,
    /// The event stream (AEDAT 4) or camera (AEDAT 3) to read, by its number, if a recording holds several
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub stream: Option<i32>,
    /// Names of the classes: a CSV file with rows like `hand_clapping,1` [default: gesture_mapping.csv of the input, else
    /// the eleven gestures]
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Count events whose valid bit is clear, as SpikingJelly does
    #[arg(long)]
    pub keep_invalid: bool,
    /// Leave out events outside the sensor and count them; without it they are an error
    #[arg(long)]
    pub ignore_outside: bool,
}

impl ReadArgs {
    /// The options themselves.
    pub fn options(&self) -> ReadOptions {
        ReadOptions {
            sensor: self.sensor,
            layout: self.layout,
            stream: self.stream,
            keep_invalid: self.keep_invalid,
            ignore_outside: self.ignore_outside,
        }
    }

    /// The first of the options that is given: a frame cache, whose frames are made already, takes none of them.
    pub fn given(&self) -> Option<&'static str> {
        let options = [
            ("--sensor", self.sensor.is_some()),
            ("--layout", self.layout.is_some()),
            ("--stream", self.stream.is_some()),
            ("--classes", self.classes.is_some()),
            ("--keep-invalid", self.keep_invalid),
            ("--ignore-outside", self.ignore_outside),
        ];
        let given = options.iter().find(|(_, given)| *given);
        given.map(|(option, _)| *option)
    }
}

/// A sensor's size, as 128x128.
///
/// # Errors
/// If `text` is no size, or a larger one than any sensor's.
pub fn parse_sensor(text: &str) -> Result<SensorSize, String> {
    let pixels = text.split_once(['x', 'X']);
    let pixels = pixels.and_then(|(w, h)| w.trim().parse().ok().zip(h.trim().parse().ok()));
    let (width, height) =
        pixels.ok_or_else(|| format!("{text:?} is no size; write it as 128x128"))?;
    SensorSize::checked(width, height)
        .ok_or_else(|| format!("a sensor has from 1 to {MAX_PIXELS} pixels each way"))
}
