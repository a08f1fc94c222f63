//! What a file is to the dataset.

use std::path::Path;

use dvs_shared::Set;

use crate::samples::{LABELS_SUFFIX, RECORDING_SUFFIX};

pub(super) const TRAIN_LIST: &str = "trials_to_train.txt";
const TEST_LIST: &str = "trials_to_test.txt";

/// What a member of the dataset is, told by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A trial list.
    Trials(Set),
    /// The label file of this recording.
    Labels(String),
    /// This recording.
    Recording(String),
}

impl Member {
    /// What the file at `path` is to the dataset; `None` for files it does not need. Only its name counts, wherever
    /// `path` leads, since nothing is ever extracted. Files beginning with a dot are macOS's shadows of the real ones;
    /// no file of the dataset has control characters in its name, and messages could not show them.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if name.starts_with('.') || name.chars().any(char::is_control) {
            return None;
        }
        if name == TRAIN_LIST {
            Some(Self::Trials(Set::Train))
        } else if name == TEST_LIST {
            Some(Self::Trials(Set::Test))
        } else if let Some(recording) = name.strip_suffix(LABELS_SUFFIX) {
            Some(Self::Labels(recording.to_owned()))
        } else {
            name.strip_suffix(RECORDING_SUFFIX)
                .map(|r| Self::Recording(r.to_owned()))
        }
    }

    /// The member's file name.
    pub fn file_name(&self) -> String {
        match self {
            Self::Trials(Set::Train) => TRAIN_LIST.to_owned(),
            Self::Trials(Set::Test) => TEST_LIST.to_owned(),
            Self::Labels(recording) => format!("{recording}{LABELS_SUFFIX}"),
            Self::Recording(recording) => format!("{recording}{RECORDING_SUFFIX}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_by_their_names() {
        let of = |p: &str| Member::of(Path::new(p));
        assert_eq!(
            of("DvsGesture/user01_led.aedat"),
            Some(Member::Recording("user01_led".to_owned()))
        );
        assert_eq!(
            of("user01_led_labels.csv"),
            Some(Member::Labels("user01_led".to_owned()))
        );
        assert_eq!(of("x/trials_to_test.txt"), Some(Member::Trials(Set::Test)));
        assert_eq!(of("DvsGesture/._user01_led.aedat"), None);
        assert_eq!(of("DvsGesture/gesture_mapping.csv"), None);
    }
}
