//! Lists the files of a folder or archive, to find out whether its folders are classes.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::super::member::Member;
use super::super::other_files::is_hidden;
use super::super::zip::is_tar;
use super::error::MAX_FILES;
use super::{ClassError, ClassFolders};
use crate::cache_format::Set;
use crate::samples::SampleEnding;
use crate::words::printable;

/// The folder of IBM's archive, which shows at once that the archive has trial lists.
const IBM_FOLDER: &str = "DvsGesture";

/// A file that may be a sample.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListedFile {
    /// The folders above those of the set and of the class.
    pub root: String,
    /// The set whose folder holds that of the class.
    pub set: Option<Set>,
    pub class: String,
    /// The file's name without its ending.
    pub name: String,
    pub ending: SampleEnding,
}

/// The files of one dataset.
#[derive(Default)]
pub(crate) struct Listing {
    files: Vec<ListedFile>,
    /// Files that are no samples, for the user.
    others: Vec<String>,
    /// Whether there is a file of a dataset in another form.
    has_other_form: bool,
    too_many: bool,
}

impl ListedFile {
    /// The file at `path`, if it may be a sample. If the folder or archive that holds the path is
    /// called `part`, this name counts as a folder too, unless the path begins with it.
    pub(super) fn of(part: Option<&str>, path: &Path) -> Option<Self> {
        let text = path.to_str()?.replace('\\', "/");
        let mut folders: Vec<&str> = text
            .split('/')
            .filter(|part| !["", "."].contains(part))
            .collect();
        let file = folders.pop()?;
        let begins_with = |part: &&str| {
            folders
                .first()
                .is_some_and(|f| f.eq_ignore_ascii_case(part))
        };
        if let Some(part) = part.filter(|part| !begins_with(part)) {
            folders.insert(0, part);
        }
        if file.starts_with('.') || text.chars().any(char::is_control) {
            return None;
        }
        let (name, ending) = SampleEnding::split(file).filter(|(name, _)| !name.is_empty())?;
        let class = folders.pop()?;
        let set = folders.last().and_then(|name| set_called(name));
        if set.is_some() {
            folders.pop();
        }
        Some(Self {
            root: folders.join("/"),
            set,
            class: class.to_owned(),
            name: name.to_owned(),
            ending,
        })
    }

    /// The path, for a message.
    pub(super) fn path(&self) -> String {
        let set = self
            .set
            .map_or(String::new(), |set| format!("{}/", set.name()));
        let root = match self.root.as_str() {
            "" => String::new(),
            root => format!("{root}/"),
        };
        let Self {
            class,
            name,
            ending,
            ..
        } = self;
        printable(
            &format!("{root}{set}{class}/{name}{}", ending.suffix()),
            120,
        )
    }
}

/// The set whose folder has this name, in any case.
fn set_called(name: &str) -> Option<Set> {
    Set::ALL
        .into_iter()
        .find(|set| set.name().eq_ignore_ascii_case(name))
}

pub(crate) fn is_set_name(name: &str) -> bool {
    set_called(name).is_some()
}

impl Listing {
    /// Adds the file at `path` of a folder or archive called `part`. Stops once it is clear that
    /// the dataset has another form.
    pub(crate) fn add(&mut self, part: Option<&str>, path: &Path) -> ControlFlow<()> {
        let whole = match part {
            Some(part) if !path.starts_with(part) => PathBuf::from(part).join(path),
            _ => path.to_owned(),
        };
        let is_npy = |stray: &str| stray.ends_with(".npy");
        let in_ibm_folder = whole
            .parent()
            .is_some_and(|folder| folder.ends_with(IBM_FOLDER));
        // An archive in the archive is the dataset, whatever lies beside it.
        self.has_other_form |= in_ibm_folder
            || is_tar(path)
            || match Member::of(&whole) {
                Some(Member::Trials(_) | Member::Labels(_) | Member::Sample(_)) => true,
                Some(Member::Stray(stray)) => is_npy(&stray),
                _ => false,
            };
        if self.has_other_form {
            return ControlFlow::Break(());
        }
        if self.files.len() + self.others.len() >= MAX_FILES {
            self.too_many = true;
            return ControlFlow::Break(());
        }
        match ListedFile::of(part, path) {
            Some(file) => self.files.push(file),
            None if is_hidden(path) => {}
            // Beside the folders, files such as a licence are common.
            None if path.parent().is_none_or(|folder| folder == Path::new("")) => {}
            None => self.others.push(printable(&path.to_string_lossy(), 80)),
        }
        ControlFlow::Continue(())
    }

