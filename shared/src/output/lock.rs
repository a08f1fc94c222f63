//! Lets only one run at a time make an output, a cache or an archive. Other runs for the same cache
//! wait, and then find it finished.
//!
//! The lock is advisory (`flock` on Linux), on an empty hidden file beside the output,
//! `.<output>.lock`. The kernel releases it when its owner ends for any reason. So a lock never
//! outlives its owner, and no run has to guess from a process id whether the owner is alive;
//! process ids mean nothing across containers. The reasons for a separate file are:
//!
//! - The output and its temporary file are renamed, but a lock belongs to a file, not to a name.
//!   HDF5 readers also lock these files.
//! - The folder also holds caches with other options, which need not wait, and network file systems
//!   cannot lock folders.
//! - A common place such as `/run/lock` is not shared between the containers and machines that
//!   share the disk.
//!
//! The owner removes the file before it releases the lock. A waiting run then locks a file that no
//! longer has a name. So each run, once it has the lock, checks that the name still refers to its
//! file, and otherwise starts again. A killed owner leaves the empty file; it blocks nobody, and
//! the next owner removes it.
//!
//! The lock's owner may remove other unfinished files of the same output: killed runs left them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tempfile::TempPath;
use thiserror::Error;

use super::temporary::Temporary;
use crate::file_kind::irregular;

/// Why the lock could not be acquired.
#[derive(Debug, Error)]
#[error("cannot write {output}: its lock file {file} cannot be made")]
pub struct LockError {
    pub output: PathBuf,
    pub file: PathBuf,
    pub source: io::Error,
}

/// The exclusive right to make an output, released on drop.
#[derive(Debug)]
pub struct OutputLock {
    output: PathBuf,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// Fields are dropped in order: the name is removed before the lock is released.
    Lock { _name: Temporary, _file: File },
    /// The file system has no locks.
    Nothing { reason: io::Error },
}

enum Attempt {
    Held(Held),
    /// Another run has the lock.
    Busy(File),
    /// This run locked a file that its former owner had already removed; the name now refers to
    /// another file or to none.
    Renamed,
}

impl OutputLock {
    /// Waits until no other run makes `output`. If it has to wait, it calls `waiting` once and
    /// keeps the result until the wait is over.
    ///
    /// # Errors
    /// Returns an error if the lock file cannot be made.
    pub fn acquire<W>(output: &Path, waiting: impl FnOnce() -> W) -> Result<Self, LockError> {
        let mut waiting = Some(waiting);
        let mut shown = None;
        let held = loop {
            match attempt(output)? {
                Attempt::Held(held) => break held,
                Attempt::Renamed => {}
                Attempt::Busy(file) => {
                    shown = shown.or_else(|| waiting.take().map(|waiting| waiting()));
                    // After a successful or interrupted wait, the loop simply tries again. Any
                    // other error means that waiting is impossible here, so the run goes on without
                    // a lock.
                    if let Err(reason) = file.lock()
                        && reason.kind() != io::ErrorKind::Interrupted
                    {
                        break Held::Nothing { reason };
                    }
                }
            }
        };
        drop(shown);
        Ok(Self::of(output, held))
    }

    /// Takes the lock if it is free.
    ///
    /// # Errors
    /// Returns an error if the lock file cannot be made.
    pub fn try_acquire(output: &Path) -> Result<Option<Self>, LockError> {
        loop {
            match attempt(output)? {
                Attempt::Held(held) => return Ok(Some(Self::of(output, held))),
                Attempt::Busy(_) => return Ok(None),
                Attempt::Renamed => {}
            }
        }
    }

    /// Whether a lock file exists: another run has the lock, or was killed while it had it.
    pub fn has_file(output: &Path) -> bool {
        lock_path(output).exists()
    }

    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Why the lock is not exclusive; `None` if it is.
    pub fn not_exclusive(&self) -> Option<&io::Error> {
        match &self.held {
            Held::Lock { .. } => None,
            Held::Nothing { reason } => Some(reason),
        }
    }

    /// Returns what a run gets if the file system does not support locks.
    #[cfg(test)]
    pub(crate) fn without_locking(output: &Path) -> Self {
        let reason = io::ErrorKind::Unsupported.into();
        Self::of(output, Held::Nothing { reason })
    }

    fn of(output: &Path, held: Held) -> Self {
        Self {
            output: output.to_owned(),
            held,
        }
    }
}

fn attempt(output: &Path) -> Result<Attempt, LockError> {
    let path = lock_path(output);
    let error = |source| LockError {
        output: output.to_owned(),
        file: path.clone(),
        source,
    };
    // In one step, because a signal between creating the file and recording it would leave it
    // behind.
    let taken = Temporary::make_or(|| {
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(Attempt::Busy(file))),
            Err(TryLockError::Error(reason)) => {
                if locks_are_unsupported(&reason) {
                    // Nobody can lock it, so nobody needs it.
                    let _ = fs::remove_file(&path);
                }
                return Ok(Err(Attempt::Held(Held::Nothing { reason })));
            }
        }
        if !refers_to_same_file(&path, &file)? {
            return Ok(Err(Attempt::Renamed));
        }
        Ok(Ok((TempPath::try_from_path(&path)?, file)))
    });
    Ok(match taken.map_err(error)? {
        Ok((name, file)) => Attempt::Held(Held::Lock {
            _name: name,
            _file: file,
        }),
        Err(other) => other,
    })
}

/// Whether the file system has no locks at all: it does not support them or, like NFS without its
/// lock service, reports that none are available.
fn locks_are_unsupported(reason: &io::Error) -> bool {
    reason.kind() == io::ErrorKind::Unsupported
        || Errno::from_io_error(reason) == Some(Errno::NOLCK)
}

fn lock_path(output: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(output.file_name().unwrap_or_default());
    name.push(".lock");
    output.with_file_name(name)
}

/// Opens the lock file and creates it if necessary. Another user's lock file may be read-only,
/// which is enough for `flock`.
fn open(path: &Path) -> io::Result<File> {
    if let Some(kind) = irregular(path)? {
        return Err(io::Error::other(format!("it is {kind}; remove it")));
    }
    let writable = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path);
    match writable {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => File::open(path).map_err(|_| e),
        other => other,
    }
}

/// Whether `path` still refers to the open `file`.
fn refers_to_same_file(path: &Path, file: &File) -> io::Result<bool> {
    let identity = |m: fs::Metadata| (m.dev(), m.ino());
    match fs::metadata(path) {
        Ok(named) => Ok(identity(named) == identity(file.metadata()?)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn lock_is_exclusive_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache.h5");
        let holders = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let lock = OutputLock::acquire(&cache, || ()).unwrap();
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        assert!(lock.not_exclusive().is_none());
                        thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn takes_over_lock_file_of_killed_process() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache.h5");
        File::create(lock_path(&cache)).unwrap();
        let lock = OutputLock::try_acquire(&cache).unwrap().unwrap();
        assert!(OutputLock::try_acquire(&cache).unwrap().is_none());
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
