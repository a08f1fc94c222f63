//! A folder that is written beside its final name, so that it is complete or absent, like an
//! [`AtomicFile`](super::AtomicFile).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::atomic_file::{builder, folder_of, prefix};
use super::lock::OutputLock;
use super::temporary::TemporaryFolder;

/// An unfinished folder. If it is dropped before [`AtomicFolder::finish`], nothing is left.
#[derive(Debug)]
pub struct AtomicFolder<'a> {
    target: PathBuf,
    temporary: TemporaryFolder,
    // Prevents other runs from removing this folder as abandoned.
    _lock: &'a OutputLock,
}

impl<'a> AtomicFolder<'a> {
    /// Starts the locked folder.
    ///
    /// # Errors
    /// Returns an error if the parent folder is not writable.
    pub fn create(lock: &'a OutputLock) -> io::Result<Self> {
        let target = lock.output();
        let temporary = TemporaryFolder::make(|| {
            let name = target.file_name().unwrap_or_default();
            builder(&prefix(name))
                // The process's umask restricts this, as for any new folder.
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777))
                .tempdir_in(folder_of(target))
        })?;
        Ok(Self {
            target: target.to_owned(),
            temporary,
            _lock: lock,
        })
    }

    /// The temporary path.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the folder its final name. Whoever wrote its files must have synced them.
    ///
    /// # Errors
    /// Returns an error if the file system reports one, or if the name exists. The folder is then
    /// removed, unless only the last step, syncing the parent folder, failed.
    pub fn finish(self) -> io::Result<()> {
        sync_folders(self.temporary.path())?;
        self.temporary.persist(&self.target)?;
        File::open(folder_of(&self.target))?.sync_all()
    }
}

/// Syncs the directory entries of a folder and its subfolders.
fn sync_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folders(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}
