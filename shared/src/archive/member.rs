//! Recognises the role of a file in the dataset by its name and its folders.

use std::cmp::Ordering;
use std::path::{Component, Path};

use crate::cache_format::Set;
use crate::formats::Format;
use crate::samples::{Ending, LABELS_SUFFIX, MAPPING_NAME, SampleEnding};

pub(super) const TRAIN_LIST: &str = "trials_to_train.txt";
const TEST_LIST: &str = "trials_to_test.txt";
/// The folders of figshare's two archives, in the order of [`Set::ALL`].
pub(super) const FIGSHARE: [&str; 2] = ["ibmGestureTrain", "ibmGestureTest"];
const NPZ: &str = ".npz";
const NPY: &str = ".npy";

/// The role of a file in the dataset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A trial list.
    Trials(Set),
    /// The names of the classes.
    Mapping,
    /// The label file of this recording.
    Labels(String),
    /// This recording, in a file with this ending.
    Recording(String, Ending),
    /// One sample.
    Sample(SampleId),
    /// A file in the place of a sample whose folder is not a label: its path.
    Stray(String),
}

/// A file of one sample. The order is that of the cache.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SampleId {
    pub set: Set,
    /// The sample's name; for figshare's samples, the recording's name.
    pub name: String,
    /// 0 to 255.
    pub label: u8,
    pub layout: SampleLayout,
}

/// The folder layout of samples.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SampleLayout {
    /// `train/<label>/<name>.npz`: SpikingJelly's layout of events and ready-made frames.
    SpikingJelly,
    /// `ibmGestureTrain/<recording>/<label>.npy`: figshare's layout.
    Figshare,
    /// `<class>/<name>.<ending>`, or the same in a folder for each set.
    Classes(InClass),
}

/// The place of a sample in a dataset that has a folder for each class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InClass {
    /// The folder of the class.
    pub class: String,
    /// Whether the folder of the class lies in that of a set.
    pub in_set: bool,
    /// The ending of the file's name, with its dot, in lower case.
    pub ending: SampleEnding,
}

impl SampleId {
    /// The path, starting at the set's folder or, if the dataset has no sets, at that of the class.
    pub fn file_name(&self) -> String {
        let suffix = match &self.layout {
            SampleLayout::SpikingJelly => NPZ,
            SampleLayout::Figshare => NPY,
            SampleLayout::Classes(place) => place.ending.suffix(),
        };
        self.key() + suffix
    }

    /// The format of the file, if its place decides it; `None` if the file is a recording, whose
    /// first bytes decide.
    pub fn format(&self) -> Option<Format> {
        match &self.layout {
            SampleLayout::SpikingJelly => Some(Format::Npz),
            SampleLayout::Figshare => Some(Format::Npy),
            SampleLayout::Classes(place) => place.ending.format(),
        }
    }

    /// The name in SpikingJelly's scheme. figshare has one sample per recording and label, so its
    /// number is always 0.
    pub fn sample_name(&self) -> String {
        match self.layout {
            SampleLayout::SpikingJelly | SampleLayout::Classes(_) => self.name.clone(),
            SampleLayout::Figshare => format!("{}_0", self.name),
        }
    }

    /// The identifier that corresponds to a recording's name: the path without the ending.
    pub fn key(&self) -> String {
        let Self {
            set, name, label, ..
        } = self;
        match &self.layout {
            SampleLayout::SpikingJelly => format!("{}/{label}/{name}", set.name()),
            SampleLayout::Figshare => format!("{}/{name}/{label}", FIGSHARE[*set as usize]),
            SampleLayout::Classes(place) if place.in_set => {
                format!("{}/{}/{name}", set.name(), place.class)
            }
            SampleLayout::Classes(place) => format!("{}/{name}", place.class),
        }
    }

    /// The name as SpikingJelly sorts it: that of its `.npz`, whose dot comes after some characters
    /// that a name may have.
    fn sorted_name(&self) -> impl Iterator<Item = u8> {
        self.name.bytes().chain(*b".")
    }
}

impl Ord for SampleId {
    fn cmp(&self, other: &Self) -> Ordering {
        let of_set = self.set.cmp(&other.set);
        let placed = match (&self.layout, &other.layout) {
            (SampleLayout::Classes(_), SampleLayout::Classes(_)) => of_set
                .then(self.label.cmp(&other.label))
                .then_with(|| self.sorted_name().cmp(other.sorted_name())),
            _ => of_set
                .then_with(|| self.name.cmp(&other.name))
                .then(self.label.cmp(&other.label)),
        };
        placed.then_with(|| self.layout.cmp(&other.layout))
    }
}

impl PartialOrd for SampleId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Member {
    /// Returns the role of the file at `path`, or `None` if the dataset does not need it. Only
    /// names count: nothing is extracted, so it does not matter where `path` leads. Files that
    /// begin with a dot are macOS's shadows of the real ones. No file of the dataset has control
    /// characters in its name, and messages could not show them. A backslash also separates
    /// folders, because some Windows programs write it into archives.
    pub fn of(path: &Path) -> Option<Self> {
        if let Some(text) = path.to_str().filter(|text| text.contains('\\')) {
            return Self::of(Path::new(&text.replace('\\', "/")));
        }
        let name = path.file_name()?.to_str()?;
        if name.starts_with('.') || name.chars().any(char::is_control) {
            return None;
        }
        if name == TRAIN_LIST {
            Some(Self::Trials(Set::Train))
        } else if name == TEST_LIST {
            Some(Self::Trials(Set::Test))
        } else if name == MAPPING_NAME {
            Some(Self::Mapping)
        } else if let Some(recording) = name.strip_suffix(LABELS_SUFFIX) {
            Some(Self::Labels(recording.to_owned()))
        } else if let Some((recording, ending)) = Ending::split(name) {
            Some(Self::Recording(recording.to_owned(), ending))
        } else {
            Self::sample(path, name)
        }
    }

