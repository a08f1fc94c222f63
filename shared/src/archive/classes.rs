//! Datasets without trial lists: a folder for each class, and in it a file for each sample. Folders
//! `train` and `test` may hold the folders of the classes; otherwise an option divides the samples
//! into sets.

mod error;
mod listing;

use std::collections::HashMap;
use std::path::Path;

pub use self::error::ClassError;
use self::listing::ListedFile;
pub(super) use self::listing::{Listing, files_in, is_set_name, may_hold_classes};
use super::member::{InClass, Member, SampleId, SampleLayout};
use crate::cache_format::{MAX_CLASSES, NAME_BYTES, Set};
use crate::formats::{DatasetForm, Format};
use crate::test_split::TestSplit;
use crate::words::{counted, some_of};

/// Maximum number of names in a note.
const SHOWN: usize = 5;
/// Classes of CIFAR10-DVS and of N-MNIST.
const CLASSES_OF_KNOWN_FORMS: usize = 10;

/// The classes of a dataset, and the place of each sample.
#[derive(Clone, Debug)]
pub struct ClassFolders {
    form: DatasetForm,
    /// Names of the classes' folders: as numbers if all are, else as text, in rising order.
    folders: Vec<String>,
    /// Names of the classes by label.
    names: Vec<String>,
    /// Whether the input divides the samples into sets.
    has_sets: bool,
    /// The test set that was asked for.
    split: Option<TestSplit>,
    /// Samples by the names of their files. Without a division they are all in the training set.
    samples: HashMap<String, SampleId>,
    /// Files that are no samples.
    others: Vec<String>,
}

impl ClassFolders {
    /// The dataset that the listed files make up; `None` if they do not have this form.
    fn of_files(
        mut files: Vec<ListedFile>,
        mut others: Vec<String>,
    ) -> Result<Option<Self>, ClassError> {
        // A folder lists its files in any order, and messages name the first.
        files.sort_unstable();
        others.sort_unstable();
        let mut folders: Vec<String> = files.iter().map(|file| file.class.clone()).collect();
        folders.sort_unstable();
        folders.dedup();
        let Some(first) = files.first().filter(|_| folders.len() > 1) else {
            return Ok(None);
        };
        if folders.iter().filter(|name| is_set_name(name)).count() == 2 {
            return Err(ClassError::SetsWithoutClasses {
                example: first.path(),
            });
        }
        let has_sets = first.set.is_some();
        let elsewhere =
            |file: &&ListedFile| (file.set.is_some(), &file.root) != (has_sets, &first.root);
        if let Some(other) = files.iter().find(elsewhere) {
            return Err(ClassError::Depths {
                first: first.path(),
                other: other.path(),
            });
        }
        if folders.len() > MAX_CLASSES {
            return Err(ClassError::TooMany {
                found: folders.len(),
            });
        }
        if let Some(name) = folders.iter().find(|name| name.len() > NAME_BYTES) {
            return Err(ClassError::Name { bytes: name.len() });
        }
        // Numbers without leading zeros are in the order of their values.
        let number = |name: &String| name.parse().ok().filter(|n: &u32| n.to_string() == *name);
        if folders.iter().all(|name| number(name).is_some()) {
            folders.sort_by_key(number);
        }
        let mut classes = Self {
            form: form_of(&files)?,
            names: folders.clone(),
            folders,
            has_sets,
            split: None,
            samples: HashMap::with_capacity(files.len()),
            others,
        };
        for file in files {
            let sample = SampleId {
                set: file.set.unwrap_or(Set::Train),
                name: file.name,
                label: 0,
                layout: SampleLayout::Classes(InClass {
                    class: file.class,
                    in_set: has_sets,
                    ending: file.ending,
                }),
            };
            let file = sample.file_name();
            if classes.samples.insert(file.clone(), sample).is_some() {
                return Err(ClassError::Doubled { file });
            }
        }
        classes.refuse_namesakes()?;
        classes.label(None)?;
        Ok(Some(classes))
    }

    /// Refuses two files that differ only in their endings, because their samples would have the
    /// same name.
    fn refuse_namesakes(&self) -> Result<(), ClassError> {
        let mut keys = HashMap::with_capacity(self.samples.len());
        for (file, sample) in &self.samples {
            if let Some(other) = keys.insert(sample.key(), file) {
                let [first, second] = if file < other {
                    [file, other]
                } else {
                    [other, file]
                };
                return Err(ClassError::Namesakes {
                    first: first.clone(),
                    second: second.clone(),
                });
            }
        }
        Ok(())
    }

    /// Gives each sample its label: the place of its folder's name among `names` if there are some,
    /// else among the folders. Folders that are numbers may also count the names from 0.
    fn label(&mut self, names: Option<&[String]>) -> Result<(), ClassError> {
        let names = names.unwrap_or(&self.folders);
        let by_name = |folder: &String| names.iter().position(|name| name == folder);
        let by_number = |folder: &String| {
            let number = folder.parse().ok().filter(|&n: &usize| n < names.len())?;
            (number.to_string() == *folder).then_some(number)
        };
        let labels: Option<Vec<usize>> = self.folders.iter().map(by_name).collect();
        let labels = labels.or_else(|| self.folders.iter().map(by_number).collect());
        let Some(labels) = labels else {
            let unknown = self.folders.iter().find(|folder| by_name(folder).is_none());
            return Err(ClassError::Unknown {
                folder: unknown.cloned().unwrap_or_default(),
            });
        };
        let labels: HashMap<&str, u8> = (self.folders.iter().map(String::as_str))
            .zip(labels.into_iter().map(|label| label as u8))
            .collect();
        for sample in self.samples.values_mut() {
            if let SampleLayout::Classes(place) = &sample.layout {
                sample.label = labels
                    .get(place.class.as_str())
                    .copied()
                    .unwrap_or_default();
            }
        }
        self.names = names.to_vec();
        Ok(())
    }

