//! Command-line options that say how to read a recording or sample if its file does not. All
//! commands that read such files have these options.

use std::path::PathBuf;

use clap::Args;

use crate::event::{MAX_PIXELS, SensorSize};
use crate::formats::{AddressLayout, DatasetForm, ReadOptions};
use crate::test_split::{TestShare, TestSplit};

/// How recordings and samples are read.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Reading recordings")]
pub struct ReadArgs {
    /// Size of the sensor in pixels [default: as the recording says; for .npz, .npy and .bin files,
    /// which do not say it, as the dataset has, if its folders show which it is]
    #[arg(long, value_name = "WxH", value_parser = parse_sensor)]
    pub sensor: Option<SensorSize>,
    /// How AEDAT 2 packs events into addresses: dvs128, cifar10dvs, davis or dvs640 [default: the
    /// layout of the camera that the recording names]
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<AddressLayout>,
    /// Number of the event stream (AEDAT 4) or camera (AEDAT 3) to read, if a recording holds
    /// several
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub stream: Option<i32>,
    /// CSV file of class names, with rows like `hand_clapping,1` [default: gesture_mapping.csv of
    /// the input, its folders of classes, or else the eleven gestures]
    #[arg(long, value_name = "FILE")]
    pub classes: Option<PathBuf>,
    /// Count events with a clear valid bit, as SpikingJelly does
    #[arg(long)]
    pub keep_invalid: bool,
    /// Leave out events outside the sensor and count them; without this option they are an error
    #[arg(long)]
    pub ignore_outside: bool,
    /// Share of each class for the test set, as 0.1, if the dataset has no split of its own
    ///
    /// The samples of a class are in the order of their names as text, as SpikingJelly has them.
    /// Those at the end are for testing, as after split_to_train_test_set.
    #[arg(long, value_name = "SHARE")]
    pub test_share: Option<TestShare>,
    /// Choose the samples of --test-share at random with this seed instead of by name
    #[arg(long, value_name = "SEED", requires = "test_share")]
    pub split_seed: Option<u64>,
}

impl ReadArgs {
    /// Converts the arguments to options of the readers.
    pub fn options(&self) -> ReadOptions {
        ReadOptions {
            sensor: self.sensor,
            layout: self.layout,
            stream: self.stream,
            keep_invalid: self.keep_invalid,
            ignore_outside: self.ignore_outside,
            test_split: self
                .test_share
                .map(|share| TestSplit::new(share, self.split_seed)),
            form: DatasetForm::default(),
        }
    }

    /// The first given option. A frame cache accepts none of them, because its frames already
    /// exist.
    pub fn given(&self) -> Option<&'static str> {
        let options = [
            ("--sensor", self.sensor.is_some()),
            ("--layout", self.layout.is_some()),
            ("--stream", self.stream.is_some()),
            ("--classes", self.classes.is_some()),
            ("--keep-invalid", self.keep_invalid),
            ("--ignore-outside", self.ignore_outside),
            ("--test-share", self.test_share.is_some()),
        ];
        let given = options.iter().find(|(_, given)| *given);
        given.map(|(option, _)| *option)
    }
}

/// Parses a sensor size such as 128x128.
///
/// # Errors
/// Returns an error if `text` is not a size or exceeds that of any sensor.
pub fn parse_sensor(text: &str) -> Result<SensorSize, String> {
    let pixels = text.split_once(['x', 'X']);
    let pixels = pixels.and_then(|(w, h)| w.trim().parse().ok().zip(h.trim().parse().ok()));
    let (width, height) =
        pixels.ok_or_else(|| format!("{text:?} is not a size; write it as 128x128"))?;
    SensorSize::checked(width, height)
        .ok_or_else(|| format!("a sensor has from 1 to {MAX_PIXELS} pixels each way"))
}
