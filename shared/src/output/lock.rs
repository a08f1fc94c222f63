//! One run at a time makes an output, a cache or an archive. Others that are asked for the same cache wait, and then find
//! it made.
//!
//! The lock is advisory, `flock` on Linux, on an empty hidden file beside the output, `.<output>.lock`. The kernel lets it
//! go when its owner ends, however that ends; so a lock is never left over, and no run has to guess whether the owner of
//! one still lives, as it would with process ids, which mean nothing across containers. Why this file and no other:
//!
//! - The output and the file it is written to are renamed, and a lock is on a file, not on its name. Programs that read with HDF5 lock them too.
//! - The folder holds caches of other options, which need not wait; and network file systems lock no folders.
//! - A common place such as `/run/lock` is not shared by the containers and machines that share the disk.
//!
//! The owner removes the file before letting go. Who waited for it then holds a lock on a file that has no name any
//! more, so everyone asks, once they have the lock, whether the name still leads to the file, and begins anew where it
//! does not. A killed owner leaves the empty file; it stops nobody, and the next owner removes it.
//!
//! Whoever holds the lock may take other unfinished files of the same output for those of killed runs.

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

/// Why the lock cannot be had.
#[derive(Debug, Error)]
#[error("cannot write {output}: its lock file {file} cannot be made")]
pub struct LockError {
    /// The output.
    pub output: PathBuf,
    /// The lock file.
    pub file: PathBuf,
    /// The file system's reason.
    pub source: io::Error,
}

/// The right to make an output, given back when dropped.
#[derive(Debug)]
pub struct OutputLock {
    output: PathBuf,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// Fields are dropped in their order: the name goes before the lock does.
    Lock { _name: Temporary, _file: File },
    /// The file system has no locks.
    Nothing { reason: io::Error },
}

enum Attempt {
    Held(Held),
    /// Somebody else has it.
    Busy(File),
    /// The owner took the file's name away: there is another by now, or none.
    Renamed,
}

impl OutputLock {
    /// Waits until nobody else makes `output`. Where somebody does, `waiting` is called once and what it returns is kept
    /// until the wait is over.
    ///
    /// # Errors
    /// Where the lock file cannot be made.
    pub fn acquire<W>(output: &Path, waiting: impl FnOnce() -> W) -> Result<Self, LockError> {
        let mut waiting = Some(waiting);
        let mut shown = None;
        let held = loop {
            match attempt(output)? {
                Attempt::Held(held) => break held,
                Attempt::Renamed => {}
                Attempt::Busy(file) => {
                    shown = shown.or_else(|| waiting.take().map(|waiting| waiting()));
                    // What comes of the wait is for the next attempt to see, unless there can be no waiting.
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

    /// The lock, if nobody has it.
    ///
    /// # Errors
    /// Where the lock file cannot be made.
    pub fn try_acquire(output: &Path) -> Result<Option<Self>, LockError> {
        loop {
            match attempt(output)? {
                Attempt::Held(held) => return Ok(Some(Self::of(output, held))),
                Attempt::Busy(_) => return Ok(None),
                Attempt::Renamed => {}
            }
        }
    }

    /// Whether there is a lock file: somebody has the lock, or was killed while they had it.
    pub fn has_file(output: &Path) -> bool {
        lock_path(output).exists()
    }

    /// What may be made.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Why others may make the same output at the same time all the same; `None` where they cannot.
    pub fn not_exclusive(&self) -> Option<&io::Error> {
        match &self.held {
            Held::Lock { .. } => None,
            Held::Nothing { reason } => Some(reason),
        }
    }

    /// What is had where the file system has no locks.
    #[cfg(test)]
    pub(crate) fn of_nothing(output: &Path) -> Self {
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
    // All in one: a signal between making the file and noting it would leave it behind.
    let taken = Temporary::make_or(|| {
        let file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Err(Attempt::Busy(file))),
            Err(TryLockError::Error(reason)) => {
                if is_for_everyone(&reason) {
                    // Nobody can hold it, so nobody misses it.
                    let _ = fs::remove_file(&path);
                }
                return Ok(Err(Attempt::Held(Held::Nothing { reason })));
            }
        }
        if !leads_to(&path, &file)? {
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

/// Whether the file system has no locks at all: it knows none, or, as NFS without its lock service, says for each that
/// there is none left.
fn is_for_everyone(reason: &io::Error) -> bool {
    reason.kind() == io::ErrorKind::Unsupported
        || Errno::from_io_error(reason) == Some(Errno::NOLCK)
}

fn lock_path(output: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(output.file_name().unwrap_or_default());
    name.push(".lock");
    output.with_file_name(name)
}

/// The lock file, made if need be. One that another user left can be read at least, which is enough for `flock`.
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

/// Whether `path` names the file that is open as `file`.
fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
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
    fn one_at_a_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache.h5");
        let inside = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let lock = OutputLock::acquire(&cache, || ()).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        assert!(lock.not_exclusive().is_none());
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_owner_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache.h5");
        File::create(lock_path(&cache)).unwrap();
        let lock = OutputLock::try_acquire(&cache).unwrap().unwrap();
        assert!(OutputLock::try_acquire(&cache).unwrap().is_none());
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