    /// Applies the class names and the division into sets that the user asks for.
    ///
    /// # Errors
    /// Returns an error if a folder is none of the classes, if the input has sets of its own, or if
    /// a set would be empty.
    pub(super) fn apply(
        &mut self,
        names: Option<&[String]>,
        split: Option<TestSplit>,
    ) -> Result<(), ClassError> {
        self.label(names)?;
        let Some(split) = split else {
            return Ok(());
        };
        if self.has_sets {
            return Err(ClassError::HasSets);
        }
        let mut files: Vec<String> = self.samples.keys().cloned().collect();
        files.sort_by(|a, b| self.samples.get(a).cmp(&self.samples.get(b)));
        let label_of = |file: &String| self.samples.get(file).map(|sample| sample.label);
        let mut is_test = Vec::with_capacity(files.len());
        let mut largest = 0;
        for class in files.chunk_by(|a, b| label_of(a) == label_of(b)) {
            let label = class.first().and_then(label_of).unwrap_or_default();
            is_test.extend(split.test_samples(label, class.len()));
            largest = largest.max(class.len());
        }
        if !is_test.contains(&true) {
            return Err(ClassError::NoTestSample {
                share: split.share(),
                largest,
            });
        }
        for (file, is_test) in files.iter().zip(is_test) {
            if let Some(sample) = self.samples.get_mut(file) {
                sample.set = if is_test { Set::Test } else { Set::Train };
            }
        }
        self.split = Some(split);
        Ok(())
    }

    /// A file that does not say how many pixels the camera has, if the form of the dataset does not
    /// say it either.
    pub(super) fn file_without_size(&self) -> Option<String> {
        let is_bin = |sample: &&SampleId| sample.format() == Some(Format::AtisBin);
        let unknown = self.form == DatasetForm::Classes;
        let files = self.samples.values().filter(|_| unknown).filter(is_bin);
        files.min().map(SampleId::file_name)
    }

    /// Whether samples are divided into sets.
    pub fn is_divided(&self) -> bool {
        self.has_sets || self.split.is_some()
    }

    pub fn form(&self) -> DatasetForm {
        self.form
    }

    /// Names of the classes by label.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// All samples, in the order of the cache.
    pub fn samples(&self) -> Vec<SampleId> {
        let mut samples: Vec<SampleId> = self.samples.values().cloned().collect();
        samples.sort_unstable();
        samples
    }

    /// The form and the numbers of classes and samples, for the user.
    pub fn summary(&self) -> String {
        let classes = match self.folders.len() {
            1 => "1 class".to_owned(),
            number => format!("{number} classes"),
        };
        let samples = counted(self.samples.len() as u64, "sample");
        let sets = match self.split {
            _ if self.has_sets => "its folders divide them into sets".to_owned(),
            Some(split) => split.to_string(),
            None => "they are not divided into sets".to_owned(),
        };
        format!("{}: {classes}, {samples}; {sets}", self.form)
    }

    /// What the user should know of the input.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let known = [DatasetForm::Cifar10Dvs, DatasetForm::NMnist].contains(&self.form);
        if known && self.folders.len() < CLASSES_OF_KNOWN_FORMS {
            notes.push(format!(
                "{} has {CLASSES_OF_KNOWN_FORMS} classes, and these are {}: {}",
                self.form,
                self.folders.len(),
                self.folders.join(", ")
            ));
        }
        if !self.others.is_empty() {
            notes.push(format!(
                "left out, because they are no samples: {}",
                some_of(&self.others, SHOWN)
            ));
        }
        notes
    }

    /// The sample in the file at `path` of an archive or folder called `part`, if it is one.
    pub(super) fn member_at(&self, part: Option<&str>, path: &Path) -> Option<Member> {
        let file = ListedFile::of(part, path)?;
        let place = format!("{}/{}{}", file.class, file.name, file.ending.suffix());
        let sample = match file.set.filter(|_| self.has_sets) {
            Some(set) => self.samples.get(&format!("{}/{place}", set.name())),
            None => self.samples.get(&place),
        };
        sample.map(|sample| Member::Sample(sample.clone()))
    }
}

/// The form of a dataset, by the names of its files.
fn form_of(files: &[ListedFile]) -> Result<DatasetForm, ClassError> {
    let of_file = |file: &ListedFile| {
        let name = format!("{}{}", file.name, file.ending.suffix());
        DatasetForm::of_names(file.set.map(Set::name), &file.class, &name)
    };
    let Some(form) = files.first().map(of_file) else {
        return Ok(DatasetForm::Classes);
    };
    let (mut cifar10, mut all_same) = (None, true);
    for file in files {
        let found = of_file(file);
        all_same &= found == form;
        if found == DatasetForm::Cifar10Dvs {
            cifar10 = Some(file);
        }
    }
    match (cifar10, all_same) {
        (_, true) => Ok(form),
        // The files of CIFAR10-DVS are read in a way of their own, so others may not be among them.
        (Some(one), false) => {
            let other = files
                .iter()
                .find(|file| of_file(file) != DatasetForm::Cifar10Dvs);
            Err(ClassError::Forms {
                one: one.path(),
                other: other.map(ListedFile::path).unwrap_or_default(),
            })
        }
        (None, false) => Ok(DatasetForm::Classes),
    }
}
