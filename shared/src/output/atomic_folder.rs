//! A folder that is being made, beside its final name: whole or not at all, as an [`AtomicFile`](super::AtomicFile) are.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::atomic_file::{builder, folder_of, prefix};
use super::lock::OutputLock;
use super::temporary::TemporaryFolder;

/// A folder that is being made. Dropped before [`AtomicFolder::finish`], it leaves nothing.
#[derive(Debug)]
pub struct AtomicFolder<'a> {
    target: PathBuf,
    temporary: TemporaryFolder,
    // While it is there, whoever clears up after killed runs is kept away.
    _lock: &'a OutputLock,
}

impl<'a> AtomicFolder<'a> {
    /// Begins the folder that is locked.
    ///
    /// # Errors
    /// Where the folder around it cannot be written.
    pub fn create(lock: &'a OutputLock) -> io::Result<Self> {
        let target = lock.output();
        let temporary = TemporaryFolder::make(|| {
            let name = target.file_name().unwrap_or_default();
            builder(&prefix(name))
                // As any new folder: the process's umask decides.
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777))
                .tempdir_in(folder_of(target))
        })?;
        Ok(Self {
            target: target.to_owned(),
            temporary,
            _lock: lock,
        })
    }

    /// Where it lies for now.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the folder its name. Its files have been synced by who wrote them.
    ///
    /// # Errors
    /// Where the file system refuses, or something has the name; nothing is left then.
    pub fn finish(self) -> io::Result<()> {
        sync_folders(self.temporary.path())?;
        self.temporary.persist(&self.target)?;
        File::open(folder_of(&self.target))?.sync_all()
    }
}

/// Notes on the disk which files there are.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}
