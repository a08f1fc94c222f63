//! Finds datasets of class folders: in a folder, in an archive, or in one archive for each class or
//! set.

use std::path::{Path, PathBuf};

use super::classes::{Listing, is_set_name, may_hold_classes};
use super::error::read_error;
use super::{Archive, ArchiveError, ClassError, Container, Part};
use crate::cache_format::Set;
use crate::formats::DatasetForm;
use crate::words::some_of;

/// Maximum number of archives in a message.
const SHOWN: usize = 3;

impl Archive {
    /// Looks for classes in the input's only part.
    pub(super) fn with_classes(mut self) -> Result<Self, ArchiveError> {
        let [part] = self.parts.as_mut_slice() else {
            return Ok(self);
        };
        let name = match part.container {
            // `.` has no name.
            Container::Folder => part.path.canonicalize().ok().and_then(|path| stem(&path)),
            _ => stem(&part.path),
        };
        part.folder = name.filter(|name| is_set_name(name));
        let mut listing = Listing::default();
        // If the container is damaged, reading it reports that.
        if part.add_to(&mut listing).is_err() {
            return Ok(self);
        }
        // One class alone is more likely to be a folder of recordings without their lists.
        let class = listing.only_class().map(str::to_owned);
        if let Some(class) = class.filter(|class| stem(&part.path).as_ref() == Some(class)) {
            let reason = ClassError::OneClass { class };
            return Err(ArchiveError::classes(&self.path, reason));
        }
        self.classes = listing
            .into_classes()
            .map_err(|reason| ArchiveError::classes(&self.path, reason))?;
        Ok(self)
    }

    /// The dataset whose classes, or sets of classes, are folders in `folder`; `None` if there are
    /// none. `archives` are the archives beside them.
    pub(super) fn of_class_folders(
        folder: &Path,
        archives: &[PathBuf],
    ) -> Result<Option<Self>, ArchiveError> {
        if !may_hold_classes(folder) {
            return Ok(None);
        }
        let found = Self::folder(folder).with_classes()?;
        let Some(classes) = &found.classes else {
            return Ok(None);
        };
        if archives.is_empty() {
            return Ok(Some(found));
        }
        let names: Vec<String> = archives.iter().filter_map(|path| file_name(path)).collect();
        let reason = ClassError::AndArchives {
            summary: classes.summary(),
            archives: some_of(&names, SHOWN),
        };
        Err(ArchiveError::classes(folder, reason))
    }

    /// Refuses a folder that holds one class of CIFAR10-DVS.
    pub(super) fn refuse_one_class(folder: &Path) -> Result<(), ArchiveError> {
        let path = folder.canonicalize();
        let Some(class) = path.ok().and_then(|path| file_name(&path)) else {
            return Ok(());
        };
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = files.filter_map(|file| file.file_name().into_string().ok());
        let is_of_cifar10 =
            |file: String| DatasetForm::of_names(None, &class, &file) == DatasetForm::Cifar10Dvs;
        if names.all(is_of_cifar10) {
            let reason = ClassError::OneClass { class };
            return Err(ArchiveError::classes(folder, reason));
        }
        Ok(())
    }

    /// The dataset in several `.zip` files, each with the name of the class or set that it holds;
    /// `None` if they do not make up such a dataset.
    pub(super) fn of_class_archives(
        folder: &Path,
        archives: &[PathBuf],
    ) -> Result<Option<Self>, ArchiveError> {
        let mut all = Listing::default();
        let mut parts = Vec::new();
        for path in archives {
            let mut part = Self::container(path)?;
            let Some(name) = stem(path).filter(|_| part.container == Container::Zip) else {
                return Ok(None);
            };
            part.folder = Some(name.clone());
            let mut listing = Listing::default();
            part.add_to(&mut listing)
                .map_err(|source| read_error(path, "", source))?;
            if !listing.is_all_of(&name) {
                return Ok(None);
            }
            all.append(listing);
            parts.push(part);
        }
        let classes = all
            .into_classes()
            .map_err(|reason| ArchiveError::classes(folder, reason))?;
        Ok(classes.map(|classes| Self {
            classes: Some(classes),
            ..Self::of_parts(folder, parts)
        }))
    }

    /// The dataset in an archive `Train.zip` or `Test.zip` and the other of the two beside it;
    /// `None` if `path` is not one of them.
    pub(super) fn of_both_sets(path: &Path) -> Result<Option<Self>, ArchiveError> {
        let is_called = |path: &Path, set: Set| {
            file_name(path)
                .is_some_and(|name| name.eq_ignore_ascii_case(&format!("{}.zip", set.name())))
        };
        let [train, test] = Set::ALL;
        let other = match (is_called(path, train), is_called(path, test)) {
            (true, _) => test,
            (_, true) => train,
            _ => return Ok(None),
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let searched = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let files = std::fs::read_dir(searched).into_iter().flatten().flatten();
        let beside = files.map(|file| folder.join(file.file_name()));
        let mut both: Vec<PathBuf> = beside.filter(|path| is_called(path, other)).collect();
        if both.len() != 1 {
            return Ok(None);
        }
        both.push(path.to_owned());
        both.sort();
        let found = Self::of_class_archives(folder, &both)?;
        Ok(found.map(|archive| Self {
            path: path.to_owned(),
            ..archive
        }))
    }
}

impl Part {
    /// Adds the files of this part to `listing`.
    fn add_to(&self, listing: &mut Listing) -> std::io::Result<()> {
        let name = self.folder.as_deref();
        match self.container {
            Container::Folder => listing.add_folder(name, &self.path),
            _ => self.list(&mut |path| listing.add(name, path)),
        }
    }
}

/// The file's name without `.zip`, `.tar.gz` or the like.
fn stem(path: &Path) -> Option<String> {
    Some(file_name(path)?.split('.').next()?.to_owned())
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}
