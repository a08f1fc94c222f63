//! The options, their bounds, and the recordings that follow from them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use flate2::Compression;

use super::error::SynthError;
use super::recording::ROWS;

/// Maximum number of users: names have two digits.
pub const MAX_USERS: u32 = 99;
/// Maximum number of recordings in a set: every user under every light.
pub const MAX_RECORDINGS: u32 = MAX_USERS * Light::ALL.len() as u32;
/// Bounds of [`SynthOptions::events_per_second`].
pub const EVENTS_PER_SECOND: [f64; 2] = [1e3, 1e6];
/// Bounds of [`SynthOptions::gesture_seconds`].
pub const GESTURE_SECONDS: [f64; 2] = [0.1, 60.0];
/// Bounds of [`SynthOptions::compression`].
pub const COMPRESSION: [u32; 2] = [1, 9];
/// Maximum number of events in a recording, which is held in memory, compressed.
pub const MAX_EVENTS: f64 = 1e8;

/// Seconds of a recording per second of gestures, including the pauses between them.
const PAUSES: f64 = 1.2;

/// An illuminant of the dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Light {
    /// `fluorescent`
    Fluorescent,
    /// `fluorescent_led`
    FluorescentLed,
    /// `lab`
    Lab,
    /// `led`
    Led,
    /// `natural`
    Natural,
}

impl Light {
    /// All lights, in the order of their names.
    pub const ALL: [Self; 5] = [
        Self::Fluorescent,
        Self::FluorescentLed,
        Self::Lab,
        Self::Led,
        Self::Natural,
    ];

    /// The name that file names use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fluorescent => "fluorescent",
            Self::FluorescentLed => "fluorescent_led",
            Self::Lab => "lab",
            Self::Led => "led",
            Self::Natural => "natural",
        }
    }
}

impl fmt::Display for Light {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Light {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|light| light.name() == name);
        named.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{name:?} is not a light of the dataset; they are {names}")
        })
    }
}

/// What to write.
#[derive(Clone, Debug, PartialEq)]
pub struct SynthOptions {
    /// The archive: `.tar.gz`, `.tgz` or `.tar`.
    pub output: PathBuf,
    /// Whether to replace an existing archive.
    pub force: bool,
    /// Number of users, 2 to [`MAX_USERS`]; the real dataset has 29.
    pub users: u32,
    /// Number of users in the test set, taken from the end; by default a fifth, at least 1 (of 29
    /// users, users 24 to 29).
    pub test_users: Option<u32>,
    /// Lights that each user is recorded under; repetitions are ignored.
    pub lights: Vec<Light>,
    /// Maximum number of recordings in the training set, thinned evenly; by default all.
    pub train_recordings: Option<u32>,
    /// Maximum number of recordings in the test set, thinned evenly; by default all.
    pub test_recordings: Option<u32>,
    /// Random seed.
    pub seed: u64,
    /// Mean events per second during gestures, within [`EVENTS_PER_SECOND`].
    pub events_per_second: f64,
    /// Mean duration of a gesture in seconds, within [`GESTURE_SECONDS`].
    pub gesture_seconds: f64,
    /// Deflate level, within [`COMPRESSION`]; a `.tar` ignores it.
    pub compression: u32,
    /// Whether to permute the labels of each recording, so that nothing can be learned from them: a
    /// control.
    pub shuffle_labels: bool,
    /// Threads that generate and compress; 0 for one per processor.
    pub jobs: usize,
}

impl SynthOptions {
    /// Recordings of real size from 4 users under all lights; one of the users is the test set.
    pub fn new(output: impl Into<PathBuf>) -> Self {
        Self {
            output: output.into(),
            force: false,
            users: 4,
            test_users: None,
            lights: Light::ALL.to_vec(),
            train_recordings: None,
            test_recordings: None,
            seed: 0,
            events_per_second: 66_000.0,
            gesture_seconds: 6.0,
            compression: 4,
            shuffle_labels: false,
            jobs: 0,
        }
    }

