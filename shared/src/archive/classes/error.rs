//! Why folders of classes cannot be used.

use thiserror::Error;

use crate::cache_format::{MAX_CLASSES, NAME_BYTES};
use crate::test_split::TestShare;

/// Maximum number of files in a dataset of class folders; N-MNIST has 70,000.
pub(crate) const MAX_FILES: usize = 1 << 17;

/// Why folders of classes cannot be used.
#[derive(Debug, Error)]
pub enum ClassError {
    /// The dataset has no split.
    #[error(
        "it is a dataset of class folders ({summary}). Add --test-share 0.1 to test on the last tenth of each class in the \
         order of names, as SpikingJelly's split_to_train_test_set(0.9, ..) does, and --split-seed 0 to choose that tenth at \
         random"
    )]
    NotDivided {
        /// Form and numbers.
        summary: String,
    },
    /// Nothing says how large the sensor is.
    #[error(
        "its .bin files, such as {example}, do not say how many pixels their camera has; say it with --sensor, as in --sensor 34x34"
    )]
    Size {
        /// One of the files.
        example: String,
    },
    /// The dataset has a split, and the user asks for another.
    #[error("it is divided into a training and a test set; leave --test-share out")]
    HasSets,
    /// No class has enough samples for the share.
    #[error(
        "--test-share {share} leaves no sample for testing: the largest class has {largest} samples, and the number of those \
         for training is rounded up. Choose a larger share"
    )]
    NoTestSample {
        share: TestShare,
        /// Samples of the largest class.
        largest: usize,
    },
    /// Sample files lie at different depths, so that it is not clear which folders are classes.
    #[error(
        "it is not clear which of its folders are classes: samples lie at {first} and at {other}. Name the folder that holds \
         the folders of the classes, or train and test, and nothing else"
    )]
    Depths { first: String, other: String },
    /// The folders `train` and `test` hold samples, not classes.
    #[error(
        "its folders train and test hold samples themselves, such as {example}, and no folder says of which class they are. \
         Put them into folders such as train/<class>"
    )]
    SetsWithoutClasses {
        /// One of the samples.
        example: String,
    },
    /// Only some of the files have names of CIFAR10-DVS.
    #[error(
        "some of its samples have the names of CIFAR10-DVS, whose camera lay on its side, and others do not: {one} and \
         {other}. Name a folder or archive with one of both kinds"
    )]
    Forms { one: String, other: String },
    /// There is one class.
    #[error(
        "it holds one class, {class}; name the folder that holds the archives or folders of all classes"
    )]
    OneClass { class: String },
    /// There are class folders and archives of classes.
    #[error(
        "it holds folders of classes ({summary}) and archives too, {archives} among them; move one of both to another folder"
    )]
    AndArchives {
        /// Form and numbers of the folders.
        summary: String,
        /// Some of the archives.
        archives: String,
    },
    /// There are more classes than labels.
    #[error("it has {found} folders of samples; there are at most {MAX_CLASSES} classes")]
    TooMany { found: usize },
    /// The cache has no room for the name of a class.
    #[error("the name of a class has {bytes} bytes, beyond the limit of {NAME_BYTES}")]
    Name { bytes: usize },
    /// There are more files than in any dataset.
    #[error("it has more than {MAX_FILES} files, the limit")]
    TooManyFiles,
    /// A file occurs twice.
    #[error("it contains {file} twice")]
    Doubled { file: String },
    /// Two samples would have the same name.
    #[error("{first} and {second} would be samples of the same name; leave one of them out")]
    Namesakes { first: String, second: String },
    /// The user's classes do not have a folder's name.
    #[error("its folder {folder} is none of the classes that --classes names")]
    Unknown { folder: String },
}