    /// Adds the files in the folders of `folder`: its classes, or the classes of its sets. Links are
    /// followed.
    pub(crate) fn add_folder(&mut self, part: Option<&str>, folder: &Path) -> io::Result<()> {
        for (path, _) in files_in(folder)? {
            if self.add(part, &path).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Adds the files of another part of the same dataset.
    pub(crate) fn append(&mut self, other: Self) {
        self.files.extend(other.files);
        self.others.extend(other.others);
        self.has_other_form |= other.has_other_form;
        self.too_many |= other.too_many || self.files.len() > MAX_FILES;
    }

    /// Whether all listed files are of the class or the set `stem`, as those of an archive with this
    /// name are.
    pub(crate) fn is_all_of(&self, stem: &str) -> bool {
        !self.files.is_empty()
            && self.files.iter().all(|file| {
                file.class == stem || file.set.is_some() && file.set == set_called(stem)
            })
    }

    /// The only class, if all files are of the same.
    pub(crate) fn only_class(&self) -> Option<&str> {
        let first = self.files.first()?;
        let same = self.files.iter().all(|file| file.class == first.class);
        (same && !self.has_other_form).then_some(&first.class)
    }

    /// The dataset of the listed files; `None` if it has another form.
    ///
    /// # Errors
    /// Returns an error if more than one way to read the folders fits.
    pub(crate) fn into_classes(self) -> Result<Option<ClassFolders>, ClassError> {
        if self.has_other_form {
            return Ok(None);
        }
        if self.too_many {
            return Err(ClassError::TooManyFiles);
        }
        ClassFolders::of_files(self.files, self.others)
    }
}

/// Whether a folder may hold classes: at least two of its folders, or of its sets' folders, hold
/// files that may be samples.
pub(crate) fn may_hold_classes(folder: &Path) -> bool {
    let holds_samples = |folder: &PathBuf| {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = files.map(|file| file.file_name());
        names.any(|name| {
            name.to_str()
                .is_some_and(|name| SampleEnding::split(name).is_some())
        })
    };
    let mut folders = folders_in(folder).unwrap_or_default();
    let sets: Vec<PathBuf> = folders
        .iter()
        .filter(|path| has_set_name(path))
        .cloned()
        .collect();
    folders.extend(
        sets.iter()
            .flat_map(|set| folders_in(set).unwrap_or_default()),
    );
    folders
        .iter()
        .filter(|path| holds_samples(path))
        .nth(1)
        .is_some()
}

/// The folders in a folder, without those that begin with a dot.
fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !is_hidden(&path) {
            folders.push(path);
        }
    }
    Ok(folders)
}

fn has_set_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(is_set_name)
}

/// The files in the folders of `folder`, and in the folders of its sets: paths within `folder`, and
/// whole paths.
pub(crate) fn files_in(folder: &Path) -> io::Result<Vec<(PathBuf, PathBuf)>> {
    let mut classes = Vec::new();
    for path in folders_in(folder)? {
        if has_set_name(&path) {
            classes.extend(folders_in(&path)?);
        }
        classes.push(path);
    }
    let mut files = Vec::new();
    for class in &classes {
        for entry in fs::read_dir(class)? {
            let path = entry?.path();
            // Pipes and devices are ignored. A folder in the folder of a class is listed, because
            // its files are left out.
            let is_left_out = || path.is_dir() && !classes.contains(&path);
            if !is_hidden(&path)
                && (path.is_file() || is_left_out())
                && let Ok(within) = path.strip_prefix(folder)
            {
                files.push((within.to_owned(), path));
            }
            if files.len() > MAX_FILES {
                return Err(io::Error::other(ClassError::TooManyFiles));
            }
        }
    }
    Ok(files)
}