    /// The real dataset's size: 29 users, 98 training and 24 test recordings of 12 samples, about 5
    /// GB before compression.
    pub fn real_size(output: impl Into<PathBuf>) -> Self {
        Self {
            users: 29,
            test_users: Some(6),
            train_recordings: Some(98),
            test_recordings: Some(24),
            ..Self::new(output)
        }
    }
}

/// One recording to be written.
#[derive(Clone, Copy)]
pub(super) struct Trial {
    pub user: u32,
    pub light: Light,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user{:02}_{}", self.user, self.light)
    }
}

/// The training and the test recordings.
pub(super) fn trials(options: &SynthOptions) -> [Vec<Trial>; 2] {
    let lights = lights(options);
    let first_test = options.users - test_users(options) + 1;
    let sets = [
        (1..first_test, options.train_recordings),
        (first_test..options.users + 1, options.test_recordings),
    ];
    sets.map(|(users, most)| {
        let all = users.len() * lights.len();
        let kept = most.map_or(all, |most| all.min(most as usize));
        let mut trials = Vec::with_capacity(kept);
        for (i, user) in users.enumerate() {
            for (k, &light) in lights.iter().enumerate() {
                // The order is rotated by one light per user, so that the users lack different
                // lights.
                let rank = i * lights.len() + (i + k) % lights.len();
                if (rank + 1) * kept / all > rank * kept / all {
                    trials.push(Trial { user, light });
                }
            }
        }
        trials
    })
}

/// The lights in the order of their names, each once.
fn lights(options: &SynthOptions) -> Vec<Light> {
    let mut lights = options.lights.clone();
    lights.sort_unstable();
    lights.dedup();
    lights
}

fn test_users(options: &SynthOptions) -> u32 {
    // Rounded, so that it gives 6 for the 29 users of the real dataset.
    options
        .test_users
        .unwrap_or(((options.users + 2) / 5).max(1))
}

/// Approximate number of events in a recording.
pub(super) fn expected_events(options: &SynthOptions) -> f64 {
    options.events_per_second * options.gesture_seconds * ROWS as f64 * PAUSES
}

/// The compression that the name of the output requires; `None` for a plain tar.
pub(super) fn compression(options: &SynthOptions) -> Result<Option<Compression>, SynthError> {
    let name = options.output.file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        Ok(Some(Compression::new(options.compression)))
    } else if name.ends_with(".tar") {
        Ok(None)
    } else {
        Err(SynthError::Extension {
            path: options.output.clone(),
        })
    }
}

/// Checks a value against its bounds.
pub(super) fn within<T: PartialOrd + fmt::Display>(
    option: &'static str,
    value: T,
    [low, high]: [T; 2],
) -> Result<(), SynthError> {
    // This order of comparisons refuses NaN.
    if low <= value && value <= high {
        return Ok(());
    }
    Err(SynthError::Option {
        option,
        value: value.to_string(),
        bounds: format!("from {low} to {high}"),
    })
}

/// Checks every option against its bounds.
pub(super) fn check(options: &SynthOptions) -> Result<(), SynthError> {
    within("users", options.users, [2, MAX_USERS])?;
    let most_test = options.users - 1;
    within("test users", test_users(options), [1, most_test])?;
    within(
        "number of lights",
        lights(options).len(),
        [1, Light::ALL.len()],
    )?;
    for (option, value) in [
        ("training recordings", options.train_recordings),
        ("test recordings", options.test_recordings),
    ] {
        within(option, value.unwrap_or(1), [1, MAX_RECORDINGS])?;
    }
    within(
        "events per second",
        options.events_per_second,
        EVENTS_PER_SECOND,
    )?;
    within("gesture seconds", options.gesture_seconds, GESTURE_SECONDS)?;
    within("compression level", options.compression, COMPRESSION)?;
    within(
        "events in a recording",
        expected_events(options),
        [0.0, MAX_EVENTS],
    )
}
