//! Files that must not outlive the run. They vanish where their owner is dropped, and where a signal ends the process,
//! when nobody is dropped any more.
//!
//! The list of them is locked while a file is made, gets its final name, or is removed. So whoever ends the process
//! holds the lock, finds every file, and can be sure that none is made or named behind their back.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{TempDir, TempPath};

static FILES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A file that is removed when this is dropped, or when [`remove_all`] is called before.
#[derive(Debug)]
pub struct Temporary(Option<TempPath>);

/// A folder that is removed, with all in it, when this is dropped, or when [`remove_all`] is called before.
#[derive(Debug)]
pub struct TemporaryFolder(Option<TempDir>);

/// Every temporary file is gone, and as long as this lives none is made.
#[must_use = "files can be made again as soon as it is dropped"]
pub struct AllRemoved(
    #[expect(dead_code, reason = "held, not used")] MutexGuard<'static, Vec<PathBuf>>,
);

impl Temporary {
    /// The file that `make` makes, and what else it returns.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn make<T>(make: impl FnOnce() -> io::Result<(TempPath, T)>) -> io::Result<(Self, T)> {
        match Self::make_or::<T, Infallible>(|| make().map(Ok))? {
            Ok(made) => Ok(made),
        }
    }

    /// As [`Temporary::make`], where `make` may find instead that there is no file for this run to remove.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn make_or<T, U>(
        make: impl FnOnce() -> io::Result<Result<(TempPath, T), U>>,
    ) -> io::Result<Result<(Self, T), U>> {
        let mut files = files();
        Ok(make()?.map(|(path, made)| {
            files.push(path.to_path_buf());
            (Self(Some(path)), made)
        }))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives the file its final name, replacing what has it; or, unless `replacing`, only where nothing has it.
    ///
    /// # Errors
    /// Where the file system refuses; the file is gone then.
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
    /// The folder that `make` makes.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn make(make: impl FnOnce() -> io::Result<TempDir>) -> io::Result<Self> {
        let mut files = files();
        let folder = make()?;
        files.push(folder.path().to_path_buf());
        Ok(Self(Some(folder)))
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.0.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// Gives the folder its final name, which nothing but an empty folder may have.
    ///
    /// # Errors
    /// Where the file system refuses; the folder is gone then.
    pub fn persist(mut self, path: &Path) -> io::Result<()> {
        let mut files = files();
        let Some(temporary) = self.0.take() else {
            return Ok(());
        };
        files.retain(|file| file != temporary.path());
        std::fs::rename(temporary.path(), path)?;
        // It is no longer there to be removed.
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

/// Removes every temporary file, for a process that is about to end. One that cannot be removed stays: the next run
/// finds it.
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
