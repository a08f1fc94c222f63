//! A file that is written beside its final name, and the removal of such files of killed runs.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::lock::OutputLock;
use super::temporary::Temporary;

const SUFFIX: &str = ".unfinished";
/// Random characters between the target's name and the suffix.
const RANDOM: usize = 6;

/// An unfinished file. If it is dropped before [`AtomicFile::finish`], nothing is left.
#[derive(Debug)]
pub struct AtomicFile<'a> {
    target: PathBuf,
    temporary: Temporary,
    // Prevents other runs from removing this file as abandoned.
    _lock: Option<&'a OutputLock>,
}

impl<'a> AtomicFile<'a> {
    /// Starts the file `target`: the locked output, or a file beside it.
    ///
    /// # Errors
    /// Returns an error if the folder is not writable.
    pub fn create(lock: &'a OutputLock, target: &Path) -> io::Result<Self> {
        Self::create_under(Some(lock), target)
    }

    fn create_under(lock: Option<&'a OutputLock>, target: &Path) -> io::Result<Self> {
        let name = target.file_name().unwrap_or_default();
        let (temporary, ()) = Temporary::make(|| {
            let file = builder(&prefix(name))
                // The process's umask restricts this, as for any new file.
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
                .tempfile_in(folder_of(target))?;
            Ok((file.into_temp_path(), ()))
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

    /// Syncs the file to the disk and then gives it its final name, so that a file with this name
    /// is complete even after a power failure. It replaces an existing file unless `replacing` is
    /// false.
    ///
    /// # Errors
    /// Returns an error if the file system reports one. Only the last step, syncing the folder, can
    /// fail with the file already in place.
    pub fn finish(self, replacing: bool) -> io::Result<()> {
        let Self {
            target, temporary, ..
        } = self;
        File::open(temporary.path())?.sync_all()?;
        temporary.persist(&target, replacing)?;
        File::open(folder_of(&target))?.sync_all()
    }
}

/// Writes a file, so that its name always belongs to a complete file, old or new, even after a crash.
/// No lock keeps other runs from writing the same file; the last one to finish wins.
///
/// # Errors
/// Returns an error if the file cannot be written. An existing file is then unchanged.
pub fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_file_by(path, |temporary| fs::write(temporary, bytes))
}

/// Writes a file as [`write_file`] does. `write` writes to the temporary path that it is given.
///
/// # Errors
/// Returns the errors of `write`, or an error as [`write_file`] does.
pub fn write_file_by<E: From<io::Error>>(
    path: &Path,
    write: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let file = AtomicFile::create_under(None, path)?;
    write(file.path())?;
    Ok(file.finish(true)?)
}

/// Returns a builder of unfinished files or folders with the [`prefix`] of their target.
pub(crate) fn builder(prefix: &str) -> tempfile::Builder<'_, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).rand_bytes(RANDOM).suffix(SUFFIX);
    builder
}

/// Returns the unfinished files of `output` and of the files `beside` it, whether their run still
/// works or was killed.
///
/// # Errors
/// Returns an error if the folder cannot be listed.
pub fn unfinished_of(output: &Path, beside: &[&Path]) -> io::Result<Vec<PathBuf>> {
    let targets: Vec<&OsStr> = [output]
        .iter()
        .chain(beside)
        .filter_map(|target| target.file_name())
        .collect();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder_of(output))? {
        let entry = entry?;
        let name = entry.file_name();
        if targets.iter().any(|t| is_unfinished_of(&name, t)) && !entry.file_type()?.is_symlink() {
            found.push(output.with_file_name(name));
        }
    }
    Ok(found)
}

/// Removes what killed runs left of the locked output and of the files `beside` it, and returns the
/// removed paths. If the lock is not exclusive, it removes nothing, because another run might still
/// work on the files.
///
/// # Errors
/// Returns an error if the folder cannot be listed or a file cannot be removed.
pub fn remove_abandoned(lock: &OutputLock, beside: &[&Path]) -> io::Result<Vec<PathBuf>> {
    if lock.not_exclusive().is_some() {
        return Ok(Vec::new());
    }
    let abandoned = unfinished_of(lock.output(), beside)?;
    for path in &abandoned {
        if path.is_dir() {
            fs::remove_dir_all(path)?;
        } else {
            fs::remove_file(path)?;
        }
    }
    Ok(abandoned)
}

/// The folder that contains a file.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

pub(crate) fn prefix(target: &OsStr) -> String {
    format!(".{}.", target.to_string_lossy())
}

/// Whether `name` is that of an unfinished file.
pub fn is_unfinished(name: &str) -> bool {
    let target = name
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(SUFFIX))
        .and_then(|rest| rest.rsplit_once('.'));
    target.is_some_and(|(target, random)| {
        !target.is_empty()
            && random.len() == RANDOM
            && random.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

/// Whether `name` is that of an unfinished `target`, not of a target whose name merely begins with
/// it.
fn is_unfinished_of(name: &OsStr, target: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        let rest = name.strip_prefix(&prefix(target));
        is_unfinished(name) && rest.is_some_and(|rest| rest.len() == RANDOM + SUFFIX.len())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn removes_only_abandoned_files_of_this_output() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let kept = [
            "a.h5",
            ".a.h5.lock2",
            ".a.h5.abcdef.unfinished.h5",
            ".a.h5.b.h5.abcdef.unfinished",
            ".a.h5.abc-ef.unfinished",
            ".b.h5.abcdef.unfinished",
        ];
        let abandoned = [
            ".a.h5.abcdef.unfinished",
            ".a.h5.Abc123.unfinished",
            ".a.h5.source.json.ABCDEF.unfinished",
        ];
        for name in kept.iter().chain(&abandoned) {
            File::create(at(name)).unwrap();
        }
        let lock = OutputLock::acquire(&at("a.h5"), || ()).unwrap();
        let mut removed = remove_abandoned(&lock, &[&at("a.h5.source.json")]).unwrap();
        removed.sort_unstable();
        let mut expected = abandoned.map(at);
        expected.sort_unstable();
        assert_eq!(removed, expected);
        assert!(kept.iter().all(|name| at(name).exists()));
    }

    #[test]
    fn removes_nothing_without_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(".a.h5.abcdef.unfinished");
        File::create(&file).unwrap();
        let lock = OutputLock::without_locking(&folder.path().join("a.h5"));
        assert_eq!(remove_abandoned(&lock, &[]).unwrap(), [] as [PathBuf; 0]);
        assert!(file.exists());
    }
}