    fn sample(path: &Path, file: &str) -> Option<Self> {
        let mut folders = path.parent()?.components().rev().map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        });
        let (inner, outer) = (
            folders.next()??,
            folders.next().flatten().unwrap_or_default(),
        );
        let is_set = |name: &str| Set::ALL.iter().any(|set| set.name() == name);
        if file.ends_with(NPZ) && is_set(inner) && !is_set(outer) {
            return Some(Self::Stray(format!("{inner}/{file}")));
        }
        let set_of = |names: [&str; 2]| names.iter().position(|&n| n == outer).map(|i| Set::ALL[i]);
        let (set, name, label, layout) = if let Some(name) = file.strip_suffix(NPZ) {
            let set = set_of(Set::ALL.map(Set::name))?;
            (set, name, inner, SampleLayout::SpikingJelly)
        } else {
            let label = file.strip_suffix(NPY)?;
            (set_of(FIGSHARE)?, inner, label, SampleLayout::Figshare)
        };
        // A label with a sign or leading zeros would be a second file with the same name.
        let label = label.parse::<u8>().ok().filter(|l| l.to_string() == label);
        Some(match label {
            Some(label) if !name.is_empty() && !name.chars().any(char::is_control) => {
                Self::Sample(SampleId {
                    set,
                    name: name.to_owned(),
                    label,
                    layout,
                })
            }
            _ => Self::Stray(format!("{outer}/{inner}/{file}").escape_debug().to_string()),
        })
    }

    /// Whether the member holds events or frames.
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Recording(..) | Self::Sample(_))
    }

    /// The member's file name; for samples, the path starting at the set's folder.
    pub fn file_name(&self) -> String {
        match self {
            Self::Trials(Set::Train) => TRAIN_LIST.to_owned(),
            Self::Trials(Set::Test) => TEST_LIST.to_owned(),
            Self::Mapping => MAPPING_NAME.to_owned(),
            Self::Labels(recording) => format!("{recording}{LABELS_SUFFIX}"),
            Self::Recording(recording, ending) => format!("{recording}{}", ending.suffix()),
            Self::Sample(sample) => sample.file_name(),
            Self::Stray(path) => path.clone(),
        }
    }

    /// The recording that the member is or belongs to, or the sample's key.
    pub fn recording(&self) -> Option<String> {
        match self {
            Self::Trials(_) | Self::Mapping | Self::Stray(_) => None,
            Self::Labels(recording) | Self::Recording(recording, _) => Some(recording.clone()),
            Self::Sample(sample) => Some(sample.key()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member_of(path: &str) -> Option<Member> {
        Member::of(Path::new(path))
    }

    #[test]
    fn members_are_recognised_by_name() {
        assert_eq!(
            member_of("DvsGesture/user01_led.aedat"),
            Some(Member::Recording("user01_led".to_owned(), Ending::Aedat))
        );
        assert_eq!(
            member_of("user01_led.aedat4"),
            Some(Member::Recording("user01_led".to_owned(), Ending::Aedat4))
        );
        assert_eq!(
            member_of("DvsGesture\\a.aedat2"),
            Some(Member::Recording("a".to_owned(), Ending::Aedat2))
        );
        assert_eq!(
            member_of("user01_led_labels.csv"),
            Some(Member::Labels("user01_led".to_owned()))
        );
        assert_eq!(
            member_of("x/trials_to_test.txt"),
            Some(Member::Trials(Set::Test))
        );
        assert_eq!(member_of("DvsGesture/._user01_led.aedat"), None);
        assert_eq!(
            member_of("DvsGesture/gesture_mapping.csv"),
            Some(Member::Mapping)
        );
        assert_eq!(member_of("DvsGesture/errata.txt"), None);
    }

    #[test]
    fn samples_are_recognised_by_folder() {
        for (path, set, label, key) in [
            (
                "a/events_np/test/10/user24_led_0.npz",
                Set::Test,
                10,
                "test/10/user24_led_0",
            ),
            ("train/0/x.npz", Set::Train, 0, "train/0/x"),
            ("e\\train\\0\\x.npz", Set::Train, 0, "train/0/x"),
            (
                "ibmGestureTrain/user01_led/7.npy",
                Set::Train,
                7,
                "ibmGestureTrain/user01_led/7",
            ),
        ] {
            let member = member_of(path);
            let Some(Member::Sample(sample)) = &member else {
                unreachable!("{path}: {member:?}");
            };
            assert_eq!(
                (sample.set, sample.label, sample.key().as_str()),
                (set, label, key)
            );
            assert!(path.replace('\\', "/").ends_with(&sample.file_name()));
        }
        for stray in [
            "train/clap/x.npz",
            "test/01/x.npz",
            "test/256/x.npz",
            "ibmGestureTest/u/a.npy",
            "train/x.npz",
        ] {
            assert_eq!(member_of(stray), Some(Member::Stray(stray.to_owned())));
        }
        for ignored in [
            "x.npz",
            "0/x.npz",
            "val/0/x.npz",
            "train/0/x.npy",
            "other/u/3.npy",
        ] {
            assert_eq!(member_of(ignored), None);
        }
    }
}
