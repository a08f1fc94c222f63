//! Files that must not outlive the run. They are removed when their owner is dropped, or when a
//! signal ends the process without running destructors.
//!
//! The list of files is locked while a file is made, renamed or removed. So whoever ends the
//! process holds the lock, finds every file, and knows that no other is made or renamed meanwhile.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{TempDir, TempPath};

static FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file that is removed on drop, or earlier by [`remove_all`].
#[derive(Debug)]
pub struct Temporary(Option<TempPath>);

/// A folder that is removed with its contents on drop, or earlier by [`remove_all`].
#[derive(Debug)]
pub struct TemporaryFolder(Option<TempDir>);

/// All temporary files are removed, and no new file is made while this value lives.
#[must_use = "files can be made again as soon as it is dropped"]
pub struct AllRemoved(
    #[expect(dead_code, reason = "held, not used")] MutexGuard<'static, Vec<PathBuf>>,
);

impl Temporary {
    /// Registers the file that `make` makes, and passes on its other result.
    ///
    /// # Errors
    /// Returns the errors of `make`.
    pub fn make<T>(make: impl FnOnce() -> io::Result<(TempPath, T)>) -> io::Result<(Self, T)> {
        match Self::make_or::<T, Infallible>(|| make().map(Ok))? {
            Ok(made) => Ok(made),
        }
    }

    /// Like [`Temporary::make`], but `make` may decide that there is no file for this run to
    /// remove.
    ///
    /// # Errors
    /// Returns the errors of `make`.
    pub fn make_or<T, U>(
        make: impl FnOnce() -> io::Result<Result<(TempPath, T), U>>,
    ) -> io::Result<Result<(Self, T), U>> {
        let mut files = files();
        Ok(make()?.map(|(path, made)| {
            files.push(path.to_path_buf());
            (Self(Some(path)), made)
        }))
    }

    pub fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives the file its final name. It replaces an existing file if `replacing` is true, and
    /// fails otherwise.
    ///
    /// # Errors
    /// Returns an error and removes the file if the file system reports an error.
    pub fn persist(mut self, path: &Path, replacing: bool) -> io::Result<()> {
        let mut files = files();
        let Some(temporary) = self.0.take() else {
            return Ok(());
        };
        files.retain(|file| **file != *temporary);
        let named = if replacing {
            temporary.persist(path)
        } else {
            temporary.persist_noclobber(path)
        };
        named.map_err(|e| e.error)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(temporary) = self.0.take() {
            let mut files = files();
            files.retain(|file| **file != *temporary);
            drop(temporary);
        }
    }
}

impl TemporaryFolder {
    /// Registers the folder that `make` makes.
    ///
    /// # Errors
    /// Returns the errors of `make`.
    pub fn make(make: impl FnOnce() -> io::Result<TempDir>) -> io::Result<Self> {
        let mut files = files();
        let folder = make()?;
        files.push(folder.path().to_path_buf());
        Ok(Self(Some(folder)))
    }

    pub fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// Gives the folder its final name. The name must be free or that of an empty folder.
    ///
    /// # Errors
    /// Returns an error and removes the folder if the file system reports an error.
    pub fn persist(mut self, path: &Path) -> io::Result<()> {
        let mut files = files();
        let Some(temporary) = self.0.take() else {
            return Ok(());
        };
        files.retain(|file| file != temporary.path());
        std::fs::rename(temporary.path(), path)?;
        // The folder has moved, so there is nothing to remove.
        let _ = temporary.keep();
        Ok(())
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Some(temporary) = self.0.take() {
            let mut files = files();
            files.retain(|file| file != temporary.path());
            drop(temporary);
        }
    }
}

/// Removes every temporary file before the process ends. If removal fails, the file stays for the
/// next run to find.
pub fn remove_all() -> AllRemoved {
    let mut files = files();
    for file in files.drain(..) {
        if std::fs::remove_file(&file).is_err() {
            let _ = std::fs::remove_dir_all(&file);
        }
    }
    AllRemoved(files)
}

fn files() -> MutexGuard<'static, Vec<PathBuf>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}
