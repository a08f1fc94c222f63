//! How the events of a sample are divided into frames.

use std::fmt;
use std::path::Path;

/// Maximum number of frames of a sample if it is fixed: a sample is one chunk of the cache and is
/// held in memory whole.
pub const MAX_FRAMES: u32 = 1024;

/// How the events of a sample are divided into frames, without the number or duration of the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum SplitBy {
    /// T frames with equal numbers of events
    Number,
    /// T frames of equal duration
    Time,
    /// Frames of a fixed duration, so T differs from sample to sample
    Duration,
}

impl SplitBy {
    /// The name in options and in the cache attribute `split_by`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Time => "time",
            Self::Duration => "duration",
        }
    }
}

/// The three modes of SpikingJelly 2.0's `DVS128Gesture(frames_number=.., split_by=..)` and
/// `duration=..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitMode {
    /// T frames of equally many events; the last frame takes the remainder.
    Number {
        /// T.
        frames: u32,
    },
    /// T frames of equal duration; the last frame takes the remainder.
    Time {
        /// T.
        frames: u32,
    },
    /// Frames of a fixed duration, so their number differs between samples.
    Duration {
        /// Duration of a frame in microseconds.
        us: u64,
    },
}

impl SplitMode {
    /// How events are divided, whatever the number or duration of the frames.
    pub fn split_by(self) -> SplitBy {
        match self {
            Self::Number { .. } => SplitBy::Number,
            Self::Time { .. } => SplitBy::Time,
            Self::Duration { .. } => SplitBy::Duration,
        }
    }

    /// Value of the cache attribute `frames`: T, or 0 if it differs between samples.
    pub fn frames(self) -> u32 {
        match self {
            Self::Number { frames } | Self::Time { frames } => frames,
            Self::Duration { .. } => 0,
        }
    }

    /// Value of the cache attribute `duration_us`: 0 unless the duration is fixed.
    pub fn duration_us(self) -> u64 {
        match self {
            Self::Duration { us } => us,
            _ => 0,
        }
    }

    /// The mode that three cache attributes describe; `None` if they contradict each other.
    pub fn from_attributes(split_by: &str, frames: u32, duration_us: u64) -> Option<Self> {
        match (split_by, frames, duration_us) {
            ("number", 1..=MAX_FRAMES, 0) => Some(Self::Number { frames }),
            ("time", 1..=MAX_FRAMES, 0) => Some(Self::Time { frames }),
            ("duration", 0, 1..) => Some(Self::Duration { us: duration_us }),
            _ => None,
        }
    }

    /// The cache's default file name, after SpikingJelly's folder names.
    pub fn file_name(self) -> String {
        format!("{}.h5", self.folder_name())
    }

    /// SpikingJelly's name for a folder of such frames.
    pub fn folder_name(self) -> String {
        match self {
            Self::Number { frames } => format!("frames_number_{frames}_split_by_number"),
            Self::Time { frames } => format!("frames_number_{frames}_split_by_time"),
            Self::Duration { us } => format!("duration_{us}"),
        }
    }

    /// The mode whose [`SplitMode::folder_name`] is `name`; `None` if there is none.
    pub fn of_folder_name(name: &str) -> Option<Self> {
        let mode = if let Some(us) = name.strip_prefix("duration_") {
            Self::from_attributes("duration", 0, us.parse().ok()?)?
        } else {
            let (frames, split_by) = name
                .strip_prefix("frames_number_")?
                .split_once("_split_by_")?;
            Self::from_attributes(split_by, frames.parse().ok()?, 0)?
        };
        (mode.folder_name() == name).then_some(mode)
    }
}

impl SplitMode {
    /// The mode of ready-made frames, according to the name of their folder or archive.
    pub fn of_path(path: &Path) -> Option<Self> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = path.file_name()?.to_str()?;
        Self::of_folder_name(name.split('.').next()?)
    }
}

impl fmt::Display for SplitMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { frames } => write!(f, "{frames} frames split by number"),
            Self::Time { frames } => write!(f, "{frames} frames split by time"),
            Self::Duration { us } => write!(f, "frames of {us} us"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_name_identifies_the_split_mode() {
        for mode in [
            SplitMode::Number { frames: 16 },
            SplitMode::Time { frames: 1 },
            SplitMode::Duration { us: 100_000 },
        ] {
            assert_eq!(SplitMode::of_folder_name(&mode.folder_name()), Some(mode));
        }
        for other in [
            "events_np",
            "frames_number_016_split_by_number",
            "duration_",
            "frames_number_0_split_by_time",
        ] {
            assert_eq!(SplitMode::of_folder_name(other), None, "{other}");
        }
    }
}
