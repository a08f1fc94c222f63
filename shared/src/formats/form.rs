//! Datasets that are known by the names of their files, and what they settle that the files leave
//! open.

use std::fmt;
use std::path::Path;

use crate::event::{DVS128, SensorSize};

/// The classes of CIFAR-10, in their order, which is also that of the alphabet.
pub const CIFAR10_CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];
/// The names of the sets' folders, in any case.
const SETS: [&str; 2] = ["train", "test"];
/// The size of N-MNIST's frames.
const NMNIST: SensorSize = SensorSize {
    width: 34,
    height: 34,
};

/// The form of a dataset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatasetForm {
    /// DVS128 Gesture, or recordings in its form.
    #[default]
    Gestures,
    /// CIFAR10-DVS: `<class>/cifar10_<class>_<number>.aedat`.
    Cifar10Dvs,
    /// N-MNIST: `Train/<digit>/<number>.bin` and the same in `Test`.
    NMnist,
    /// Any other dataset with a folder for each class and a file for each sample.
    Classes,
}

impl DatasetForm {
    /// The form that the names of a file and of its folders show. `set` is the folder above that of
    /// the class.
    pub fn of_names(set: Option<&str>, class: &str, file: &str) -> Self {
        let (stem, ending) = file.rsplit_once('.').unwrap_or((file, ""));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = stem
            .strip_prefix("cifar10_")
            .and_then(|rest| rest.strip_prefix(class))
            .and_then(|rest| rest.strip_prefix('_'));
        let is_set = set.is_some_and(|set| SETS.iter().any(|s| s.eq_ignore_ascii_case(set)));
        let is_digit = class.len() == 1 && is_number(class);
        if CIFAR10_CLASSES.contains(&class) && number.is_some_and(is_number) && ending != "bin" {
            Self::Cifar10Dvs
        } else if is_set && is_digit && ending == "bin" && is_number(stem) {
            Self::NMnist
        } else {
            Self::Classes
        }
    }

    /// The form that the path of a single file shows.
    pub fn of_path(path: &Path) -> Self {
        fn name(path: Option<&Path>) -> Option<&str> {
            path?.file_name()?.to_str()
        }
        let above = path.parent();
        match (name(Some(path)), name(above)) {
            (Some(file), Some(class)) => {
                let form = Self::of_names(name(above.and_then(Path::parent)), class, file);
                match form {
                    Self::Classes => Self::Gestures,
                    form => form,
                }
            }
            _ => Self::Gestures,
        }
    }

    /// Whether the samples of this form are `.bin` files.
    pub(super) fn has_bin_files(self) -> bool {
        self == Self::NMnist
    }

    /// The size of frames and the reason for it, if the files do not say it.
    pub(super) fn sensor(self) -> Option<(SensorSize, &'static str)> {
        match self {
            Self::Gestures => Some((
                DVS128,
                "as DVS128 Gesture has, since the files do not say (--sensor says another size)",
            )),
            Self::Cifar10Dvs => Some((
                DVS128,
                "as CIFAR10-DVS has, since the files do not say (--sensor says another size)",
            )),
            Self::NMnist => Some((
                NMNIST,
                "as N-MNIST has, since the files do not say (--sensor says another size)",
            )),
            Self::Classes => None,
        }
    }
}

impl fmt::Display for DatasetForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gestures => "DVS128 Gesture",
            Self::Cifar10Dvs => "CIFAR10-DVS",
            Self::NMnist => "N-MNIST",
            Self::Classes => "a folder for each class",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_recognised_by_every_name() {
        use DatasetForm::{Cifar10Dvs, Classes, Gestures, NMnist};
        for (path, form) in [
            ("cat/cifar10_cat_17.aedat", Cifar10Dvs),
            ("train/cat/cifar10_cat_17.npz", Cifar10Dvs),
            ("N-MNIST/Train/7/00012.bin", NMnist),
            ("test/0/1.bin", NMnist),
            ("cat/cifar10_dog_17.aedat", Gestures),
            ("cow/cifar10_cow_17.aedat", Gestures),
            ("cat/cifar10_cat_.aedat", Gestures),
            ("cat/cifar10_cat_1.bin", Gestures),
            ("other/7/00012.bin", Gestures),
            ("Train/10/00012.bin", Gestures),
            ("Train/7/x.bin", Gestures),
            ("x.bin", Gestures),
        ] {
            assert_eq!(DatasetForm::of_path(Path::new(path)), form, "{path}");
        }
        assert_eq!(DatasetForm::of_names(None, "a", "b.bin"), Classes);
    }
}
